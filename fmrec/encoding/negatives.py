"""Sampled negatives: items that a user has not seen, for implicit feedback.

"Seen" means any interaction with that item, picked or not: for train's negatives one of train, for test's
one of train or test. Were the held-out items spared in train too, a model with many negatives would learn
them from what it never gets to see, and its figures on test would be too good. Drawn uniformly, or in
proportion to popularity, taken from the interactions of the same bucket of users. Draws are hashes, so the
same row gets the same negatives wherever and whenever it is encoded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmrec.dataset.hashing import hashes, units
from fmrec.encoding.row_types import LabelledRows

ROUNDS = 8
"""Redraws of an item that the user has seen, before what is left is drawn from a list of the unseen."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ItemRange:
    """Items' feature ids ``[first, end)``, and how to draw from them."""

    first: int
    end: int
    popularity: bool = False

    @property
    def count(self) -> int:
        return self.end - self.first


class NegativeSampler:
    """Draws negatives for the positives of one bucket of users, some positives at a time.

    Parameters
    ----------
    seen_user, seen_item : int64 arrays
        Every pair of user and item that these users have seen, sorted.
    """

    def __init__(
        self, per_positive: int, seen_user: Ints, seen_item: Ints, items: ItemRange, seed: int
    ) -> None:
        self._per_positive = per_positive
        self._seen = seen_user, seen_item
        self._items = items
        self._seed = seed
        self._first_user = int(seen_user[0]) if len(seen_user) else 0
        self._keys_seen = self._keys(seen_user, seen_item)

    def sample(self, positives: LabelledRows, first: int) -> LabelledRows:
        """Draw negatives for each positive.

        Parameters
        ----------
        first : int
            How many positives of the bucket come before these: it keeps the draws of two positives apart.

        Returns
        -------
        LabelledRows
            ``per_positive`` rows per positive, with its user, sort key and context and label 0. Fewer
            where a user has seen every item.
        """
        count = len(positives) * self._per_positive
        source = np.repeat(np.arange(len(positives), dtype=np.int64), self._per_positive)
        number = np.arange(first * self._per_positive, first * self._per_positive + count, dtype=np.int64)
        user, row = positives.user[source], positives.sort_key[source]
        popular = self._seen[1] if self._items.popularity and len(self._seen[1]) else None
        chosen = np.full(count, -1, np.int64)
        unsettled = np.arange(count, dtype=np.int64)
        for turn in range(ROUNDS):
            if not len(unsettled):
                break
            turns = np.full(len(unsettled), turn)
            draw = units(hashes(self._seed, user[unsettled], row[unsettled], number[unsettled], turns))
            if popular is not None:
                item = popular[(draw * len(popular)).astype(np.int64)]
            else:
                item = self._items.first + (draw * self._items.count).astype(np.int64)
            is_seen = _contains(self._keys_seen, self._keys(user[unsettled], item))
            chosen[unsettled[~is_seen]] = item[~is_seen]
            unsettled = unsettled[is_seen]
        if len(unsettled):
            self._draw_from_unseen(chosen, unsettled, user, hashes(self._seed, user, row, number))
        drawn = chosen >= 0
        negatives = positives.take(source[drawn])
        return negatives.with_(
            item=chosen[drawn],
            label=np.zeros(len(negatives)),
            is_negative=np.ones(len(negatives), np.bool_),
        )

    def _draw_from_unseen(self, chosen: Ints, places: Ints, user: Ints, hashed: NDArray[np.uint64]) -> None:
        """Draw for users who have seen nearly everything, one user's unseen items at a time."""
        seen_user, seen_item = self._seen
        for one in np.unique(user[places]):
            start, end = np.searchsorted(seen_user, (one, one + 1))
            every = np.arange(self._items.first, self._items.end)
            unseen = np.setdiff1d(every, seen_item[start:end], assume_unique=True)
            if len(unseen):
                mine = places[user[places] == one]
                chosen[mine] = unseen[(units(hashed[mine]) * len(unseen)).astype(np.int64)]

    def _keys(self, user: Ints, item: Ints) -> Ints:
        return (user - self._first_user) * self._items.count + (item - self._items.first)


def _contains(sorted_keys: Ints, keys: Ints) -> NDArray[np.bool_]:
    if not len(sorted_keys):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[places] == keys)
