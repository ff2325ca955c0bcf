"""The k-NN model: a faiss index, a label for each vector, and the artifact that holds both.

Artifact (SageMaker developer guide, "How the k-NN algorithm works"): ``model_algo-1``, the serialized
index; ``model_algo-1.labels``, float32 labels in binary; ``model_algo-1.json``, the rest.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from algorithms.container.environment import ARTIFACT_NAME
from algorithms.knn.hyperparameters import CLASSIFIER, COSINE, FLAT, IVF_FLAT, L2
from algorithms.knn.projection import Projection
from fmrec.errors import FormatError, InputError

VERSION = "1.0"
_PQ_BITS = 8


@dataclass(frozen=True)
class Answer:
    """Neighbours of some queries, (queries, k) float32 each; distances ascend whatever the metric.

    For L2 they are squared and the nearest comes first; for INNER_PRODUCT they are the products and for
    COSINE the cosines, so that the best comes last.
    """

    predicted_label: NDArray[np.float32]
    """(queries,)"""
    labels: NDArray[np.float32]
    distances: NDArray[np.float32]


@dataclass(frozen=True)
class NeighbourIndex:
    """What ``train`` makes and ``serve`` loads."""

    index: Any
    labels: NDArray[np.float32]
    k: int
    predictor_type: str
    input_dim: int
    projection: Projection | None
    normalize: bool

    @classmethod
    def build(
        cls, features: NDArray[np.float32], labels: NDArray[np.float32], settings: dict[str, Any], seed: int
    ) -> NeighbourIndex:
        """Index (rows, input_dim) vectors by hyperparameters as ``resolve_settings`` gives them."""
        input_dim = features.shape[1]
        projection = None
        if settings["dimension_reduction_type"]:
            projection = Projection(
                settings["dimension_reduction_type"], seed, settings["dimension_reduction_target"], input_dim
            )
        normalize = settings["index_metric"] == COSINE
        vectors = _prepare(features, projection, normalize)
        pq_m = int(settings["faiss_index_pq_m"] or 1)
        # Product quantization cuts vectors into equal pieces: zeros on the right make them come out even.
        vectors = _widen(vectors, -vectors.shape[1] % pq_m)
        index = _make_index(vectors, settings, pq_m)
        index.add(vectors)
        return cls(index, labels, settings["k"], settings["predictor_type"], input_dim, projection, normalize)

    def query(self, features: NDArray[np.float32]) -> Answer:
        """Neighbours of (queries, input_dim) vectors; k is at most the number of vectors indexed.

        Raises
        ------
        InputError
            Vectors of another width, or with NaN.
        """
        if features.shape[1] != self.input_dim:
            raise InputError(
                f"the request's records have {features.shape[1]} features, the model was trained on "
                f"{self.input_dim}"
            )
        if not np.isfinite(features).all():
            raise InputError("Found missing (NaN) values: a record holds NaN or infinity")
        vectors = _prepare(np.ascontiguousarray(features, np.float32), self.projection, self.normalize)
        vectors = _widen(vectors, self.index.d - vectors.shape[1])
        distances, neighbours = self._search(vectors)
        if self.index.metric_type == faiss.METRIC_INNER_PRODUCT:
            distances, neighbours = distances[:, ::-1], neighbours[:, ::-1]
        labels = self.labels[neighbours]
        predict = most_frequent if self.predictor_type == CLASSIFIER else _mean
        return Answer(predict(labels), labels, distances)

    def _search(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        k = min(self.k, self.index.ntotal)
        distances, neighbours = self.index.search(vectors, k)
        short = np.flatnonzero((neighbours < 0).any(axis=1))
        if short.size:
            # The lists probed hold fewer than k vectors: look into all of them.
            parameters = faiss.SearchParametersIVF()
            parameters.nprobe = self.index.nlist
            distances[short], neighbours[short] = self.index.search(vectors[short], k, params=parameters)
        return distances, neighbours

    def save(self, folder: Path) -> None:
        """Write the artifact's three files."""
        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self.index, str(folder / ARTIFACT_NAME))
        (folder / f"{ARTIFACT_NAME}.labels").write_bytes(self.labels.astype("<f4").tobytes())
        reduction: dict[str, Any] = {
            "type": None,
            "seed": None,
            "target_dim": None,
            "input_dim": self.input_dim,
        }
        if self.projection is not None:
            reduction = {**asdict(self.projection), "type": self.projection.kind}
            del reduction["kind"]
        document = {
            "k": self.k,
            "predictor_type": self.predictor_type,
            "dimension_reduction": reduction,
            "normalize": self.normalize,
            "version": VERSION,
        }
        (folder / f"{ARTIFACT_NAME}.json").write_text(json.dumps(document))

    @classmethod
    def load(cls, folder: Path) -> NeighbourIndex:
        """Read the artifact's three files.

        Raises
        ------
        FormatError
            They don't fit each other or are not what they should be.
        """
        try:
            document = json.loads((folder / f"{ARTIFACT_NAME}.json").read_bytes())
            index = faiss.read_index(str(folder / ARTIFACT_NAME))
            reduction = document["dimension_reduction"]
            projection = None
            if reduction["type"]:
                projection = Projection(
                    reduction["type"], reduction["seed"], reduction["target_dim"], reduction["input_dim"]
                )
            labels = np.fromfile(folder / f"{ARTIFACT_NAME}.labels", "<f4").astype(np.float32, copy=False)
            model = cls(
                index,
                labels,
                int(document["k"]),
                document["predictor_type"],
                int(reduction["input_dim"]),
                projection,
                bool(document["normalize"]),
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FormatError(f"{folder} holds no k-NN model: {error}") from error
        if labels.size != index.ntotal:
            raise FormatError(f"{folder} has {labels.size} labels for {index.ntotal} vectors")
        return model


def _prepare(
    features: NDArray[np.float32], projection: Projection | None, normalize: bool
) -> NDArray[np.float32]:
    vectors = features if projection is None else projection.apply(features)
    if normalize:
        vectors = vectors.copy()
        faiss.normalize_L2(vectors)
    return np.ascontiguousarray(vectors, np.float32)


def _widen(vectors: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    return np.pad(vectors, ((0, 0), (0, columns))) if columns else vectors


def _make_index(vectors: NDArray[np.float32], settings: dict[str, Any], pq_m: int) -> Any:
    metric = faiss.METRIC_L2 if settings["index_metric"] == L2 else faiss.METRIC_INNER_PRODUCT
    count, width = vectors.shape
    if settings["index_type"] == FLAT:
        return faiss.IndexFlat(width, metric)
    nlists = settings["faiss_index_ivf_nlists"] or max(1, round(math.sqrt(count)))
    if nlists > count:
        raise InputError(
            f"faiss_index_ivf_nlists is {nlists}, but only {count} vectors are to be indexed: set it to at "
            "most their number, or to auto"
        )
    quantizer = faiss.IndexFlat(width, metric)
    index: Any
    if settings["index_type"] == IVF_FLAT:
        index = faiss.IndexIVFFlat(quantizer, width, nlists, metric)
    else:
        bits = min(_PQ_BITS, int(math.log2(count)))  # a codebook can't have more words than vectors
        index = faiss.IndexIVFPQ(quantizer, width, nlists, pq_m, max(1, bits))
    index.nprobe = min(settings["_faiss_index_nprobe"], nlists)
    index.train(vectors)
    return index


def most_frequent(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The most frequent label of each row; of several the smallest."""
    ordered = np.sort(labels, axis=1)
    count = ordered.shape[1]
    starts = np.ones(ordered.shape, bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run_start = np.maximum.accumulate(np.where(starts, np.arange(count), 0), axis=1)
    run_length = np.arange(count) - run_start
    winners: NDArray[np.float32] = ordered[np.arange(len(ordered)), run_length.argmax(axis=1)]
    return winners


def _mean(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    means: NDArray[np.float32] = labels.mean(axis=1, dtype=np.float64).astype(np.float32)
    return means
