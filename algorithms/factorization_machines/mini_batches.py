"""Rows of a channel in the shape that the kernels work on: CSR, and grouped by column per mini-batch."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray


class Rows(NamedTuple):
    """Rows of a sparse matrix (CSR) with their labels."""

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    labels: NDArray[np.float32]


class Groups(NamedTuple):
    """The same entries, grouped by column within each mini-batch."""

    batch_start: NDArray[np.int64]
    """(batches + 1,) where each mini-batch's columns start in ``touched``."""
    touched: NDArray[np.int32]
    """The columns that each mini-batch holds, each once, those with the fewest entries first.

    Loops over entries then take as many turns as the one before, which processors foresee."""
    entry_start: NDArray[np.int64]
    """(touched + 1,) where each touched column's entries start."""
    rows: NDArray[np.int32]
    """(nnz,) row within the mini-batch."""
    values: NDArray[np.float32]


def _sort_by_count(touched: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """Sort columns by ``counts[column]``, those with the same count as they are."""
    most = 0
    for column in touched:
        most = max(most, counts[column])
    starts = np.zeros(most + 2, np.int64)
    for column in touched:
        starts[counts[column] + 1] += 1
    for count in range(1, most + 2):
        starts[count] += starts[count - 1]
    for column in touched.copy():
        count = counts[column]
        touched[starts[count]] = column
        starts[count] += 1


sort_by_count = numba.njit(cache=True)(_sort_by_count)


def _group_by_column(
    rows: Rows, mini_batch_size: int, last_seen: NDArray[np.int64], positions: NDArray[np.int64]
) -> Groups:
    """Group each mini-batch's entries by column.

    ``last_seen`` and ``positions`` are work space of ``feature_dim`` elements, ``last_seen`` holding -1
    everywhere and left so: nothing here takes time in proportion to ``feature_dim``.
    """
    indptr, columns = rows.indptr, rows.columns
    row_count = indptr.size - 1
    batches = (row_count + mini_batch_size - 1) // mini_batch_size
    batch_start = np.zeros(batches + 1, np.int64)
    touched = np.empty(columns.size, np.int32)
    entry_start = np.zeros(columns.size + 1, np.int64)
    entry_rows = np.empty(columns.size, np.int32)
    entry_values = np.empty(columns.size, np.float32)
    found = 0
    for batch in range(batches):
        first_row = batch * mini_batch_size
        last_row = min(first_row + mini_batch_size, row_count)
        first_found = found
        for entry in range(indptr[first_row], indptr[last_row]):
            column = columns[entry]
            if last_seen[column] < 0:
                last_seen[column] = found
                touched[found] = column
                positions[column] = 0
                found += 1
            positions[column] += 1
        sort_by_count(touched[first_found:found], positions)
        start = entry_start[first_found]
        for group in range(first_found, found):
            column = touched[group]
            count = positions[column]
            positions[column] = start
            start += count
            entry_start[group + 1] = start
        for row in range(first_row, last_row):
            for entry in range(indptr[row], indptr[row + 1]):
                column = columns[entry]
                position = positions[column]
                entry_rows[position] = row - first_row
                entry_values[position] = rows.values[entry]
                positions[column] = position + 1
        for group in range(first_found, found):
            last_seen[touched[group]] = -1
        batch_start[batch + 1] = found
    return Groups(
        batch_start, touched[:found].copy(), entry_start[: found + 1].copy(), entry_rows, entry_values
    )


group_by_column = numba.njit(cache=True)(_group_by_column)
