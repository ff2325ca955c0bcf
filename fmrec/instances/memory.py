"""How much memory and disk each step needs, as sums whose terms can be read and followed.

No public source gives the footprint of SageMaker's FM or k-NN container. The FM formula is
arithmetic over a dense MXNet model with Adam's two states; the k-NN factors were measured with
faiss-cpu (n = 400,000, d = 64). docs/instances.md marks what is confirmed and what is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

GIB = 1024**3
GB = 10**9

BASE_BYTES = 2 * GIB
"""Container, Python, MXNet or faiss, and the service's agents on the instance."""

ADAM_STATES = 2
PREFETCHED_BATCHES = 4
BYTES_PER_NONZERO = 12
"""A float32 value and an int64 column."""

KNN_TRAINING_PEAK = 3
"""Sample in addition to the index that is being built: 2.1 to 3.1 times the raw bytes were measured."""

REPLY_BYTES_PER_NEIGHBOUR = 30
REPLY_BYTES_PER_SCORE = 50
"""One label and one distance as JSON text, very roughly."""

PAYLOAD_BYTES = 6 * 1024**2
"""The containers' own limit for one request's body."""

EVALUATION_BLOCKS = 4
"""Products, masked products, ranks and their indices."""

FIXED_DISK_GB = 30
"""Disk of a batch transform instance, which can't be set; hosting has at least as much."""

VOLUME_LIMIT_GB = 1024
"""'Size of EBS volume for a training job instance (GB)', not adjustable."""

VOLUME_FLOOR_GB = 10


@dataclass(frozen=True)
class Term:
    """One addend: ``formula`` in words and numbers, ``bytes`` its value."""

    name: str
    formula: str
    bytes: float

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "formula": self.formula, "bytes": round(self.bytes)}


@dataclass(frozen=True)
class MemoryNeed:
    """``(uncertain + vcpu * per_worker) * safety_factor + certain``, in bytes on one instance.

    ``per_worker`` exists where the container serves requests: it may start one worker per vCPU,
    each with its own copy of the model, so a larger type doesn't always give more room.
    """

    uncertain: tuple[Term, ...]
    per_worker: tuple[Term, ...]
    certain: tuple[Term, ...]
    safety_factor: float

    def bytes_with(self, vcpu: int) -> float:
        """Return the bytes needed on an instance with ``vcpu`` vCPUs."""
        scaled = _total(self.uncertain) + vcpu * _total(self.per_worker)
        return scaled * self.safety_factor + _total(self.certain)

    def gib_with(self, vcpu: int) -> float:
        return self.bytes_with(vcpu) / GIB

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "formula": "(sum of terms + vCPUs * sum of per_worker_terms) * safety_factor + sum of fixed_terms",
            "terms": [term.to_json() for term in self.uncertain],
            "per_worker_terms": [term.to_json() for term in self.per_worker],
            "fixed_terms": [term.to_json() for term in self.certain],
            "safety_factor": self.safety_factor,
        }
        if self.per_worker:
            document["gib_by_vcpu"] = {str(v): round(self.gib_with(v), 2) for v in (2, 4, 8, 16, 48, 96)}
        return document


@dataclass(frozen=True)
class VolumeNeed:
    """Disk of one instance; ``settable`` is false where the call has no volume size."""

    terms: tuple[Term, ...]
    headroom: float
    settable: bool

    @property
    def size_gb(self) -> int:
        """Whole GB (10^9 bytes, the smaller reading of the API's GB, so never too little)."""
        needed = math.ceil(_total(self.terms) * self.headroom / GB)
        return max(VOLUME_FLOOR_GB, needed) if self.settable else needed

    @property
    def limit_gb(self) -> int:
        return VOLUME_LIMIT_GB if self.settable else FIXED_DISK_GB

    def to_json(self) -> dict[str, Any]:
        return {
            "formula": f"sum of terms * headroom, at least {VOLUME_FLOOR_GB} GB where it can be set",
            "terms": [term.to_json() for term in self.terms],
            "headroom": self.headroom,
            "limit_gb": self.limit_gb,
            "settable": self.settable,
        }


def _total(terms: tuple[Term, ...]) -> float:
    return sum(term.bytes for term in terms)


def base_term() -> Term:
    return Term("base", "container, Python and the service's agents: 2 GiB", BASE_BYTES)


def fm_parameters(feature_dim: int, num_factors: int) -> int:
    """Return the number of parameters: factors, linear weights and the bias."""
    return feature_dim * (num_factors + 1) + 1


def fm_training(
    *,
    feature_dim: int,
    num_factors: int,
    mini_batch_size: int,
    nnz_per_row: float,
    instance_count: int,
    safety_factor: float,
) -> MemoryNeed:
    """Memory of one FM training host.

    Weights, gradient and Adam's states are taken as dense; with several hosts each also holds
    the key-value store's copy.
    """
    parameters = fm_parameters(feature_dim, num_factors)
    copies = 1 if instance_count == 1 else 2
    arrays = 2 + ADAM_STATES
    return MemoryNeed(
        uncertain=(
            Term(
                "model and optimizer",
                f"4 bytes * {parameters:,} parameters (feature_dim {feature_dim:,} * (num_factors "
                f"{num_factors} + 1) + 1) * {arrays} arrays (weights, gradient, {ADAM_STATES} Adam states) "
                f"* {copies} ({'one host' if copies == 1 else 'several hosts: key-value store copy'})",
                4.0 * parameters * arrays * copies,
            ),
            Term(
                "mini-batches",
                f"mini_batch_size {mini_batch_size:,} * {nnz_per_row:g} non-zeros * {BYTES_PER_NONZERO} "
                f"bytes * {PREFETCHED_BATCHES} prefetched",
                mini_batch_size * nnz_per_row * BYTES_PER_NONZERO * PREFETCHED_BATCHES,
            ),
            base_term(),
        ),
        per_worker=(),
        certain=(),
        safety_factor=safety_factor,
    )


