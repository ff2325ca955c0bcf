"""Readers against mutated files: they are read, or refused with the library's own errors.

``FUZZ_SECONDS`` says for how much processor time the readers of each kind of file are tried. Every run
tries the same files in the same order: more seconds try more of them.
"""

from __future__ import annotations

import io
import json
import os
import resource
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fmrec import recordio
from fmrec.artifacts.manifest import Manifest
from fmrec.dataset import Dataset
from fmrec.errors import FmrecError
from fmrec.model import mxnet_params
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.predictions.heldout import read_scores
from fmrec.recommendations.knn_output import read_neighbours
from fmrec.recordio import compiled
from tests.fuzz.mutations import cases, mutated, mutated_json, mutated_records
from tests.unit.test_documents import DATASET_DOCUMENT, MANIFEST

SECONDS = float(os.environ.get("FUZZ_SECONDS", "2"))
SLOWEST = 5.0
"""CPU seconds that one small file may take."""
MEMORY = 1 << 30


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Let this process have a GiB more of addresses than it has: more is a MemoryError, which fails
    a test.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def fuzz(read: Callable[[bytes], Any], files: Iterator[bytes]) -> None:
    """Read each file within `SLOWEST` seconds, some of them without an error."""
    accepted = refused = 0
    for data in files:
        start = time.thread_time()
        try:
            read(data)
            accepted += 1
        except FmrecError:
            refused += 1
        except BaseException as error:
            raise AssertionError(f"{type(error).__name__} on {data.hex()}") from error
        assert time.thread_time() - start < SLOWEST, data.hex()
    print(f"{accepted} files read, {refused} refused")
    assert accepted
    assert refused


def records() -> list[bytes]:
    """Files of all tensors: two-hot, ragged, dense, with and without labels, and inference responses."""
    generator = np.random.default_rng(1)
    found = []
    for dtype in (np.float32, np.float64, np.int64):
        for most, feature_dim in ((2, 300), (9, 20_000), (3, 1 << 40)):
            for labelled in (False, True):
                counts = np.full(90, 2) if most == 2 else generator.integers(0, most + 1, 90)
                indptr = np.concatenate([[0], np.cumsum(counts)])
                columns = generator.integers(0, feature_dim, indptr[-1])
                values = generator.integers(-9, 300, indptr[-1]).astype(dtype)
                labels = generator.integers(0, 2, 90).astype(dtype) if labelled else None
                found.append(recordio.encode_csr(indptr, columns, values, feature_dim, labels).tobytes())
        found.append(recordio.encode_dense(np.ones((70, 5), dtype), np.ones(70, dtype)).tobytes())
    scores = generator.standard_normal((5, 1))
    found.append(recordio.encode_label_tensors({"score": scores, "predicted_label": scores}))
    return found


READERS: dict[str, Callable[[bytes], Any]] = {
    "matrix": recordio.decode,
    "records": lambda data: recordio.read_records(io.BytesIO(data)),
    "batches": lambda data: list(recordio.read_batches(io.BytesIO(data), 7)),
    "responses": recordio.decode_label_tensors,
}


RECORDIO = [*((name, "0") for name in READERS), ("matrix", "1"), ("batches", "1")]


@pytest.mark.parametrize(("name", "setting"), RECORDIO)
def test_recordio(name: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.SETTING, setting)
    if setting == "1":  # loaded before memory is bounded
        recordio.decode(records()[2])
    fuzz(
        READERS[name], cases(records(), SECONDS / len(RECORDIO), (mutated, mutated_records, mutated_records))
    )


def arrays() -> list[bytes]:
    found = []
    for dtype in ("f4", "f8", "i4", "i8", "u1"):
        file = io.BytesIO()
        mxnet_params.save(
            file,
            {
                "arg:v": np.ones((6, 3), dtype),
                "arg:w1_weight": np.ones((6, 1), dtype),
                "b": np.ones(1, dtype),
            },
            ("arg:v",),
        )
        found.append(file.getvalue())
    return found


def test_ndarray_lists() -> None:
    fuzz(mxnet_params.load, cases(arrays(), SECONDS, (mutated,)))


def models() -> list[bytes]:
    found = []
    generator = np.random.default_rng(2)
    for predictor_type in ("regressor", "binary_classifier"):
        for row_sparse in (False, True):
            model = FactorizationMachine(
                0.5,
                generator.standard_normal(6).astype(np.float32),
                generator.standard_normal((6, 3)).astype(np.float32),
                predictor_type,
            )
            file = io.BytesIO()
            model.save(file, row_sparse=row_sparse)
            found.append(file.getvalue())
    return found


def remade(data: bytes, others: Any, generator: np.random.Generator) -> bytes:
    """Mutate a member of the archive inside the archive, and pack both anew."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        inner = tar.extractfile("model_algo-1")
        assert inner is not None
        with zipfile.ZipFile(inner) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[generator.integers(0, len(members))]
    members[name] = mutated(members[name], list(members.values()), generator)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if generator.random() < 0.5 else 0) as archive:
        for own, content in members.items():
            archive.writestr(own, content)
    return file.getvalue()


def test_model_artifacts() -> None:
    def score(data: bytes) -> None:
        model = FactorizationMachine.load(io.BytesIO(data))
        if model.feature_dim <= 1 << 20:
            rows = sparse.csr_matrix((np.ones(1), ([0], [model.feature_dim - 1])), (1, model.feature_dim))
            with np.errstate(all="ignore"):
                model.predict(rows)

    fuzz(score, cases(models(), SECONDS, (mutated, remade, remade)))


def text(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


ANSWERS = [
    text(*({"labels": [4, 1, 0], "distances": [0.25, 0.5, 3], "predicted_label": 1} for _ in range(4))),
    text({"labels": [2.0], "distances": [-1e30]}, {"labels": [0.0], "distances": [0]}),
]


def test_answers_of_nearest_neighbours() -> None:
    def read(data: bytes) -> None:
        for block in (1 << 20, 40):
            list(read_neighbours(io.BytesIO(data), "answers", 5, block))

    fuzz(read, cases(ANSWERS, SECONDS, (mutated, mutated_json, mutated_json)))


SCORES = [text(*({"score": score, "predicted_label": 1} for score in (0, 0.5, -2, 1e30)))]


def test_scores() -> None:
    def read(data: bytes) -> None:
        list(read_scores(io.BytesIO(data), "scores"))

    fuzz(read, cases(SCORES, SECONDS, (mutated, mutated_json, mutated_json)))


def test_manifests() -> None:
    fuzz(Manifest.from_json, cases([text(MANIFEST)], SECONDS, (mutated, mutated_json, mutated_json)))


def test_data_sets() -> None:
    def read(data: bytes) -> None:
        dataset = Dataset.from_document(json.loads(data))
        assert Dataset.from_document(dataset.to_document()) == dataset

    others = {"label": {"mode": "implicit", "event_weights": {"view": 0.2}}, "unknown": "index", "seed": 3}
    seeds = [text(DATASET_DOCUMENT), text(DATASET_DOCUMENT | others)]
    fuzz(read, cases(seeds, SECONDS, (mutated_json,)))
