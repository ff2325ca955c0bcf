"""Files to rows of text fields, each of which can be found again in its file.

Delimited text and JSON Lines are read line by line and taken apart here, so that the quarantine can
show each bad line as it was. A row knows which piece of which file it came from (``PATH``, ``START``)
and where it stands in it (``POSITION``); ``number_pieces`` turns that into row numbers in file order,
however Spark cut and scheduled the files. The driver learns about pieces, never about rows.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows
from pyspark.sql.types import ArrayType

from fmrec.dataset import Source
from fmrec.errors import InputError
from fmrec.storage import object_store

PATH, FILE, START, POSITION = "_path", "_file", "_start", "_position"
"""Provenance: the file and a hash of its name, the first byte of the piece, a number that grows in it."""
LINE = "value"
RAW, SKIP, BROKEN = "_raw", "_skip", "_broken"
"""The row as read; whether it is no row at all (a header or a blank line); why it can't be taken apart."""
_CORRUPT = "_corrupt"
_SAMPLE_LINES = 100
NO_QUOTE = "\0"
"""Stands for none: a letter that no text has."""
_DELIMITERS = (",", "\t", ";", "|", "::", " ")


@dataclass(frozen=True)
class Layout:
    """How a line without quotes is taken apart: where each of the fields to take stands in it."""

    delimiter: str
    quote: str
    fields: int
    taken: Mapping[str, int]
    header: str | None


@dataclass(frozen=True)
class Opened:
    """A source's files, as lines where they are text, and how to make rows of those.

    ``layout`` is None where lines are not delimited, or some of the first have quotes.
    """

    lines: DataFrame
    parse: Callable[[DataFrame], DataFrame]
    layout: Layout | None = None

    @property
    def rows(self) -> DataFrame:
        return self.parse(self.lines)


def read_rows(spark: SparkSession, source: Source, path: str, fields: Mapping[str, str]) -> DataFrame:
    """Read a source's files into text columns, as ``open_rows`` does."""
    return open_rows(spark, source, path, fields).rows


def open_rows(spark: SparkSession, source: Source, path: str, fields: Mapping[str, str]) -> Opened:
    """Look at a source's files and say how to read them into text columns.

    Parameters
    ----------
    path : str
        A file, folder or glob.
    fields : mapping of str to str
        The files' columns to take, by the name to give them.

    Returns
    -------
    Opened
        Whose ``rows`` have ``fields``' keys as strings, and the columns of provenance and state above.

    Raises
    ------
    InputError
        Nothing is there, or the files don't have these columns.
    """
    try:
        if source.format == "parquet":
            return Opened(_read_parquet(spark, path, fields), lambda rows: rows)
        lines = spark.read.text(path).select("value", *_provenance())
        sample = spark.read.text(path).select("value", F.col("_metadata.file_path")).head(_SAMPLE_LINES)
    except AnalysisException as error:
        if error.getCondition() == "PATH_NOT_FOUND":
            raise InputError(f"{path} holds no file: check the path and what was uploaded") from error
        if error.getCondition() == "UNABLE_TO_INFER_SCHEMA":
            raise InputError(f"{path} is empty: expected rows") from error
        raise
    sample = [row for row in sample if row[0].strip()]
    if not sample:
        raise InputError(f"{path} is empty: expected rows")
    file, texts = sample[0][1], [row[0] for row in sample]
    if source.format == "jsonl":
        return Opened(lines, _json_parser(texts, file, fields))
    layout = _layout(source, texts[0], file, fields)
    quoted = any(layout.quote in text for text in texts)
    return Opened(lines, _delimited_parser(source, layout), None if quoted else layout)


def resolve(raw_uri: str, path: str) -> str:
    """Return a data set document's path as Spark takes it."""
    return path if "://" in path or path.startswith("/") else object_store.join(raw_uri, path)


@dataclass(frozen=True)
class Piece:
    """A piece of a file that one task reads: ``first`` is its lowest position, ``lines`` all its lines."""

    file: str
    start: int
    first: int
    lines: int


def number_pieces(pieces: list[Piece]) -> list[tuple[Piece, int, int]]:
    """Return what to add to a piece's positions for row numbers over all files, and for line numbers.

    Files are taken in the order of their names, pieces in the order of their first bytes; row numbers
    count from 0 and line numbers of a file from 1, both with headers and blank lines.
    """
    numbered = []
    total, in_file, current = 0, 0, ""
    for piece in sorted(pieces, key=lambda piece: (piece.file, piece.start)):
        if piece.file != current:
            in_file, current = 0, piece.file
        numbered.append((piece, total - piece.first, in_file - piece.first + 1))
        total += piece.lines
        in_file += piece.lines
    return numbered


def _provenance() -> list[Column]:
    return [
        # Unlike the same in _metadata, these are not copied into every row that is read.
        F.input_file_name().alias(PATH),
        F.xxhash64(F.input_file_name()).alias(FILE),
        F.input_file_block_start().alias(START),
        F.monotonically_increasing_id().alias(POSITION),
    ]