def knn_training(*, points: int, dimension: int, instance_count: int) -> MemoryNeed:
    """Memory of one k-NN training host (``faiss.Flat``): the sample and the index built from it.

    The peak factor is the margin, so no safety factor comes on top.
    """
    here = math.ceil(points / instance_count)
    return MemoryNeed(
        uncertain=(),
        per_worker=(),
        certain=(
            Term(
                "sample and index",
                f"{KNN_TRAINING_PEAK} (peak) * 4 bytes * {here:,} items"
                f"{'' if instance_count == 1 else f' a host of {instance_count}'} * {dimension} dimensions",
                KNN_TRAINING_PEAK * 4.0 * here * dimension,
            ),
            Term(
                "labels",
                f"{KNN_TRAINING_PEAK} (peak) * 4 bytes * {here:,} items",
                KNN_TRAINING_PEAK * 4.0 * here,
            ),
            base_term(),
        ),
        safety_factor=1.0,
    )


def fm_serving(*, feature_dim: int, num_factors: int, safety_factor: float) -> MemoryNeed:
    """Memory of an instance that answers with the FM model: one copy for each worker."""
    parameters = fm_parameters(feature_dim, num_factors)
    return MemoryNeed(
        uncertain=(),
        per_worker=(
            Term("model", f"4 bytes * {parameters:,} parameters", 4.0 * parameters),
            Term("payload", f"two copies of a {PAYLOAD_BYTES // 1024**2} MiB request", 2.0 * PAYLOAD_BYTES),
        ),
        certain=(base_term(),),
        safety_factor=safety_factor,
    )


def knn_serving(
    *, points: int, dimension: int, neighbours: int, records_per_request: int, safety_factor: float
) -> MemoryNeed:
    """Memory of an instance that answers with the k-NN index: one copy for each worker.

    ``records_per_request`` vectors come in one request and each is answered with ``neighbours``
    labels and distances as text.
    """
    return MemoryNeed(
        uncertain=(),
        per_worker=(
            Term("index", f"4 bytes * {points:,} items * {dimension} dimensions", 4.0 * points * dimension),
            Term("labels", f"4 bytes * {points:,} items", 4.0 * points),
            Term("payload", f"two copies of a {PAYLOAD_BYTES // 1024**2} MiB request", 2.0 * PAYLOAD_BYTES),
            Term(
                "reply",
                f"{records_per_request:,} records a request * {neighbours} neighbours * "
                f"{REPLY_BYTES_PER_NEIGHBOUR} bytes",
                float(records_per_request) * neighbours * REPLY_BYTES_PER_NEIGHBOUR,
            ),
        ),
        certain=(base_term(),),
        safety_factor=safety_factor,
    )


def evaluation(
    *, users: int, items: int, dimension: int, interactions: int, safety_factor: float
) -> MemoryNeed:
    """Memory of ranking every item for every user, a block of users at a time.

    Both factor matrices, what each user interacted with (as a sparse matrix), and a few arrays of one
    block's scores: never users x items.
    """
    return MemoryNeed(
        uncertain=(
            Term(
                "vectors",
                f"4 bytes * ({users:,} users + {items:,} items) * {dimension} dimensions",
                4.0 * (users + items) * dimension,
            ),
            Term(
                "interactions",
                f"{BYTES_PER_NONZERO} bytes * {interactions:,} interactions",
                float(BYTES_PER_NONZERO) * interactions,
            ),
            Term(
                "blocks",
                f"{EVALUATION_BLOCKS} blocks of scores of 128 MiB",
                EVALUATION_BLOCKS * 128.0 * 1024**2,
            ),
            Term("base", "Python and its libraries: 1 GiB", GIB),
        ),
        per_worker=(),
        certain=(),
        safety_factor=safety_factor,
    )


SERVERLESS_MEMORY_MB = (1024, 2048, 3072, 4096, 5120, 6144)
"""What a serverless endpoint may have."""
SERVERLESS_CONTAINER_BYTES = 512 * 1024**2


def serverless_memory_mb(need: MemoryNeed) -> int | None:
    """Return the smallest serverless endpoint that holds the model; None when the largest doesn't.

    A serverless endpoint has one worker. A model may take about half of its memory, and the container
    itself wants some.
    """
    wanted = 2 * _total(need.per_worker) + SERVERLESS_CONTAINER_BYTES
    return next((mb for mb in SERVERLESS_MEMORY_MB if wanted <= mb * 1024**2), None)


def dense_record_bytes(dimension: int) -> int:
    """Return the bytes of one dense float32 recordIO record with a label, about."""
    return 48 + 4 * dimension


def records_per_payload(dimension: int) -> int:
    """Return how many dense float32 records fill one request."""
    return max(1, PAYLOAD_BYTES // dense_record_bytes(dimension))


def sparse_record_bytes(nnz: float, feature_dim: int) -> int:
    """Return the bytes of one sparse float32 recordIO record with a label, about.

    Frame 8, label entry 20, map entry and tensor headers 14, then the values (4 bytes each), the
    columns (a varint each) and the shape with 2 bytes of header each, and padding to 4; a two-hot row of
    MovieLens 100k takes 64.
    """
    varint = max(1, math.ceil(math.log2(max(2, feature_dim)) / 7))
    payload = 20 + 14 + 2 + 4 * nnz + 2 + varint * nnz + 2 + varint
    return 8 + 4 * math.ceil(payload / 4)
