"""The bytes of recordIO-protobuf, and how whole arrays of them are moved.

A file is records one after the other, without header, footer or index:

=====  ==============================================================================
bytes  value
=====  ==============================================================================
4      magic 0xCED7230A, little endian
4      uint32 LE: payload length, padding not counted (the top 3 bits are reserved)
n      a serialized ``aialgs.data.Record`` (proto2)
0..3   zero bytes up to the next multiple of 4
=====  ==============================================================================

``Record{map<string,Value> features=1, map<string,Value> label=2, string uid=3, string metadata=4,
string configuration=5}``; ``Value{Float32Tensor=2 | Float64Tensor=3 | Int32Tensor=7 | Bytes=9}``; a
tensor is ``{values=1, keys=2 (uint64), shape=3 (uint64)}``, all packed. Features and label lie under
the map key ``values``; keys make a tensor sparse and then shape is mandatory.
Sources: the developer guide's common data formats for training and inference; the schema in the
SageMaker Python SDK v2, ``sagemaker/amazon/record.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = 0xCED7230A
FRAME = 8
"""Bytes before a payload."""
MAX_PAYLOAD = (1 << 29) - 1
MAX_VARINT = 10
VALUES_ENTRY = b"\x0a\x06values\x12"
"""A map entry's key ``values`` and the tag of what it holds."""
FEATURES, LABEL = b"\x0a", b"\x12"
VALUES, KEYS, SHAPE = b"\x0a", b"\x12", b"\x1a"

SPARE = 512
"""Bytes that a buffer must have behind what ``copy_ascending`` copies."""
MIN_WINDOW = 64
"""A smaller window takes as long to copy."""
WINDOWS_AT_ONCE = 1 << 11
"""Few enough to stay in a processor's cache on their way."""
UNITS_PER_GROUP = 400
"""So many single units take as long to move as a group's own overhead."""

Bytes = NDArray[np.uint8]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class TensorType:
    """One of the three numeric tensors: its name, its tag within a Value, its element."""

    name: str
    tag: int
    dtype: np.dtype[Any]

    @property
    def itemsize(self) -> int:
        """Bytes of an element, or 0 where elements are varints."""
        return 0 if self.dtype.kind == "i" else self.dtype.itemsize


FLOAT32 = TensorType("Float32", 0x12, np.dtype("<f4"))
FLOAT64 = TensorType("Float64", 0x1A, np.dtype("<f8"))
INT32 = TensorType("Int32", 0x3A, np.dtype("<i4"))
TENSOR_TYPES = {tensor.tag: tensor for tensor in (FLOAT32, FLOAT64, INT32)}


def varint(number: int) -> bytes:
    """Return one number as a varint (``varints`` has whole arrays); a negative one as two's complement."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def length_delimited(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def windows(buffer: Bytes, size: int) -> NDArray[np.void]:
    """Return a view with one item per byte offset: the ``size`` bytes that start there.

    Indexing it with an array of offsets moves that many bytes for each, in C.
    """
    return np.ndarray((max(0, len(buffer) - size + 1),), f"V{size}", buffer, strides=(1,))


def differ(buffer: Bytes, offsets: Integers, content: bytes) -> NDArray[np.bool_]:
    """Say at which offsets the buffer has other bytes: compared word by word."""
    found = np.zeros(len(offsets), np.bool_)
    at = 0
    while at < len(content):
        size = next(size for size in (8, 4, 2, 1) if size <= len(content) - at)
        expected = int.from_bytes(content[at : at + size], "little")
        found |= windows(buffer[at:], size)[offsets].view(f"<u{size}") != expected
        at += size
    return found


def items(elements: NDArray[Any], rows: int) -> NDArray[np.void]:
    """Return each row's elements, all rows having as many, as one item."""
    size = elements.size // rows * elements.dtype.itemsize
    return np.ascontiguousarray(elements).view(f"V{size}") if size else np.empty(rows, "V0")


