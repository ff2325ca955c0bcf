"""A checked batch of rows, ready to be encoded or just decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import InputError
from fmrec.recordio import wire
from fmrec.recordio.wire import Integers, TensorType


@dataclass(frozen=True)
class Rows:
    """Rows one after the other: row r has the next ``counts[r]`` of ``values``."""

    counts: Integers
    values: NDArray[Any]
    value_type: TensorType
    keys: Integers | None
    """Columns of the values, or None where rows are dense."""
    feature_dim: int
    labels: NDArray[Any] | None
    label_type: TensorType | None

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, chosen: slice) -> Rows:
        start, end, _ = chosen.indices(len(self))
        first = int(self.counts[:start].sum())
        inside = slice(first, first + int(self.counts[start:end].sum()))
        return replace(
            self,
            counts=self.counts[start:end],
            values=self.values[inside],
            keys=None if self.keys is None else self.keys[inside],
            labels=None if self.labels is None else self.labels[start:end],
        )

    def first(self, rows: int, elements: int) -> Rows:
        """Return that many rows, which have so many elements."""
        return replace(
            self,
            counts=self.counts[:rows],
            values=self.values[:elements],
            keys=None if self.keys is None else self.keys[:elements],
            labels=None if self.labels is None else self.labels[:rows],
        )

    @property
    def shape(self) -> bytes:
        """The tensor's shape field; dense tensors have none."""
        if self.keys is None:
            return b""
        return wire.length_delimited(wire.SHAPE, wire.varint(self.feature_dim))


def check_payload(size: int) -> None:
    """Raise InputError if a record can't hold so many bytes."""
    if size > wire.MAX_PAYLOAD:
        raise InputError(f"a row takes {size} bytes: a record holds at most {wire.MAX_PAYLOAD}")


def concatenate_rows(pieces: list[Rows]) -> Rows:
    """Return batches of one schema as one."""
    if len(pieces) == 1:
        return pieces[0]
    collected = Collected(pieces[0], sum(map(len, pieces)))
    for piece in pieces:
        collected.add(piece)
    return collected.rows()


class Collected:
    """Batches of one schema that arrive one by one, in arrays that grow as they need."""

    def __init__(self, first: Rows, rows_expected: int, room: int = 0) -> None:
        """``room`` is for how many elements more than it needs ``room`` will be called."""
        self._first, self._expected = first, rows_expected
        self._rows = self._elements = 0
        share = rows_expected / max(1, len(first))
        self._same_count = int(first.counts[0])
        self._counts: NDArray[np.int64] | None = None  # while all rows have as many values
        self._values = np.empty(int(len(first.values) * share) + room, first.values.dtype)
        self._keys = None if first.keys is None else np.empty(len(self._values), first.keys.dtype)
        self._labels = None if first.labels is None else np.empty(rows_expected, first.labels.dtype)

    def room(self, rows: int, elements: int) -> Rows:
        """Return where the next rows will be collected: ``add`` needn't copy what is decoded there."""
        self._grow(self._rows + rows, self._elements + elements)
        inside = slice(self._elements, self._elements + elements)
        return replace(
            self._first,
            counts=np.empty(rows, np.int64),
            values=self._values[inside],
            keys=None if self._keys is None else self._keys[inside],
            labels=None if self._labels is None else self._labels[self._rows : self._rows + rows],
        )

    def add(self, piece: Rows) -> None:
        rows, elements = self._rows + len(piece), self._elements + len(piece.values)
        if self._counts is None and (piece.counts != self._same_count).any():
            self._counts = np.full(max(rows, self._expected), self._same_count)
        if self._counts is not None:
            self._counts = _with_room(self._counts, rows)
            self._counts[self._rows : rows] = piece.counts
        self._grow(rows, elements)
        inside = slice(self._elements, elements)
        _put(self._values[inside], piece.values)
        if self._keys is not None and piece.keys is not None:
            _put(self._keys[inside], piece.keys)
        if self._labels is not None and piece.labels is not None:
            _put(self._labels[self._rows : rows], piece.labels)
        self._rows, self._elements = rows, elements

    def _grow(self, rows: int, elements: int) -> None:
        self._values = _with_room(self._values, elements)
        if self._keys is not None:
            self._keys = _with_room(self._keys, elements)
        if self._labels is not None:
            self._labels = _with_room(self._labels, rows)

    def rows(self) -> Rows:
        same_counts = np.broadcast_to(np.int64(self._same_count), self._rows)
        return replace(
            self._first,
            counts=same_counts if self._counts is None else self._counts[: self._rows],
            values=self._values[: self._elements],
            keys=None if self._keys is None else self._keys[: self._elements],
            labels=None if self._labels is None else self._labels[: self._rows],
        )


def _put(target: NDArray[Any], elements: NDArray[Any]) -> None:
    if elements.ctypes.data != target.ctypes.data:
        target[:] = elements


def _with_room(array: NDArray[Any], size: int) -> NDArray[Any]:
    if size <= len(array):
        return array
    larger = np.empty(max(size, len(array) * 3 // 2), array.dtype)
    larger[: len(array)] = array
    return larger


def merge_rows(parts: list[tuple[NDArray[np.int64], Rows]], total: int) -> Rows:
    """Return batches of one schema as one in which each part's rows have the given places."""
    parts = [(places, rows) for places, rows in parts if len(rows)]
    first = parts[0][1]
    if len(parts) == 1:
        return first
    counts = np.empty(total, np.int64)
    for places, rows in parts:
        counts[places] = rows.counts
    starts = np.cumsum(counts) - counts
    elements = int(counts.sum())
    values = np.empty(elements, first.values.dtype)
    keys = None if first.keys is None else np.empty(elements, first.keys.dtype)
    labels = None if first.labels is None else np.empty(total, first.labels.dtype)
    same_count = bool((counts == counts[0]).all())
    for places, rows in parts:
        if same_count:
            _put_items(values, places, rows.values, len(rows))
        else:
            _move(values, starts[places], rows.values, rows.counts)
        if keys is not None and rows.keys is not None:
            if same_count:
                _put_items(keys, places, rows.keys, len(rows))
            else:
                _move(keys, starts[places], rows.keys, rows.counts)
        if labels is not None:
            labels[places] = rows.labels
    return replace(first, counts=counts, values=values, keys=keys, labels=labels)


def _put_items(out: NDArray[Any], places: NDArray[np.int64], elements: NDArray[Any], rows: int) -> None:
    items = wire.items(elements, rows)
    if items.dtype.itemsize:
        out.view(items.dtype)[places] = items


def _move(out: NDArray[Any], to: NDArray[np.int64], elements: NDArray[Any], counts: Integers) -> None:
    size = elements.dtype.itemsize
    own = counts.astype(np.int64, copy=False)
    first = np.cumsum(own) - own
    wire.move_segments(out.view(np.uint8), to * size, elements.view(np.uint8), first * size, own, size)
