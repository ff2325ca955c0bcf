"""Where the records of a stream begin and end, found for a block of it at once."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import FormatError
from fmrec.recordio import wire
from fmrec.recordio.wire import Bytes

BLOCK = 1 << 21
"""Bytes read at once; a record may be larger."""
SLACK = wire.SPARE
"""Zero bytes behind a block, so that a look ahead from its last byte stays inside the buffer."""


_PADDING_BITS = np.array([0, 0xFFFFFF00, 0xFFFF0000, 0xFF000000], "<u4")
"""Which bits of a payload's last word are padding, by its length modulo 4."""


@dataclass(frozen=True)
class Frames:
    """Complete records of a stream: payload r is ``buffer[starts[r] : starts[r] + lengths[r]]``."""

    buffer: Bytes
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    offset: int
    """Where the buffer starts in the stream."""

    def __getitem__(self, chosen: NDArray[np.int64]) -> Frames:
        return replace(self, starts=self.starts[chosen], lengths=self.lengths[chosen])

    def payload(self, row: int) -> bytes:
        start = int(self.starts[row])
        return self.buffer[start : start + int(self.lengths[row])].tobytes()

    def payload_offset(self, row: int) -> int:
        return self.offset + int(self.starts[row])


Split: TypeAlias = Callable[[Bytes, int], tuple[NDArray[np.int64], NDArray[np.int64], int] | None]
"""Finds payloads' starts and lengths among a buffer's first bytes, and what they take, if all are valid."""


def read_frames(file: BinaryIO, quick_split: Split | None = None) -> Iterator[Frames]:
    """Yield a stream's records block by block, each block with at least one record.

    A block's buffer is used again for the next: take what is needed of it before. Blocks that ``quick_split``
    returns None for are split here.

    Raises
    ------
    FormatError
        Magic number, length or padding is wrong, or the last record is cut off; names the byte offset.
    """
    offset, rest, wanted = 0, b"", BLOCK
    buffer = np.empty(BLOCK + SLACK, np.uint8)
    while True:
        if len(rest) + wanted + SLACK > len(buffer):
            buffer = np.empty(len(rest) + wanted + SLACK, np.uint8)
        buffer[: len(rest)] = np.frombuffer(rest, np.uint8)
        read = _read_into(file, buffer[len(rest) : len(rest) + wanted])
        if not read:
            if rest:
                _refuse_rest(rest, offset)
            return
        size = len(rest) + read
        buffer[size : size + SLACK] = 0
        found = quick_split(buffer, size) if quick_split else None
        if found is None:
            frames, used = _split(buffer, size, offset)
        else:
            frames, used = Frames(buffer, found[0], found[1], offset), found[2]
        if len(frames.starts):
            yield frames
        rest = buffer[used:size].tobytes()
        offset += used
        wanted = BLOCK - len(rest)
        if len(rest) >= wire.FRAME:
            wanted = max(wanted, wire.FRAME + payload_length(rest[: wire.FRAME], offset) + 3 - len(rest))


def _read_into(file: BinaryIO, buffer: Bytes) -> int:
    """Read up to as many bytes as fit; return how many, 0 at the end."""
    if isinstance(file, io.BufferedIOBase | io.RawIOBase):
        return file.readinto(buffer.data) or 0
    data = file.read(len(buffer))
    buffer[: len(data)] = np.frombuffer(data, np.uint8)
    return len(data)


def payload_length(head: bytes, offset: int) -> int:
    """Return the payload's length from the eight bytes that a record starts with.

    Raises
    ------
    FormatError
        Another magic number, or a length with reserved bits.
    """
    magic, length = struct.unpack("<II", head)
    if magic != wire.MAGIC:
        raise FormatError(
            f"byte {offset}: a record starts with 0x{magic:08x}: expected the magic number "
            f"0x{wire.MAGIC:08x}. Is this a recordIO-protobuf file?"
        )
    if length > wire.MAX_PAYLOAD:
        raise FormatError(
            f"byte {offset + 4}: a record's length is {length}: expected at most {wire.MAX_PAYLOAD}"
        )
    return int(length)