def _layout(source: Source, first_line: str, file: str, fields: Mapping[str, str]) -> Layout:
    """Return where the fields stand in a line."""
    found = _split(source, first_line.lstrip("\ufeff"))
    names = list(source.fields) or found
    if len(found) != len(names):
        raise InputError(
            f"{file}: the first line has {len(found)} fields, expected {len(names)} "
            f"({', '.join(names)}){_hint(source, first_line)}"
        )
    _check_columns(fields, names, file, _hint(source, first_line))
    taken = {name: names.index(column) for name, column in fields.items()}
    header = first_line if source.header else None
    return Layout(source.delimiter, source.quote or NO_QUOTE, len(names), taken, header)


def _delimited_parser(source: Source, layout: Layout) -> Callable[[DataFrame], DataFrame]:
    blank = F.length(F.trim(LINE)) == 0
    skip = blank if layout.header is None else blank | (F.col(LINE) == F.lit(layout.header))
    broken = F.lit("wrong number of fields")
    if source.quote:
        quotes = F.length(LINE) - F.length(F.replace(F.col(LINE), F.lit(source.quote), F.lit("")))
        broken = F.when(quotes % 2 == 1, "unbalanced quotes").otherwise(broken)
    fields, found = _fields(source, layout.fields), F.col("_parsed")
    taken = {name: F.nullif(F.get(found, at), F.lit("")) for name, at in layout.taken.items()}
    reason = F.when(F.size(found) != layout.fields, broken)
    return lambda lines: _rows(lines, fields, taken, skip, reason)


def _fields(source: Source, count: int) -> Column:
    """Take a line apart: an array of its fields, of another length than ``count`` if that can't be done."""
    letters = "".join(f"\\{letter}" if not letter.isalnum() else letter for letter in source.delimiter)
    plain = F.split("value", letters, -1)
    if not source.quote:
        return plain
    schema = ", ".join(f"f{at} STRING" for at in range(count)) + f", {_CORRUPT} STRING"
    options = {
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": _CORRUPT,
        "sep": source.delimiter,
        "quote": source.quote,
        "escape": source.quote,
    }
    quoted = F.from_csv("value", schema, options)
    found = F.array(*[quoted.getField(f"f{at}") for at in range(count)])
    whole = F.when(quoted.getField(_CORRUPT).isNull(), found).otherwise(F.array().cast("array<string>"))
    # Most lines hold no quote, and are taken apart in half the time.
    return F.when(F.contains("value", F.lit(source.quote)), whole).otherwise(plain)


def _json_parser(texts: list[str], file: str, fields: Mapping[str, str]) -> Callable[[DataFrame], DataFrame]:
    found: dict[str, None] = {}
    for text in texts:
        try:
            document = json.loads(text)
        except ValueError:
            continue
        if isinstance(document, dict):
            found |= dict.fromkeys(document)
    _check_columns(fields, list(found), file, f" in its first {len(texts)} lines")
    columns = list(dict.fromkeys(fields.values()))
    schema = ", ".join(f"`{name.replace('`', '``')}` STRING" for name in (*columns, _CORRUPT))
    parsed = F.from_json("value", schema, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT})
    blank = F.length(F.trim("value")) == 0
    fields_of = F.col("_parsed")
    taken = {name: fields_of.getField(column) for name, column in fields.items()}
    broken = F.when(fields_of.getField(_CORRUPT).isNotNull(), "not a JSON object")
    return lambda lines: _rows(lines, parsed, taken, blank, broken)


def _rows(
    lines: DataFrame, parsed: Column, taken: Mapping[str, Column], skip: Column, broken: Column
) -> DataFrame:
    valid = F.is_valid_utf8("value")
    reason = F.when(F.col(SKIP), None).when(~valid, "invalid UTF-8").otherwise(broken)
    rows = lines.withColumn("_parsed", parsed).withColumn(SKIP, skip)
    return rows.select(
        *[field.alias(name) for name, field in taken.items()],
        *(PATH, FILE, START, POSITION, SKIP),
        F.make_valid_utf8("value").alias(RAW),
        reason.alias(BROKEN),
    )


def _read_parquet(spark: SparkSession, path: str, fields: Mapping[str, str]) -> DataFrame:
    frame = spark.read.parquet(path)
    _check_columns(fields, frame.columns, path, "")
    types = {field.name: field.dataType for field in frame.schema.fields}

    def text(column: str) -> Column:
        found = F.col(f"`{column}`")
        return F.to_json(found) if isinstance(types[column], ArrayType) else found.cast("string")

    columns = [text(column).alias(name) for name, column in fields.items()]
    raw = F.to_json(F.struct(*[F.col(f"`{column}`") for column in dict.fromkeys(fields.values())]))
    return frame.select(
        *columns,
        *_provenance(),
        F.lit(False).alias(SKIP),
        raw.alias(RAW),
        F.lit(None).cast("string").alias(BROKEN),
    )


def _check_columns(fields: Mapping[str, str], names: list[str], where: str, hint: str) -> None:
    for role, column in fields.items():
        if names.count(column) != 1:
            problem = "names twice" if column in names else "lacks"
            raise InputError(
                f"{where} {problem} the column {column!r} ({role}){hint}; "
                f"its columns are {', '.join(repr(name) for name in names)}"
            )


def _split(source: Source, line: str) -> list[str]:
    if source.quote and len(source.delimiter) == 1:
        return next(csv.reader([line], delimiter=source.delimiter, quotechar=source.quote), [])
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
