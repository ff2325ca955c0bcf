"""Records of one schema to arrays: every record's fields are followed at the same time.

Each step reads one tag or length of all records. A record that isn't laid out as SDK v2 and Spark write it
(fields in the order of their numbers, packed) is reported as irregular, and left to ``record.parse_record``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import varints, wire
from fmrec.recordio.schema import Schema
from fmrec.recordio.wire import Bytes, TensorType

Offsets = NDArray[np.int64]
LABEL_HEAD = 16
"""Bytes of a label before its value."""


@dataclass(frozen=True)
class Fields:
    """Where each record's values, keys and label lie in the buffer; meaningless where ``irregular``."""

    values_at: Offsets
    value_bytes: Offsets
    keys_at: Offsets
    key_bytes: Offsets
    label_at: Offsets
    label_bytes: Offsets
    irregular: NDArray[np.bool_]


def locate(buffer: Bytes, starts: Offsets, lengths: Offsets, schema: Schema) -> Fields:
    """Find the fields of the payloads at ``starts``. The buffer must go on for ``wire.SPARE`` bytes."""
    ends = starts + lengths
    irregular = np.zeros(len(starts), np.bool_)
    shape = b""
    if schema.is_sparse:
        shape = wire.length_delimited(wire.SHAPE, wire.varint(schema.feature_dim))

    def expect(content: bytes, at: Offsets) -> Offsets:
        irregular[:] |= wire.differ(buffer, at, content)
        return at + len(content)

    def length(at: Offsets) -> tuple[Offsets, Offsets]:
        """Read a length; return it and where its content starts, both inside the payload."""
        number, width = _lengths(buffer, at)
        content_at = np.minimum(at + width, ends)
        irregular[:] |= number > ends - content_at
        return np.minimum(number, ends - content_at), content_at

    def packed(at: Offsets, tag: bytes, limit: Offsets) -> tuple[Offsets, Offsets]:
        """Read the tag and length of a field if there is one before ``limit``; return its start and bytes."""
        there = at < limit
        number, width = _lengths(buffer, at + 1)
        irregular[:] |= there & ((buffer[at] != tag[0]) | (number > limit - at - 1 - width))
        start = np.where(there & ~irregular, at + 1 + width, at)
        return start, np.where(there & ~irregular, number, 0)

    entry, at = length(expect(wire.FEATURES, starts))
    entry_end = at + entry
    value, at = length(np.minimum(expect(wire.VALUES_ENTRY, at), ends))
    irregular |= at + value != entry_end
    tensor, at = length(np.minimum(expect(bytes([schema.value_type.tag]), at), ends))
    irregular |= at + tensor != entry_end
    tensor_end = entry_end - len(shape)
    irregular |= tensor_end < at
    if shape:
        expect(shape, np.maximum(tensor_end, 0))
    values_at, value_bytes = packed(at, wire.VALUES, tensor_end)
    keys_at, key_bytes = at, np.zeros_like(at)
    at = values_at + value_bytes
    if schema.is_sparse:
        keys_at, key_bytes = packed(at, wire.KEYS, tensor_end)
        at = keys_at + key_bytes
    irregular |= at != tensor_end
    label_bytes = ends - entry_end
    if schema.label_type is None:
        irregular |= label_bytes != 0
        return Fields(values_at, value_bytes, keys_at, key_bytes, ends, label_bytes, irregular)
    label_bytes = label_bytes - LABEL_HEAD
    _check_label_head(buffer, entry_end, label_bytes, schema.label_type, irregular)
    return Fields(values_at, value_bytes, keys_at, key_bytes, entry_end + LABEL_HEAD, label_bytes, irregular)