def column(block: Bytes, at: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a view of what each row of a block has from byte ``at``."""
    return np.ndarray((len(block),), dtype, block, offset=at, strides=block.strides[:1])


def put_constant(out: Bytes, offsets: Integers, content: bytes) -> None:
    """Write the same bytes at every offset."""
    if len(offsets):
        windows(out, len(content))[offsets] = np.void(content)


def put_items(out: Bytes, offsets: Integers, items: NDArray[Any]) -> None:
    """Write the k-th item's bytes at the k-th offset."""
    if len(offsets):
        size = items.dtype.itemsize
        windows(out, size)[offsets] = np.ascontiguousarray(items).view(f"V{size}")


def move_segments(
    out: Bytes, to: Integers, source: Bytes, at: Integers, counts: NDArray[np.int64], unit: int
) -> None:
    """Copy ``counts[r]`` units of ``unit`` bytes from ``source[at[r]]`` to ``out[to[r]]``, for every r.

    Segments of equal size are moved together, each as one item; if sizes are too various for that, every
    unit is moved by itself.
    """
    if not len(counts):
        return
    sizes, group_of = distinct(counts)
    if len(sizes) * UNITS_PER_GROUP > len(counts) + int(counts.sum()):
        index = np.arange(int(counts.sum()))
        index -= np.repeat(np.cumsum(counts) - counts, counts)
        index *= unit
        moved = windows(source, unit)[np.repeat(at, counts) + index]
        windows(out, unit)[np.repeat(to, counts) + index] = moved
        return
    order = np.argsort(group_of, kind="stable") if len(sizes) > 1 else np.arange(len(counts))
    ends = np.cumsum(np.bincount(group_of)) if len(sizes) > 1 else [len(counts)]
    start = 0
    for size, end in zip(sizes.tolist(), ends, strict=True):
        if size:
            own = slice(None) if len(sizes) == 1 else order[start:end]
            windows(out, size * unit)[to[own]] = windows(source, size * unit)[at[own]]
        start = end


def copy_ascending(out: Bytes, to: Integers, source: Bytes, at: Integers, sizes: NDArray[np.int64]) -> None:
    """Copy ``sizes[r]`` bytes from ``source[at[r]]`` to ``out[to[r]]``, for every r in turn.

    What lies between two segments in ``out``, and ``SPARE`` bytes after the last, is overwritten. Segments
    must ascend in ``out``, and both buffers must go on for ``SPARE`` bytes after their last segment.

    All but the longest segments are copied as windows of one size, which the next segment overwrites from its
    start on; of longer ones the rest follows.
    """
    if not len(sizes):
        return
    largest = int(sizes.max())
    width = min(largest, max(MIN_WINDOW, 4 * (int(sizes.sum()) // len(sizes))), SPARE)
    if not width:
        return
    width = min(-(-width // 8) * 8, SPARE)
    targets, sources = windows(out, width), windows(source, width)
    for start in range(0, len(sizes), WINDOWS_AT_ONCE):
        some = slice(start, start + WINDOWS_AT_ONCE)
        targets[to[some]] = sources[at[some]]
    if largest > width:
        long = np.flatnonzero(sizes > width)
        move_segments(out, to[long] + width, source, at[long] + width, sizes[long] - width, 1)


def distinct(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the different counts in order, and which of them each count is."""
    largest = int(counts.max())
    if largest >= 1 << 16:
        return np.unique(counts, return_inverse=True)
    sizes = np.flatnonzero(np.bincount(counts))
    # Short integers are sorted by their digits, in time that grows with their number alone.
    place = np.zeros(largest + 1, np.uint16)
    place[sizes] = np.arange(len(sizes))
    return sizes, place[counts]


def map_entry(tag: bytes, value_type: TensorType, tensor: bytes) -> bytes:
    """Return the entry ``values`` of a record's features or label that holds a serialized tensor."""
    value = length_delimited(bytes([value_type.tag]), tensor)
    return length_delimited(tag, VALUES_ENTRY[:-1] + length_delimited(VALUES_ENTRY[-1:], value))


def frame(payload: bytes) -> bytes:
    """Return a payload as a record: magic, length, payload, padding."""
    head = MAGIC.to_bytes(4, "little") + len(payload).to_bytes(4, "little")
    return head + payload + bytes(-len(payload) % 4)
