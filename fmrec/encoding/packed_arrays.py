"""Arrays of numbers to bytes and back: what travels between tasks, as narrow as its numbers allow.

Feature ids, row numbers, times and labels are 64 bits wide in memory, but those of some rows span few
values, and each byte costs time at every shuffle. Each array is stored as its minimum and unsigned integers
above it, of 1, 2, 4 or 8 bytes, or of none if all are the same; floats so, too, if all are integers, or
as float32 where that loses nothing. What comes back is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ORIGINAL = [np.dtype(kind) for kind in ("int64", "float64", "float32", "bool")]
_STORED = [np.dtype(kind) for kind in ("uint8", "uint16", "uint32", "int64", "float32", "float64")]
_UNSIGNED = _STORED[:3]
_NOTHING = len(_STORED)
"""Stands for an array of one value only, which its header holds."""
_ALIGN = 8
_EXACT = 2.0**53
_BITS: dict[int, Any] = {4: np.int32, 8: np.int64}


def pack(arrays: Iterable[NDArray[Any]]) -> bytes:
    """Pack arrays of int64, float64, float32 or bool."""
    headers: list[tuple[int, int, int, int]] = []
    parts: list[bytes] = []
    for array in arrays:
        minimum, stored = _narrowed(array)
        kind = _NOTHING if stored is None else _STORED.index(stored.dtype)
        headers.append((_ORIGINAL.index(array.dtype), kind, len(array), minimum))
        if stored is not None:
            parts += [stored.tobytes(), bytes(-stored.nbytes % _ALIGN)]
    return b"".join((len(headers).to_bytes(8, "little"), np.array(headers, np.int64).tobytes(), *parts))


def unpack(data: bytes | memoryview) -> list[NDArray[Any]]:
    """Return the arrays as they were packed; some may be read-only."""
    number = int.from_bytes(data[:8], "little")
    headers = np.frombuffer(data, np.int64, 4 * number, 8).reshape(-1, 4)
    at = 8 + headers.nbytes
    arrays: list[NDArray[Any]] = []
    for original, kind, count, minimum in headers.tolist():
        dtype = _ORIGINAL[original]
        if kind == _NOTHING:
            arrays.append(np.full(count, minimum, dtype))
            continue
        stored = np.frombuffer(data, _STORED[kind], count, at)
        at += stored.nbytes + -stored.nbytes % _ALIGN
        if stored.dtype in _UNSIGNED:
            stored = stored.astype(np.int64)
            stored += minimum
        arrays.append(stored.astype(dtype, copy=False))
    return arrays


def as_integers(array: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return floats as integers, or None if that would lose anything."""
    if not len(array):
        return np.zeros(0, np.int64)
    low, high = array.min(), array.max()
    if not (low >= -_EXACT and high <= _EXACT):  # NaN is neither
        return None
    integers = array.astype(np.int64)
    return integers if _same_bits(integers.astype(array.dtype), array) else None


def _narrowed(array: NDArray[Any]) -> tuple[int, NDArray[Any] | None]:
    """Return the minimum and what to store above it."""
    if array.dtype == np.bool_:
        array = array.astype(np.int64)
    if array.dtype != np.int64:
        integers = as_integers(array)
        if integers is None:
            with np.errstate(over="ignore"):
                short = array.astype(np.float32)
            return 0, short if _same_bits(short.astype(array.dtype), array) else array
        array = integers
    if not len(array):
        return 0, None
    minimum = int(array.min())
    span = int(array.max()) - minimum
    if not span:
        return minimum, None
    for dtype in _UNSIGNED:
        if span <= np.iinfo(dtype).max:
            return minimum, (array - minimum).astype(dtype)
    return 0, array


def _same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Say whether floats are the same, also NaN and the sign of zero."""
    bits = _BITS[one.dtype.itemsize]
    return np.array_equal(one.view(bits), other.view(bits))
