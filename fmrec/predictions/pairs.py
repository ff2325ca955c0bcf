"""What the scoring endpoint says of a user and some items: by ids, as the interactions have them.

A pair is encoded as training rows are: 1 in the user's column and 1 in the item's. Models with side features
need those of the pair too, which the encoding joins from their files; such pairs are scored in batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmrec import objectstore
from fmrec.errors import FormatError, InputError
from fmrec.predictions.choice import Decision, Question
from fmrec.predictions.endpoint import JSON, invoke, json_request
from fmrec.predictions.served import Served
from fmrec.recommendations.encoded import EncodedRun, open_encoded
from fmrec.recordio import Rows
from fmrec.recordio.encode import tensor_type

MAXIMUM_PAIRS = 10_000
"""A request's body may have 6 MiB, and a pair takes some 100 bytes."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of a pair; ``probability`` is None where nothing was held out to fit it to."""

    user_id: str
    item_id: str
    score: float
    probability: float | None
    yes: bool


def predict(served: Served, user: str, items: Sequence[str], runtime: Any = None) -> list[Prediction]:
    """Ask the endpoint for a user's scores of items, in their order.

    Parameters
    ----------
    served
        What the endpoint answers with.
    runtime
        A botocore client of sagemaker-runtime; by default one made from the environment.

    Raises
    ------
    InputError
        The model doesn't know the user or an item, or it was trained with side features.
    ServiceError
        The endpoint refused or failed.
    FormatError
        Its answer isn't FM's, or decision.json isn't what docs/contracts.md says.
    """
    encoded = open_encoded(served.manifest_uri)
    decision = read_decision(served, encoded)
    pairs = encode_pairs(encoded, user, items)
    scores = invoke(served.endpoint_name, json_request(pairs), JSON, runtime)
    if len(scores) != len(items):
        raise FormatError(
            f"endpoint {served.endpoint_name} answered {len(scores)} scores for {len(items)} pairs"
        )
    probabilities = decision.probability(scores)
    return [
        Prediction(
            user, item, float(score), None if probabilities is None else float(probabilities[at]), bool(yes)
        )
        for at, (item, score, yes) in enumerate(zip(items, scores, decision.is_yes(scores), strict=True))
    ]


def encode_pairs(encoded: EncodedRun, user: str, items: Sequence[str]) -> Rows:
    """One two-hot row an item. Raises InputError as `predict`."""
    manifest = encoded.manifest
    others = [name for name in manifest.ranges if name not in ("user", "item")]
    if others:
        raise InputError(
            f"the model of run {manifest.run} was trained with side features ({', '.join(others)}), and a pair's "
            "are not known here: score such pairs in batch, or build requests with their columns from the feature "
            "index (docs/quality.md)"
        )
    if not 0 < len(items) <= MAXIMUM_PAIRS:
        raise InputError(f"{len(items)} items were given: expected 1 to {MAXIMUM_PAIRS:,}")
    columns: dict[str, dict[str, int]] = {}
    for namespace, wanted in (("user", [user]), ("item", list(items))):
        columns[namespace] = encoded.feature_index.columns(wanted, *manifest.ranges[namespace])
        missing = [name for name in wanted if name not in columns[namespace]]
        if missing:
            raise InputError(
                f"the model doesn't know the {namespace} {missing[0]!r}: it is not in the interactions that run "
                f"{manifest.run} encoded"
            )
    keys = [key for item in items for key in (columns["user"][user], columns["item"][item])]
    return Rows(
        counts=np.full(len(items), 2, np.int64),
        values=np.ones(len(keys), np.float32),
        value_type=tensor_type(np.dtype(np.float32), "values"),
        keys=np.array(keys, np.int64),
        feature_dim=manifest.feature_dim,
        labels=None,
        label_type=None,
    )


def read_decision(served: Served, encoded: EncodedRun) -> Decision:
    """What was chosen for the model, or the usual cut where nothing was held out to choose on.

    Raises
    ------
    FormatError
        decision.json isn't what docs/contracts.md says.
    """
    if not served.decision_uri:
        question = Question.of(encoded.manifest)
        return Decision(question, question.usual_threshold, None)
    text = objectstore.read_bytes(served.decision_uri)
    try:
        return Decision.from_document(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{served.decision_uri} is no decision ({error!r}): run predict-rating again"
        ) from error
