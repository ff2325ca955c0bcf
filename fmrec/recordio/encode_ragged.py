"""Sparse rows of any lengths: values and keys of all rows are copied in one pass, then their heads are
written.

A segment is copied as a window that is longer than it is, in ascending order: what a window writes behind its
segment is overwritten by what comes next (``wire.copy_ascending``). So rows needn't be grouped by length, and
each row costs a few copies of a fixed size. Heads, which are few different ones, are copied among them; what
has an exact size is written last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import varints, wire
from fmrec.recordio.row_arrays import Rows, check_payload
from fmrec.recordio.wire import Bytes

Offsets = NDArray[np.int64]

MIN_ROWS = 64
"""Fewer rows are encoded by ``encode_general`` just as fast."""
MAX_FEATURE_DIM = 1 << varints.WORD_BITS
"""Keys below it take four bytes or fewer."""
HEAD = 40
"""Bytes of a record before its tensor's content, at most, in whole words."""


def encode(rows: Rows) -> Bytes | None:
    """Return the rows' records, or None for rows that this way isn't made for."""
    label_size = 0 if rows.label_type is None else rows.label_type.itemsize
    if (
        rows.keys is None
        or rows.feature_dim > MAX_FEATURE_DIM
        or len(rows) < MIN_ROWS
        or not rows.value_type.itemsize
        or (rows.label_type is not None and not label_size)
    ):
        return None
    unit = rows.value_type.itemsize
    counts = rows.counts.astype(np.int64, copy=False)
    elements = len(rows.values)
    value_end = elements * unit
    key_end = value_end + elements * varints.WORD_BYTES + wire.SPARE
    source = np.empty(key_end + len(rows) * HEAD + wire.SPARE, np.uint8)
    source[:value_end].view(rows.values.dtype)[:] = rows.values
    ends = np.cumsum(counts)
    key_ends = varints.pack_words(rows.keys, source[value_end:], ends)
    value_bytes = counts * unit
    key_bytes = np.diff(key_ends, prepend=0)

    label = _label(rows)
    key_width, value_width = _width(key_bytes), _width(value_bytes)
    tensor = np.where(counts > 0, 2 + value_width + value_bytes + key_width + key_bytes, 0) + len(rows.shape)
    value = 1 + _width(tensor) + tensor
    entry = len(wire.VALUES_ENTRY) + _width(value) + value
    payload = 1 + _width(entry) + entry + len(label)
    check_payload(int(payload.max()))
    record_ends = np.cumsum(wire.FRAME + (payload + 3 & -4))
    out = np.empty(int(record_ends[-1]) + wire.SPARE, np.uint8)
    starts = np.concatenate([np.zeros(1, np.int64), record_ends[:-1]])

    tails = starts + wire.FRAME + payload - len(label) - len(rows.shape)
    keys_at = tails - key_bytes
    values_at = np.where(counts > 0, keys_at - 1 - key_width - value_bytes, tails)
    to, at, sizes = (np.empty(3 * len(rows), np.int64) for _ in range(3))
    to[::3], to[1::3], to[2::3] = starts, values_at, keys_at
    at[1::3], at[2::3] = ends * unit - value_bytes, value_end + key_ends - key_bytes
    sizes[1::3], sizes[2::3] = value_bytes, key_bytes
    heads, head_of = _heads(rows, payload, (entry, value, tensor))
    source[key_end : key_end + heads.size] = heads.ravel()
    at[::3] = key_end + head_of.astype(np.int64) * HEAD
    sizes[::3] = HEAD
    wire.copy_ascending(out, to, source, at, sizes)
    filled = slice(None) if counts.min() else np.flatnonzero(counts)
    _put_field_heads(out, keys_at[filled], wire.KEYS, key_bytes[filled])
    _put_field_heads(out, values_at[filled], wire.VALUES, value_bytes[filled])
    padding = -payload & 3
    for place in range(1, 4):
        out[record_ends[padding >= place] - place] = 0
    _put_tails(out, tails, rows, label)
    return out[: int(record_ends[-1])]


def _width(numbers: Offsets) -> Offsets:
    return varints.widths(numbers).astype(np.int64)


def _label(rows: Rows) -> bytes:
    """Return the label's entry with zeros for its value."""
    if rows.label_type is None:
        return b""
    value = wire.length_delimited(wire.VALUES, bytes(rows.label_type.itemsize))
    return wire.map_entry(wire.LABEL, rows.label_type, value)


def _put_tails(out: Bytes, tails: Offsets, rows: Rows, label: bytes) -> None:
    """Write shape and label."""
    template = np.frombuffer(rows.shape + label, np.uint8)
    block = np.empty((len(rows), len(template)), np.uint8)
    block[:] = template
    if rows.labels is not None:
        wire.column(block, len(template) - rows.labels.dtype.itemsize, rows.labels.dtype)[:] = rows.labels
    wire.put_items(out, tails, block.view(f"V{len(template)}").ravel())


def _put_field_heads(out: Bytes, ends: Offsets, tag: bytes, lengths: Offsets) -> None:
    """Write tag and length of each row's field, which has content, up to where its content starts."""
    widths = _width(lengths)
    out[ends - widths - 1] = tag[0]
    for place in range(int(widths.max(initial=0))):
        own = slice(None) if place == 0 else np.flatnonzero(widths > place)
        septets = lengths[own] >> 7 * place
        septets |= (widths[own] > place + 1).astype(np.int64) << 7
        out[ends[own] - widths[own] + place] = septets.astype(np.uint8)


def _heads(
    rows: Rows, payload: Offsets, lengths: tuple[Offsets, Offsets, Offsets]
) -> tuple[Bytes, NDArray[Any]]:
    """Return the different heads, everything before a tensor's content, and which of them each row has.

    Rows of equal payloads have equal heads, as all lengths follow from the payload's.
    """
    payloads, head_of = wire.distinct(payload)
    count = len(payloads)
    first = np.empty(count, np.int64)
    first[head_of] = np.arange(len(payload))
    entry, value, tensor = (column[first] for column in lengths)
    heads = np.zeros((count, HEAD), np.uint8)
    flat, starts = heads.ravel(), np.arange(0, count * HEAD, HEAD)
    wire.put_constant(flat, starts, wire.MAGIC.to_bytes(4, "little"))
    wire.put_items(flat, starts + 4, payloads.astype("<u4"))
    at = starts + wire.FRAME
    for before, tag, numbers in (
        (b"", wire.FEATURES, entry),
        (wire.VALUES_ENTRY[:-1], wire.VALUES_ENTRY[-1:], value),
        (b"", bytes([rows.value_type.tag]), tensor),
    ):
        if before:
            wire.put_constant(flat, at, before)
        at = at + len(before) + 1 + _width(numbers)
        _put_field_heads(flat, at, tag, numbers)
    return heads, head_of