def _refuse_rest(rest: bytes, offset: int) -> None:
    needed = wire.FRAME
    if len(rest) >= needed:
        length = payload_length(rest[:needed], offset)
        needed += -(-length // 4) * 4
    elif rest[:4] != wire.MAGIC.to_bytes(4, "little")[: len(rest)]:
        payload_length(rest.ljust(wire.FRAME, b"\0"), offset)
    raise FormatError(
        f"byte {offset}: the last record is cut off: it takes {needed} bytes or more, {len(rest)} are left"
    )


def _split(buffer: Bytes, size: int, offset: int) -> tuple[Frames, int]:
    """Return the complete records among the first ``size`` bytes, and how many bytes they take."""
    words = buffer[: size // 4 * 4].view("<u4")
    even = _evenly_spaced(words)
    if even is not None:
        heads, lengths, following = even
        _check_padding(words, lengths, following, offset)
        return Frames(buffer, 4 * heads + wire.FRAME, lengths, offset), 4 * int(following[-1])
    heads = np.flatnonzero(words[:-1] == wire.MAGIC)
    if len(words) > 1 and (not len(heads) or heads[0]):
        payload_length(buffer[: wire.FRAME].tobytes(), offset)
    lengths = words[heads + 1].astype(np.int64)
    following = heads + 2 + (lengths + 3 >> 2)
    if (following[:-1] != heads[1:]).any():
        chain = _chain(heads, following)
        heads, lengths, following = heads[chain], lengths[chain], following[chain]
    if len(lengths) and (too_long := lengths > wire.MAX_PAYLOAD).any():
        at = 4 * int(heads[np.argmax(too_long)])
        payload_length(buffer[at : at + wire.FRAME].tobytes(), offset + at)
    if len(following) and following[-1] + 2 <= len(words):
        # What follows the last head is no head: this names it.
        at = 4 * int(following[-1])
        payload_length(buffer[at : at + wire.FRAME].tobytes(), offset + at)
    if len(following) and following[-1] > len(words):
        heads, lengths, following = heads[:-1], lengths[:-1], following[:-1]
    _check_padding(words, lengths, following, offset)
    used = 4 * int(following[-1]) if len(following) else 0
    return Frames(buffer, 4 * heads + wire.FRAME, lengths, offset), used


def _evenly_spaced(words: NDArray[np.uint32]) -> tuple[NDArray[np.int64], ...] | None:
    """Return heads, lengths and ends of records that are all as large as the first, or None if one isn't."""
    if len(words) < 3 or words[0] != wire.MAGIC or not 0 < words[1] <= wire.MAX_PAYLOAD:
        return None
    step = 2 + (int(words[1]) + 3) // 4
    count = len(words) // step
    left = len(words) - count * step
    magics, lengths = words[: count * step : step], words[1 : count * step : step]
    # In 32 bits: what is less than the smallest length turns into a large number.
    smallest = np.uint32(4 * (step - 2) - 3)
    if count < 2 or (magics != wire.MAGIC).any() or (lengths - smallest > 3).any():
        return None
    if left > 1:
        at = count * step
        # A smaller record may follow, and be the last one.
        if words[at] != wire.MAGIC or 2 + (int(words[at + 1]) + 3) // 4 <= left:
            return None
    heads = np.arange(0, count * step, step)
    return heads, lengths.astype(np.int64), heads + step


def _chain(heads: NDArray[np.int64], following: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which heads are reached from the first: a payload may hold the magic number as a value.

    Jumps double with each step, so that a stream of n heads takes log2(n) steps.
    """
    end = len(heads)
    found = np.minimum(np.searchsorted(heads, following), end - 1)
    jump = np.append(np.where(heads[found] == following, found, end), end)
    reached = np.zeros(1, np.int64)
    while jump[0] != end:
        further = jump[reached]
        reached = np.concatenate([reached, further[further < end]])
        jump = jump[jump]
    return np.unique(reached)


def _check_padding(
    words: NDArray[np.uint32], lengths: NDArray[np.int64], following: NDArray[np.int64], offset: int
) -> None:
    padding = words[following - 1] & _PADDING_BITS[lengths & 3]
    if padding.any():
        row = int(np.flatnonzero(padding)[0])
        at = offset + 4 * int(following[row]) - (-int(lengths[row]) % 4)
        raise FormatError(f"byte {at}: the padding after a record isn't zero")
