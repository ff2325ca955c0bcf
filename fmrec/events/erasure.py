"""Erasing a person: what goes at once, and the note by which later encodings leave the person out.

Rows in ``raw/`` are in files that nothing here rewrites. ``raw/erasures/<data set>/`` has a file per erased
user (docs/contracts.md), and encodings drop that user's interactions up to its time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fmrec.artifacts import layout
from fmrec.dataset.section import is_number
from fmrec.errors import FormatError
from fmrec.events.event_table import EventTable
from fmrec.recommendations.table import naming_table
from fmrec.recommendations.table_keys import user_key
from fmrec.storage import object_store

READERS = 16


@dataclass(frozen=True)
class Kept:
    """What an erasure leaves, and how it ends: part of the receipt."""

    where: str
    what: str
    ends: str


def kept(intermediate_days: int, noncurrent_days: int) -> list[Kept]:
    """What an erasure leaves in a deployment with this retention (docs/settings.md)."""
    return [
        Kept(
            layout.RAW,
            "the user's rows of interactions and attributes, and a note of the erasure, with the user's id",
            "when you delete or rewrite the files; encodings that begin from now on leave the user's interactions "
            "out",
        ),
        Kept(
            ", ".join(layout.INTERMEDIATE),
            "the user's rows in what earlier runs made, and in a run that is under way",
            f"when they are {intermediate_days} days old",
        ),
        Kept(
            f"{layout.MODELS}, {layout.RECOMMENDATIONS}, {layout.PREDICTIONS}",
            "the user's factors, lists and pairs in what earlier runs published",
            "when you delete them; nothing serves them to this user any more",
        ),
        Kept(
            "the endpoint and the model that serves",
            "item factors that were trained with the user's interactions",
            "when the next run has published",
        ),
        Kept(
            "the table of recommendations",
            "a list of a run that is under way, if it publishes one for the user; the API doesn't serve it",
            "when the next run has published",
        ),
        Kept("versions of objects", "what has been overwritten or deleted", f"after {noncurrent_days} days"),
        Kept("backups and streams of the tables", "what has been deleted", "after 35 days"),
    ]


@dataclass(frozen=True)
class Erased:
    """What an erasure removed."""

    at: float
    """Seconds since 1970; nothing that happened before counts any more."""
    events: int
    lists: int
    """Published lists: one or none."""


class Eraser:
    """Erases users of one data set.

    Parameters
    ----------
    root
        The data bucket's URI.
    table
        The recommendations' table.
    """

    def __init__(self, root: str, table: str, events: EventTable, dataset: str) -> None:
        self._root, self._table, self._events, self._dataset = root, table, events, dataset

    def erase(self, user_id: str) -> Erased:
        """Erase a user, known or not; erasing again erases what has come since.

        Raises
        ------
        FmrecError
            Something can't be reached; erase again.
        """
        at, events = self._events.erase(user_id)
        folder = erasures_uri(object_store.join(self._root, layout.RAW), self._dataset)
        name = hashlib.sha256(user_id.encode()).hexdigest()
        note = json.dumps({"user_id": user_id, "erased_at": at})
        object_store.write_bytes(object_store.join(folder, f"{name}.json"), note.encode())
        with naming_table(self._table):
            found = self._events.client.delete_item(
                TableName=self._table,
                Key={"user_id": {"S": user_key(self._dataset, user_id)}},
                ReturnValues="ALL_OLD",
            )
        return Erased(at, events, int(bool(found.get("Attributes"))))


def erasures_uri(raw_uri: str, dataset: str) -> str:
    """Where the notes of a data set's erased users are."""
    return object_store.join(raw_uri, layout.ERASURES, f"{dataset}/")


def read_erasures(raw_uri: str, dataset: str) -> Mapping[str, float]:
    """When each erased user of a data set was erased.

    Raises
    ------
    FormatError
        A file is no note of an erasure.
    """
    stored = object_store.list_objects(erasures_uri(raw_uri, dataset))
    with ThreadPoolExecutor(READERS, thread_name_prefix="erasures") as pool:
        return dict(pool.map(_read, [found.uri for found in stored]))


def _read(uri: str) -> tuple[str, float]:
    found = object_store.read_json_object(uri)
    user_id, at = found.get("user_id"), found.get("erased_at")
    if not isinstance(user_id, str) or not is_number(at):
        raise FormatError(
            f"{uri} is no note of an erased user: expected 'user_id', a text, and 'erased_at', seconds since 1970"
        )
    return user_id, float(at)
