"""Files to rows of text fields, each of which can be found again in its file.

Text is read line by line, so that the quarantine can show each bad line as it was. A row knows which piece of
which file it came from (``PATH``, ``START``) and its place in it (``POSITION``); ``number_pieces`` turns that
into row numbers in file order, however Spark cut and scheduled the files. The driver learns about files and
their pieces, never about rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Source
from fmrec.encoding.ingest import json_lines
from fmrec.encoding.ingest.delimited import Marks
from fmrec.encoding.ingest.encodings import UNDECODED, UTF8, decode_lines, keeps_ascii, undecoded_reason
from fmrec.encoding.ingest.files import InputFile, list_files, literal, open_heads, resolve
from fmrec.encoding.ingest.layouts import REQUIRED, Layouts, find_layouts, first_line
from fmrec.encoding.ingest.line_fields import BROKEN, LINE, SKIP, FieldsOfLines
from fmrec.encoding.ingest.parquet_files import RAW_TEXT, read_parquet
from fmrec.encoding.ingest.pieces import DOCUMENTS, FILE, LINES, PATH, POSITION, RECORDS, START, Cut
from fmrec.encoding.ingest.streams import read_batches
from fmrec.encoding.ingest.text_lines import TextLines, hashes_of, open_lines, place
from fmrec.encoding.python_tasks import map_in_arrow
from fmrec.errors import InputError

__all__ = [
    "BROKEN", "FILE", "LINE", "PATH", "POSITION", "RAW", "SKIP", "START", "Opened", "Piece", "number_pieces",
    "open_rows", "resolve",
]  # fmt: skip

RAW = "_raw"
"""The row as read."""
_PARSED = "_parsed"


@dataclass(frozen=True)
class Opened:
    """A source's rows, and how to make rows of lines where the files are text.

    ``text`` are its lines, and ``layouts`` say how delimited ones are split; ``files`` are the names in
    ``PATH``; ``keys`` what JSON's first objects have.
    """

    spark: SparkSession
    read: Callable[[], DataFrame]
    parse: Callable[[DataFrame], DataFrame]
    files: list[str]
    text: TextLines | None = None
    layouts: Layouts | None = None
    keys: tuple[str, ...] = ()

    @property
    def rows(self) -> DataFrame:
        return self.read()

    def names_of(self, numbers: set[int]) -> dict[int, str]:
        """Return the names of the files that stand in rows' ``FILE``, by number."""
        if len(self.files) == 1:
            return dict.fromkeys(numbers, self.files[0])
        known = self.text.numbers if self.text is not None else hashes_of(self.spark, self.files)
        return {known[name]: name for name in self.files}


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
    listed, names = list_files(spark, path)
    if source.format == "parquet":
        return _open_parquet(spark, source, path, names, fields)
    files = _with_heads(spark, open_heads(names, source.encoding), source.encoding)
    begun = [file for file in files if first_line(file.text(source.encoding), source.comment) is not None]
    if not begun:
        raise InputError(f"{path} is empty: expected rows")
    cuts = {file.name: Cut(_unit(source, file), source.encoding, _marks(source)) for file in files}
    text = open_lines(spark, listed, files, cuts, delimited=source.is_delimited)
    if source.format == "jsonl":
        return _open_json(text, source, begun, names, fields)
    layouts = find_layouts(source, files, fields, text.numbers)
    parse = FieldsOfLines(layouts, tuple(fields), (PATH, FILE, START, POSITION), RAW)

    def rows(found: DataFrame) -> DataFrame:
        return _rows(map_in_arrow(found, parse.run, parse.schema), source, fields)

    def read() -> DataFrame:
        split = text.map(lambda pieces: parse.run(read_batches(pieces)), parse.run, parse.schema)
        return _rows(split, source, fields)

    return Opened(spark, read, rows, names, text, layouts)


@dataclass(frozen=True)
class Piece:
    """A piece of a file that one task reads: ``first`` is its lowest position, ``lines`` all its lines.

    ``number`` stands for the file in rows.
    """

    file: str
    number: int
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


def _position() -> Column:
    return F.monotonically_increasing_id().alias(POSITION)


def _marks(source: Source) -> Marks:
    return Marks(source.delimiter, source.quote, source.escape)


def _unit(source: Source, file: InputFile) -> str:
    """Say what a file is to be cut into."""
    if source.format != "jsonl":
        return RECORDS if source.multiline else LINES
    line = first_line(file.text(source.encoding)) or ""
    opens = line.lstrip()[:1]
    whole = json_lines.parse(line) is not None or json_lines.is_python(line)
    cut_off = "\n" not in file.text(source.encoding).strip()
    return DOCUMENTS if opens == "[" or (opens == "{" and not whole and not cut_off) else LINES


