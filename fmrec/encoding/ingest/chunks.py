"""The job's only look at the raw rows: they become chunks of numbers, with each chunk's texts next to them.

A chunk is a run of rows that one task reads. Ids and context are replaced by their place among the
chunk's distinct texts, so that from here on rows are packed numbers, and what the JVM counts, sorts and
joins are distinct texts, of which there are far fewer than rows. In the same pass rows are counted by
file, piece and problem, and bad ones set aside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.feature_index import COUNT, NAME, NAMESPACE
from fmrec.encoding.ingest.source_rows import FILE, LINE, PATH, POSITION, RAW, START
from fmrec.encoding.ingest.validation import GOOD, STATE
from fmrec.encoding.python_tasks import map_in_arrow
from fmrec.encoding.row_types import UNKNOWN, CodedRows
from fmrec.encoding.shuffle.messages import MESSAGE_ROWS, Kind

CHUNK_ROWS = 1_000_000
"""Rows that share a list of texts: more make fewer texts in all, and take more memory."""
CHUNK, PLACE = "bucket", "place"
PIECES, TEXTS, BAD, ODD = 100, 101, 102, 103
"""Kinds in addition to those of ``messages``: counts of rows as JSON; distinct texts; rows for the
quarantine; and lines that take more than a look at whole columns."""
EVENTS = -1
"""The namespace of event names, which are counted and stand for nothing."""
UNDECIDED = -2
"""The state of odd lines."""
_BAD_TYPE = pa.struct(
    [(FILE, pa.int64()), (START, pa.int64()), (POSITION, pa.int64()), (STATE, pa.int32()), (RAW, pa.string())]
)
CHUNK_SCHEMA = (
    f"{CHUNK} bigint, kind int, data binary, {NAMESPACE} int, first bigint, texts array<string>, "
    f"counts array<bigint>, bad array<struct<{FILE}: bigint, {START}: bigint, {POSITION}: bigint, "
    f"{STATE}: int, {RAW}: string>>"
)
_ARROW_SCHEMA = pa.schema(
    [
        (CHUNK, pa.int64()),
        ("kind", pa.int32()),
        ("data", pa.binary()),
        (NAMESPACE, pa.int32()),
        ("first", pa.int64()),
        ("texts", pa.list_(pa.string())),
        ("counts", pa.list_(pa.int64())),
        ("bad", pa.list_(_BAD_TYPE)),
    ]
)
PieceCount = tuple[int, int, int, int, int]
"""A file's hash, a piece's first byte, a state, the lowest position with it, and how many rows have it."""


@dataclass
class TaskCounts:
    """What tasks read; ``text_bytes`` are what Arrow holds of each chunk's texts."""

    pieces: list[PieceCount]
    text_bytes: int


Take = Callable[[pa.RecordBatch], pa.RecordBatch]


def make_chunks(batches: Iterable[pa.RecordBatch], texts: Mapping[int, str]) -> Iterator[pa.RecordBatch]:
    """Make chunks of a task's rows, in ``CHUNK_SCHEMA``.

    Parameters
    ----------
    batches : iterable of RecordBatch
        With ``value`` and ``timestamp`` (double), columns of text, plain or as dictionaries, and ``FILE``,
        ``START``, ``POSITION``, ``STATE`` and ``RAW`` as ``validation.check_rows`` returns them. Odd
        lines have the state ``UNDECIDED`` and the line in ``RAW``.
    texts : mapping of int to str
        The columns of text, by the ordinal of their namespace.
    """
    pieces: dict[tuple[int, int, int], tuple[int, int]] = {}
    pending: list[pa.RecordBatch] = []
    count = text_bytes = 0
    for batch in batches:
        states = np.asarray(batch.column(STATE))
        _count_pieces(pieces, batch, states)
        good = None
        if states.any():
            for kind, aside in ((BAD, states > GOOD), (ODD, states == UNDECIDED)):
                if aside.any():
                    yield _aside(kind, batch.filter(pa.array(aside)))
            good = np.flatnonzero(states == GOOD)
        pending.append(_compact(batch, good, texts))
        count += len(pending[-1])
        if count >= CHUNK_ROWS:
            text_bytes += yield from _chunk(pending, texts)
            pending, count = [], 0
    if count:
        text_bytes += yield from _chunk(pending, texts)
    if pieces:
        counts = TaskCounts([(*key, *found) for key, found in pieces.items()], text_bytes)
        yield _row(kind=PIECES, data=json.dumps(asdict(counts)).encode())


def to_chunks(rows: DataFrame, texts: Mapping[int, str], take: Take | None = None) -> DataFrame:
    """Make chunks of rows; of what ``take`` makes of each batch, if it is given."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return make_chunks(map(take, batches) if take else batches, texts)

    return map_in_arrow(rows, run, CHUNK_SCHEMA)


def count_pieces(chunks: DataFrame) -> TaskCounts:
    """Return how many rows of each state every piece of a file has, and the bytes of all texts."""
    counts = TaskCounts([], 0)
    for row in chunks.where(F.col("kind") == PIECES).select("data").collect():
        found = json.loads(bytes(row[0]))
        counts.pieces.extend(tuple(piece) for piece in found["pieces"])
        counts.text_bytes += found["text_bytes"]
    return counts


def bad_rows(chunks: DataFrame) -> DataFrame:
    """Return the rows that can't be used: ``FILE``, ``START``, ``POSITION``, ``STATE`` and ``RAW``."""
    return chunks.where(F.col("kind") == BAD).select(F.inline("bad"))


