"""Where the columns of delimited files stand: each file is read by its own header."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fmrec.dataset import Source, column_names
from fmrec.encoding.ingest.delimited import Marks
from fmrec.encoding.ingest.files import InputFile
from fmrec.errors import InputError

REQUIRED = ("user", "item", "value", "timestamp", "event", "_owner")
"""Fields that every file must have; those that features are made of may be missing in some files."""
_WORDS = {"_owner": "the id"}
EARLY_LINES = 20
"""A header may stand below notes: so many lines of each file are looked at."""
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
        Which of ``layouts`` a file has, by its number in rows; empty where all have the first.
    """

    marks: Marks
    encoding: str
    layouts: tuple[Layout, ...]
    of_file: Mapping[int, int] = field(default_factory=dict)
    comment: str = ""

    def of(self, files: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the layout's number of each row, by the number of its file."""
        known = np.array(sorted(self.of_file), np.int64)
        numbers = np.array([self.of_file[int(file)] for file in known], np.int64)
        return np.asarray(numbers[np.searchsorted(known, files)])

    def of_number(self, file: int) -> Layout:
        """Return the layout of a file, by its number."""
        return self.layouts[self.of_file.get(file, 0)]


def find_layouts(
    source: Source, files: list[InputFile], fields: Mapping[str, str], numbers: Mapping[str, int]
) -> Layouts:
    """Return how each file's lines are split.

    Parameters
    ----------
    numbers : mapping of str to int
        What stands for each file's name in rows.

    Raises
    ------
    InputError
        A file lacks a column, or its first line has another number of fields than there are names.
    """
    found: dict[str, Layout] = {}
    columns: list[list[str]] = []
    first = ""
    for file in files:
        early = list(islice(_lines(file.text(source.encoding), source.comment), EARLY_LINES))
        if early:
            line = early[0]
            names = _names(source, line, file.uri, set(fields.values()))
            _check_rows(source, early, names, file.uri, fields)
            found[file.name] = _layout(source, line, names, file.uri, fields, first)
            first = first or file.uri
            columns.append(names)
    check_found(fields, columns, first)
    layouts = tuple({_key(layout): layout for layout in found.values()}.values())
    marks = Marks(source.delimiter, source.quote, source.escape)
    if len(layouts) == 1:
        return Layouts(marks, source.encoding, layouts, comment=source.comment)
    place = {_key(layout): at for at, layout in enumerate(layouts)}
    of_file = {
        numbers[file.name]: place[_key(found[file.name])] if file.name in found else 0 for file in files
    }
    return Layouts(marks, source.encoding, layouts, of_file, source.comment)


def first_line(text: str, comment: str = "") -> str | None:
    """Return the first line that is neither blank nor a comment, without the letters that end it."""
    return next(_lines(text, comment), None)


def _lines(text: str, comment: str) -> Iterator[str]:
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.strip() and not (comment and line.startswith(comment)):
            yield line


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


def _check_rows(
    source: Source, lines: list[str], names: list[str], uri: str, fields: Mapping[str, str]
) -> None:
    """Refuse a header that would be taken for an interaction, since nothing in it has to be a number."""
    if not {"user", "item"} <= set(fields) or {"value", "timestamp"} & set(fields):
        return
    user, item = fields["user"], fields["item"]
    if user not in names or item not in names:
        return
    for line in lines:
        found = [text.strip() for text in _split(source, line)]
        if len(found) != len(names) or (source.header and line == lines[0]):
            continue
        pair = found[names.index(user)], found[names.index(item)]
        if pair[0] not in source.missing and (pair == (user, item) or _name_columns(*pair)):
            way = "the line above it is not the header: set comment, or remove what stands above it"
            if not source.header:
                way = "set header to true, or name it in missing"
            raise InputError(
                f"{uri}: the line {line[:200]!r} names columns and would be an interaction of the user "
                f"{pair[0]!r} with the item {pair[1]!r}; {way}"
            )


def _name_columns(user: str, item: str) -> bool:
    """Say whether two texts can only be names of columns: words for users and items, and for ids."""
    words = {*column_names.words(user), *column_names.words(item)}
    return (
        bool(words & {"id", "ids"})
        and not any(letter.isdigit() for letter in user + item)
        and min(column_names.user_score(user), column_names.item_score(item)) >= 0.8
    )


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
