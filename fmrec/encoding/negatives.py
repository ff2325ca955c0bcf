"""Sampled negatives: items that a user never met, for implicit feedback.

"Met" means any interaction with that item, picked or not: for train's negatives one of train, for test's
one of train or test. Were the held-out items spared in train too, a model with many negatives would learn
them from what it never gets to see, and its figures on test would be too good. Drawn uniformly, or in proportion to popularity, taken from the interactions of the same bucket of users.
Draws are hashes, so the same row gets the same negatives wherever and whenever it is encoded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmrec.encoding.batches import NEGATIVE, Batch, hashes, units

ROUNDS = 8
"""Redraws of an item that the user has met, before what is left is drawn from a list of the unmet."""


@dataclass(frozen=True)
class ItemRange:
    """Items' columns ``[first, end)``, and how to draw from them."""

    first: int
    end: int
    popularity: bool = False

    @property
    def count(self) -> int:
        return self.end - self.first


def sample_negatives(
    positives: Batch,
    per_positive: int,
    met: tuple[NDArray[np.int64], NDArray[np.int64]],
    items: ItemRange,
    seed: int,
    salt: int,
) -> Batch:
    """Draw negatives for each positive.

    Parameters
    ----------
    met : tuple of int64 arrays
        Every pair of user and item that these users met, sorted.

    Returns
    -------
    Batch
        ``per_positive`` rows a positive, with its user, row and context and label 0. Fewer
        where a user has met every item.
    """
    source = np.repeat(np.arange(len(positives), dtype=np.int64), per_positive)
    copy = np.arange(len(source), dtype=np.int64)  # tells the draws of one positive apart
    user, row = positives.user[source], positives.row[source]
    first_user = int(met[0][0]) if len(met[0]) else 0
    known = _keys(*met, first_user, items)
    popular = met[1] if items.popularity else None
    chosen = np.full(len(source), -1, np.int64)
    open_ = np.arange(len(source), dtype=np.int64)
    for turn in range(ROUNDS):
        if not len(open_):
            break
        draw = units(hashes(seed + salt, user[open_], row[open_], copy[open_], np.full(len(open_), turn)))
        if popular is not None and len(popular):
            item = popular[(draw * len(popular)).astype(np.int64)]
        else:
            item = items.first + (draw * items.count).astype(np.int64)
        met_already = _contains(known, _keys(user[open_], item, first_user, items))
        chosen[open_[~met_already]] = item[~met_already]
        open_ = open_[met_already]
    if len(open_):
        _draw_from_unmet(chosen, open_, user, hashes(seed + salt, user, row, copy), met, items)
    drawn = chosen >= 0
    negatives = positives.take(source[drawn])
    return negatives.with_(
        item=chosen[drawn], value=np.zeros(len(negatives)), time=np.full(len(negatives), NEGATIVE)
    )


def _draw_from_unmet(
    chosen: NDArray[np.int64],
    places: NDArray[np.int64],
    user: NDArray[np.int64],
    hashed: NDArray[np.uint64],
    met: tuple[NDArray[np.int64], NDArray[np.int64]],
    items: ItemRange,
) -> None:
    """Draw for users who have met nearly everything, one user's unmet items at a time."""
    for one in np.unique(user[places]):
        start, end = np.searchsorted(met[0], (one, one + 1))
        unmet = np.setdiff1d(np.arange(items.first, items.end), met[1][start:end], assume_unique=True)
        if len(unmet):
            mine = places[user[places] == one]
            chosen[mine] = unmet[(units(hashed[mine]) * len(unmet)).astype(np.int64)]


def _keys(
    user: NDArray[np.int64], item: NDArray[np.int64], first_user: int, items: ItemRange
) -> NDArray[np.int64]:
    return (user - first_user) * items.count + (item - items.first)


def _contains(sorted_keys: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(sorted_keys):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[places] == keys)
