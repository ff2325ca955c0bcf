"""Where rows lie and how their files are written: the ``interactions``, ``users`` and ``items`` sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fmrec.dataset.section import Section
from fmrec.errors import SettingsError

FORMATS = ("csv", "tsv", "jsonl", "parquet")
TIMESTAMP_FORMATS = ("seconds", "milliseconds", "iso8601")
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

    @property
    def is_delimited(self) -> bool:
        return self.format in ("csv", "tsv")

    @classmethod
    def take(cls, section: Section, default_path: str | None) -> Source:
        path = section.text("path") if default_path is None else section.text("path", default_path)
        file_format = section.choice("format", FORMATS, "csv")
        if file_format not in ("csv", "tsv"):
            for key in ("header", "delimiter", "quote", "fields"):
                if key in section:
                    raise section.error(key, f"nothing, since {section.where('format')} is {file_format!r}")
            return cls(path, file_format, header=False, delimiter="", quote="")
        header = section.flag("header", True)
        delimiter = section.text("delimiter", "\t" if file_format == "tsv" else ",")
        quote = section.take("quote", "" if file_format == "tsv" else '"')
        if not isinstance(quote, str) or len(quote) > 1 or quote == delimiter:
            raise section.error("quote", "one character other than the delimiter, or an empty text for none")
        fields = _names(section, "fields")
        if not header and not fields:
            raise section.error("fields", "a list of names for the files' columns, since header is false")
        return cls(path, file_format, header, delimiter, quote, fields)

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"path": self.path, "format": self.format}
        if self.is_delimited:
            document |= {"header": self.header, "delimiter": self.delimiter, "quote": self.quote}
            if self.fields:
                document["fields"] = list(self.fields)
        return document


@dataclass(frozen=True)
class Interactions:
    """The interactions: who met what."""

    source: Source
    user: str
    item: str
    value: str | None = None
    timestamp: str | None = None
    event: str | None = None
    timestamp_format: str = "seconds"
    """``seconds`` or ``milliseconds`` since 1970, or ``iso8601`` text (UTC unless it says otherwise)."""

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
            timestamp_format=section.choice("timestamp_format", TIMESTAMP_FORMATS, "seconds"),
        )
        section.finish()
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
        return document | ({"timestamp_format": self.timestamp_format} if self.timestamp else {})


@dataclass(frozen=True)
class Attributes:
    """What is known of users or of items: one row an id."""

    source: Source
    id: str

    @classmethod
    def take(cls, section: Section, default_id: str) -> Attributes:
        attributes = cls(Source.take(section, None), section.text("id", default_id))
        section.finish()
        return attributes

    def to_document(self) -> dict[str, Any]:
        return self.source.to_document() | {"id": self.id}


def _names(section: Section, key: str) -> tuple[str, ...]:
    names = section.take(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise section.error(key, "a list of column names")
    if len(set(names)) != len(names):
        raise SettingsError(f"{section.where(key)} is {names!r}: expected each name once")
    return tuple(names)
