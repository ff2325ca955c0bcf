"""What everybody likes: the baseline that every recommender has to beat, and the answer to strangers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmrec.ranking.interactions import Interactions
from fmrec.ranking.top_k import Top

POSITIONS = 4_000_000
"""Candidates looked at together; bounds memory."""


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
    top = Top(np.full((seen.users, k), -1, np.int64), np.full((seen.users, k), -np.inf, np.float32))
    history = seen.counts()
    # A user who has seen h items finds k unseen ones among the first k + h: users go by history length.
    by_history = np.argsort(history, kind="stable")
    start = 0
    while start < len(by_history):
        reach = 1 + int(history[by_history[start]])
        end = start + max(1, POSITIONS // (k + 2 * reach))
        users = by_history[start : min(end, int(np.searchsorted(history[by_history], 2 * reach, "right")))]
        candidates = order[: k + int(history[users].max())]
        fresh = ~seen.take(users).contains(np.arange(len(users))[:, None], candidates[None, :])
        rank = np.cumsum(fresh, axis=1) - 1
        row, at = np.nonzero(fresh & (rank < k))
        top.items[users[row], rank[row, at]] = candidates[at]
        top.scores[users[row], rank[row, at]] = counts[candidates[at]]
        start += len(users)
    return top
