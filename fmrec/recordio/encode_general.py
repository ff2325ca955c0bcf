"""Rows of any layouts: every field's offset is computed, then each field of all rows is scattered at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import varints, wire
from fmrec.recordio.row_arrays import Rows, check_payload
from fmrec.recordio.wire import Bytes, Integers


def encode(rows: Rows) -> Bytes:
    """Return the rows' records."""
    values, keys = _elements(rows.values, rows.counts), None
    key_bytes = np.zeros(len(rows), np.int64)
    if rows.keys is not None:
        keys = _elements(rows.keys, rows.counts)
        key_bytes = keys.row_bytes
    label_head, label_bytes = _label_head(rows)

    tensor = _field_bytes(values.row_bytes) + _field_bytes(key_bytes) + len(rows.shape)
    value = 1 + varints.widths(tensor) + tensor
    entry = len(wire.VALUES_ENTRY) + varints.widths(value) + value
    features = 1 + varints.widths(entry) + entry
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
    if keys is not None:
        at = keys.put(out, at, wire.KEYS)
        wire.put_constant(out, at, rows.shape)
    at = at + len(rows.shape)
    if rows.labels is not None:
        wire.put_items(out, at, label_head.view(f"V{label_head.shape[1]}").ravel())
        at = at + label_head.shape[1]
        if rows.labels.dtype.kind == "f":
            wire.put_items(out, at, rows.labels)
        else:
            varints.put(out, at, rows.labels)
    return out


def _field_bytes(content: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of a packed field with tag and length; a field without elements isn't written."""
    return np.where(content > 0, 1 + varints.widths(content) + content, 0)


def _label_head(rows: Rows) -> tuple[Bytes, NDArray[np.int64]]:
    """Return what stands before each label's value, shape (rows, bytes), and the values' bytes."""
    if rows.labels is None or rows.label_type is None:
        return np.empty((len(rows), 0), np.uint8), np.zeros(len(rows), np.int64)
    value_bytes = np.full(len(rows), rows.label_type.itemsize)
    if not rows.label_type.itemsize:
        value_bytes = varints.widths(rows.labels).astype(np.int64)
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
    wire.put_constant(out, at, tag)
    return np.asarray(at + 1 + varints.put(out, at + 1, lengths))


@dataclass(frozen=True)
class _Elements:
    """All rows' values or keys as they are written, one row's after the other's."""

    stream: Bytes
    unit: int
    row_units: NDArray[np.int64]

    @property
    def row_bytes(self) -> NDArray[np.int64]:
        return self.row_units * self.unit

    def put(self, out: Bytes, at: NDArray[np.int64], tag: bytes) -> NDArray[np.int64]:
        """Write each row's packed field; return where the next one starts."""
        row_bytes = self.row_bytes
        filled = np.flatnonzero(row_bytes)
        starts = at.copy()
        starts[filled] = _put_head(out, at[filled], tag, row_bytes[filled])
        first = np.cumsum(row_bytes) - row_bytes
        wire.move_segments(out, starts, self.stream, first, self.row_units, self.unit)
        return starts + row_bytes


def _elements(elements: NDArray[Any], counts: Integers) -> _Elements:
    if elements.dtype.kind == "f":
        stream = np.ascontiguousarray(elements).view(np.uint8)
        return _Elements(stream, elements.dtype.itemsize, counts.astype(np.int64, copy=False))
    stream, widths = varints.pack(elements)
    totals = np.concatenate([np.zeros(1, np.int64), np.cumsum(widths, dtype=np.int64)])
    ends = np.cumsum(counts)
    return _Elements(stream, 1, totals[ends] - totals[ends - counts])
