"""``predictions/<run>/``: every held-out pair with its score and what it means, and the decision itself.

Two passes over the held-out rows and their scores, in memory that doesn't grow with them: the first
gathers what the threshold is chosen on, the second writes the pairs and judges the choice on all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fmrec.artifacts import layout
from fmrec.artifacts.encoded_run import EncodedRun, open_encoded
from fmrec.artifacts.feature_index import FeatureIndex
from fmrec.errors import FormatError
from fmrec.predictions.heldout import NOBODY, Part, Scored, parts
from fmrec.predictions.threshold_choice import Choice, Decision, Judgement, Question, choose, halves
from fmrec.storage import object_store

VERSION = 1
MAXIMUM_CHOSEN_ON = 1_000_000
"""Rows to choose on, a random sample where there are more: an accuracy is then known to ± 0.001."""
SAMPLE_SEED = 0

PARQUET_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("label", pa.float32()),
        ("score", pa.float64()),
        ("probability", pa.float64()),
        ("predicted", pa.bool_()),
        ("model_version", pa.string()),
    ]
)


def decide(
    *,
    manifest_uri: str,
    scores_uri: str,
    output_uri: str,
    model_version: str,
    maximum_chosen_on: int = MAXIMUM_CHOSEN_ON,
) -> dict[str, Any]:
    """Choose the threshold, write ``decision.json`` and ``pairs/part-*.parquet``.

    Parameters
    ----------
    manifest_uri
        The encoding's manifest.json.
    scores_uri
        Folder of the batch transform's output: ``<test part's name>.out`` each.
    output_uri
        Folder to write to.
    maximum_chosen_on
        How many rows the choice may hold in memory.

    Returns
    -------
    dict
        What decision.json says (docs/contracts.md), and where it is, ``uri``.

    Raises
    ------
    FormatError
        The scores don't fit the held-out rows.
    InputError
        There is no answer to a part, or no held-out row.
    """
    encoded = open_encoded(manifest_uri)
    manifest = encoded.manifest
    found = parts(manifest, manifest_uri, scores_uri)
    question = Question.of(manifest)
    choice, chosen_on = _choose(question, found, min(1.0, maximum_chosen_on / max(1, manifest.test.rows)))
    judgement = Judgement(choice)
    names = _Names(encoded)
    for number, part in enumerate(found):
        destination = object_store.join(output_uri, layout.PAIRS, f"part-{number:05d}.parquet")
        with object_store.open_output(destination) as file, pq.ParquetWriter(file, PARQUET_SCHEMA) as parquet:
            for block in part.blocks():
                judgement.add(block.scores, question.is_yes(block.labels), halves(block.users, block.items))
                parquet.write_table(_table(block, choice.served, names, model_version))
    if judgement.rows != manifest.test.rows:
        raise FormatError(
            f"{judgement.rows} held-out rows have scores in {scores_uri}, but {manifest_uri} counts "
            f"{manifest.test.rows}"
        )
    document = _document(judgement, encoded, model_version, chosen_on)
    uri = object_store.join(output_uri, layout.DECISION)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    object_store.write_bytes(uri, text.encode())
    return {**document, "uri": uri}


def _choose(question: Question, found: Iterable[Part], share: float) -> tuple[Choice, int]:
    """Choose on a share of the rows; also return how many those were."""
    chance = np.random.default_rng(SAMPLE_SEED)
    scores, yes, half = [np.zeros(0)], [np.zeros(0, np.bool_)], [np.zeros(0, np.bool_)]
    for part in found:
        for block in part.blocks():
            taken: Any = slice(None) if share == 1 else chance.random(len(block)) < share
            scores.append(block.scores[taken])
            yes.append(question.is_yes(block.labels[taken]))
            half.append(halves(block.users[taken], block.items[taken]))
    held = np.concatenate(scores)
    return choose(question, held, np.concatenate(yes), np.concatenate(half)), len(held)


def _document(
    judgement: Judgement, encoded: EncodedRun, model_version: str, chosen_on: int
) -> dict[str, Any]:
    served, curve = judgement.choice.served, judgement.choice.curve
    fitted = served.calibration
    return {
        "version": VERSION,
        "model_version": model_version,
        "predictor_type": served.question.predictor_type,
        "level": served.question.level,
        "threshold": served.threshold,
        "calibration": None if fitted is None else fitted.to_document(),
        "rows": {"scored": judgement.rows, "yes": judgement.yes, "chosen_on": chosen_on},
        "judged": judgement.to_document(),
        "curve": None if curve is None else curve.to_document(),
        "sentence": sentence(judgement),
        "encoded_by": encoded.manifest.run,
    }


def sentence(judgement: Judgement) -> str:
    """What was chosen and what it is worth, for a person."""
    served = judgement.choice.served
    usual = judgement.usual.to_document()["accuracy"]
    at_usual = f"{usual:.1%} of {judgement.rows:,} held-out pairs at {served.question.usual_threshold:g}"
    if judgement.choice.curve is None:
        return (
            f"No threshold was chosen, because all {judgement.rows:,} held-out pairs have the same answer: "
            f"a score of {served.threshold:g} means yes, as usual. It is right in {at_usual}."
        )
    means = f"A score of {served.threshold:.4f} or more means yes"
    if judgement.choice.by_half is None:
        return (
            f"{means}. It is not judged on other pairs than it was chosen on, because a half of the users has "
            f"one answer only; the model is right in {at_usual}."
        )
    chosen = judgement.chosen.to_document()["accuracy"]
    return (
        f"{means}: right in {chosen:.1%} of the held-out pairs, each half of the users judged by what the "
        f"other half chose, against {at_usual}."
    )


class _Names:
    """Ids by column: all items at once, users by the range that a block needs."""

    def __init__(self, encoded: EncodedRun) -> None:
        self._index: FeatureIndex = encoded.feature_index
        self._first_item = encoded.manifest.first_item_column
        self._items = self._index.names(*encoded.manifest.ranges["item"])

    def items(self, columns: npt.NDArray[np.int64]) -> pa.Array:
        return _take(self._items, columns, self._first_item)

    def users(self, columns: npt.NDArray[np.int64]) -> pa.Array:
        # Test rows are sorted by user, so a block's range is about as long as it has users.
        known = columns[columns != NOBODY]
        first, end = (int(known.min()), int(known.max()) + 1) if len(known) else (0, 0)
        return _take(self._index.names(first, end), columns, first)


def _take(names: pa.Array, columns: npt.NDArray[np.int64], first: int) -> pa.Array:
    return names.take(pa.array(columns - first, mask=columns == NOBODY))


def _table(block: Scored, decision: Decision, names: _Names, model_version: str) -> pa.Table:
    probability = decision.probability(block.scores)
    return pa.table(
        [
            names.users(block.users),
            names.items(block.items),
            pa.array(block.labels, pa.float32()),
            pa.array(block.scores),
            pa.nulls(len(block), pa.float64()) if probability is None else pa.array(probability),
            pa.array(decision.is_yes(block.scores)),
            pa.repeat(model_version, len(block)),
        ],
        schema=PARQUET_SCHEMA,
    )
