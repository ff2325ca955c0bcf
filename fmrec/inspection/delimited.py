"""How a delimited text file is written: delimiter, quotes, escapes, line breaks in fields, and a header.

Every delimiter is tried with and without quotes; the one that gives nearly all lines the same number of
fields is the file's.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fmrec.dataset import column_names as names

STRONG = ("\t", "::", "||", ";", "|", ",", "\x01", "~", "^")
WEAK = (" ", ":")
"""They stand in dates and names too: tried only if nothing else separates."""
CONSISTENT = 0.9
"""The share of the lines that must have one number of fields."""
TRIED_LINES = 2000
NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars", " ": "blanks", ":": "colons"}
COMMENTS = ("#", "%", "//")
"""What lines of notes above the rows begin with, e.g. in SNAP's and KONECT's files."""
_STAND_IN = "\x1f"
_PLAIN_NUMBER = re.compile(r"^[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?$")
_IDENTIFIER = re.compile(r"^[A-Za-z_#@][\w .:/#()-]{0,60}$")


@dataclass(frozen=True)
class Dialect:
    """How fields are separated, as in the data set document's source settings."""

    delimiter: str
    quote: str = ""
    escape: str = ""
    multiline: bool = False
    comment: str = ""
    fields: int = 0
    """The number of fields that most lines have."""
    consistent: float = 0.0
    """The share of lines that have it."""

    @property
    def delimiter_name(self) -> str:
        return NAMES.get(self.delimiter, repr(self.delimiter))


@dataclass(frozen=True)
class Row:
    """A row's fields; ``raw`` as it stands in the file."""

    cells: list[str]
    raw: str
    problem: str | None = None
    """Why it can't be taken apart: unbalanced quotes."""


def detect_dialect(text: str) -> Dialect | None:
    """Find the dialect of a text that begins and ends with whole lines, or None if it is no table."""
    lines = [line for line in _lines(text)[:TRIED_LINES] if line.strip()]
    if not lines:
        return None
    mark = next((mark for mark in COMMENTS if lines[0].startswith(mark)), None)
    if mark is not None:
        rest = [line for line in lines if not line.startswith(mark)]
        found = _detect(rest) if rest else None
        if found and (lines[1].startswith(mark) or not _is_part(lines[0], rest, found)):
            return replace(found, comment=mark, multiline=False)
    return _detect(lines)


def _is_part(first: str, others: Sequence[str], dialect: Dialect) -> bool:
    """Say whether a marked line is a row or the header: it has the others' fields, they have no header."""
    below = [row.cells for row in read_rows("\n".join(others[:500]), dialect)]
    return len(read_rows(first, dialect)[0].cells) == dialect.fields and not has_header(below)


def _detect(lines: Sequence[str]) -> Dialect | None:
    for group in (STRONG, WEAK):
        found = [
            dialect
            for delimiter in group
            if sum(delimiter in line for line in lines) >= CONSISTENT / 2 * len(lines)
            for dialect in [_with_quotes(lines, delimiter)]
            if dialect.fields > 1 and dialect.consistent >= CONSISTENT
        ]
        if found:
            found.sort(key=lambda dialect: (round(dialect.consistent, 1), dialect.fields), reverse=True)
            return found[0]
    return None


def read_rows(text: str, dialect: Dialect) -> list[Row]:
    """Take whole lines apart; blank lines are no rows. An empty quote reads quotes as letters."""
    lines = _lines(text)
    if dialect.comment:
        lines = [line for line in lines if not line.startswith(dialect.comment)]
    if not dialect.quote or dialect.quote not in text:
        return [Row(line.split(dialect.delimiter), line) for line in lines if line.strip()]
    records = _join_open_quotes(lines, dialect) if dialect.multiline else lines
    return [_quoted_row(line, dialect) for line in records if line.strip()]


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Say whether the first row names the columns.

    It does if its cells are different names, none of them a number, and below at least one of them stand
    numbers or times; or, where there are only texts, if none of its names comes again in its column.
    """
    first = [cell.strip() for cell in rows[0]] if rows else []
    named = [cell for cell in first if cell]
    if not named or len(set(named)) < len(named) or len(named) < len(first) - 1:
        return False
    if any(_PLAIN_NUMBER.match(cell) for cell in named) or _is_timed(named):
        return _wide_header(first)
    columns = list(zip(*[row for row in rows[1:] if len(row) == len(first)], strict=True))
    return all(_IDENTIFIER.match(cell) for cell in named) and (not columns or _differs(first, columns))


def _differs(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Say whether the first row differs from what stands below it."""
    for name, cells in zip(first, columns, strict=True):
        filled = [cell.strip() for cell in cells if cell.strip()]
        if filled and name:
            numeric = sum(_PLAIN_NUMBER.match(cell) is not None for cell in filled)
            if numeric > 0.8 * len(filled) or _is_timed(filled[:20]):
                return True
    again = any(name and name in cells for name, cells in zip(first, columns, strict=True))
    return not again and any(_is_usual(name) for name in first)


