"""Records that differ in nothing but values, keys of the same widths and label: decoded by column.

Two-hot and dense files have a handful of such layouts. One record of each is followed field by field; the
others are compared with it, all bytes but the ones that may differ, and then sliced where it has its fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import decode_general, wire
from fmrec.recordio.read_frames import Frames
from fmrec.recordio.row_arrays import Rows
from fmrec.recordio.schema import Schema
from fmrec.recordio.wire import Bytes

MIN_ROWS = 64
"""Fewer uniform records are not worth a comparison of their own."""
MAX_COMPARISONS = 16
MAX_COMMON = 64
"""Records of more lengths are too various for so few comparisons."""
MAX_SMALL_GROUPS = 8
"""Comparisons of a stream that may find too few records before no more are made."""
MAX_LENGTH = 1 << 16
GATHERED = 1 << 13
"""Records gathered at once, few enough to stay in a processor's cache on their way."""
WORD = np.dtype("<u8")
"""What records are compared in."""
MAX_KEYS = 64
"""More keys per record are not worth a pass over the records each."""

Index = NDArray[np.int64]
Keys = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class UniformRecords:
    """Some of a block's records, by their places in it."""

    places: Index
    count: int
    """Values of each record."""
    values: NDArray[np.void]
    """Each record's values as one item: moving eight bytes once is faster than moving four twice."""
    keys: NDArray[np.void]
    """Each record's keys as one item; of no bytes if the records are dense."""
    labels: NDArray[Any] | None


