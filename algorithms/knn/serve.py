"""``serve``: a k-NN index answering /invocations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from algorithms.container import serving
from algorithms.container.media_types import CSV, JSON, JSON_LINES, RECORDIO, MediaType
from algorithms.container.payload import read_request
from algorithms.container.records import as_dense
from algorithms.container.replies import REPLY_TYPES, encode_reply
from algorithms.knn.index import NeighbourIndex


class NeighbourModel:
    """Answers with the predicted label, and with ``verbose=true`` also the neighbours."""

    request_types: Sequence[str] = (CSV, JSON, JSON_LINES, RECORDIO)
    reply_types: Sequence[str] = REPLY_TYPES

    def __init__(self, index: NeighbourIndex) -> None:
        self._index = index

    @classmethod
    def load(cls, model_folder: Path) -> NeighbourModel:
        return cls(NeighbourIndex.load(model_folder))

    def answer(self, body: bytes, content_type: MediaType, accept: MediaType) -> bytes:
        """See ``serving.Model``."""
        features = read_request(body, content_type, self._index.input_dim)
        with np.errstate(over="ignore"):  # what is beyond float32 is infinite then, and refused
            dense = as_dense(features).astype(np.float32, copy=False)
        answer = self._index.query(dense)
        fields = {"predicted_label": answer.predicted_label}
        if accept.is_true("verbose"):
            fields = {"labels": answer.labels, "distances": answer.distances, **fields}
        return encode_reply(fields, accept)


def serve_model(root: Path, host: str, port: int) -> None:
    """Serve ``root/model`` until stopped."""
    serving.serve(root / "model", host, port, NeighbourModel.load)
