"""Rows of any layouts: every field's offset is computed, then each field of all rows is scattered at once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import wire
from fmrec.recordio.rows import Rows, check_payload
from fmrec.recordio.wire import Bytes, Integers, TensorType


def encode(rows: Rows) -> Bytes:
    """Return the rows' records."""
    values = _Elements(rows.values, _element_widths(rows.value_type, rows.values), rows.counts)
    no_keys = _Elements(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros_like(rows.counts))
    keys = no_keys if rows.keys is None else _Elements(rows.keys, wire.varint_widths(rows.keys), rows.counts)
    label_head, label_bytes = _label_head(rows)

    tensor = _field_bytes(values.row_bytes) + _field_bytes(keys.row_bytes) + len(rows.shape)
    value = 1 + wire.varint_widths(tensor) + tensor
    entry = len(wire.VALUES_ENTRY) + wire.varint_widths(value) + value
    features = 1 + wire.varint_widths(entry) + entry
    payload = features + label_head.shape[1] + label_bytes
    check_payload(int(payload.max()))
    sizes = wire.FRAME + (payload + 3) // 4 * 4
    ends = np.cumsum(sizes)
    out = np.zeros(ends[-1], np.uint8)

    at = ends - sizes
    wire.put_constant(out, at, wire.MAGIC.to_bytes(4, "little"))
    wire.put_items(out, at + 4, payload.astype("<u4"))
    at = _put_head(out, at + wire.FRAME, wire.FEATURES, entry)
    wire.put_constant(out, at, wire.VALUES_ENTRY[:-1])
    at = _put_head(out, at + len(wire.VALUES_ENTRY) - 1, wire.VALUES_ENTRY[-1:], value)
    at = _put_head(out, at, bytes([rows.value_type.tag]), tensor)
    at = values.put(out, at, wire.VALUES)
    at = keys.put(out, at, wire.KEYS)
    if rows.shape:
        wire.put_constant(out, at, rows.shape)
    at = at + len(rows.shape)
    if rows.labels is not None:
        wire.put_items(out, at, label_head.view(f"V{label_head.shape[1]}").ravel())
        at = at + label_head.shape[1]
        if rows.labels.dtype.kind == "f":
            wire.put_items(out, at, rows.labels)
        else:
            wire.put_varints(out, at, rows.labels, label_bytes)
    return out


def _element_widths(value_type: TensorType, values: NDArray[Any]) -> NDArray[np.int64]:
    if value_type.itemsize:
        return np.full(len(values), value_type.itemsize, np.int64)
    return wire.varint_widths(values)


def _field_bytes(content: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of a packed field with tag and length; a field without elements isn't written."""
    return np.where(content > 0, 1 + wire.varint_widths(content) + content, 0)


def _label_head(rows: Rows) -> tuple[Bytes, NDArray[np.int64]]:
    """Return what stands before each label's value, shape (rows, bytes), and the values' bytes."""
    if rows.labels is None or rows.label_type is None:
        return np.empty((len(rows), 0), np.uint8), np.zeros(len(rows), np.int64)
    value_bytes = _element_widths(rows.label_type, rows.labels)
    heads = {}
    for size in np.flatnonzero(np.bincount(value_bytes)).tolist():
        value = wire.length_delimited(wire.VALUES, bytes(size))
        heads[size] = wire.map_entry(wire.LABEL, rows.label_type, value)[:-size]
    # All lengths in it are below 128, so that every head is as long.
    table = np.zeros((wire.MAX_VARINT + 1, len(next(iter(heads.values())))), np.uint8)
    for size, head in heads.items():
        table[size] = np.frombuffer(head, np.uint8)
    return table[value_bytes], value_bytes


def _put_head(out: Bytes, at: Integers, tag: bytes, lengths: Integers) -> NDArray[np.int64]:
    """Write tag and length of each row's field; return where its content starts."""
    widths = wire.varint_widths(lengths)
    wire.put_constant(out, at, tag)
    wire.put_varints(out, at + 1, lengths, widths)
    return np.asarray(at + 1 + widths)


@dataclass(frozen=True)
class _Elements:
    """Every row's values or keys, with their bytes."""

    items: NDArray[Any]
    widths: NDArray[np.int64]
    counts: Integers

    @functools.cached_property
    def row_bytes(self) -> NDArray[np.int64]:
        totals = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.widths)])
        ends = np.cumsum(self.counts)
        return np.asarray(totals[ends] - totals[ends - self.counts])

    def put(self, out: Bytes, at: NDArray[np.int64], tag: bytes) -> NDArray[np.int64]:
        """Write each row's packed field; return where the next one starts."""
        filled = np.flatnonzero(self.row_bytes)
        starts = at.copy()
        starts[filled] = _put_head(out, at[filled], tag, self.row_bytes[filled])
        # An element lies after the elements of its row that precede it.
        before = np.cumsum(self.widths) - self.widths
        first_of_row = np.cumsum(self.row_bytes) - self.row_bytes
        offsets = np.repeat(starts - first_of_row, self.counts) + before
        if self.items.dtype.kind == "f":
            wire.put_items(out, offsets, self.items)
        else:
            wire.put_varints(out, offsets, self.items, self.widths)
        return starts + self.row_bytes
