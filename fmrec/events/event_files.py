"""Events as files that the next encoding of the data set reads: in the document's own format.

An event that the document's files can't hold as it is, such as an id with a line break, is refused before it
is stored, with a sentence.
"""

from __future__ import annotations

import datetime
import email.utils
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.dataset import Dataset, Interactions
from fmrec.dataset.timestamps import UNITS, UTC, is_pattern
from fmrec.errors import SettingsError
from fmrec.events.event import Event

PREFIX = "events-"
"""Begins the names of the files, which lie next to the others."""
MAXIMUM_ID_BYTES = 1024
LARGEST_FLOAT32 = 3.4028234663852886e38

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_GLOB = re.compile(r"[\\{}\[\]*?]")
_TOKEN = re.compile(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']+")
_PATTERN_TOKENS: dict[str, Callable[[datetime.datetime], str]] = {
    "yyyy": lambda at: f"{at.year:04d}",
    "MM": lambda at: f"{at.month:02d}",
    "M": lambda at: str(at.month),
    "MMM": lambda at: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][at.month - 1],
    "dd": lambda at: f"{at.day:02d}",
    "d": lambda at: str(at.day),
    "HH": lambda at: f"{at.hour:02d}",
    "H": lambda at: str(at.hour),
    "hh": lambda at: f"{(at.hour + 11) % 12 + 1:02d}",
    "h": lambda at: str((at.hour + 11) % 12 + 1),
    "a": lambda at: "AM" if at.hour < 12 else "PM",
    "mm": lambda at: f"{at.minute:02d}",
    "m": lambda at: str(at.minute),
    "ss": lambda at: f"{at.second:02d}",
    "s": lambda at: str(at.second),
    "SSS": lambda at: f"{at.microsecond // 1000:03d}",
    "EEE": lambda at: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][at.weekday()],
    "Z": lambda at: at.strftime("%z"),
    "xx": lambda at: at.strftime("%z"),
    "xxx": lambda at: f"{at.strftime('%z')[:3]}:{at.strftime('%z')[3:]}",
    "XXX": lambda at: f"{at.strftime('%z')[:3]}:{at.strftime('%z')[3:]}" if at.utcoffset() else "Z",
}  # fmt: skip


