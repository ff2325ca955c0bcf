"""All features that a user or an item brings, own column and side features, as the encoding job writes them.

``user_features/`` and ``item_features/`` are Parquet in the order of columns (docs/contracts.md). Any range
of rows is read by itself, in memory that follows the range, and without SciPy, which the Lambdas lack.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmrec.artifacts.manifest import Manifest
from fmrec.artifacts.sorted_parquet import SortedParquet
from fmrec.errors import FormatError
from fmrec.storage import object_store

BLOCK_PRODUCTS = 1 << 20
"""Products held at once while rows are multiplied: 8 MiB."""
COLUMNS = ("column", "columns", "values")


class CompressedRows:
    """A matrix of compressed sparse rows: of SciPy's ``csr_matrix`` what ``FactorizationMachine.fold`` needs.

    Parameters
    ----------
    arrays
        Values, columns and row pointers, as SciPy takes them.
    shape
        Rows and columns.
    """

    def __init__(
        self, arrays: tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]], shape: tuple[int, int]
    ) -> None:
        self.data, self.indices, self.indptr = arrays
        self.shape = shape

    def tocsr(self) -> CompressedRows:
        return self

    def __getitem__(self, rows: slice) -> CompressedRows:
        start, end, _ = rows.indices(self.shape[0])
        indptr = self.indptr[start : max(start, end) + 1]
        held = slice(int(indptr[0]), int(indptr[-1]))
        arrays = (self.data[held], self.indices[held], indptr - indptr[0])
        return CompressedRows(arrays, (len(indptr) - 1, self.shape[1]))

    def __matmul__(self, dense: NDArray[np.float64]) -> NDArray[np.float64]:
        product = np.zeros((self.shape[0], *dense.shape[1:]))
        step = max(1, BLOCK_PRODUCTS * self.shape[0] // max(1, len(self.data) * dense[:1].size))
        for start in range(0, self.shape[0], step):
            rows = self[start : start + step]
            values = rows.data if dense.ndim == 1 else rows.data[:, None]
            filled = np.flatnonzero(np.diff(rows.indptr))  # an empty row has no sum to start
            if len(filled):
                summed = np.add.reduceat(values * dense[rows.indices], rows.indptr[filled])
                product[start + filled] = summed
        return product


class SideRows:
    """One side's rows, from the first column on.

    Parameters
    ----------
    folder_uri
        ``encoded/<run>/user_features/`` or ``item_features/``.
    columns
        The half-open range of the users' or items' own columns.
    feature_dim
        Width of the rows.

    Raises
    ------
    FormatError
        The folder doesn't hold these Parquet files.
    """

    def __init__(self, folder_uri: str, columns: tuple[int, int], feature_dim: int) -> None:
        self._folder_uri = folder_uri
        self._columns = columns
        self.shape = (columns[1] - columns[0], feature_dim)
        self._files = SortedParquet(folder_uri, COLUMNS[0], COLUMNS[1:])

    def __getitem__(self, rows: slice) -> CompressedRows:
        """Read a range of rows.

        Raises
        ------
        FormatError
            A row is missing, or has a column beyond ``feature_dim``.
        """
        start, end, _ = rows.indices(self.shape[0])
        first, last = self._columns[0] + start, self._columns[0] + max(start, end)
        own, lengths, columns, values = ([np.zeros(0, np.int64)] for _ in range(4))
        for _, batch in self._files.batches(first, last, COLUMNS):
            own.append(batch.column("column").to_numpy())
            lengths.append(batch.column("columns").value_lengths().to_numpy())
            columns.append(_flat(batch.column("columns")))
            values.append(_flat(batch.column("values")))
        if not np.array_equal(np.concatenate(own), np.arange(first, last)):
            raise FormatError(
                f"{self._folder_uri} lacks rows of the columns {first} to {last - 1}: encode the data again"
            )
        found = np.concatenate(columns)
        if int(found.max(initial=0)) >= self.shape[1]:
            raise FormatError(f"{self._folder_uri} has column {found.max()}: expected below {self.shape[1]}")
        indptr = np.concatenate(([0], np.cumsum(np.concatenate(lengths))))
        return CompressedRows((np.concatenate(values), found, indptr), (last - first, self.shape[1]))


def read_side_rows(manifest: Manifest, manifest_uri: str, side: str) -> SideRows | None:
    """Return the rows of ``user`` or ``item``, or None if the data set gives it no side features."""
    folder = manifest.details.get("side_features", {}).get(side)
    if folder is None:
        return None
    uri = object_store.join(manifest_uri.rpartition("/")[0], folder)
    return SideRows(uri, manifest.ranges[side], manifest.feature_dim)


def _flat(lists: pa.ListArray) -> NDArray[Any]:
    flat: NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False)
    return flat
