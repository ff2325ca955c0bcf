"""What the scoring endpoint says of a user and some items: by ids, as the interactions have them.

A pair is encoded as training rows are: 1 in the user's column and 1 in the item's, and the side features of
both as the encoding keeps them (`fmrec.artifacts.side_feature_rows`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.encoded_run import EncodedRun, open_encoded
from fmrec.artifacts.side_feature_rows import read_side_rows
from fmrec.errors import FormatError, InputError
from fmrec.predictions.scoring_smoke_test import JSON, invoke, json_request
from fmrec.predictions.served_model import Served
from fmrec.predictions.threshold_choice import Decision, Question
from fmrec.recordio import Rows
from fmrec.recordio.encode import tensor_type
from fmrec.storage import object_store

Features = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

CONTEXT = "interaction"
"""The owner of features that are neither of users nor of items."""
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
        The model doesn't know the user or an item, or it was trained with the context of interactions.
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
    """One sparse row an item, as the encoding would write it. Raises as `predict`."""
    manifest = encoded.manifest
    context = [
        feature["name"] for feature in manifest.dataset.get("features", []) if feature["of"] == CONTEXT
    ]
    if context:
        raise InputError(
            f"the model of run {manifest.run} was trained with the context of interactions ({', '.join(context)}), "
            "which a user and an item don't have by themselves: ask the endpoint with rows of your own, or score "
            "such pairs in batch (docs/quality.md)"
        )
    if not 0 < len(items) <= MAXIMUM_PAIRS:
        raise InputError(f"{len(items)} items were given: expected 1 to {MAXIMUM_PAIRS:,}")
    (own,) = _side(encoded, "user", [user]).values()
    of_items = _side(encoded, "item", items)
    keys, values = ([half for item in items for half in (own[at], of_items[item][at])] for at in (0, 1))
    return Rows(
        counts=np.array([len(own[0]) + len(of_items[item][0]) for item in items], np.int64),
        values=np.concatenate(values),
        value_type=tensor_type(np.dtype(np.float32), "values"),
        keys=np.concatenate(keys),
        feature_dim=manifest.feature_dim,
        labels=None,
        label_type=None,
    )


def _side(encoded: EncodedRun, side: str, wanted: Sequence[str]) -> dict[str, Features]:
    """Columns and values of all features that each user or item brings, by id."""
    manifest = encoded.manifest
    start, end = manifest.ranges[side]
    columns = encoded.feature_index.columns(set(wanted), start, end)
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise InputError(
            f"the model doesn't know the {side} {missing[0]!r}: it is not in the interactions that run "
            f"{manifest.run} encoded"
        )
    described = any(feature["of"] == side for feature in manifest.dataset.get("features", []))
    rows = read_side_rows(manifest, encoded.manifest_uri, side)
    if rows is None and described:
        raise InputError(
            f"the encoding of run {manifest.run} doesn't keep the {side} features that the model was trained with: "
            "encode the data again"
        )
    found: dict[str, Features] = {}
    for name, column in columns.items():
        if rows is None:
            found[name] = np.array([column], np.int64), np.ones(1, np.float32)
        else:
            row = rows[column - start : column - start + 1]
            found[name] = row.indices.astype(np.int64), row.data.astype(np.float32)
    return found


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
    text = object_store.read_bytes(served.decision_uri)
    try:
        return Decision.from_document(json.loads(text))
    except (ValueError, RecursionError, FormatError) as error:
        raise FormatError(
            f"{served.decision_uri} is no decision ({error}): run predict-rating again"
        ) from error