def _check_label_head(
    buffer: Bytes, at: Offsets, label_bytes: Offsets, label_type: TensorType, irregular: NDArray[np.bool_]
) -> None:
    low, high = (label_type.itemsize, label_type.itemsize) if label_type.itemsize else (1, wire.MAX_VARINT)
    irregular |= (label_bytes < low) | (label_bytes > high)
    if low == high:
        tensor = wire.length_delimited(wire.VALUES, bytes(low))
        irregular |= wire.differ(buffer, at, wire.map_entry(wire.LABEL, label_type, tensor)[:-low])
        return
    heads = np.zeros((high + 1, LABEL_HEAD), np.uint8)
    for size in range(low, high + 1):
        tensor = wire.length_delimited(wire.VALUES, bytes(size))
        heads[size] = np.frombuffer(wire.map_entry(wire.LABEL, label_type, tensor)[:-size], np.uint8)
    found = wire.windows(buffer, LABEL_HEAD)[at].view(np.uint8).reshape(-1, LABEL_HEAD)
    irregular |= (found != heads[np.clip(label_bytes, low, high)]).any(axis=1)


def _lengths(buffer: Bytes, at: Offsets) -> tuple[Offsets, Offsets]:
    """Read a varint of up to five bytes at every offset; return numbers and widths."""
    first = buffer[at]
    numbers = (first & 0x7F).astype(np.int64)
    widths = np.ones_like(numbers)
    more = np.flatnonzero(first >= 0x80)
    for place in range(1, 5):
        if not len(more):
            break
        byte = buffer[at[more] + place]
        numbers[more] |= (byte & 0x7F).astype(np.int64) << 7 * place
        widths[more] += 1
        more = more[byte >= 0x80]
    numbers[more] = wire.MAX_PAYLOAD + 1  # longer than any length is
    return numbers, widths


def floats(buffer: Bytes, at: Offsets, sizes: Offsets, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read packed floats; ``sizes`` are bytes."""
    size = int(sizes.sum())
    values = np.empty(size + wire.SPARE, np.uint8)
    wire.copy_ascending(values, np.cumsum(sizes) - sizes, buffer, at, sizes)
    return values[:size].view(dtype)


def packed_keys(
    buffer: Bytes, at: Offsets, sizes: Offsets, counts: Offsets
) -> NDArray[np.unsignedinteger[Any]] | None:
    """Read packed varints of up to four bytes; None if there are longer ones, or not as many as expected."""
    ends = np.cumsum(sizes)
    total = int(sizes.sum())
    stream = np.empty(total + wire.SPARE, np.uint8)
    wire.copy_ascending(stream, ends - sizes, buffer, at, sizes)
    found = varints.unpack_words(stream, total)
    if found is None:
        return None
    numbers, last = found
    until = np.cumsum(counts)
    if not len(until) or until[-1] != len(last) or ((sizes == 0) != (counts == 0)).any():
        return None
    filled = slice(None) if counts.min() else np.flatnonzero(counts)
    return numbers if (last[until[filled] - 1] == ends[filled] - 1).all() else None


def packed_varints(
    buffer: Bytes, at: Offsets, sizes: Offsets, irregular: NDArray[np.bool_]
) -> tuple[NDArray[np.unsignedinteger[Any]], Offsets]:
    """Read packed varints; return all numbers and how many each segment has.

    Segments that end inside a number, or have one of more than ten bytes, are marked irregular; what is
    returned then is meaningless.
    """
    ends = np.cumsum(sizes)
    total = int(sizes.sum())
    stream = np.zeros(total + varints.WORD_BYTES, np.uint8)
    wire.move_segments(stream, ends - sizes, buffer, at, sizes, 1)
    filled = np.flatnonzero(sizes)
    irregular[filled] |= stream[ends[filled] - 1] >= 0x80
    numbers, last = varints.unpack(stream, total)
    before = np.searchsorted(last, ends)
    overlong = np.flatnonzero(np.diff(last, prepend=-1) > wire.MAX_VARINT)
    irregular[np.searchsorted(ends, last[overlong], side="right")] = True
    return numbers, np.diff(before, prepend=0)
