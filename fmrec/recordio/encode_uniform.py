"""Rows that share a layout, as copies of one template into which values, keys and labels are written.

A layout is fixed by the number of values and the width of every key as a varint: dense rows have one,
two-hot rows a handful. Lengths and tags are then the same in all their records.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import wire
from fmrec.recordio.row_arrays import Rows, check_payload
from fmrec.recordio.wire import Bytes, Integers, TensorType

Keys = NDArray[np.unsignedinteger[Any]]

MAX_VALUES = 64
"""More values a row are not worth a pass over the rows each."""
MIN_ROWS = 64
"""Fewer rows are not worth a layout of their own."""


def encode(rows: Rows) -> Bytes | None:
    """Return the rows' records, or None when they have too many layouts, or integers of any width."""
    count = int(rows.counts[0])
    if not _has_fixed_widths(rows) or (rows.counts != count).any():
        return None
    # A row's values as one item: moving eight bytes once is faster than moving four twice.
    values = wire.items(rows.values, len(rows))
    if rows.keys is None:
        return _fill(_layout(rows, count, None), values, None, rows.labels).ravel()
    columns = _columns(rows, count)
    groups = _same_widths(columns, len(rows)) if count <= MAX_VALUES else None
    if groups is None:
        return None
    layouts = [_layout(rows, count, widths) for widths, _ in groups]
    if len(groups) == 1:
        return _fill(layouts[0], values, columns, rows.labels).ravel()
    sizes = np.empty(len(rows), np.int64)
    for layout, (_, members) in zip(layouts, groups, strict=True):
        sizes[members] = len(layout.template)
    ends = np.cumsum(sizes)
    out = np.empty(ends[-1], np.uint8)
    for layout, (_, members) in zip(layouts, groups, strict=True):
        labels = None if rows.labels is None else rows.labels[members]
        block = _fill(layout, values[members], columns[:, members], labels)
        size = len(layout.template)
        wire.put_items(out, ends[members] - size, block.view(f"V{size}").ravel())
    return out


def _has_fixed_widths(rows: Rows) -> bool:
    return rows.value_type.itemsize > 0 and (rows.label_type is None or rows.label_type.itemsize > 0)


def _columns(rows: Rows, count: int) -> Keys:
    """Return the keys by place in their row, each place contiguous."""
    keys = np.empty(0, np.uint64) if rows.keys is None else rows.keys
    # Narrow where they can be, because only bytes are made of them.
    dtype: type[np.unsignedinteger[Any]] = np.uint32 if rows.feature_dim <= 1 << 32 else np.uint64
    return keys.reshape(len(rows), count).T.astype(dtype, order="C")


@dataclass(frozen=True)
class Layout:
    """A record whose values, keys and label are still zero, and where they go."""

    template: Bytes
    values_at: int
    keys_at: tuple[int, ...]
    key_widths: tuple[int, ...]
    label_at: int


def _layout(rows: Rows, count: int, key_widths: tuple[int, ...] | None) -> Layout:
    return _make_layout(rows.value_type, count, key_widths, rows.shape, rows.label_type)


@functools.lru_cache(maxsize=1024)
def _make_layout(
    value_type: TensorType,
    count: int,
    key_widths: tuple[int, ...] | None,
    shape: bytes,
    label_type: TensorType | None,
) -> Layout:
    key_widths = key_widths or ()
    values = wire.length_delimited(wire.VALUES, bytes(count * value_type.itemsize)) if count else b""
    keys = wire.length_delimited(wire.KEYS, bytes(sum(key_widths))) if key_widths else b""
    features = wire.map_entry(wire.FEATURES, value_type, values + keys + shape)
    label, label_bytes = b"", 0
    if label_type is not None:
        label_bytes = label_type.itemsize
        value = wire.length_delimited(wire.VALUES, bytes(label_bytes))
        label = wire.map_entry(wire.LABEL, label_type, value)
    payload = features + label
    check_payload(len(payload))
    keys_end = wire.FRAME + len(features) - len(shape)
    first_key = keys_end - sum(key_widths)
    return Layout(
        template=np.frombuffer(wire.frame(payload), np.uint8),
        values_at=keys_end - len(keys) - count * value_type.itemsize,
        keys_at=tuple(first_key + sum(key_widths[:place]) for place in range(len(key_widths))),
        key_widths=key_widths,
        label_at=wire.FRAME + len(payload) - label_bytes,
    )


def _same_widths(columns: Keys, rows: int) -> list[tuple[tuple[int, ...], Integers | slice]] | None:
    """Group rows by their keys' widths: (widths, rows), or None when the groups would be too small."""
    low = [len(wire.varint(int(keys.min()))) for keys in columns]
    high = [len(wire.varint(int(keys.max()))) for keys in columns]
    kinds = 1
    for low_width, high_width in zip(low, high, strict=True):
        kinds *= high_width - low_width + 1
    if kinds == 1:
        return [(tuple(low), slice(None))]
    if kinds > max(8, rows // MIN_ROWS):
        return None
    kind_of_row = np.zeros(rows, np.int32)
    for keys, low_width, high_width in zip(columns, low, high, strict=True):
        if low_width < high_width:
            kind_of_row *= high_width - low_width + 1
            for width in range(low_width, high_width):
                kind_of_row += keys >= 1 << 7 * width
    groups: list[tuple[tuple[int, ...], Integers | slice]] = []
    for kind in np.flatnonzero(np.bincount(kind_of_row)):
        widths, rest = [], int(kind)
        for low_width, high_width in zip(reversed(low), reversed(high), strict=True):
            rest, above = divmod(rest, high_width - low_width + 1)
            widths.append(low_width + above)
        groups.append((tuple(reversed(widths)), np.flatnonzero(kind_of_row == kind)))
    return groups


def _fill(layout: Layout, values: NDArray[Any], columns: Keys | None, labels: NDArray[Any] | None) -> Bytes:
    """Return the records of rows that share a layout, shape (rows, bytes of a record)."""
    block = np.empty((len(values), len(layout.template)), np.uint8)
    block[:] = layout.template
    wire.column(block, layout.values_at, values.dtype)[:] = values
    if columns is not None:
        for keys, at, width in zip(columns, layout.keys_at, layout.key_widths, strict=True):
            for place in range(width):
                # Assigning to bytes keeps the low 8 bits.
                septet = keys >> (7 * place) if place else keys
                block[:, at + place] = septet | 0x80 if place < width - 1 else septet
    if labels is not None:
        wire.column(block, layout.label_at, labels.dtype)[:] = labels
    return block
