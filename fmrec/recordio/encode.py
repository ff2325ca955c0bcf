"""Whole batches of rows to recordIO-protobuf, at the speed of memory and byte for byte as SageMaker SDK v2.

Three ways lead to the same bytes: ``encode_uniform`` for rows that share a layout (two-hot rows, dense rows),
``encode_ragged`` (or ``compiled``) for sparse rows of any lengths, and ``encode_general`` for all others.
Neither loops over rows in Python, and neither holds more than a chunk in addition to its output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fmrec.errors import InputError
from fmrec.recordio import compiled, encode_general, encode_ragged, encode_uniform
from fmrec.recordio.row_arrays import Rows
from fmrec.recordio.wire import FLOAT32, FLOAT64, INT32, Bytes, Integers, TensorType

CHUNK_ELEMENTS = 1 << 18
"""Rows plus values encoded at once: enough that calls cost little, few enough for some ten megabytes."""


JOINED_ELEMENTS = 1 << 23
"""The same of compiled loops where all chunks are put together: they need no processor's cache, and a few
chunks are joined faster than many."""


def write_spmatrix_to_sparse_tensor(file: BinaryIO, array: Any, labels: ArrayLike | None = None) -> None:
    """Write a SciPy sparse matrix as sparse records, one per row; SDK v2's function of that name.

    Stored zeros and the order of a row's keys are kept.

    Parameters
    ----------
    file
        Binary file open for writing.
    array
        Sparse matrix (rows, feature_dim) of float32, float64 or int64 (written as Int32).
    labels
        One label a row, shape (rows,), of the same dtypes. Unlike the SDK, whose check lets them pass,
        as many labels as columns are refused.

    Raises
    ------
    InputError
        Not a sparse matrix, another shape or dtype, or integers beyond 32 bits.
    """
    if not hasattr(array, "tocsr"):
        raise InputError(
            f"a sparse matrix is expected, this is a {type(array).__name__}: use write_numpy_to_dense_tensor, "
            "or make a scipy.sparse.csr_matrix of it"
        )
    if array.ndim != 2:
        raise InputError(f"a matrix is expected, this array has {array.ndim} dimensions")
    rows = array.tocsr()
    for chunk in csr_chunks(rows.indptr, rows.indices, rows.data, rows.shape[1], labels):
        file.write(chunk.data)


def write_numpy_to_dense_tensor(file: BinaryIO, array: ArrayLike, labels: ArrayLike | None = None) -> None:
    """Write a matrix as dense records, one per row; SDK v2's function of that name.

    Parameters and errors are those of ``write_spmatrix_to_sparse_tensor``, but that ``array`` is a NumPy
    array, or what NumPy makes one of: a list of lists, a DataFrame.
    """
    for chunk in dense_chunks(array, labels):
        file.write(chunk.data)


def encode_csr(
    indptr: ArrayLike,
    indices: ArrayLike,
    values: ArrayLike,
    feature_dim: int,
    labels: ArrayLike | None = None,
) -> Bytes:
    """Encode rows in CSR form as sparse records.

    Parameters
    ----------
    indptr
        Shape (rows + 1,): row r holds the elements ``indptr[r]`` to ``indptr[r + 1]``. Need not start at 0.
    indices, values
        Columns (any integer dtype) and values (float32, float64 or int64) of the elements.
    feature_dim
        Number of columns, written as every record's shape; below 2**63.
    labels
        One label a row (float32, float64 or int64), or None.

    Returns
    -------
    numpy.ndarray
        The records' bytes, uint8.

    Raises
    ------
    InputError
        Shapes that don't fit, another dtype, a column outside the matrix, integers beyond 32 bits.
    """
    return _joined(_chunks(*_checked(indptr, indices, values, feature_dim, labels), JOINED_ELEMENTS))


def encode_dense(array: ArrayLike, labels: ArrayLike | None = None) -> Bytes:
    """Encode a matrix (rows, features) of float32, float64 or int64 as dense records.

    Returns the records' bytes, uint8. Raises InputError as ``encode_csr``.
    """
    return _joined(dense_chunks(array, labels))


def csr_chunks(
    indptr: ArrayLike,
    indices: ArrayLike,
    values: ArrayLike,
    feature_dim: int,
    labels: ArrayLike | None = None,
) -> Iterator[Bytes]:
    """Yield what ``encode_csr`` returns in chunks of whole records, for a writer of any batch in fixed
    memory.
    """
    yield from _chunks(*_checked(indptr, indices, values, feature_dim, labels), CHUNK_ELEMENTS)


def _checked(
    indptr: ArrayLike, indices: ArrayLike, values: ArrayLike, feature_dim: int, labels: ArrayLike | None
) -> tuple[NDArray[np.int64], Rows]:
    """Return row boundaries and the rows, whose values and columns are still to be checked chunk by chunk."""
    values = _as_array(values, "values", 1)
    indices = _as_array(indices, "columns", 1)
    indptr = _as_array(indptr, "row boundaries", 1)
    value_type = tensor_type(values.dtype, "array")
    labels, label_type = _check_labels(labels, len(indptr) - 1)
    if not isinstance(feature_dim, int | np.integer) or not 0 <= feature_dim < 1 << 63:
        raise InputError(f"feature_dim is {feature_dim!r}: expected an integer from 0 to 2**63 - 1")
    feature_dim = int(feature_dim)
    if indptr.dtype.kind not in "iu":
        raise InputError(f"row boundaries are {indptr.dtype}: expected integers")
    indptr = indptr.astype(np.int64, copy=False)
    if not len(indptr) or indptr[0] < 0 or indptr[-1] > min(len(indices), len(values)):
        raise InputError(
            f"row boundaries don't fit {len(indices)} columns and {len(values)} values: indptr is "
            f"{indptr[:1].tolist()} to {indptr[-1:].tolist()}"
        )
    counts = np.diff(indptr)
    if len(counts) and counts.min() < 0:
        raise InputError(f"row boundaries descend at row {int(np.argmin(counts))}")
    return indptr, Rows(counts, values, value_type, indices, feature_dim, labels, label_type)


def _chunks(indptr: NDArray[np.int64], rows: Rows, chunk_elements: int) -> Iterator[Bytes]:
    counts, keys, labels = rows.counts, rows.keys, rows.labels
    if not compiled.is_ready(0) or not compiled.encodes(rows):
        chunk_elements = CHUNK_ELEMENTS
    for start, end in _chunk_bounds(counts, chunk_elements):
        inside = slice(indptr[start], indptr[end])
        yield encode_rows(
            replace(
                rows,
                counts=counts[start:end],
                values=_check_integers(rows.values[inside]),
                keys=None if keys is None else _check_columns(keys[inside], rows.feature_dim),
                labels=None if labels is None else labels[start:end],
            )
        )


def dense_chunks(array: ArrayLike, labels: ArrayLike | None = None) -> Iterator[Bytes]:
    """Yield what ``encode_dense`` returns in chunks of whole records."""
    if hasattr(array, "tocsr"):
        raise InputError(
            f"a dense matrix is expected, this is a {type(array).__name__}: use write_spmatrix_to_sparse_tensor "
            "or encode_csr, which keep it sparse"
        )
    array = _as_array(array, "array", 2)
    rows, width = array.shape
    value_type = tensor_type(array.dtype, "array")
    labels, label_type = _check_labels(labels, rows)
    step = max(1, CHUNK_ELEMENTS // (width + 1))
    for start in range(0, rows, step):
        chunk = array[start : start + step]
        yield encode_rows(
            Rows(
                counts=np.full(len(chunk), width),
                values=_check_integers(chunk.ravel()),
                value_type=value_type,
                keys=None,
                feature_dim=width,
                labels=None if labels is None else labels[start : start + step],
                label_type=label_type,
            )
        )


def tensor_type(dtype: np.dtype[Any], of: str) -> TensorType:
    """Return how SDK v2 writes a dtype: float32, float64, and int64 as Int32.

    Raises
    ------
    InputError
        Any other dtype.
    """
    for accepted, tensor in ((np.float32, FLOAT32), (np.float64, FLOAT64), (np.int64, INT32)):
        if dtype == accepted:
            return tensor
    raise InputError(f"unsupported dtype {dtype} on {of}: expected float32, float64 or int64")


def encode_rows(rows: Rows) -> Bytes:
    """Encode one chunk that was checked already."""
    # Loops that are loaded write any sparse rows; those that are not are loaded for ragged ones alone.
    encoded = compiled.encode(rows) if compiled.is_ready(0) else None
    if encoded is None:
        encoded = encode_uniform.encode(rows)
    if encoded is None and compiled.is_ready(len(rows)):
        encoded = compiled.encode(rows)
    if encoded is None:
        encoded = encode_ragged.encode(rows)
    return encode_general.encode(rows) if encoded is None else encoded


def _joined(chunks: Iterator[Bytes]) -> Bytes:
    collected = list(chunks)
    return collected[0] if len(collected) == 1 else np.concatenate([np.empty(0, np.uint8), *collected])


def _as_array(given: ArrayLike, what: str, dimensions: int | None = None) -> NDArray[Any]:
    """Return what NumPy makes of an array, a list or a DataFrame, without a copy where it can."""
    if isinstance(given, np.ma.MaskedArray):
        raise InputError(f"{what} are a masked array: fill it first, as masked values can't be written")
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise InputError(f"{what}: a {type(given).__name__} is no array of numbers: {error}") from error
    if dimensions is not None and array.ndim != dimensions:
        expected = "a matrix is expected" if dimensions == 2 else f"one dimension is expected of {what}"
        raise InputError(f"{expected}, this array has {array.ndim} dimensions")
    return array


def _check_labels(labels: ArrayLike | None, rows: int) -> tuple[NDArray[Any] | None, TensorType | None]:
    if labels is None:
        return None, None
    if hasattr(labels, "tocsr"):
        raise InputError(f"labels are a {type(labels).__name__}: expected an array of one per row")
    array = _as_array(labels, "labels")
    if array.shape != (rows,):
        raise InputError(f"labels have the shape {array.shape}: expected one per row, ({rows},)")
    _check_integers(array)
    return array, tensor_type(array.dtype, "labels")


def _check_integers(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "i" and values.size:
        low, high = int(values.min()), int(values.max())
        if low < -(1 << 31) or high >= 1 << 31:
            raise InputError(f"int64 is written as Int32, but values go from {low} to {high}")
    return values


def _check_columns(indices: Integers, feature_dim: int) -> Integers:
    if indices.dtype.kind not in "iu":
        raise InputError(f"columns are {indices.dtype}: expected integers")
    if indices.size:
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= feature_dim:
            raise InputError(
                f"columns go from {low} to {high}: expected 0 to feature_dim - 1 = {feature_dim - 1}"
            )
    return indices


def _chunk_bounds(counts: Integers, chunk_elements: int) -> Iterator[tuple[int, int]]:
    """Split rows so that a chunk holds about so many rows and values, and at least one row."""
    work = np.cumsum(counts + 1)
    start = 0
    while start < len(counts):
        done = int(work[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(work, done + chunk_elements, side="right")))
        yield start, end
        start = end
