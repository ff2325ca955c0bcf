"""Sorting and grouping of whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.encoding.packed_arrays import as_integers

Ints = NDArray[np.int64]
_DIGIT_BITS = 16


def spans(starts: Ints, lengths: Ints) -> Ints:
    """Return ``starts[0] … starts[0] + lengths[0] - 1, starts[1] …`` in one array."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    places: Ints = np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)
    return places


def in_order(*keys: NDArray[Any]) -> Ints:
    """Return the places of all rows in the order of their keys, the first key foremost, ties as they stand.

    Integers are sorted by 16 bits at a time, from the last, as NumPy does that by counting, in a fraction of
    the time of comparing. Keys whose rows are in order already, as files have them, take one look.
    """
    order: Ints | None = None
    numbers = [key if key.dtype == np.int64 else as_integers(key) for key in keys]
    for key in reversed(numbers):
        if key is None:  # fractions
            return np.lexsort(keys[::-1])
        ordered = key if order is None else key[order]
        if (ordered[1:] < ordered[:-1]).any():
            order = _by_digits(ordered, order)
    return np.arange(len(keys[0]), dtype=np.int64) if order is None else order


def order_of_some(order: Ints, chosen: NDArray[np.bool_]) -> Ints:
    """Return the chosen rows' places among each other, in the order in which ``order`` has them."""
    places = np.cumsum(chosen) - 1
    return np.asarray(places[order[chosen[order]]])


def in_order_of_hashes(hashes: NDArray[np.uint64]) -> Ints:
    """Return the places of all rows in the order of their hashes, in no particular order where those are
    the same.
    """
    if not len(hashes):
        return np.zeros(0, np.int64)
    above = hashes - hashes.min()
    high = above >> np.uint64(max(0, int(above.max()).bit_length() - 2 * _DIGIT_BITS))
    order = _by_digits(high.astype(np.int64), None)
    ordered = high[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(same):  # few: 32 bits of hashes are seldom the same
        places = np.union1d(same, same + 1)
        mine = order[places]
        order[places] = mine[np.argsort(hashes[mine])]
    return order


def _by_digits(key: Ints, order: Ints | None) -> Ints:
    """Return rows that stand in ``order`` in the order of their keys, which are given in that order, too."""
    minimum = int(key.min())
    bits = (int(key.max()) - minimum).bit_length()
    above = (key - minimum).view(np.uint64)  # where that is beyond int64, it wraps to what it is in uint64
    if bits <= 32:
        above = above.astype(np.uint32)
    found = order
    for shift in range(0, max(bits, 1), _DIGIT_BITS):
        left = bits - shift
        digit = (above >> shift if shift else above).astype(np.uint8 if left <= 8 else np.uint16)
        by_digit = np.argsort(digit, kind="stable")
        found = by_digit if found is None else found[by_digit]
        if left > _DIGIT_BITS:
            above = above[by_digit]
    return np.asarray(found)


def grouped(key: Ints) -> tuple[Ints, Ints, Ints]:
    """Return places in the order of an integer key, ties as they stand; the values that the key has; and
    where each value's places begin, and at last end.
    """
    order = in_order(key)
    ordered = key[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    return order, ordered[starts], np.append(starts, len(key))
