"""From Arrow columns to compressed sparse rows, with whole-column NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmrec.errors import InputError


@dataclass(frozen=True)
class SparseColumns:
    """Which columns hold a row's non-zeros.

    Parameters
    ----------
    indices : tuple of str
        Columns of integers (one non-zero a row, none where null) or of lists of them.
    values : tuple of (str or float)
        What stands at those indices: a number for all, or a column shaped like the indices'.
    """

    indices: tuple[str, ...]
    values: tuple[str | float, ...]

    def to_csr(
        self, batch: pa.RecordBatch, feature_dim: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return indptr (rows + 1,), indices (non-zeros,) and values (non-zeros,), in column order.

        Raises
        ------
        InputError
            An index outside ``[0, feature_dim)``, or values that don't fit the indices.
        """
        lengths = [_lengths(batch[name]) for name in self.indices]
        indptr = np.zeros(batch.num_rows + 1, dtype=np.int64)
        np.cumsum(np.sum(lengths, axis=0), out=indptr[1:])
        indices = np.empty(indptr[-1], dtype=np.int64)
        values = np.empty(indptr[-1], dtype=np.float32)
        start = indptr[:-1].copy()
        for name, value, length in zip(self.indices, self.values, lengths, strict=True):
            place = _places(start, length)
            found = _flat(batch[name])
            if len(found) and (found.min() < 0 or found.max() >= feature_dim):
                bad = found.min() if found.min() < 0 else found.max()
                raise InputError(
                    f"column {name} holds index {bad}: expected 0 to {feature_dim - 1}, "
                    f"since feature_dim is {feature_dim}"
                )
            indices[place] = found
            values[place] = self._values(batch, name, value, length)
            start += length
        return indptr, indices, values

    @staticmethod
    def _values(
        batch: pa.RecordBatch, name: str, value: str | float, length: NDArray[np.int64]
    ) -> NDArray[np.float32] | float:
        if not isinstance(value, str):
            return value
        if not np.array_equal(_lengths(batch[value]), length):
            raise InputError(f"columns {name} and {value} have rows of different lengths or nulls")
        return _flat(batch[value]).astype(np.float32, copy=False)


def _is_list(column: pa.Array) -> bool:
    return bool(pa.types.is_list(column.type) or pa.types.is_large_list(column.type))


def _lengths(column: pa.Array) -> NDArray[np.int64]:
    """Non-zeros of each row."""
    if _is_list(column):
        return np.asarray(column.value_lengths().fill_null(0)).astype(np.int64)
    if not column.null_count:
        return np.ones(len(column), dtype=np.int64)
    return np.asarray(column.is_valid()).astype(np.int64)


def _flat(column: pa.Array) -> NDArray[np.generic]:
    """All entries without the nulls, row after row."""
    entries = column.flatten() if _is_list(column) else column
    if entries.null_count:
        if _is_list(column):
            raise InputError("an array holds a null: expected a number")
        entries = entries.drop_null()
    return np.asarray(entries)


def _places(start: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    """Where each entry of a column goes, given each row's first place."""
    if len(start) and (length == 1).all():
        return start.copy()
    first = np.repeat(start - np.concatenate(([0], np.cumsum(length)[:-1])), length)
    return np.asarray(first + np.arange(len(first)), dtype=np.int64)
