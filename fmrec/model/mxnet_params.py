"""MXNet's NDArray list files (``.params``) without MXNet, which is retired and breaks on NumPy 1.24 and
later.

All numbers are little endian. File: ``u64 0x112``, ``u64 0``, ``u64 n``, n arrays, ``u64 names`` (0 or n),
names as ``u64 length`` and bytes. An array of version 2:

==============  ================  ===================================================================
field           type              note
==============  ================  ===================================================================
magic           u32               0xF993FAC9; V1 0xF993FAC8 has no stype; V3 0xF993FACA knows scalars;
                                  any other is V0: the number itself is ndim, and dimensions are u32
stype           i32               0 dense, 1 row_sparse, 2 csr
storage shape   i32 ndim, i64s    only if sparse: rows stored, columns
shape           i32 ndim, i64s    no dimensions: an empty array, of which nothing follows
context         i32, i32          device type (cpu is 1) and number
type flag       i32               position in ``DTYPES``
aux             i32 type, shape   row_sparse: indices; csr: indptr, indices; all int64
data            raw               row-major, of the storage shape if sparse
aux data        raw
==============  ================  ===================================================================

Source: apache/mxnet 1.9.1, ``src/ndarray/ndarray.cc`` (``NDArray::Save`` and ``Load``).
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import FormatError, InputError

LIST_MAGIC = 0x112
V1_MAGIC, V2_MAGIC, V3_MAGIC = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE, ROW_SPARSE, CSR = 0, 1, 2
STORAGE_TYPES = {DENSE: "default", ROW_SPARSE: "row_sparse", CSR: "csr"}
"""As MXNet's ``stype`` names them."""
DTYPES = [np.dtype(name) for name in ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?")]
CPU = (1, 0)
MAX_DIMENSIONS = 32


def load(source: str | Path | bytes | bytearray | memoryview | IO[bytes]) -> dict[str, NDArray[Any]]:
    """Read all arrays of an NDArray list.

    Dense arrays, and row_sparse ones with all their rows, are read-only views: of a file on disk they are
    memory-mapped, so that arrays larger than memory can be read in pieces. Other sparse arrays are made
    dense.

    Parameters
    ----------
    source
        Path, content, or binary file (from its current position; a file on disk is mapped whole).

    Returns
    -------
    dict
        Name → array in the file's order; arrays without names are called "0", "1" and so on.

    Raises
    ------
    FormatError
        Not such a file, cut off, or of a type that isn't known; names the byte offset.
    """
    return {name: array for name, (array, _) in _read_list(source).items()}


def storage_types(source: str | Path | bytes | bytearray | memoryview | IO[bytes]) -> dict[str, str]:
    """Say how each array of an NDArray list is stored: ``default`` (dense), ``row_sparse`` or ``csr``.

    Takes and raises what `load` does.
    """
    return {name: STORAGE_TYPES[storage] for name, (_, storage) in _read_list(source).items()}


def _read_list(
    source: str | Path | bytes | bytearray | memoryview | IO[bytes],
) -> dict[str, tuple[NDArray[Any], int]]:
    """Read all arrays, each with its storage type."""
    cursor = _Cursor(_content(source))
    magic = cursor.number("<Q", "the file's magic number")
    if magic != LIST_MAGIC:
        raise FormatError(f"byte 0: an NDArray list starts with 0x{LIST_MAGIC:x}, this file with 0x{magic:x}")
    cursor.number("<Q", "the reserved word")
    arrays = [_read_array(cursor) for _ in range(cursor.count("the number of arrays", 4))]
    at = cursor.position
    names = [
        bytes(cursor.take(cursor.count("a name's length", 1), "a name")).decode("utf-8", "replace")
        for _ in range(cursor.count("the number of names", 8))
    ]
    if not names:
        names = [str(place) for place in range(len(arrays))]
    if len(names) != len(arrays) or len(set(names)) != len(names):
        raise FormatError(
            f"byte {at}: {len(arrays)} arrays have {len(set(names))} different names of {len(names)}: "
            "expected one each"
        )
    return dict(zip(names, arrays, strict=True))


def save(
    target: str | Path | IO[bytes],
    arrays: Mapping[str, NDArray[Any]],
    row_sparse: Collection[str] = (),
) -> None:
    """Write arrays as an NDArray list, version 2, byte for byte as MXNet 1.9.1 writes them.

    Parameters
    ----------
    target
        Path, or binary file open for writing.
    arrays
        Name → array of one of ``DTYPES`` with at least one element.
    row_sparse
        Names of matrices that are written as row_sparse with all their rows, as MXNet writes weights that
        were trained so.

    Raises
    ------
    InputError
        An array that the format can't hold, or a name in ``row_sparse`` that isn't there.
    """
    if unknown := sorted(set(row_sparse) - set(arrays)):
        raise InputError(f"{unknown} are to be row_sparse, but the arrays are {list(arrays)}")
    for name, array in arrays.items():
        _check_savable(name, array, name in row_sparse)
    if isinstance(target, str | Path):
        with Path(target).open("wb") as file:
            save(file, arrays, row_sparse)
        return
    target.write(struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays)))
    for name, array in arrays.items():
        _write_array(target, array, name in row_sparse)
    target.write(struct.pack("<Q", len(arrays)))
    for name in arrays:
        encoded = name.encode()
        target.write(struct.pack("<Q", len(encoded)) + encoded)