@dataclass(frozen=True)
class EventFiles:
    """How a data set's events are written; made by `of`."""

    dataset: Dataset

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> EventFiles:
        """Read a data set document; of it ``interactions`` and ``quarantine`` count.

        Raises
        ------
        SettingsError
            Files of events can't be added to these interactions: the sentence says why.
        """
        given = {key: document[key] for key in ("interactions", "quarantine") if key in document}
        files = cls(
            Dataset.from_document(given | {"label": {"mode": "implicit"}, "split": {"method": "none"}})
        )
        _check(files.interactions)
        return files

    @property
    def interactions(self) -> Interactions:
        return self.dataset.interactions

    @property
    def folder(self) -> str:
        """Relative to the raw prefix, with a slash at its end."""
        return self.interactions.source.path

    @property
    def suffix(self) -> str:
        return f".{self.interactions.source.format}"

    @property
    def document(self) -> dict[str, Any]:
        """What `of` makes the same of again."""
        whole = self.dataset.to_document()
        return {key: whole[key] for key in ("interactions", "quarantine")}

    def problem(self, event: Event) -> tuple[str, str] | None:
        """Why the files can't hold an event: its field, and what was found and expected; None if they can."""
        return next(self._problems(event), None)

    def _problems(self, event: Event) -> Iterator[tuple[str, str]]:
        columns, source = self.interactions.columns, self.interactions.source
        for name, text in (("user_id", event.user_id), ("item_id", event.item_id), ("event", event.event)):
            if text is not None:
                yield from ((name, found) for found in self._problems_of_text(name, text))
        for name, given in (("value", event.value), ("event", event.event)):
            if given is not None and name not in columns:
                yield name, f"is not known in this data set, which has no column of {name}s: leave it out"
            if given is None and name in columns:
                yield name, f"is missing: the data set's column {columns[name]!r} needs it"
        if event.value is not None:
            if not abs(event.value) <= LARGEST_FLOAT32:
                yield "value", f"is {event.value}: expected a number within float32's range"
            elif _number(event.value, source.decimal) in source.missing:
                yield "value", f"is {event.value}, which stands for no value in this data set"
        limits = self.dataset.quarantine
        earliest, latest = (datetime.datetime.fromisoformat(t) for t in (limits.earliest, limits.latest))
        if not earliest.timestamp() <= event.at < latest.timestamp():
            yield "at", f"is not between {limits.earliest} and {limits.latest}, the data set's limits"

    def _problems_of_text(self, name: str, text: str) -> Iterator[str]:
        source, limit = self.interactions.source, self.dataset.quarantine.max_id_length
        if not text.strip():
            yield "is blank"
        if _CONTROL.search(text):
            yield "has a control character or a line break: no file of interactions can hold it"
        elif not _encodes(text, source.encoding):
            yield f"has a character that the data set's encoding, {source.encoding}, lacks"
        elif len(text) > limit or len(text.encode()) > MAXIMUM_ID_BYTES:
            yield f"is too long: expected at most {limit} characters and {MAXIMUM_ID_BYTES} bytes"
        if text.strip() in source.missing:
            yield f"is {text!r}, which stands for nothing in this data set"
        separator = self.interactions.item_separator
        if name == "item_id" and separator and separator in text:
            yield f"contains {separator!r}, which separates items in this data set"
        if not source.is_delimited:
            if text.startswith("["):
                yield "begins with '[', as lists do"
        elif source.escape and source.escape in text:
            yield f"contains {source.escape!r}, which is the data set's escape character"
        elif not source.quote and set(source.delimiter) & set(text):
            yield f"contains {source.delimiter!r}, which separates fields, and the data set has no quotes"

    def render(self, events: Iterable[Event]) -> bytes:
        """The bytes of a file of events that have no `problem`."""
        source, rows = self.interactions.source, [self._row(event) for event in events]
        if source.format == "parquet":
            return _parquet(rows)
        if source.format == "jsonl":
            lines = [json.dumps(_nested(row), ensure_ascii=False) for row in rows]
        else:
            names = list(source.fields or self.interactions.columns.values())
            table = ([names] if source.header else []) + [
                [_text(row.get(name), source.decimal) for name in names] for row in rows
            ]
            lines = [source.delimiter.join(self._quoted(text) for text in line) for line in table]
        return "".join(f"{line}\n" for line in lines).encode(source.encoding)

    def _row(self, event: Event) -> dict[str, Any]:
        by_role = {
            "user": event.user_id,
            "item": event.item_id,
            "value": event.value,
            "event": event.event,
            "timestamp": _time(event.at, self.interactions),
        }
        row = {name: by_role[role] for role, name in self.interactions.columns.items()}
        decimal = self.interactions.source.decimal
        if decimal != ".":  # then numbers are read as texts, also those of JSON and Parquet
            return {name: _text(value, decimal) for name, value in row.items()}
        return row

    def _quoted(self, text: str) -> str:
        source = self.interactions.source
        quote = source.quote
        if quote and (set(quote + source.delimiter) & set(text) or text != text.strip()):
            return quote + text.replace(quote, quote * 2) + quote
        return text


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _check(interactions: Interactions) -> None:
    source = interactions.source
    path = source.path
    expected = "events are written into the folder of the interactions"
    if not path.endswith("/") or path.startswith("/") or "://" in path or _GLOB.search(path) or ".." in path:
        raise SettingsError(
            f"interactions.path is {path!r}, but {expected}: expected a folder below the raw prefix, with / at "
            "its end, such as 'interactions/'"
        )
    columns = interactions.columns
    if len(set(columns.values())) < len(columns):
        raise SettingsError(
            f"interactions.columns is {columns}, but {expected}: expected a column of its own for each"
        )
    missing = [name for name in columns.values() if source.fields and name not in source.fields]
    if missing:
        raise SettingsError(f"interactions.fields lacks {missing[0]!r}, and {expected}: add it")
    if not interactions.timestamp or not is_pattern(interactions.timestamp_format):
        return
    pattern = interactions.timestamp_format
    if unknown := [token for token in _letters(pattern) if token not in _PATTERN_TOKENS]:
        raise SettingsError(
            f"interactions.timestamp_format is {pattern!r}, but {expected}, and times can't be written with "
            f"{unknown[0]!r}: expected {', '.join(_PATTERN_TOKENS)}, or a named format such as 'iso8601'"
        )
    if source.timezone != UTC:
        raise SettingsError(
            f"interactions.timezone is {source.timezone!r}, but {expected}: expected UTC, since an hour of local "
            "time may occur twice, or timestamp_format 'iso8601'"
        )


def _letters(pattern: str) -> list[str]:
    return [found[0] for found in _TOKEN.finditer(pattern) if found[2]]


def _time(at: float, interactions: Interactions) -> Any:
    if interactions.timestamp is None:
        return None
    written = interactions.timestamp_format
    milliseconds = round(at * 1000)
    if written == "seconds":
        return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000
    if written in UNITS:
        return milliseconds * (UNITS[written] // 1000)
    moment = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.UTC)
    moment = moment.replace(microsecond=milliseconds % 1000 * 1000)
    if written == "iso8601":
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if written == "rfc2822":
        return email.utils.format_datetime(moment)
    parts = []
    for found in _TOKEN.finditer(written):
        if found[2]:
            parts.append(_PATTERN_TOKENS[found[0]](moment))
        else:
            parts.append(found[0] if found[1] is None else found[1] or "'")
    return "".join(parts)


def _number(value: float, decimal: str) -> str:
    integral = value == math.floor(value) and abs(value) < 1e15
    return (str(int(value)) if integral else repr(value)).replace(".", decimal)


def _text(value: Any, decimal: str) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _number(value, decimal)


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """``a.b`` is the field b of the object a."""
    nested: dict[str, Any] = {}
    for name, value in row.items():
        *path, last = name.split(".")
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return nested


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([_nested(row) for row in rows]), buffer)
    return buffer.getvalue()
