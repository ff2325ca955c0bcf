"""Read a range of rows from a folder of Parquet files that are sorted by an integer column.

Only the row groups whose statistics overlap the range are opened, and those as a stream, so that time and
memory follow the range and not the folder. Files and row groups may come in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fmrec.errors import FormatError
from fmrec.storage import object_store

BATCH_ROWS = 16_384


@dataclass(frozen=True)
class RowGroup:
    """One row group of one file, and the keys that it holds, first to last inclusive."""

    uri: str
    number: int
    first: int
    last: int


class SortedParquet:
    """A folder of Parquet files with an integer column `key`.

    Opening it reads the files' footers only.

    Raises
    ------
    FormatError
        The folder holds no Parquet file, or a file lacks one of the columns or the key's statistics.
    """

    def __init__(self, folder_uri: str, key: str, columns: Sequence[str] = ()) -> None:
        self.folder_uri = folder_uri
        self.key = key
        uris = [o.uri for o in object_store.list_objects(folder_uri) if o.uri.endswith(".parquet")]
        if not uris:
            raise FormatError(f"{folder_uri} holds no Parquet file: encode the data again")
        self.schema: pa.Schema = None
        groups = [group for uri in uris for group in self._open(uri, columns)]
        self.row_groups = sorted(groups, key=lambda group: (group.first, group.last))

    def batches(self, start: int, end: int, columns: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the file and at most `BATCH_ROWS` rows whose key lies in ``[start, end)``, again
        and again.
        """
        for group in self.row_groups:
            if group.last < start or group.first >= end:
                continue
            with (
                object_store.open_input(group.uri) as file,
                pq.ParquetFile(file, pre_buffer=False) as parquet,
            ):
                for batch in parquet.iter_batches(BATCH_ROWS, [group.number], list(columns)):
                    keys = batch.column(self.key)
                    inside = pc.and_(pc.greater_equal(keys, start), pc.less(keys, end))
                    rows = batch.filter(inside)
                    if rows.num_rows:
                        yield group.uri, rows

    def _open(self, uri: str, columns: Sequence[str]) -> Iterator[RowGroup]:
        with object_store.open_input(uri) as file, pq.ParquetFile(file) as parquet:
            self.schema = parquet.schema_arrow
            for column in (self.key, *columns):
                if column not in self.schema.names:
                    raise FormatError(f"{uri}: no column {column!r}; it has {', '.join(self.schema.names)}")
            position = self.schema.names.index(self.key)
            for number in range(parquet.num_row_groups):
                part = parquet.metadata.row_group(number)
                if part.num_rows == 0:
                    continue
                statistics = part.column(position).statistics
                if statistics is None or not statistics.has_min_max:
                    raise FormatError(f"{uri}: row group {number} has no statistics of {self.key!r}")
                yield RowGroup(uri, number, statistics.min, statistics.max)
