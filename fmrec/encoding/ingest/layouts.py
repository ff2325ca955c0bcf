"""Where the columns of delimited files stand: each file is read by its own header."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Source
from fmrec.encoding.ingest.delimited import Marks
from fmrec.encoding.ingest.files import InputFile
from fmrec.errors import InputError

REQUIRED = ("user", "item", "value", "timestamp", "event", "_owner")
"""Fields that every file must have; those that features are made of may be missing in some files."""
_WORDS = {"_owner": "the id"}
_DELIMITERS = (",", "\t", ";", "|", "::", " ")


@dataclass(frozen=True)
class Layout:
    """How a file's lines are split: how many fields they have, and where those to take stand."""

    fields: int
    taken: Mapping[str, int]
    header: str | None = None


@dataclass(frozen=True)
class Layouts:
    """The layouts of a source's files.

    Parameters
    ----------
    of_file : mapping of int to int
        Which of ``layouts`` a file has, by the hash of its name; empty where all have the first.
    """

    marks: Marks
    encoding: str
    layouts: tuple[Layout, ...]
    of_file: Mapping[int, int] = field(default_factory=dict)

    def of(self, files: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the layout's number of each row, by the hash of its file."""
        hashes = np.array(sorted(self.of_file), np.int64)
        numbers = np.array([self.of_file[int(file)] for file in hashes], np.int64)
        return np.asarray(numbers[np.searchsorted(hashes, files)])


def find_layouts(
    spark: SparkSession, source: Source, files: list[InputFile], fields: Mapping[str, str]
) -> Layouts:
    """Return how each file's lines are split.

    Raises
    ------
    InputError
        A file lacks a column, or its first line has another number of fields than there are names.
    """
    found: dict[str, Layout] = {}
    columns: list[list[str]] = []
    first = ""
    for file in files:
        line = first_line(file.text(source.encoding))
        if line is not None:
            names = _names(source, line, file.uri, set(fields.values()))
            found[file.name] = _layout(source, line, names, file.uri, fields, first)
            first = first or file.uri
            columns.append(names)
    check_found(fields, columns, first)
    layouts = tuple({_key(layout): layout for layout in found.values()}.values())
    marks = Marks(source.delimiter, source.quote, source.escape)
    if len(layouts) == 1:
        return Layouts(marks, source.encoding, layouts)
    numbers = {_key(layout): number for number, layout in enumerate(layouts)}
    frame = spark.createDataFrame(pa.table({"name": [file.name for file in files]}))
    hashes = frame.select(F.xxhash64("name"), "name").collect()
    of_file = {row[0]: numbers[_key(found[row[1]])] if row[1] in found else 0 for row in hashes}
    return Layouts(marks, source.encoding, layouts, of_file)


def first_line(text: str) -> str | None:
    """Return the first line that is not blank, without the letters that end it."""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.strip():
            return line
    return None


def check_columns(fields: Mapping[str, str], names: list[str], where: str, hint: str) -> None:
    """Refuse files that lack a column, or have it twice."""
    for role, column in fields.items():
        if names.count(column) != 1:
            problem = "names twice" if column in names else "lacks"
            word = _WORDS.get(role, role if role in REQUIRED else "of a feature")
            raise InputError(
                f"{where} {problem} the column {column!r} ({word}){hint}; "
                f"its columns are {', '.join(repr(name) for name in names)}"
            )


def check_found(fields: Mapping[str, str], found: list[list[str]], where: str) -> None:
    """Refuse a column that no file has."""
    names = list(dict.fromkeys(name for names in found for name in names))
    missing = {role: column for role, column in fields.items() if column not in names}
    check_columns(missing, names, where, "")


def _key(layout: Layout) -> tuple[object, ...]:
    return layout.fields, tuple(layout.taken.items()), layout.header


def _names(source: Source, line: str, uri: str, wanted: set[str]) -> list[str]:
    """Return the columns' names; blanks around one don't count, unless the document has them too."""
    found = _split(source, line)
    names = list(source.fields) or [name if name in wanted else name.strip() for name in found]
    if len(found) != len(names):
        raise InputError(
            f"{uri}: the first line has {len(found)} fields, expected {len(names)} "
            f"({', '.join(names)}){_hint(source, line)}"
        )
    return names


def _layout(
    source: Source, line: str, names: list[str], uri: str, fields: Mapping[str, str], first: str
) -> Layout:
    hint = _hint(source, line)
    if first and not hint:
        hint = f" that {first} has: files of one source need the same columns, in any order"
        if source.header and not source.fields:
            hint += (
                " (if only the first file has a header, set header to false and name the columns in fields)"
            )
    check = {name: column for name, column in fields.items() if name in REQUIRED or names.count(column) > 1}
    check_columns(check, names, uri, hint)
    taken = {name: names.index(column) for name, column in fields.items() if column in names}
    return Layout(len(names), taken, line if source.header else None)


def _split(source: Source, line: str) -> list[str]:
    if source.quote and len(source.delimiter) == 1:
        escape = source.escape or None
        return next(
            csv.reader([line], delimiter=source.delimiter, quotechar=source.quote, escapechar=escape), []
        )
    return line.split(source.delimiter)


def _hint(source: Source, line: str) -> str:
    """Say that the delimiter is plainly wrong, if it is."""
    if source.delimiter in line:
        return ""
    counts = {other: line.count(other) for other in _DELIMITERS if other in line}
    if not counts:
        return ""
    likely = max(counts, key=lambda delimiter: counts[delimiter])
    return f"; the delimiter {source.delimiter!r} does not occur in it, but {likely!r} does: check delimiter"