def odd_lines(chunks: DataFrame) -> DataFrame:
    """Return the lines that were not decided about, as ``rows.open_rows`` returns lines."""
    found = chunks.where(F.col("kind") == ODD).select(F.inline("bad"))
    no_path = F.lit(None).cast("string").alias(PATH)
    return found.select(F.col(RAW).alias(LINE), no_path, FILE, START, POSITION)


def distinct_texts(chunks: DataFrame) -> DataFrame:
    """Return each chunk's texts: ``CHUNK``, ``NAMESPACE``, ``PLACE``, ``NAME`` and ``COUNT`` in the chunk."""
    entries = F.posexplode(F.arrays_zip("texts", "counts")).alias("at", "entry")
    return (
        chunks.where(F.col("kind") == TEXTS)
        .select(CHUNK, NAMESPACE, "first", entries)
        .select(
            CHUNK,
            NAMESPACE,
            (F.col("first") + F.col("at")).alias(PLACE),
            F.col("entry.texts").alias(NAME),
            F.col("entry.counts").alias(COUNT),
        )
    )


def _count_pieces(
    pieces: dict[tuple[int, int, int], tuple[int, int]], batch: pa.RecordBatch, states: NDArray[np.int32]
) -> None:
    file, start, position = (np.asarray(batch.column(name)) for name in (FILE, START, POSITION))
    changes = np.flatnonzero((file[1:] != file[:-1]) | (start[1:] != start[:-1])) + 1
    for begin, end in zip([0, *changes.tolist()], [*changes.tolist(), len(file)], strict=True):
        if begin == end:
            continue
        here = states[begin:end]
        for state in np.unique(here).tolist() if here.any() else [GOOD]:
            places = np.flatnonzero(here == state)
            key = (int(file[begin]), int(start[begin]), state)
            first, count = pieces.get(key, (int(position[begin + places[0]]), 0))
            pieces[key] = (first, count + len(places))


def _compact(
    batch: pa.RecordBatch, rows: NDArray[np.int64] | None, texts: Mapping[int, str]
) -> pa.RecordBatch:
    """Return what a chunk is made of, all rows or some, in memory of its own: what was read lies in one
    piece, lines and all.
    """
    columns = {}
    for name in texts.values():
        column = batch.column(name)
        if rows is not None:
            column = (
                column.cast(pa.string()).take(pa.array(rows)).dictionary_encode()
            )  # of these rows' texts only
        elif not isinstance(column, pa.DictionaryArray):
            column = column.cast(pa.string()).dictionary_encode()
        columns[name] = column
    for name in ("value", "timestamp", POSITION):
        numbers = np.asarray(batch.column(name))
        columns[name] = pa.array(numbers.copy() if rows is None else numbers[rows])
    return pa.RecordBatch.from_pydict(columns)


def _chunk(batches: list[pa.RecordBatch], texts: Mapping[int, str]) -> Generator[pa.RecordBatch, None, int]:
    """Yield a chunk's packed rows and its texts; return the bytes of the texts."""
    text_bytes = 0
    table = pa.Table.from_batches(batches)
    positions = _numbers(table, POSITION, np.int64)
    chunk = int(positions[0])
    places: list[NDArray[np.int64]] = []
    for namespace, column in texts.items():
        encoded = table.column(column).unify_dictionaries().combine_chunks()
        found = np.asarray(encoded.indices.fill_null(UNKNOWN)).astype(np.int64)
        counts = np.bincount(found[found >= 0], minlength=len(encoded.dictionary))
        text_bytes += int(encoded.dictionary.nbytes)
        if namespace != EVENTS:
            places.append(found)
        for first in range(0, len(counts), MESSAGE_ROWS):
            yield _row(
                chunk,
                TEXTS,
                namespace=namespace,
                first=first,
                texts=encoded.dictionary[first : first + MESSAGE_ROWS],
                counts=pa.array(counts[first : first + MESSAGE_ROWS], pa.int64()),
            )
    user, item, *context = places
    codes = np.stack(context, axis=1) if context else np.zeros((len(table), 0), np.int64)
    value, time = _numbers(table, "value", np.float64), _numbers(table, "timestamp", np.float64)
    for rows in CodedRows(user, item, value, time, positions, codes).cut(MESSAGE_ROWS):
        yield _row(chunk, Kind.ROWS, data=rows.to_bytes())
    return text_bytes


def _numbers(table: pa.Table, name: str, dtype: Any) -> NDArray[Any]:
    return np.asarray(table.column(name)).astype(dtype, copy=False)


def _aside(kind: int, batch: pa.RecordBatch) -> pa.RecordBatch:
    names = [field.name for field in _BAD_TYPE]
    rows = pa.StructArray.from_arrays([batch.column(name) for name in names], fields=list(_BAD_TYPE))
    return _row(kind=kind, bad=rows)


def _row(
    chunk: int = 0,
    kind: int = Kind.ROWS,
    *,
    data: bytes | None = None,
    namespace: int | None = None,
    first: int | None = None,
    texts: pa.Array | None = None,
    counts: pa.Array | None = None,
    bad: pa.Array | None = None,
) -> pa.RecordBatch:
    values = (chunk, kind, data, namespace, first)
    arrays = [pa.array([value], field.type) for value, field in zip(values, _ARROW_SCHEMA, strict=False)]
    for field, items in zip(list(_ARROW_SCHEMA)[len(values) :], (texts, counts, bad), strict=True):
        arrays.append(
            pa.nulls(1, field.type)
            if items is None
            else pa.ListArray.from_arrays(pa.array([0, len(items)], pa.int32()), items)
        )
    return pa.RecordBatch.from_arrays(arrays, schema=_ARROW_SCHEMA)
