"""Where rows lie and how their files are written: the ``interactions``, ``users`` and ``items`` sections."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

from fmrec.dataset.section import Section
from fmrec.dataset.timestamps import UTC, take_timestamp_format, take_timezone
from fmrec.errors import SettingsError

FORMATS = ("csv", "tsv", "jsonl", "parquet")
DECIMALS = (".", ",")
ROLES = ("user", "item", "value", "timestamp", "event")
DEFAULT_COLUMNS = {"user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp"}


@dataclass(frozen=True)
class Source:
    """Files of one format.

    ``path`` is a file, a folder or a glob, relative to the job's raw prefix, or an absolute URI.
    Files that end in ``.gz`` (and what else Spark decompresses by name) are read as they are.
    """

    path: str
    format: str = "csv"
    header: bool = True
    """csv and tsv: the first line of every file names the columns."""
    delimiter: str = ","
    quote: str = '"'
    """csv and tsv: what encloses a field that holds the delimiter; empty for none."""
    fields: tuple[str, ...] = ()
    """csv and tsv: what to call the columns, in the file's order; with a header, instead of its names."""
    encoding: str = "utf-8"
    """How letters are written as bytes, by Python's name of the codec; text formats only."""
    escape: str = ""
    """csv and tsv: what takes away the meaning of the character after it; empty for none. Inside quotes a
    doubled quote stands for one, with or without it."""
    multiline: bool = False
    """csv and tsv: quoted fields may hold line breaks."""
    comment: str = ""
    """csv and tsv: what a line begins with that is neither a row nor the header; empty for none."""
    missing: tuple[str, ...] = ()
    """Texts that stand for nothing, apart from the empty one."""
    decimal: str = "."
    """What separates a number's fraction: a point or a comma."""
    timezone: str = UTC
    """Of times whose text names none."""

    @property
    def is_delimited(self) -> bool:
        return self.format in ("csv", "tsv")

    @classmethod
    def take(cls, section: Section, default_path: str | None) -> Source:
        path = section.text("path") if default_path is None else section.text("path", default_path)
        file_format = section.choice("format", FORMATS, "csv")
        delimited = file_format in ("csv", "tsv")
        for key in (
            _SETTINGS_OF_TEXT if file_format == "parquet" else () if delimited else _DELIMITED_SETTINGS
        ):
            if key in section:
                raise section.error(key, f"nothing, since {section.where('format')} is {file_format!r}")
        source: dict[str, Any] = {"header": False, "delimiter": "", "quote": ""}
        if delimited:
            source = _take_delimited(section, file_format)
        return cls(
            path,
            file_format,
            **source,
            encoding=_take_encoding(section),
            missing=_texts(section, "missing"),
            decimal=section.choice("decimal", DECIMALS, "."),
            timezone=take_timezone(section),
        )

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"path": self.path, "format": self.format}
        if self.format != "parquet":
            document["encoding"] = self.encoding
        if self.is_delimited:
            document |= {"header": self.header, "delimiter": self.delimiter, "quote": self.quote}
            document |= {"escape": self.escape, "multiline": self.multiline}
            if self.comment:
                document["comment"] = self.comment
            if self.fields:
                document["fields"] = list(self.fields)
        return document | {
            "missing": list(self.missing),
            "decimal": self.decimal,
            "timezone": self.timezone,
        }


@dataclass(frozen=True)
class Interactions:
    """The interactions: who interacted with what."""

    source: Source
    user: str
    item: str
    value: str | None = None
    timestamp: str | None = None
    event: str | None = None
    timestamp_format: str = "seconds"
    """``seconds``, ``milliseconds``, ``microseconds`` or ``nanoseconds`` since 1970, ``iso8601``,
    ``rfc2822``, or a pattern as Spark and Java have them."""
    not_rated: tuple[str, ...] = ()
    """Values that mean "not rated": such rows are dropped and counted."""
    item_separator: str | None = None
    """What separates several items in one field: each becomes a row, with all else that its row says."""
    item_value_separator: str | None = None
    """What separates an item and its own value, as in ``N55689-1``: the last one in each item's text."""

    @classmethod
    def take(cls, section: Section) -> Interactions:
        source = Source.take(section, "interactions/")
        columns = Section(section.take("columns", DEFAULT_COLUMNS), section.where("columns"))
        names = {
            role: columns.text(role) if role in ("user", "item") else columns.text(role, None)
            for role in ROLES
        }
        columns.finish()
        interactions = cls(
            source=source,
            **names,
            timestamp_format=take_timestamp_format(section, "seconds"),
            not_rated=_texts(section, "not_rated"),
            item_separator=section.text("item_separator", None),
            item_value_separator=section.text("item_value_separator", None),
        )
        section.finish()
        if interactions.not_rated and names["value"] is None:
            raise columns.error("value", "the column that interactions.not_rated is about")
        if interactions.item_value_separator and names["value"] != names["item"]:
            raise columns.error(
                "value", "the same column as columns.item, in which item_value_separator separates them"
            )
        if names["user"] == names["item"]:
            raise columns.error("item", "another column than columns.user")
        return interactions

    @property
    def columns(self) -> dict[str, str]:
        """Column name by role, for the roles that the data has."""
        names = {role: getattr(self, role) for role in ROLES}
        return {role: name for role, name in names.items() if name is not None}

    def to_document(self) -> dict[str, Any]:
        document = self.source.to_document() | {"columns": self.columns}
        if self.timestamp:
            document["timestamp_format"] = self.timestamp_format
        if self.value:
            document["not_rated"] = list(self.not_rated)
        for key in ("item_separator", "item_value_separator"):
            if getattr(self, key):
                document[key] = getattr(self, key)
        return document


