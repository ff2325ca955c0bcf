"""evaluations/<run>/model.json: all that must be known of a judged model in order to serve it later.

It is written for models that passed and for those that did not. The registry's own metadata takes neither
JSON nor more than 256 characters a value, so a model package names this file instead.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from fmrec.artifacts import layout
from fmrec.errors import MALFORMED, FormatError
from fmrec.storage import object_store


@dataclass(frozen=True)
class ModelRecord:
    """A judged model."""

    run: str
    task: str
    model_version: str
    """Name of the training job."""
    model_uri: str
    manifest_uri: str
    embeddings_uri: str | None
    """Where its embeddings.json is; only `recommend` makes embeddings."""
    hyperparameters: dict[str, str]
    serving: dict[str, Any]
    """As the run resolved it, k-NN's ``neighbours`` filled in."""
    metrics: dict[str, float]
    verdict: str
    """The gate's sentence."""
    passed: bool
    execution_arn: str
    model_package_arn: str | None = None
    model_uris: list[str] | None = None
    """The artifacts of all models of an ensemble, of which ``model_uri`` is the first."""


def place(root: str, run: str) -> str:
    """Where a run's record lies under the data bucket's URI."""
    return object_store.join(root, layout.EVALUATIONS, run, layout.MODEL_RECORD)


def write(record: ModelRecord, uri: str) -> None:
    """Keep a record, in place of the one that a first try may have left."""
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    object_store.write_bytes(uri, text.encode())


def read(uri: str) -> ModelRecord:
    """Read a record.

    Raises
    ------
    FormatError
        It isn't one.
    InputError
        There is none.
    """
    try:
        document = json.loads(object_store.read_bytes(uri))
        # Records of earlier versions have no list of artifacts.
        document = {"model_uris": None, **document}
        record = ModelRecord(**{field.name: document[field.name] for field in fields(ModelRecord)})
        _check(record)
        return record
    except MALFORMED as error:
        raise FormatError(
            f"{uri} is no record of a model ({error!r}): it can't be served from there; train it again"
        ) from error


def _check(record: ModelRecord) -> None:
    """Raise TypeError unless every field is of its kind."""
    for kind, names in (
        (str, ("run", "task", "model_version", "model_uri", "manifest_uri", "verdict", "execution_arn")),
        (str | None, ("embeddings_uri", "model_package_arn")),
        (list | None, ("model_uris",)),
        (dict, ("hyperparameters", "serving", "metrics")),
        (bool, ("passed",)),
    ):
        for name in names:
            if not isinstance(getattr(record, name), kind):
                raise TypeError(f"{name} is of another kind")
