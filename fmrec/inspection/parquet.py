"""A bounded sample of a Parquet file's rows, as text: row groups from its beginning, middle and end."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fmrec.errors import FormatError
from fmrec.inspection.profiles import Cell
from fmrec.storage import object_store

ROWS_PER_GROUP = 5000
DEEPEST = 4


def read_parquet(uri: str) -> tuple[dict[str, list[Cell]], int, bool]:
    """Return cells by field, the number of all rows, and whether all of them were read.

    Raises
    ------
    FormatError
        The file can't be read as Parquet.
    """
    try:
        with object_store.open_input(uri) as raw:
            file = pq.ParquetFile(raw)
            groups = file.metadata.num_row_groups
            chosen = sorted({0, groups // 2, groups - 1} & set(range(groups)))
            tables = []
            for group in chosen:
                batch = next(file.iter_batches(ROWS_PER_GROUP, row_groups=[group]), None)
                if batch is not None:
                    tables.append(pa.Table.from_batches([batch]))
            table = pa.concat_tables(tables) if tables else file.schema_arrow.empty_table()
            total = file.metadata.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise FormatError(f"{uri} can't be read as Parquet: {str(error).splitlines()[0]}") from error
    for _ in range(DEEPEST):
        if any(pa.types.is_struct(kind) for kind in table.schema.types):
            table = table.flatten()
    columns = {name: _cells(table.column(at)) for at, name in enumerate(table.column_names)}
    return columns, total, table.num_rows == total


def _cells(column: Any) -> list[Cell]:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [
            None if values is None else [str(value) for value in values if value is not None]
            for values in column.to_pylist()
        ]
    if pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_nested(kind):
        return [None if value is None else _text(value) for value in column.to_pylist()]
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    cells: list[Cell] = pc.cast(column, pa.string(), safe=False).to_pylist()
    return cells


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