@dataclass(frozen=True)
class Attributes:
    """What is known of users or of items: one row an id."""

    source: Source
    id: str
    without_interactions: bool = False
    """Index ids that no interaction has, too: their vectors are those of their side features."""

    @classmethod
    def take(cls, section: Section, default_id: str) -> Attributes:
        attributes = cls(
            Source.take(section, None),
            section.text("id", default_id),
            section.flag("without_interactions", False),
        )
        section.finish()
        return attributes

    def to_document(self) -> dict[str, Any]:
        document = self.source.to_document() | {"id": self.id}
        return document | ({"without_interactions": True} if self.without_interactions else {})


_DELIMITED_SETTINGS = ("header", "delimiter", "quote", "fields", "escape", "multiline", "comment")
_NOT_OF_FILES = ("idna", "punycode", "unicode-escape", "raw-unicode-escape")
_SETTINGS_OF_TEXT = (*_DELIMITED_SETTINGS, "encoding")


def _take_delimited(section: Section, file_format: str) -> dict[str, Any]:
    header = section.flag("header", True)
    delimiter = section.text("delimiter", "\t" if file_format == "tsv" else ",")
    quote = section.take("quote", "" if file_format == "tsv" else '"')
    if not _is_mark(quote, delimiter):
        raise section.error(
            "quote", "one ASCII character that the delimiter lacks, or an empty text for none"
        )
    escape = section.take("escape", "")
    if not _is_mark(escape, delimiter):
        raise section.error(
            "escape", "one ASCII character that the delimiter lacks, or an empty text for none"
        )
    fields = _names(section, "fields")
    if not header and not fields:
        raise section.error("fields", "a list of names for the files' columns, since header is false")
    multiline = section.flag("multiline", False)
    if multiline and not quote:
        raise section.error("multiline", "false, since quote is empty: only quotes can hold a line break")
    comment = section.take("comment", "")
    if not isinstance(comment, str) or (comment and (delimiter in comment or not comment.isascii())):
        raise section.error("comment", "ASCII characters that the delimiter is not among, e.g. '#'")
    if comment and multiline:
        raise section.error("comment", "nothing, since multiline is true: lines can't be told from texts")
    return {
        "header": header,
        "delimiter": delimiter,
        "quote": quote,
        "fields": fields,
        "escape": "" if escape == quote else escape,
        "multiline": multiline,
        "comment": comment,
    }


def _is_mark(mark: Any, delimiter: str) -> bool:
    return isinstance(mark, str) and len(mark) <= 1 and mark.isascii() and (not mark or mark not in delimiter)


def _take_encoding(section: Section) -> str:
    name = str(section.text("encoding", "utf-8"))
    try:
        codec = codecs.lookup(name).name
        "a".encode(name)  # refuses codecs that are not of text, e.g. rot13 and base64
    except (LookupError, ValueError):
        codec = ""
    if not codec or codec in _NOT_OF_FILES:
        raise section.error("encoding", "a text encoding, e.g. utf-8, latin-1, cp1252 or utf-16")
    return codec.removesuffix("-sig")


def _texts(section: Section, key: str) -> tuple[str, ...]:
    """Take a list of texts; numbers stand for how they are written."""
    found = section.take(key, [])
    ok = isinstance(found, list) and all(
        isinstance(entry, str | int | float) and not isinstance(entry, bool) for entry in found
    )
    if not ok:
        raise section.error(key, "a list of texts or numbers, as the files have them")
    return tuple(str(entry) for entry in found)


def _names(section: Section, key: str) -> tuple[str, ...]:
    names = section.take(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise section.error(key, "a list of column names")
    if len(set(names)) != len(names):
        raise SettingsError(f"{section.where(key)} is {names!r}: expected each name once")
    return tuple(names)
