"""``serve``: an FM answering /invocations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse

from algorithms.container import serving
from algorithms.container.media_types import JSON, JSON_LINES, RECORDIO, MediaType
from algorithms.container.payload import read_request
from algorithms.container.replies import REPLY_TYPES, encode_reply
from algorithms.factorization_machines.hyperparameters import CLASSIFIER
from fmrec.model.factorization_machine import FactorizationMachine

THRESHOLD = 0.5
"""``predicted_label`` is 1 from this probability on."""


class ScoringModel:
    """Answers with a score for each record, and for a classifier with the label it means."""

    request_types: Sequence[str] = (JSON, JSON_LINES, RECORDIO)
    reply_types: Sequence[str] = REPLY_TYPES

    def __init__(self, machine: FactorizationMachine) -> None:
        self._machine = machine

    @classmethod
    def load(cls, model_folder: Path) -> ScoringModel:
        return cls(FactorizationMachine.load(model_folder))

    def answer(self, body: bytes, content_type: MediaType, accept: MediaType) -> bytes:
        """See ``serving.Model``."""
        features = read_request(body, content_type, self._machine.feature_dim)
        with np.errstate(over="ignore", invalid="ignore"):  # encode_reply refuses what is not finite
            scores = self._machine.predict(scipy.sparse.csr_matrix(features)).astype(np.float32)
        fields = {"score": scores}
        if self._machine.predictor_type == CLASSIFIER:
            fields["predicted_label"] = (scores >= THRESHOLD).astype(np.float32)
        return encode_reply(fields, accept)


def serve_model(root: Path, host: str, port: int) -> None:
    """Serve ``root/model`` until stopped."""
    serving.serve(root / "model", host, port, ScoringModel.load)