class Decoder:
    """Decodes the uniform records of a stream's blocks; layouts seen once are known from then on."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._known: dict[int, list[_Layout]] = {}
        label_type = schema.label_type
        varies = not schema.value_type.itemsize or (label_type is not None and not label_type.itemsize)
        self._scratch = np.empty(0, np.uint8)
        self._small_groups = MAX_SMALL_GROUPS if varies else 0

    def decode(self, frames: Frames) -> tuple[list[UniformRecords], Index]:
        """Return the uniform records that were found, and the places of all others."""
        found: list[UniformRecords] = []
        rest = np.arange(len(frames.starts))
        tried = 0
        for length in self._common_lengths(frames.lengths):
            candidates = (
                rest if (frames.lengths == length).all() else np.flatnonzero(frames.lengths == length)
            )
            known = iter(list(self._known.get(length, [])))
            while len(candidates) >= MIN_ROWS and tried < MAX_COMPARISONS:
                tried += 1
                layout = next(known, None)
                is_new = layout is None
                if layout is None:
                    layout = self._new_layout(frames, int(candidates[0]))
                if layout is None:
                    break
                part, matches = self._compare(frames, candidates, layout)
                if len(part.places):
                    found.append(part)
                    candidates = candidates[~matches]
                if len(part.places) < MIN_ROWS:
                    self._small_groups += 1
                    if is_new:
                        break
        if found:
            left = np.ones(len(rest), np.bool_)
            for part in found:
                left[part.places] = False
            rest = np.flatnonzero(left)
        return found, rest

    def rows(self, parts: list[UniformRecords], total: int) -> Rows:
        """Put parts that are all of a block, and have as many values per record, together."""
        schema, count = self._schema, parts[0].count
        values = np.empty(total, parts[0].values.dtype)
        keys = np.empty(total, parts[0].keys.dtype) if schema.is_sparse else None
        labels = None if schema.label_type is None else np.empty(total, schema.label_type.dtype)
        for part in parts:
            places = part.places if len(parts) > 1 else slice(None)
            values[places] = part.values
            if keys is not None:
                keys[places] = part.keys
            if labels is not None:
                labels[places] = part.labels
        return Rows(
            counts=np.broadcast_to(np.int64(count), total),
            values=_items_to_elements(values, schema.value_type.dtype),
            value_type=schema.value_type,
            keys=None if keys is None else _items_to_elements(keys, schema.key_dtype),
            feature_dim=schema.feature_dim,
            labels=labels,
            label_type=schema.label_type,
        )

    def _common_lengths(self, lengths: Index) -> list[int]:
        """Return the payload lengths that enough records have, commonest first."""
        if self._small_groups >= MAX_SMALL_GROUPS or len(lengths) < MIN_ROWS:
            return []
        if lengths[0] == lengths[-1] and (lengths == lengths[0]).all():
            return [int(lengths[0])]
        if lengths.max() > MAX_LENGTH:
            return []
        records = np.bincount(lengths)
        common = np.flatnonzero(records >= MIN_ROWS)
        if len(common) > MAX_COMMON:
            return []
        return [int(length) for length in common[np.argsort(-records[common], kind="stable")]]

    def _new_layout(self, frames: Frames, row: int) -> _Layout | None:
        layout = _layout(frames, row, self._schema)
        if layout is None:
            self._small_groups += 1
        else:
            self._known.setdefault(int(frames.lengths[row]), []).append(layout)
        return layout

    def _compare(
        self, frames: Frames, candidates: Index, layout: _Layout
    ) -> tuple[UniformRecords, NDArray[np.bool_]]:
        """Return the candidates of that layout, and which they are."""
        schema = self._schema
        block = self._block(frames, candidates, layout.size)
        matches = _matches(block, layout)
        keys = _keys(block, layout, schema.key_dtype)
        for own in keys.T:
            if int(own.max()) >= schema.feature_dim:
                matches &= own < schema.feature_dim
        key_items = wire.column(keys.view(np.uint8), 0, np.dtype(f"V{keys.shape[1] * keys.itemsize}"))
        values = wire.column(
            block, layout.values_at, np.dtype(f"V{layout.count * schema.value_type.itemsize}")
        )
        labels = None
        if schema.label_type is not None:
            labels = wire.column(block, layout.label_at, schema.label_type.dtype)
        if block.base is self._scratch and matches.all():
            values = values.copy()
            labels = None if labels is None else labels.copy()
        if not matches.all():
            own = np.flatnonzero(matches)
            candidates, values, key_items = candidates[own], values[own], key_items[own]
            labels = None if labels is None else labels[own]
        return UniformRecords(candidates, layout.count, values, key_items, labels), matches

    def _block(self, frames: Frames, chosen: Index, size: int) -> Bytes:
        """Return records of one size, shape (records, size); good until the next call.

        If they have to be gathered and aren't whole words, the bytes after each fill its last word.
        """
        first, last = (int(frames.starts[place]) - wire.FRAME for place in chosen[[0, -1]])
        if last - first == size * (len(chosen) - 1):
            return frames.buffer[first : last + size].reshape(-1, size)
        padded = -(-size // WORD.itemsize) * WORD.itemsize
        starts = frames.starts
        is_even = size == padded and starts[-1] - starts[0] == size * (len(starts) - 1)
        size = padded
        if len(self._scratch) < size * len(chosen):
            self._scratch = np.empty(size * len(frames.starts), np.uint8)
        block = self._scratch[: size * len(chosen)]
        if is_even:
            first = int(starts[0]) - wire.FRAME
            records = frames.buffer[first : first + size * len(starts)].view(f"V{size}")
            np.take(records, chosen, out=block.view(records.dtype), mode="clip")
            return block.reshape(-1, size)
        records, heads = wire.windows(frames.buffer, size), starts[chosen] - wire.FRAME
        for start in range(0, len(chosen), GATHERED):
            end = start + GATHERED
            block[start * size : end * size].view(records.dtype)[:] = records[heads[start:end]]
        return block.reshape(-1, size)


@dataclass(frozen=True)
class _Layout:
    """One record, which of its bits all others share, and where its fields are from its first byte."""

    size: int
    example: Bytes
    """In whole words, as ``shared``."""
    shared: Bytes
    values_at: int
    count: int
    keys_at: tuple[int, ...]
    key_widths: tuple[int, ...]
    label_at: int


def _layout(frames: Frames, row: int, schema: Schema) -> _Layout | None:
    """Return the layout of a record, or None if it has none of ours."""
    start, length = int(frames.starts[row]), int(frames.lengths[row])
    fields = decode_general.locate(frames.buffer, np.array([start]), np.array([length]), schema)
    if fields.irregular[0]:
        return None
    first = start - wire.FRAME
    size = wire.FRAME + -(-length // 4) * 4
    example = frames.buffer[first : first + -(-size // WORD.itemsize) * WORD.itemsize].copy()
    shared = np.zeros(len(example), np.uint8)
    shared[:size] = 0xFF
    values_at, value_bytes = int(fields.values_at[0]) - first, int(fields.value_bytes[0])
    keys_at, key_bytes = int(fields.keys_at[0]) - first, int(fields.key_bytes[0])
    label_at, label_bytes = int(fields.label_at[0]) - first, int(fields.label_bytes[0])
    shared[values_at : values_at + value_bytes] = 0
    shared[keys_at : keys_at + key_bytes] = 0x80  # whether a key goes on
    shared[label_at : label_at + label_bytes] = 0
    last = keys_at + np.flatnonzero(example[keys_at : keys_at + key_bytes] < 0x80)
    starts = [keys_at, *(int(at) + 1 for at in last[:-1])][: len(last)]
    widths = tuple(int(end) + 1 - at for at, end in zip(starts, last, strict=True))
    count = value_bytes // schema.value_type.itemsize
    expected = len(widths) if schema.is_sparse else schema.feature_dim
    if (
        count * schema.value_type.itemsize != value_bytes
        or count != expected
        or sum(widths) != key_bytes
        or len(widths) > MAX_KEYS
        or max(widths, default=0) > wire.MAX_VARINT
    ):
        return None
    return _Layout(size, example, shared, values_at, count, tuple(starts), widths, label_at)


def _matches(block: Bytes, layout: _Layout) -> NDArray[np.bool_]:
    """Say which records share what all must share with the example."""
    size = block.shape[1]
    word = WORD if size % WORD.itemsize == 0 else np.dtype("<u4")
    words = block.view(word)
    example, shared = layout.example[:size].view(word), layout.shared[:size].view(word)
    difference = np.zeros(len(block), word)
    for place in np.flatnonzero(shared):
        own = words[:, place] ^ example[place]
        if shared[place] != np.iinfo(word).max:
            own &= shared[place]
        difference |= own
    matches: NDArray[np.bool_] = difference == 0
    return matches


def _keys(block: Bytes, layout: _Layout, dtype: np.dtype[Any]) -> Keys:
    """Return the keys, shape (records, keys)."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    keys = np.zeros((len(block), len(layout.keys_at)), unsigned)
    for column, (at, width) in enumerate(zip(layout.keys_at, layout.key_widths, strict=True)):
        own = keys[:, column]
        if width <= 4 and at + 4 <= block.shape[1]:
            # All its bytes at once.
            bits = wire.column(block, at, np.dtype("<u4")).copy()
            own[:] = bits & 0x7F
            for place in range(1, width):
                bits >>= 1
                own |= bits & 0x7F << 7 * place
        else:
            for place in range(width):
                own |= (block[:, at + place] & 0x7F).astype(unsigned) << unsigned.type(7 * place)
    return keys


def _items_to_elements(items: NDArray[np.void], dtype: np.dtype[Any]) -> NDArray[Any]:
    return items.view(dtype) if items.dtype.itemsize else np.empty(0, dtype)
