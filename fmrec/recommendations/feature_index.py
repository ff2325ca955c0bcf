"""Names of feature columns, read from the feature index that the encoding job wrote.

The index is a folder of Parquet files, sorted by ``column``, with ``column``, ``namespace`` and
``name`` (docs/contracts.md). Only the row groups that a range of columns touches are read, and those
as a stream, so that memory doesn't grow with the number of users.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fmrec import objectstore
from fmrec.errors import FormatError

BATCH_ROWS = 16_384


@dataclass(frozen=True)
class RowGroup:
    """One row group of one file, and the columns that it holds, first to last inclusive."""

    uri: str
    number: int
    first: int
    last: int


class FeatureIndex:
    """The feature index of one encoding run.

    Opening it reads the files' footers only.

    Raises
    ------
    FormatError
        The folder holds no Parquet file, or a file lacks the columns or their statistics.
    """

    def __init__(self, folder_uri: str) -> None:
        self.folder_uri = folder_uri
        uris = [o.uri for o in objectstore.list_objects(folder_uri) if o.uri.endswith(".parquet")]
        if not uris:
            raise FormatError(
                f"{folder_uri} holds no Parquet file, expected the feature index: encode the data again"
            )
        groups = [group for uri in uris for group in _row_groups(uri)]
        self.row_groups = sorted(groups, key=lambda group: (group.first, group.last))

    def names(self, start: int, end: int) -> pa.Array:
        """Names of the columns ``[start, end)``, in that order, as one Arrow string array.

        Raises
        ------
        FormatError
            The index lacks a column, has one twice, or isn't sorted.
        """
        return pa.concat_arrays([pa.array([], pa.string()), *self.stream(start, end)])

    def stream(self, start: int, end: int) -> Iterator[pa.Array]:
        """The same in pieces of at most `BATCH_ROWS`, in constant memory."""
        expected = start
        for group in self.row_groups:
            if group.last < start or group.first >= end:
                continue
            with objectstore.open_input(group.uri) as file, pq.ParquetFile(file, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(BATCH_ROWS, [group.number], ["column", "name"]):
                    columns = batch.column("column").to_numpy()
                    inside = (columns >= start) & (columns < end)
                    columns = columns[inside]
                    wanted = np.arange(expected, expected + len(columns))
                    if not np.array_equal(columns, wanted):
                        at = int(columns[columns != wanted][0])
                        raise FormatError(
                            f"{group.uri}: column {at} stands where {int(wanted[columns != wanted][0])} was "
                            "expected; the feature index must hold each column once, sorted by column"
                        )
                    expected += len(columns)
                    if len(columns):
                        yield pc.filter(batch.column("name"), pa.array(inside))
        if expected != end:
            raise FormatError(
                f"{self.folder_uri}: column {expected} is missing from the feature index, which the "
                f"manifest says reaches to {end}: encode the data again"
            )


class NameReader:
    """Hands out consecutive names in the amounts asked for, from pieces of any length."""

    def __init__(self, pieces: Iterator[pa.Array]) -> None:
        self._pieces = pieces
        self._held = pa.array([], pa.string())

    def take(self, count: int) -> pa.Array:
        """The next `count` names, or fewer at the end."""
        held, rows = [self._held], len(self._held)
        while rows < count and (piece := next(self._pieces, None)) is not None:
            held.append(piece)
            rows += len(piece)
        joined = pa.concat_arrays(held)
        self._held = joined[count:]
        return joined[:count]


def _row_groups(uri: str) -> Iterator[RowGroup]:
    with objectstore.open_input(uri) as file, pq.ParquetFile(file) as parquet:
        schema = parquet.schema_arrow
        missing = {"column", "name"} - set(schema.names)
        if missing:
            raise FormatError(f"{uri}: no column {sorted(missing)[0]!r}, expected 'column' and 'name'")
        position = schema.names.index("column")
        for number in range(parquet.num_row_groups):
            part = parquet.metadata.row_group(number)
            if part.num_rows == 0:
                continue
            statistics = part.column(position).statistics
            if statistics is None or not statistics.has_min_max:
                raise FormatError(f"{uri}: row group {number} has no statistics of 'column'")
            yield RowGroup(uri, number, statistics.min, statistics.max)
