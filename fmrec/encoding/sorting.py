"""Sorting and grouping of whole arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.encoding.packed_arrays import as_integers

Ints = NDArray[np.int64]


def spans(starts: Ints, lengths: Ints) -> Ints:
    """Return ``starts[0] … starts[0] + lengths[0] - 1, starts[1] …`` in one array."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    places: Ints = np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)
    return places


def in_order(*keys: NDArray[Any]) -> Ints:
    """Return the places of all rows in the order of their keys, the first key foremost, ties as they stand.

    Keys that fit into 64 bits together with the places are sorted as one number each, which takes a
    fifth of the time of sorting by one key after the other.
    """
    count = len(keys[0])
    numbers: list[tuple[Ints, int, int]] = []
    bits = free = max(count - 1, 0).bit_length()
    for key in reversed(keys):
        integers = key if key.dtype == np.int64 else as_integers(key)
        if integers is None or not count:
            return np.lexsort(keys[::-1])
        minimum = int(integers.min())
        numbers.append((integers, minimum, bits))
        bits += (int(integers.max()) - minimum).bit_length()
        if bits > 64:
            return np.lexsort(keys[::-1])
    packed = np.arange(count, dtype=np.uint64)
    for integers, minimum, shift in numbers:
        if shift < 64:
            packed |= (integers - minimum).astype(np.uint64) << np.uint64(shift)
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
