"""The quarantine: rows that can't be used, where they stand, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from fmrec.encoding.ingest.source_rows import FILE, POSITION, RAW, START, Piece
from fmrec.encoding.ingest.validation import STATE, Problem
from fmrec.encoding.python_tasks import map_in_arrow
from fmrec.storage import object_store

_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("raw", pa.string()),
        ("column", pa.string()),
        ("reason", pa.string()),
    ]
)


def write_quarantine(
    rows: DataFrame,
    pieces: Iterable[tuple[Piece, int, int]],
    problems: Mapping[int, Problem],
    uri: str,
) -> None:
    """Write the rows that can't be used.

    Parameters
    ----------
    rows : DataFrame
        As ``chunks.bad_rows`` returns them.
    pieces : iterable of (Piece, int, int)
        As ``source_rows.number_pieces`` returns them.
    problems : mapping of int to Problem
        By the states of rows.
    """
    places = {(piece.number, piece.start): (piece.file, to_line) for piece, _, to_line in pieces}
    reasons = {state: (problem.column, problem.reason) for state, problem in problems.items()}

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _described(batch, places, reasons)

    found = map_in_arrow(rows, run, "file string, row bigint, raw string, column string, reason string")
    found.write.mode("overwrite").parquet(uri)


def write_empty_quarantine(uri: str) -> None:
    """Write that all rows can be used."""
    object_store.delete_folder(uri)
    with object_store.open_output(object_store.join(uri, "part-00000.parquet")) as file:
        pq.write_table(_SCHEMA.empty_table(), file)


def _described(
    batch: pa.RecordBatch,
    places: Mapping[tuple[int, int], tuple[str, int]],
    reasons: Mapping[int, tuple[str | None, str]],
) -> pa.RecordBatch:
    numbers = np.column_stack([np.asarray(batch.column(name)) for name in (FILE, START)])
    pieces, piece_of = np.unique(numbers, axis=0, return_inverse=True)
    files, to_lines = zip(*[places[file, start] for file, start in pieces.tolist()], strict=True)
    states, state_of = np.unique(np.asarray(batch.column(STATE)), return_inverse=True)
    columns, texts = zip(*[reasons[state] for state in states.tolist()], strict=True)
    piece_of = piece_of.ravel()
    return pa.RecordBatch.from_arrays(
        [
            pa.array(files).take(pa.array(piece_of)),
            pa.array(np.asarray(batch.column(POSITION)) + np.array(to_lines)[piece_of]),
            batch.column(RAW).cast(pa.string()),
            pa.array(columns, pa.string()).take(pa.array(state_of)),
            pa.array(texts).take(pa.array(state_of)),
        ],
        schema=_SCHEMA,
    )
