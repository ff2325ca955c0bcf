"""Which encoding the model learned from that serves a data set, whatever its task."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from fmrec.errors import MALFORMED, FormatError
from fmrec.storage import object_store

Taken = TypeVar("Taken")


def served_manifest(record_uri: str, consequence: str) -> str | None:
    """URI of the manifest of what serves; None if nothing does.

    Parameters
    ----------
    record_uri
        `fmrec.registry.champion`'s record, or `fmrec.predictions.served_model`'s.
    consequence
        What the next run does once a record that can't be read is deleted, for the sentence.

    Raises
    ------
    FormatError
        The record can't be read.
    """
    return read_record(record_uri, lambda document: str(document["manifest_uri"]), consequence)


def read_record(record_uri: str, take: Callable[[Any], Taken], consequence: str) -> Taken | None:
    """What ``take`` takes of a record; None if there is no record. Parameters and errors as for
    `served_manifest`.
    """
    if not object_store.is_listed(record_uri):
        return None
    try:
        return take(json.loads(object_store.read_bytes(record_uri)))
    except MALFORMED as error:
        raise FormatError(
            f"{record_uri} is no record of the model that serves ({error!r}): delete it, and the next run is "
            f"{consequence}"
        ) from error
