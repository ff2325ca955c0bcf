"""From the table's stream to ``raw/``: each stored event lands in one file, also if a function dies between.

The stream delivers at least once, and what failed comes again, perhaps in other batches. So each event is
claimed in the table for a file before that file is written: ``landed`` holds its name. A file is written
once, whole, with exactly the events that are claimed for it. An event that is claimed for another file has
landed if that file exists; if not, whoever claimed it has died, and it is claimed anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from fmrec.artifacts import layout
from fmrec.events.event_files import PREFIX, EventFiles
from fmrec.events.event_table import ENTRY, USER, Item, is_event, to_event
from fmrec.recommendations.table import WRITERS, naming_table
from fmrec.storage import object_store


@dataclass(frozen=True)
class Landed:
    """What became of the events of a batch; they add up to those that it has."""

    written: int = 0
    quarantined: int = 0
    """Events that the data set's files can't hold: its document has changed since they were stored."""
    earlier: int = 0
    """Events that had landed before."""
    erased: int = 0
    """Events that are no longer in the table."""


class Landing:
    """Lands batches of a stream.

    Parameters
    ----------
    root
        The data bucket's URI.
    """

    def __init__(self, root: str, table: str, files: EventFiles, client: Any) -> None:
        self._root, self._table, self._files, self._client = root, table, files, client

    def land(self, records: Iterable[dict[str, Any]]) -> Landed:
        """Land the new events among a stream's records.

        Raises
        ------
        FmrecError
            Something can't be read or written. The same records again land what is left.
        """
        images = [record["dynamodb"]["NewImage"] for record in records if record["eventName"] == "INSERT"]
        items = {_key(item): item for item in images if is_event(item)}
        if not items:
            return Landed()
        name = _name(list(items))
        problems = {key: self._files.problem(to_event(item)) for key, item in items.items()}
        fitting = [item for key, item in items.items() if problems[key] is None]
        others = [item for key, item in items.items() if problems[key] is not None]
        good, *good_counts = self._claim(fitting, name, self._uri)
        bad, *bad_counts = self._claim(others, name, self._quarantine_uri)
        if bad:
            reasons = [" ".join(problems[_key(item)] or ()) for item in bad]
            lines = [
                json.dumps({"reason": why, "event": item}) for why, item in zip(reasons, bad, strict=True)
            ]
            object_store.write_bytes(self._quarantine_uri(name), ("\n".join(lines) + "\n").encode())
        if good:
            object_store.write_bytes(self._uri(name), self._files.render(to_event(item) for item in good))
        earlier, erased = (sum(counts) for counts in zip(good_counts, bad_counts, strict=True))
        return Landed(len(good), len(bad), earlier, erased)

    def _claim(
        self, items: list[Item], name: str, uri_of: Callable[[str], str]
    ) -> tuple[list[Item], int, int]:
        """Claim what has not landed for a file; return it, and how many had landed or are gone."""
        with ThreadPoolExecutor(WRITERS, thread_name_prefix="claims") as pool:
            holders = list(pool.map(partial(self._claim_one, name=name, instead_of=name), items))
            claimed = [item for item, holder in zip(items, holders, strict=True) if holder == name]
            erased = holders.count(None)
            others: dict[str, list[Item]] = defaultdict(list)
            for item, holder in zip(items, holders, strict=True):
                if holder not in (name, None):
                    others[str(holder)].append(item)
            earlier = 0
            for other, held in others.items():
                if object_store.is_listed(uri_of(other)):
                    earlier += len(held)
                    continue
                again = list(pool.map(partial(self._claim_one, name=name, instead_of=other), held))
                claimed += [item for item, holder in zip(held, again, strict=True) if holder == name]
                erased += again.count(None)
                earlier += len(held) - again.count(name) - again.count(None)
        return claimed, earlier, erased

    def _claim_one(self, item: Item, name: str, instead_of: str) -> str | None:
        """Claim an event that nobody holds, or that ``instead_of`` holds; return who holds it now."""
        refused = self._client.exceptions.ConditionalCheckFailedException
        with naming_table(self._table):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={key: item[key] for key in (USER, ENTRY)},
                    UpdateExpression="SET landed = :name",
                    ConditionExpression=(
                        f"attribute_exists({USER}) AND (attribute_not_exists(landed) OR landed = :before)"
                    ),
                    ExpressionAttributeValues={":name": {"S": name}, ":before": {"S": instead_of}},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except refused as error:
                found = error.response.get("Item", {})
                return str(found["landed"]["S"]) if "landed" in found else None
        return name

    def _uri(self, name: str) -> str:
        return object_store.join(self._root, layout.RAW, self._files.folder, name + self._files.suffix)

    def _quarantine_uri(self, name: str) -> str:
        return object_store.join(self._root, layout.EVENT_QUARANTINE, f"{name}.jsonl")


def _key(item: Item) -> tuple[str, str]:
    return item[USER]["S"], item[ENTRY]["S"]


def _name(keys: list[tuple[str, str]]) -> str:
    """A file's name: by the events themselves, so that the same batch again has the same file."""
    digest = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:32]
    return f"{PREFIX}{digest}"
