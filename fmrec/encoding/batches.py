"""Rows as whole columns of numbers: what moves between the job's stages instead of one row at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.encoding.packing import pack, unpack, whole

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
UNKNOWN = -1
"""Stands for a user or item that has no column."""
NEGATIVE = float("-inf")
"""Stands for the time of an interaction that never was: a sampled negative."""
PACKED_ROWS = 65_536
"""Rows that are packed into one at most: Spark copies packed rows whole, in the JVM and on their way."""


@dataclass(frozen=True)
class Ragged:
    """A list of non-zeros a row.

    Parameters
    ----------
    lengths : int64 array (rows,)
    columns : int64 array (sum of lengths,)
    values : float32 array (sum of lengths,)
    """

    lengths: Ints
    columns: Ints
    values: NDArray[np.float32]

    @classmethod
    def empty(cls, rows: int) -> Ragged:
        return cls(np.zeros(rows, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))

    @classmethod
    def from_arrow(cls, columns: Any, values: Any) -> Ragged:
        """Take list arrays of columns and values; a null is an empty list."""
        lengths = np.asarray(columns.value_lengths().fill_null(0)).astype(np.int64)
        return cls(
            lengths,
            np.asarray(columns.flatten()).astype(np.int64),
            np.asarray(values.flatten()).astype(np.float32),
        )

    def sorted(self) -> Ragged:
        """Return each row's non-zeros in the order of their columns."""
        rows = np.repeat(np.arange(len(self.lengths)), self.lengths)
        if ((self.columns[1:] > self.columns[:-1]) | (rows[1:] > rows[:-1])).all():
            return self
        order = np.lexsort((self.columns, rows))
        return Ragged(self.lengths, self.columns[order], self.values[order])

    def take(self, rows: Ints) -> Ragged:
        """Return the given rows, in the given order."""
        if not len(self.columns):
            return Ragged.empty(len(rows))
        starts = np.cumsum(self.lengths) - self.lengths
        lengths = self.lengths[rows]
        places = spans(starts[rows], lengths)
        return Ragged(lengths, self.columns[places], self.values[places])

    def beside(self, other: Ragged) -> Ragged:
        """Return each row's non-zeros followed by the same row's of ``other``."""
        if not len(other.columns):
            return self
        if not len(self.columns):
            return other
        lengths = self.lengths + other.lengths
        starts = np.cumsum(lengths) - lengths
        columns = np.empty(lengths.sum(), np.int64)
        values = np.empty(len(columns), np.float32)
        for part, at in ((self, starts), (other, starts + self.lengths)):
            places = spans(at, part.lengths)
            columns[places], values[places] = part.columns, part.values
        return Ragged(lengths, columns, values)


@dataclass(frozen=True)
class Batch:
    """Interactions, column by column; all arrays have one entry a row.

    Parameters
    ----------
    user, item : int64 arrays
        Columns of the feature space, or ``UNKNOWN``.
    value : float64 array
        The value as read, later the label.
    time : float64 array
        Seconds since 1970; 0 where the data has no times.
    row : int64 array
        The row's number over all files, in file order.
    extra : Ragged
        Side features' non-zeros.
    """

    user: Ints
    item: Ints
    value: Floats
    time: Floats
    row: Ints
    extra: Ragged

    def __len__(self) -> int:
        return len(self.user)

    @property
    def negative(self) -> NDArray[np.bool_]:
        """Which rows are sampled negatives."""
        return np.asarray(self.time == NEGATIVE)

    def take(self, rows: NDArray[Any]) -> Batch:
        """Return the rows at the given places, or where a mask is true."""
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Batch(
            self.user[places],
            self.item[places],
            self.value[places],
            self.time[places],
            self.row[places],
            self.extra.take(places),
        )

    def with_(self, **changes: Any) -> Batch:
        return replace(self, **changes)

    def slice(self, start: int, end: int, entries: slice) -> Batch:
        """Return rows ``start`` to ``end``, whose side features are at ``entries``, without copying."""
        extra = self.extra
        return Batch(
            self.user[start:end],
            self.item[start:end],
            self.value[start:end],
            self.time[start:end],
            self.row[start:end],
            Ragged(extra.lengths[start:end], extra.columns[entries], extra.values[entries]),
        )

    def cut(self, rows: int) -> Iterator[Batch]:
        """Yield all rows in order, at most ``rows`` at a time, without copying."""
        entries = np.concatenate(([0], np.cumsum(self.extra.lengths))).tolist()
        for start in range(0, len(self), rows):
            end = min(start + rows, len(self))
            yield self.slice(start, end, slice(entries[start], entries[end]))

    def to_bytes(self) -> bytes:
        extra = self.extra
        plain = (self.user, self.item, self.value, self.time, self.row)
        return pack(plain if not len(extra.columns) else (*plain, extra.lengths, extra.columns, extra.values))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Batch:
        user, item, value, time, row, *extra = unpack(data)
        return cls(user, item, value, time, row, Ragged(*extra) if extra else Ragged.empty(len(user)))

    @classmethod
    def concatenate(cls, batches: Iterable[Batch]) -> Batch:
        """Return all rows of all batches, in order."""
        parts = list(batches)
        if len(parts) == 1:
            return parts[0]
        if not parts:
            none = np.zeros(0, np.int64)
            return cls(none, none, none.astype(np.float64), none.astype(np.float64), none, Ragged.empty(0))

        def joined(name: str) -> Any:
            return np.concatenate([attrgetter(name)(part) for part in parts])

        extra = Ragged(joined("extra.lengths"), joined("extra.columns"), joined("extra.values"))
        return cls(joined("user"), joined("item"), joined("value"), joined("time"), joined("row"), extra)


