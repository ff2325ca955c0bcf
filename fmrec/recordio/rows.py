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
    first = pieces[0]
    return replace(
        first,
        counts=np.concatenate([piece.counts for piece in pieces]),
        values=np.concatenate([piece.values for piece in pieces]),
        keys=None if first.keys is None else np.concatenate([piece.keys for piece in pieces]),
        labels=None if first.labels is None else np.concatenate([piece.labels for piece in pieces]),
    )


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
    same_count = int(counts[0]) if (counts == counts[0]).all() else 0
    for places, rows in parts:
        if same_count:
            values.reshape(total, -1)[places] = rows.values.reshape(len(rows), -1)
        else:
            to = wire.segments(starts[places], rows.counts.astype(np.int64, copy=False))
            values[to] = rows.values
        if keys is not None and rows.keys is not None:
            if same_count:
                keys.reshape(total, -1)[places] = rows.keys.reshape(len(rows), -1)
            else:
                keys[to] = rows.keys
        if labels is not None:
            labels[places] = rows.labels
    return replace(first, counts=counts, values=values, keys=keys, labels=labels)