def _with_heads(spark: SparkSession, files: list[InputFile], encoding: str) -> list[InputFile]:
    """Let Spark unpack the beginnings of files that only it can unpack."""
    found = []
    for file in files:
        if file.head is None:
            rows = (
                spark.read.text(literal(unquote(file.name))).select(F.col("value").cast("binary")).head(100)
            )
            file = InputFile(file.name, file.uri, b"\n".join(bytes(row[0]) for row in rows))  # noqa: PLW2901
        found.append(file)
    return found


def _open_json(
    text: TextLines, source: Source, files: list[InputFile], names: list[str], fields: Mapping[str, str]
) -> Opened:
    lines = text.frame()
    heads = [file.text(source.encoding).strip().lstrip("[") for file in files]
    texts = [text for head in heads for text in head.split("\n")[:100]] + heads
    if any(json_lines.is_python(text) for text in texts[:10]):
        lines = map_in_arrow(lines, partial(json_lines.from_python, LINE), lines.schema)
    columns = dict.fromkeys(fields.values())

    def rows(found: DataFrame) -> DataFrame:
        found = _decoded(found, source.encoding)
        skip = F.length(F.trim(LINE)) == 0
        parsed = found.withColumn(_PARSED, json_lines.objects(F.col(LINE), columns)).withColumn(SKIP, skip)
        parsed = parsed.withColumn(_PARSED, json_lines.whole(F.col(_PARSED)))
        apart = parsed.select(
            LINE,
            PATH,
            FILE,
            START,
            SKIP,
            F.size(_PARSED).alias("_objects"),
            F.explode_outer(_PARSED).alias(_PARSED),
        )
        # A line may have become several rows, each of which has a place of its own.
        one = F.col(_PARSED)
        fine = one.isNotNull()
        taken = {name: F.when(fine, json_lines.field_of(one, column)) for name, column in fields.items()}
        several = F.when(F.col("_objects") > 1, F.to_json(one)).otherwise(F.col(LINE))
        texts = apart.select(
            *[text.alias(name) for name, text in taken.items()],
            *(PATH, FILE, START, _position(), SKIP),
            several.alias(RAW),
            F.when(~fine, F.lit(json_lines.NOT_AN_OBJECT)).alias(BROKEN),
        )
        return _rows(texts, source, fields)

    return Opened(text.spark, lambda: rows(lines), rows, names, text, keys=tuple(json_lines.keys(texts)))


def _decoded(lines: DataFrame, encoding: str) -> DataFrame:
    """Decode lines that Spark cut; others are decoded already."""
    if encoding == UTF8 or not keeps_ascii(encoding):
        return lines

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts = decode_lines(batch.column(LINE), encoding)
            yield batch.set_column(batch.schema.get_field_index(LINE), LINE, texts)

    return map_in_arrow(lines, run, lines.schema)


def _rows(texts: DataFrame, source: Source, fields: Mapping[str, str]) -> DataFrame:
    """Say what is wrong with lines, and leave out texts that stand for nothing."""
    undecoded = ~F.is_valid_utf8(RAW)
    if source.encoding != UTF8:
        undecoded = F.contains(F.col(RAW), F.lit(UNDECODED))
    invalid = F.when(undecoded, undecoded_reason(source.encoding))
    broken = F.when(F.col(SKIP), None).otherwise(F.coalesce(invalid, F.col(BROKEN)))
    return texts.select(
        *[_present(F.col(f"`{name}`"), source.missing).alias(name) for name in fields],
        *(PATH, FILE, START, POSITION, SKIP),
        F.make_valid_utf8(RAW).alias(RAW),
        broken.alias(BROKEN),
    )


def _present(text: Column, missing: tuple[str, ...]) -> Column:
    text = F.nullif(text, F.lit(""))
    return F.when(~F.trim(text).isin(list(missing)), text) if missing else text


def _open_parquet(
    spark: SparkSession, source: Source, path: str, names: list[str], fields: Mapping[str, str]
) -> Opened:
    texts = read_parquet(spark, path, names, fields, source.timezone).select("*", *place())
    undecoded = ~F.is_valid_utf8(F.concat_ws(",", *[name for name in fields if name in REQUIRED]))
    rows = texts.select(
        *[_present(F.make_valid_utf8(name), source.missing).alias(name) for name in fields],
        *(PATH, F.xxhash64(PATH).alias(FILE), START, _position()),
        F.lit(False).alias(SKIP),
        F.col(RAW_TEXT).alias(RAW),
        F.when(undecoded, undecoded_reason(UTF8)).alias(BROKEN),
    )
    return Opened(spark, lambda: rows, lambda found: found, names)