def spans(starts: Ints, lengths: Ints) -> Ints:
    """Return ``starts[0] … starts[0] + lengths[0] - 1, starts[1] …`` in one array."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    places: Ints = np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)
    return places


def hashes(seed: int, *columns: Ints) -> NDArray[np.uint64]:
    """Return a well-mixed 64-bit hash of each row's numbers (SplitMix64, Steele et al. 2014).

    The same on every machine and in every version of NumPy, unlike its random generators.
    """
    state = np.full(len(columns[0]), seed & 0xFFFFFFFFFFFFFFFF, np.uint64)
    for column in columns:
        state = _mix(state + column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return state


def units(hashed: NDArray[np.uint64]) -> Floats:
    """Return hashes as numbers in [0, 1)."""
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def in_order(*keys: NDArray[Any]) -> Ints:
    """Return the places of all rows in the order of their keys, the first key foremost, ties as they stand.

    Keys that fit into 64 bits together with the places are sorted as one number each, which takes a
    fifth of the time of sorting by one key after the other.
    """
    count = len(keys[0])
    numbers: list[tuple[Ints, int, int]] = []
    bits = free = max(count - 1, 0).bit_length()
    for key in reversed(keys):
        integers = key if key.dtype == np.int64 else whole(key)
        if integers is None or not count:
            return np.lexsort(keys[::-1])
        least = int(integers.min())
        numbers.append((integers, least, bits))
        bits += (int(integers.max()) - least).bit_length()
        if bits > 64:
            return np.lexsort(keys[::-1])
    packed = np.arange(count, dtype=np.uint64)
    for integers, least, shift in numbers:
        if shift < 64:
            packed |= (integers - least).astype(np.uint64) << np.uint64(shift)
    packed.sort()
    return np.asarray(packed & np.uint64((1 << free) - 1), dtype=np.int64)


def by_key(key: NDArray[Any]) -> Iterator[tuple[int, Ints]]:
    """Yield each value of an integer array, ascending, with the places where it stands, in order."""
    order = in_order(np.asarray(key, dtype=np.int64))
    ordered = key[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    ends = np.append(starts[1:], len(key))[: len(starts)]
    for start, end in zip(starts, ends, strict=True):
        yield int(ordered[start]), order[start:end]


def by_bucket(batch: Batch, buckets: Ints) -> Iterator[tuple[int, Batch]]:
    """Yield each bucket, ascending, with its rows, in order, at most ``PACKED_ROWS`` at a time."""
    groups = list(by_key(buckets))
    if not groups:
        return
    batch = batch.take(np.concatenate([places for _, places in groups]))
    entries = np.concatenate(([0], np.cumsum(batch.extra.lengths))).tolist()
    start = 0
    for bucket, places in groups:
        end = start + len(places)
        for rows in batch.slice(start, end, slice(entries[start], entries[end])).cut(PACKED_ROWS):
            yield bucket, rows
        start = end


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))
