"""Distinct pairs of users and items: what ``seen/`` and ``heldout/`` hold, and which ids train has seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmrec.dataset import ImplicitLabel
from fmrec.dataset.labels import Label
from fmrec.encoding.row_types import IndexedRows


@dataclass(frozen=True)
class Pairs:
    """Pairs, sorted by user and item.

    Parameters
    ----------
    user, item : int64 arrays
        Feature ids.
    relevant : bool array
        Whether the user liked the item, in any of the pair's rows.
    value : float64 array
        The pair's last value as read; NaN under implicit feedback.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    relevant: NDArray[np.bool_]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Return the chosen pairs, in the same order."""
        return Pairs(self.user[chosen], self.item[chosen], self.relevant[chosen], self.value[chosen])


def distinct_pairs(rows: IndexedRows, order: NDArray[np.int64], label: Label) -> Pairs:
    """Return what rows say about each pair; ``order`` has their places by user, item and row."""
    user, item, value = rows.user[order], rows.item[order], rows.value[order]
    first = np.ones(len(user), np.bool_)
    first[1:] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
    starts = np.flatnonzero(first)
    if isinstance(label, ImplicitLabel):
        relevant, value = value > 0, np.full(len(value), np.nan)
    else:
        relevant = value >= label.threshold
    if len(starts):
        relevant = np.logical_or.reduceat(relevant, starts)
    last = np.append(starts[1:], len(user))[: len(starts)] - 1
    return Pairs(user[first], item[first], relevant, value[last])


def pack_ids(pairs: Pairs) -> bytes:
    """Pack the distinct users and items of pairs."""
    users, items = np.unique(pairs.user), np.unique(pairs.item)
    return np.concatenate(([len(users)], users, items)).astype(np.int64).tobytes()


def unpack_ids(data: bytes | memoryview) -> dict[str, NDArray[np.int64]]:
    """Return the distinct users and items, by side."""
    numbers = np.frombuffer(data, np.int64)
    return {"user": numbers[1 : 1 + numbers[0]], "item": numbers[1 + numbers[0] :]}
