"""The rows that pass from stage to stage: one type per stage, each a set of arrays with one entry per row.

``CodedRows`` come from the files, ``IndexedRows`` have feature ids, ``LabelledRows`` are what is written.
``CodeTable`` and ``FeatureLookup`` say what codes and feature ids stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmrec.encoding.packed_arrays import pack, unpack
from fmrec.encoding.sorting import spans

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
COPY = 1 << 40
"""What is added to sort keys from copy to copy, so that the order of training puts copies apart."""
UNKNOWN = -1
"""Stands for a user or item that has no feature id."""


@dataclass(frozen=True)
class SparseRows:
    """A list of non-zeros per row.

    Parameters
    ----------
    lengths : int64 array (rows,)
    feature_ids : int64 array (sum of lengths,)
    values : float32 array (sum of lengths,)
    """

    lengths: Ints
    feature_ids: Ints
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def empty(cls, rows: int) -> SparseRows:
        return cls(np.zeros(rows, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))

    @classmethod
    def from_arrow(cls, feature_ids: Any, values: Any) -> SparseRows:
        """Take list arrays of feature ids and values; a null is an empty list."""
        lengths = np.asarray(feature_ids.value_lengths().fill_null(0)).astype(np.int64)
        return cls(
            lengths,
            np.asarray(feature_ids.flatten()).astype(np.int64),
            np.asarray(values.flatten()).astype(np.float32),
        )

    def to_arrow(self) -> tuple[pa.ListArray, pa.ListArray]:
        """Return list arrays of feature ids and values."""
        ends = pa.array(np.concatenate(([0], np.cumsum(self.lengths))), pa.int32())
        columns, values = pa.array(self.feature_ids), pa.array(self.values)
        return pa.ListArray.from_arrays(ends, columns), pa.ListArray.from_arrays(ends, values)

    def sorted(self) -> SparseRows:
        """Return each row's non-zeros in the order of their feature ids."""
        rows = np.repeat(np.arange(len(self.lengths)), self.lengths)
        if ((self.feature_ids[1:] > self.feature_ids[:-1]) | (rows[1:] > rows[:-1])).all():
            return self
        order = np.lexsort((self.feature_ids, rows))
        return SparseRows(self.lengths, self.feature_ids[order], self.values[order])

    def take(self, rows: Ints) -> SparseRows:
        """Return the given rows, in the given order."""
        if not len(self.feature_ids):
            return SparseRows.empty(len(rows))
        starts = np.cumsum(self.lengths) - self.lengths
        lengths = self.lengths[rows]
        places = spans(starts[rows], lengths)
        return SparseRows(lengths, self.feature_ids[places], self.values[places])

    def hstack(self, other: SparseRows) -> SparseRows:
        """Return each row's non-zeros followed by the same row's of ``other``."""
        if not len(other.feature_ids):
            return self
        if not len(self.feature_ids):
            return other
        lengths = self.lengths + other.lengths
        starts = np.cumsum(lengths) - lengths
        feature_ids = np.empty(lengths.sum(), np.int64)
        values = np.empty(len(feature_ids), np.float32)
        for part, at in ((self, starts), (other, starts + self.lengths)):
            places = spans(at, part.lengths)
            feature_ids[places], values[places] = part.feature_ids, part.values
        return SparseRows(lengths, feature_ids, values)

    def without(self, feature_id_of_row: Ints) -> SparseRows:
        """Leave out each row's entry with the row's own feature id."""
        others = self.feature_ids != np.repeat(feature_id_of_row, self.lengths)
        row = np.repeat(np.arange(len(self.lengths)), self.lengths)[others]
        lengths = np.bincount(row, minlength=len(self.lengths)).astype(np.int64)
        return SparseRows(lengths, self.feature_ids[others].astype(np.int64), self.values[others])

    def cut(self, bounds: list[tuple[int, int]]) -> Iterator[SparseRows]:
        """Yield the rows between each two bounds, without copying."""
        entries = np.concatenate(([0], np.cumsum(self.lengths))).tolist()
        for start, end in bounds:
            held = slice(entries[start], entries[end])
            yield SparseRows(self.lengths[start:end], self.feature_ids[held], self.values[held])

    @classmethod
    def concatenate(cls, parts: list[SparseRows]) -> SparseRows:
        return cls(
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([part.feature_ids for part in parts]),
            np.concatenate([part.values for part in parts]),
        )