def _content(source: str | Path | bytes | bytearray | memoryview | IO[bytes]) -> NDArray[np.uint8]:
    if isinstance(source, bytes | bytearray | memoryview):
        content = np.frombuffer(source, np.uint8)
        content.flags.writeable = False
        return content
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return _content(file)
    try:
        source.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return _content(source.read())
    size = source.seek(0, io.SEEK_END)
    # An empty file can't be mapped. A plain array on the map, because memmap's own indexing is slow.
    return np.asarray(np.memmap(source, np.uint8, "r")) if size else np.empty(0, np.uint8)


class _Cursor:
    """Reads numbers and bytes one after the other."""

    def __init__(self, content: NDArray[np.uint8]) -> None:
        self.content = content
        self.position = 0

    def take(self, size: int, what: str) -> NDArray[np.uint8]:
        left = len(self.content) - self.position
        if size > left:
            raise FormatError(
                f"byte {self.position}: {what} takes {size} bytes, but only {left} are left: "
                "the file is cut off or corrupt"
            )
        self.position += size
        return self.content[self.position - size : self.position]

    def number(self, form: str, what: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form), what).data)[0])

    def count(self, what: str, min_bytes: int) -> int:
        """Read how many of something follow, each of at least so many bytes."""
        at = self.position
        count = self.number("<Q", what)
        left = len(self.content) - self.position
        if count * min_bytes > left:
            raise FormatError(f"byte {at}: {what} is {count}, but only {left} bytes are left")
        return count

    def shape(self, dimensions: int, form: str) -> tuple[int, ...]:
        at = self.position
        if not 0 <= dimensions <= MAX_DIMENSIONS:
            raise FormatError(
                f"byte {at}: an array has {dimensions} dimensions: expected 0 to {MAX_DIMENSIONS}"
            )
        shape = tuple(self.number(form, "a dimension") for _ in range(dimensions))
        if any(size < 0 for size in shape):
            raise FormatError(f"byte {at}: an array has the shape {shape}")
        return shape

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> NDArray[Any]:
        at = self.position
        elements = self.take(math.prod(shape) * dtype.itemsize, what).view(dtype)
        try:
            return elements.reshape(shape)
        except ValueError as error:  # no element, and a dimension beyond what an array can have
            raise FormatError(f"byte {at}: {what} has the shape {shape}: {error}") from error

    def dtype(self) -> np.dtype[Any]:
        at = self.position
        flag = self.number("<i", "a type flag")
        if not 0 <= flag < len(DTYPES):
            names = ", ".join(f"{number} {dtype}" for number, dtype in enumerate(DTYPES))
            raise FormatError(f"byte {at}: an array has the type flag {flag}: known are {names}")
        return DTYPES[flag]


