"""What SageMaker remembers: one record per resource, kept in memory and as a JSON file each.

A record is the resource's Describe answer; keys that begin with an underscore are the local cloud's
own and never leave it. Files are replaced atomically, so that a killed server leaves whole records.
"""

from __future__ import annotations

import copy
import datetime
import json
import pathlib
import threading
import urllib.parse
from typing import Any

Record = dict[str, Any]


def now() -> datetime.datetime:
    """The time as AWS answers it: UTC, milliseconds."""
    moment = datetime.datetime.now(datetime.UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def public(record: Record) -> Record:
    """The record without the local cloud's own keys and without what is not set."""
    return {key: value for key, value in record.items() if not key.startswith("_") and value is not None}


class Records:
    """Thread-safe store of records by kind and name.

    Parameters
    ----------
    folder
        Where the files lie, as ``<folder>/<kind>/<name>.json``. Read once, at the start.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._kinds: dict[str, dict[str, Record]] = {}
        self.lock = threading.RLock()
        """Held by callers that must look and then write without anyone in between."""
        for path in sorted(folder.glob("*/*.json")):
            name = urllib.parse.unquote(path.stem)
            self._kinds.setdefault(path.parent.name, {})[name] = json.loads(
                path.read_text(encoding="utf-8"), object_hook=_revive
            )

    def get(self, kind: str, name: str) -> Record | None:
        """A copy of the record, or None."""
        with self.lock:
            return copy.deepcopy(self._kinds.get(kind, {}).get(name))

    def every(self, kind: str) -> list[Record]:
        """Copies of all records of a kind, in the order in which they were made."""
        with self.lock:
            return copy.deepcopy(list(self._kinds.get(kind, {}).values()))

    def put(self, kind: str, name: str, record: Record) -> None:
        """Keep a record, replacing one of the same kind and name."""
        with self.lock:
            self._kinds.setdefault(kind, {})[name] = copy.deepcopy(record)
            self._write(kind, name)

    def update(self, kind: str, name: str, **changes: Any) -> Record:
        """Set keys of a record, stamp ``LastModifiedTime``, and return a copy of the new one.

        Raises
        ------
        KeyError
            There is no such record (any more).
        """
        with self.lock:
            record = self._kinds[kind][name]
            record.update(copy.deepcopy(changes), LastModifiedTime=now())
            self._write(kind, name)
            return copy.deepcopy(record)

    def delete(self, kind: str, name: str) -> None:
        """Forget a record; nothing happens if there is none."""
        with self.lock:
            self._kinds.get(kind, {}).pop(name, None)
            self._path(kind, name).unlink(missing_ok=True)

    def _path(self, kind: str, name: str) -> pathlib.Path:
        return self._folder / kind / f"{urllib.parse.quote(name, safe='')}.json"

    def _write(self, kind: str, name: str) -> None:
        path = self._path(kind, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".tmp")
        fresh.write_text(json.dumps(self._kinds[kind][name], default=_plain), encoding="utf-8")
        fresh.replace(path)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return {"$time": value.isoformat()}
    raise TypeError(f"a record can't hold {type(value).__name__}")


def _revive(value: dict[str, Any]) -> Any:
    if value.keys() == {"$time"}:
        return datetime.datetime.fromisoformat(value["$time"])
    return value
