"""What the scoring endpoint answers with, as ``champion/predict-rating.json`` records it.

The workflow writes it when a `predict-rating` run has brought its model to the endpoint and ended well, so
that who asks the endpoint finds the feature index and the decision that belong to its model.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from fmrec.artifacts import layout
from fmrec.dataset.names import DEFAULT, infix
from fmrec.errors import MALFORMED, FormatError, InputError
from fmrec.storage import object_store


@dataclass(frozen=True)
class Served:
    """The endpoint's model; ``decision_uri`` is empty where nothing was held out to choose on."""

    run: str
    model_version: str
    model_uri: str
    manifest_uri: str
    decision_uri: str
    endpoint_name: str


def place(root: str, dataset: str = DEFAULT) -> str:
    """Where it is recorded, under the data bucket's URI, what a data set's scoring endpoint answers with."""
    return object_store.join(
        root, f"{layout.CHAMPION}{infix(dataset, '/')}{layout.SCORING_RECORD.removeprefix(layout.CHAMPION)}"
    )


def write(served: Served, uri: str) -> None:
    """Record what the endpoint answers with from now on."""
    object_store.write_bytes(uri, (json.dumps(asdict(served), indent=2) + "\n").encode())


def read(uri: str) -> Served:
    """Return what the endpoint answers with.

    Raises
    ------
    InputError
        No run has served pairs yet.
    FormatError
        The record can't be read.
    """
    try:
        text = object_store.read_bytes(uri)
    except InputError as error:
        raise InputError(
            f'no model serves pairs yet ({error}): start a run with {{"task": "predict-rating"}} first'
        ) from error
    try:
        document = json.loads(text)
        return Served(**{field.name: str(document[field.name]) for field in fields(Served)})
    except MALFORMED as error:
        raise FormatError(
            f"{uri} is no record of the model that serves pairs ({error!r}): run predict-rating again"
        ) from error