def _read_array(cursor: _Cursor) -> tuple[NDArray[Any], int]:
    at = cursor.position
    magic = cursor.number("<I", "an array's magic number")
    stype = DENSE
    storage_shape: tuple[int, ...] = ()
    if magic in {V2_MAGIC, V3_MAGIC}:
        stype = cursor.number("<i", "a storage type")
        if stype not in {DENSE, ROW_SPARSE, CSR}:
            raise FormatError(f"byte {at + 4}: an array has the storage type {stype}: expected 0, 1 or 2")
        if stype != DENSE:
            storage_shape = cursor.shape(cursor.number("<i", "a storage shape"), "<q")
    if magic in {V1_MAGIC, V2_MAGIC, V3_MAGIC}:
        dimensions = cursor.number("<i", "a shape")
        if magic == V3_MAGIC and dimensions == -1:
            return np.empty(0, np.float32), stype
        shape = cursor.shape(dimensions, "<q")
    elif magic <= MAX_DIMENSIONS:
        shape = cursor.shape(magic, "<I")
    else:
        raise FormatError(f"byte {at}: an array starts with 0x{magic:08x}, which is no version of NDArray")
    if not shape and magic != V3_MAGIC:
        return np.empty(0, np.float32), stype
    cursor.take(8, "a device context")
    dtype = cursor.dtype()
    if stype == DENSE:
        return cursor.array(dtype, shape, "an array"), stype
    aux = []
    for _ in range(stype):
        aux_dtype = cursor.dtype()
        if aux_dtype.kind != "i":
            raise FormatError(f"byte {cursor.position - 4}: an index is {aux_dtype}: expected integers")
        aux.append((aux_dtype, cursor.shape(cursor.number("<i", "an index's shape"), "<q")))
    if storage_shape[:1] == (0,) and aux[-1][1] and aux[-1][1][0] > 0:
        raise FormatError(
            f"byte {at}: a sparse array of shape {shape} has the stored shape {storage_shape} under "
            f"{aux[-1][1][0]} indices: MXNet saved it while it was still being computed; call "
            "mx.nd.waitall() before mx.nd.save and save it again"
        )
    stored = cursor.array(dtype, storage_shape, "a sparse array")
    indices = [cursor.array(aux_dtype, aux_shape, "an index") for aux_dtype, aux_shape in aux]
    return _dense(stored, indices, shape, at), stype


def _dense(
    stored: NDArray[Any], indices: list[NDArray[Any]], shape: tuple[int, ...], at: int
) -> NDArray[Any]:
    """Return a row_sparse (one index) or csr (two) array as a dense one."""
    rows = indices[0]
    if len(indices) == 1:
        fits = shape and rows.ndim == 1 and stored.shape == (len(rows), *shape[1:])
        if not fits or (len(rows) and not 0 <= rows.min() <= rows.max() < shape[0]):
            raise FormatError(
                f"byte {at}: a row_sparse array of shape {shape} stores {stored.shape} under {rows.shape} row numbers "
                "that don't fit"
            )
        if len(rows) == shape[0] and (np.diff(rows) == 1).all():
            return stored
        dense = _zeros(shape, stored.dtype, at)
        dense[rows] = stored
        return dense
    columns = indices[1]
    fits = (
        len(shape) == 2
        and rows.shape == (shape[0] + 1,)
        and stored.shape == columns.shape == (rows[-1],)
        and rows[0] == 0
        and not (np.diff(rows) < 0).any()
    )
    if not fits or (len(columns) and not 0 <= columns.min() <= columns.max() < shape[1]):
        raise FormatError(
            f"byte {at}: a csr array of shape {shape} has row boundaries or columns that don't fit"
        )
    dense = _zeros(shape, stored.dtype, at)
    dense[np.repeat(np.arange(shape[0]), np.diff(rows)), columns] = stored
    return dense


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any], at: int) -> NDArray[Any]:
    try:
        return np.zeros(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise FormatError(f"byte {at}: a sparse array of shape {shape} doesn't fit memory") from error


def _check_savable(name: str, array: NDArray[Any], as_row_sparse: bool) -> None:
    if array.dtype not in DTYPES or not array.size or not array.ndim:
        raise InputError(
            f"{name!r} is {array.dtype} of shape {array.shape}: an NDArray list holds arrays with at least one "
            f"dimension and element, of {', '.join(map(str, DTYPES))}"
        )
    if as_row_sparse and array.ndim != 2:
        raise InputError(f"{name!r} has the shape {array.shape}: only matrices are written as row_sparse")


def _write_array(file: IO[bytes], array: NDArray[Any], as_row_sparse: bool) -> None:
    shape = struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
    file.write(struct.pack("<Ii", V2_MAGIC, ROW_SPARSE if as_row_sparse else DENSE))
    if as_row_sparse:
        file.write(shape)  # all rows are stored
    file.write(shape + struct.pack("<iii", *CPU, DTYPES.index(array.dtype)))
    if as_row_sparse:
        file.write(struct.pack("<iiq", DTYPES.index(np.dtype("<i8")), 1, array.shape[0]))
    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    if as_row_sparse:
        file.write(np.arange(array.shape[0], dtype="<i8").data)