class Rows:
    """What all row types can do. Fields are arrays in the order of ``DTYPES``, then perhaps
    ``SparseRows``.
    """

    DTYPES: ClassVar[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self._parts()[0])

    def take(self, rows: NDArray[Any]) -> Self:
        """Return the rows at the given places, or where a mask is true."""
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return type(self)(
            *(part.take(places) if isinstance(part, SparseRows) else part[places] for part in self._parts())
        )

    def with_(self, **changes: Any) -> Self:
        return replace(self, **changes)  # type: ignore[type-var]

    def cut(self, rows: int) -> Iterator[Self]:
        """Yield all rows in order, at most ``rows`` at a time, without copying."""
        yield from self.cut_at([(start, min(start + rows, len(self))) for start in range(0, len(self), rows)])

    def cut_at(self, bounds: list[tuple[int, int]]) -> Iterator[Self]:
        """Yield the rows between each two bounds, without copying."""
        parts = [
            part.cut(bounds) if isinstance(part, SparseRows) else [part[start:end] for start, end in bounds]
            for part in self._parts()
        ]
        for found in zip(*parts, strict=True):
            yield type(self)(*found)

    @classmethod
    def empty(cls) -> Self:
        sparse = [SparseRows.empty(0)] * (len(fields(cls)) - len(cls.DTYPES))  # type: ignore[arg-type]
        return cls(*(np.zeros(0, dtype) for dtype in cls.DTYPES), *sparse)

    @classmethod
    def concatenate(cls, found: Iterable[Self]) -> Self:
        """Return all rows, in order."""
        rows = list(found)
        if len(rows) == 1:
            return rows[0]
        if not rows:
            return cls.empty()
        return cls(
            *(
                SparseRows.concatenate(list(parts))
                if isinstance(parts[0], SparseRows)
                else np.concatenate(parts)
                for parts in zip(*(entry._parts() for entry in rows), strict=True)
            )
        )

    def to_bytes(self) -> bytes:
        """Pack all arrays; non-zeros only where there are some."""
        *arrays, last = self._parts()
        if not isinstance(last, SparseRows):
            return pack((*arrays, last))
        return pack(
            (*arrays, last.lengths, last.feature_ids, last.values) if len(last.feature_ids) else arrays
        )

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        arrays = unpack(data)
        plain, sparse = arrays[: len(cls.DTYPES)], arrays[len(cls.DTYPES) :]
        if len(fields(cls)) == len(cls.DTYPES):  # type: ignore[arg-type]
            return cls(*plain)
        return cls(*plain, SparseRows(*sparse) if sparse else SparseRows.empty(len(plain[0])))  # type: ignore[call-arg]

    def _parts(self) -> list[Any]:
        return [getattr(self, entry.name) for entry in fields(self)]  # type: ignore[arg-type]


@dataclass(frozen=True)
class CodedRows(Rows):
    """Interactions whose texts are places among their chunk's distinct texts, ``UNKNOWN`` for none.

    Parameters
    ----------
    user, item : int64 arrays
        Codes.
    value, time : float64 arrays
        As read; 0 where the data has none. Seconds since 1970.
    position : int64 array
        Where the row stands in its piece of a file.
    context : int64 array (rows, context features)
        Codes.
    """

    DTYPES: ClassVar = ("int64", "int64", "float64", "float64", "int64", "int64")
    user: Ints
    item: Ints
    value: Floats
    time: Floats
    position: Ints
    context: Ints

    def to_bytes(self) -> bytes:
        """Pack each context feature's codes by themselves."""
        return pack((self.user, self.item, self.value, self.time, self.position, *self.context.T))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        user, item, value, time, position, *context = unpack(data)
        codes = np.stack(context, axis=1) if context else np.zeros((len(user), 0), np.int64)
        return cls(user, item, value, time, position, codes)


@dataclass(frozen=True)
class IndexedRows(Rows):
    """Interactions with feature ids.

    Parameters
    ----------
    user, item : int64 arrays
        Feature ids.
    value, time : float64 arrays
        As in ``CodedRows``.
    row : int64 array
        The row's number over all files, in file order.
    context : SparseRows
        The non-zeros of the interaction's own features.
    """

    DTYPES: ClassVar = ("int64", "int64", "float64", "float64", "int64")
    user: Ints
    item: Ints
    value: Floats
    time: Floats
    row: Ints
    context: SparseRows


@dataclass(frozen=True)
class LabelledRows(Rows):
    """Rows as they are to be written.

    Parameters
    ----------
    user, item : int64 arrays
        Feature ids, or ``UNKNOWN`` where the record leaves the id out.
    label : float64 array
    is_negative : bool array
        Which rows are sampled.
    sort_key : int64 array
        The row's number over all files, and which copy of it this is: decides the order of records.
    features : SparseRows
        The non-zeros apart from user and item.
    """

    DTYPES: ClassVar = ("int64", "int64", "float64", "bool", "int64")
    user: Ints
    item: Ints
    label: Floats
    is_negative: Mask
    sort_key: Ints
    features: SparseRows

    def of_side(self, side: str) -> Ints:
        """Return the feature ids of ``user`` or ``item``."""
        return self.user if side == "user" else self.item


@dataclass(frozen=True)
class CodeTable(Rows):
    """What the codes of one chunk stand for: the non-zeros of each code of a namespace."""

    DTYPES: ClassVar = ("int64", "int64")
    code: Ints
    namespace: Ints
    entries: SparseRows


@dataclass(frozen=True)
class FeatureLookup(Rows):
    """Users' or items' feature ids: whether train has seen each, and its side features."""

    DTYPES: ClassVar = ("int64", "bool")
    feature_id: Ints
    known: Mask
    features: SparseRows

    def sorted(self) -> FeatureLookup:
        return self.take(np.argsort(self.feature_id))

    def find(self, feature_ids: Ints) -> tuple[Mask, SparseRows]:
        """Return what is known of each feature id; the lookup is sorted."""
        places = np.searchsorted(self.feature_id, feature_ids)
        return self.known[places], self.features.take(places)
