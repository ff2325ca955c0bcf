"""What everybody likes: the baseline that every recommender has to beat, and the answer for
cold-start users.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.ranking.top_k import Top

FIRST_DEPTH = 6
"""How many times k candidates are looked at first."""
POSITIONS = 4_000_000
"""Users × candidates looked at together; bounds memory."""


def most_popular(
    counts: npt.NDArray[np.integer],
    k: int,
    seen: Interactions,
    excluded: npt.NDArray[np.bool_] | None = None,
) -> Top:
    """The k items with the highest counts for every user, without those that the user has seen.

    Parameters
    ----------
    counts
        (items,) how many interactions (most-rated) or positive ones (most-liked) each item has.
    k
        Length of the lists, at least 1.
    seen
        What each user is not to get.
    excluded
        (items,) True for items that nobody is to get.

    Returns
    -------
    Top
        Scores are the counts; equal counts are ordered by item.
    """
    order = np.lexsort((np.arange(len(counts)), -np.asarray(counts, np.int64)))
    if excluded is not None:
        order = order[~excluded[order]]
    place = np.full(len(counts), len(counts), np.int64)
    place[order] = np.arange(len(order))
    top = Top(np.full((seen.users, k), -1, np.int64), np.full((seen.users, k), -np.inf, np.float32))
    # Most users find k unseen items among the first few; who doesn't looks further down.
    users, depth = np.arange(seen.users), FIRST_DEPTH * k
    while len(users):
        candidates = order[:depth]
        at_once = max(1, POSITIONS // max(len(candidates), 1))
        unsatisfied = []
        for start in range(0, len(users), at_once):
            some = users[start : start + at_once]
            found = _fill(top, some, candidates, place, seen.take(some))
            top.scores[some] = np.where(top.items[some] >= 0, counts[top.items[some]], -np.inf)
            unsatisfied.append(some[found < k])
        if depth >= len(order):
            break
        users, depth = np.concatenate(unsatisfied), depth * 4
    return top


def _fill(
    top: Top,
    users: npt.NDArray[np.int64],
    candidates: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
    seen: Interactions,
) -> npt.NDArray[np.int64]:
    """Give `users` their first unseen candidates; return how many each got."""
    k = top.items.shape[1]
    fresh = np.ones((len(users), len(candidates)), bool)
    owner = np.repeat(np.arange(len(users)), seen.counts())
    at = place[seen.items]
    known = at < len(candidates)
    fresh[owner[known], at[known]] = False
    rank = np.cumsum(fresh, axis=1) - 1
    row, column = np.nonzero(fresh & (rank < k))
    top.items[users[row], rank[row, column]] = candidates[column]
    found: npt.NDArray[np.int64] = np.minimum(fresh.sum(axis=1), k)
    return found
