"""Whole arrays of varints packed into bytes and unpacked from them.

A varint has seven bits a byte, lowest first; all its bytes but the last have the top bit set. Numbers of up
to four bytes are packed and unpacked in 32-bit words, larger ones byte place by byte place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import wire
from fmrec.recordio.wire import MAX_VARINT, Bytes, Integers

WORD_BYTES = 4
WORD_BITS = 7 * WORD_BYTES
PACKED_AT_ONCE = 1 << 15
"""Numbers packed at a time: what is computed on the way stays in a processor's cache."""
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


def pack_words(numbers: Integers, out: Bytes, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Write the varints of numbers below 2**28 to ``out``, one after the other.

    Returns where in ``out`` the first ``ends[r]`` numbers end, for every r. ``out`` must have four bytes for
    each number, and eight more. Two numbers at a time: a word of eight bytes is written at each pair's start,
    and the next pair overwrites what it leaves behind.
    """
    written = np.zeros(len(ends), np.int64)
    done = row = 0
    for first in range(0, len(numbers), PACKED_AT_ONCE):
        piece = numbers[first : first + PACKED_AT_ONCE]
        count = len(piece)
        padded = np.empty(count + count % 2, np.uint32)
        padded[:count] = piece
        padded[count:] = 0
        words, more = _words_and_continuations(padded)
        first_of_pair = np.bitwise_count(more[::2])
        pair_ends = np.empty(len(padded) // 2 + 1, np.int64)
        pair_ends[0] = done
        np.cumsum(np.bitwise_count(more.view("<u8")) + np.uint8(2), out=pair_ends[1:])
        pair_ends[1:] += done
        pairs = words.view("<u8")
        joined = pairs >> np.uint64(32)
        joined <<= (first_of_pair + np.uint8(1) << np.uint8(3)).astype(np.uint64)
        pairs &= np.uint64(0xFFFFFFFF)
        joined |= pairs
        wire.windows(out, 8)[pair_ends[:-1]] = joined.view("V8")
        until = int(np.searchsorted(ends, first + count, side="right"))
        half, is_odd = np.divmod(ends[row:until] - first, 2)
        written[row:until] = pair_ends[half]
        written[row:until] += np.where(is_odd, first_of_pair[np.minimum(half, len(pairs) - 1)] + 1, 0)
        row = until
        done = int(pair_ends[-1]) - count % 2
    return written


def _words_and_continuations(numbers: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the varints of numbers below 2**28 as little-endian words, and the words' top bits of bytes.

    Bits are moved in whole words: 28 bits into two halves of 14, these into four bytes of 7.
    """
    words = numbers << np.uint32(2)
    words &= np.uint32(0x3FFF0000)
    words |= numbers & np.uint32(0x3FFF)
    high = words << np.uint32(1)
    high &= np.uint32(0x7F007F00)
    words &= np.uint32(0x007F007F)
    words |= high
    # A byte goes on if any byte above it isn't zero.
    more = np.right_shift(words, 8, out=high)
    more += np.uint32(0x7F7F7F7F)
    more &= np.uint32(0x80808080)
    more |= more >> np.uint32(8)
    more |= more >> np.uint32(16)
    words |= more
    return words, more


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


def unpack_words(stream: Bytes, size: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]] | None:
    """Return what ``unpack`` returns, or None if a number has more than four bytes."""
    last = np.flatnonzero(stream[:size] < 0x80)
    first = np.empty_like(last)
    if len(last):
        first[0] = 0
        np.add(last[:-1], 1, out=first[1:])
    words = wire.windows(stream, WORD_BYTES)[first].view("<u4")
    # All bits up to the first byte that doesn't go on.
    own = ~words
    own &= np.uint32(0x80808080)
    if len(own) and not own.min():
        return None
    own ^= own - np.uint32(1)
    words &= own
    words &= np.uint32(0x7F7F7F7F)
    high = np.bitwise_and(words, np.uint32(0x7F007F00), out=own)
    high >>= np.uint32(1)
    words &= np.uint32(0x007F007F)
    words |= high
    np.bitwise_and(words, np.uint32(0x3FFF0000), out=high)
    high >>= np.uint32(2)
    words &= np.uint32(0x00003FFF)
    words |= high
    return words, last


def _words(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the varints of numbers below 2**28 as little-endian words."""
    words = numbers & np.uint32(0x7F)
    for place in range(1, WORD_BYTES):
        if not (more := numbers >= 1 << 7 * place).any():
            break
        words |= (numbers << np.uint32(place)) & np.uint32(0x7F << 8 * place)
        words |= more.astype(np.uint32) << np.uint32(8 * place - 1)
    return words
