"""Whole arrays of varints packed into bytes and unpacked from them.

A varint has seven bits a byte, lowest first; all its bytes but the last have the top bit set. Numbers of up to
four bytes are packed and unpacked in 32-bit words, larger ones byte place by byte place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import wire
from fmrec.recordio.wire import MAX_VARINT, Bytes, Integers

WORD_BYTES = 4
_WORD_MASKS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], np.uint32)


def widths(numbers: Integers) -> NDArray[np.uint8]:
    """Return how many bytes each number takes: 1 to 10, negative numbers 10."""
    found = np.ones(numbers.shape, np.uint8)
    if numbers.size == 0:
        return found
    largest = int(numbers.max())
    if numbers.dtype.kind == "i" and int(numbers.min()) < 0:
        found += np.uint8(MAX_VARINT - 1) * (numbers < 0)
    for bits in range(7, 64, 7):
        if largest >> bits == 0:
            break
        found += numbers >= 1 << bits
    return found


def pack(numbers: Integers) -> tuple[Bytes, NDArray[np.uint8]]:
    """Return the numbers' varints one after the other, and their widths."""
    sizes = widths(numbers)
    widest = int(sizes.max(initial=1))
    if widest == 1:
        return numbers.astype(np.uint8), sizes
    if widest <= WORD_BYTES:
        table = _words(numbers.astype(np.uint32)).view(np.uint8).reshape(-1, WORD_BYTES)
    else:
        table = np.empty((len(numbers), widest), np.uint8)
        bits = numbers.astype(np.uint64)
        for place in range(widest):
            table[:, place] = bits >> np.uint64(7 * place) | np.uint64(0x80)  # keeps the low 8 bits
        table[np.arange(len(numbers)), sizes - 1] &= 0x7F
    ends = np.cumsum(sizes, dtype=np.int64)
    stream = np.empty(ends[-1], np.uint8)
    starts = ends - sizes
    for size in np.flatnonzero(np.bincount(sizes)).tolist():
        own = np.flatnonzero(sizes == size)
        moved = wire.windows(table.ravel(), size)[own * table.shape[1]]
        wire.windows(stream, size)[starts[own]] = moved
    return stream, sizes


def put(out: Bytes, offsets: Integers, numbers: Integers) -> NDArray[np.uint8]:
    """Write the k-th number at the k-th offset; return the widths."""
    stream, sizes = pack(numbers)
    at = np.cumsum(sizes, dtype=np.int64) - sizes
    wire.move_segments(out, offsets, stream, at, sizes.astype(np.int64), 1)
    return sizes


def unpack(stream: Bytes, size: int) -> tuple[NDArray[np.unsignedinteger[Any]], NDArray[np.int64]]:
    """Return the numbers in a stream's first ``size`` bytes, and the place of each one's last byte.

    The stream must go on for four bytes after them. A number's bits beyond 64 are lost; one that is cut
    off at the end isn't returned.
    """
    last = np.flatnonzero(stream[:size] < 0x80)
    first = np.empty_like(last)
    if len(last):
        first[0] = 0
        np.add(last[:-1], 1, out=first[1:])
    sizes = last - first + 1
    widest = int(sizes.max(initial=1))
    if widest == 1:
        return stream[last].astype(np.uint32), last
    if widest <= WORD_BYTES:
        words = wire.windows(stream, WORD_BYTES)[first].view("<u4")
        words &= _WORD_MASKS[sizes]
        numbers: NDArray[np.unsignedinteger[Any]] = words & np.uint32(0x7F)
        for place in range(1, widest):
            words >>= 1
            numbers |= words & 0x7F << 7 * place
        return numbers, last
    large = np.zeros(len(last), np.uint64)
    for place in range(min(widest, MAX_VARINT)):
        longer = slice(None) if place == 0 else np.flatnonzero(sizes > place)
        septets = (stream[first[longer] + place] & 0x7F).astype(np.uint64)
        large[longer] |= septets << np.uint64(7 * place)
    return large, last


def _words(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the varints of numbers below 2**28 as little-endian words."""
    words = numbers & np.uint32(0x7F)
    for place in range(1, WORD_BYTES):
        if not (more := numbers >= 1 << 7 * place).any():
            break
        words |= (numbers << np.uint32(place)) & np.uint32(0x7F << 8 * place)
        words |= more.astype(np.uint32) << np.uint32(8 * place - 1)
    return words