def _is_usual(name: str) -> bool:
    """Say whether data sets call their columns so."""
    if any(letter.isdigit() for letter in name):
        return False
    scores = (names.user_score(name), names.item_score(name), names.time_score(name), names.event_score(name))
    return max(scores) > 0.3 or bool(names.ID_WORDS & set(names.words(name))) or "name" in names.words(name)


def _wide_header(first: Sequence[str]) -> bool:
    """A matrix names its columns by the items' ids: a name first, then many different numbers."""
    numbers = [cell for cell in first[1:] if cell.isdecimal()]
    return len(numbers) >= 10 and len(numbers) == len(first) - 1 and not _PLAIN_NUMBER.match(first[0] or "x")


def _is_timed(cells: Sequence[str]) -> bool:
    return any(re.search(r"\d{4}-\d\d-\d\d|\d{1,2}/\d{1,2}/\d{2,4}|\d:\d\d:\d\d", cell) for cell in cells)


def _lines(text: str) -> list[str]:
    """Lines end as Spark's do: with LF, CR LF or CR; other separators of Unicode are letters."""
    lines = re.split(r"\r\n|\n|\r", text)
    return lines[:-1] if lines and not lines[-1] else lines


def _with_quotes(lines: Sequence[str], delimiter: str) -> Dialect:
    """Return the delimiter's best dialect: without quotes, with quotes, with escapes, over several lines."""
    plain = Dialect(delimiter)
    candidates = [plain]
    for quote in ('"', "'"):
        enclosed = sum(_encloses(line, delimiter, quote) for line in lines)
        if enclosed and (quote == '"' or enclosed > 0.3 * len(lines)):
            base = Dialect(delimiter, quote)
            candidates += [base]
            if any(f"\\{quote}" in line for line in lines):
                candidates.append(replace(base, escape="\\"))
            candidates += [replace(dialect, multiline=True) for dialect in candidates[1:]]
    scored = [_score(lines, dialect) for dialect in candidates]
    # Quotes that enclose whole fields in nearly all lines are not there by chance; else they stand in texts.
    quoted = [dialect for dialect in scored if dialect.quote and dialect.consistent >= CONSISTENT]
    among = quoted or [dialect for dialect in scored if not dialect.quote]
    # The simplest of those that do as well: escapes and line breaks only where they are needed.
    return max(among, key=lambda dialect: (round(dialect.consistent, 3), dialect.fields))


def _encloses(line: str, delimiter: str, quote: str) -> bool:
    if quote not in line:
        return False
    return line.startswith(quote) or line.endswith(quote) or f"{delimiter}{quote}" in line


def _score(lines: Sequence[str], dialect: Dialect) -> Dialect:
    rows = read_rows("\n".join(lines), dialect)
    counts = Counter(len(row.cells) for row in rows if row.problem is None)
    if not counts:
        return replace(dialect, fields=0, consistent=0.0)
    fields, count = max(counts.items(), key=lambda entry: (entry[1], entry[0]))
    if rows and len(rows[0].cells) != fields and len(rows) > 1:
        count = min(count, int(0.95 * len(rows)))
    return replace(dialect, fields=fields, consistent=count / len(rows))


def _join_open_quotes(lines: Sequence[str], dialect: Dialect) -> list[str]:
    """Join lines whose quotes are open to the line that closes them."""
    joined: list[str] = []
    waiting: list[str] = []
    open_quote = False
    for line in lines:
        text = line.replace(dialect.escape + dialect.quote, "") if dialect.escape else line
        if text.count(dialect.quote) % 2:
            open_quote = not open_quote
        waiting.append(line)
        if not open_quote:
            joined.append("\n".join(waiting))
            waiting = []
    return [*joined, *waiting]


def _quoted_row(line: str, dialect: Dialect) -> Row:
    delimiter, quote = dialect.delimiter, dialect.quote
    if quote not in line:
        return Row(line.split(delimiter), line)
    text = line
    if len(delimiter) > 1:
        text, delimiter = line.replace(delimiter, _STAND_IN), _STAND_IN
    if not _well_quoted(text, delimiter, dialect):
        return Row(text.split(delimiter), line, "unbalanced quotes")
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote,
        escapechar=dialect.escape or None,
        doublequote=True,
    )
    try:
        return Row(next(iter(reader), []), line)
    except csv.Error:
        return Row(text.split(delimiter), line, "unbalanced quotes")


def _well_quoted(text: str, delimiter: str, dialect: Dialect) -> bool:
    """Check quotes by RFC 4180: a field is enclosed entirely, or has quotes only within."""
    quote = re.escape(dialect.quote)
    escaped = rf"|{re.escape(dialect.escape)}." if dialect.escape else ""
    inside = rf"(?:[^{quote}{re.escape(dialect.escape)}]|{quote}{quote}{escaped})*"
    mark = re.escape(delimiter)
    field = rf"(?:{quote}{inside}{quote}|[^{quote}{mark}][^{mark}]*|)"
    return re.fullmatch(rf"{field}(?:{mark}{field})*", text, re.DOTALL) is not None
