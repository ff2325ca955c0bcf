"""The exact k best items of every user by inner product, without users × items in memory.

Users come in blocks, one per thread at a time (``block_ranking``). Where bounds show that many items can't
be among most users' best (``pruning``), some are ranked for everybody, and of all others those that could be.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.ranking import pruning
from fmrec.ranking.blas import single_threaded_products
from fmrec.ranking.block_ranking import (
    Memory,
    Ordinals,
    Ranker,
    Scores,
    Seen,
    keep_best,
)

BLOCK_USERS = 512
BLOCK_BYTES = 64 << 20
"""Scores of one block; with very many items a block has fewer users."""


@dataclass(frozen=True)
class Top:
    """Best first; equal scores are ordered by item.

    ``items`` int64 (users, k), -1 where a user has fewer than k items to choose from; ``scores``
    float32 (users, k), -inf there.
    """

    items: Ordinals
    scores: Scores


def top_k(
    queries: npt.ArrayLike,
    items: npt.ArrayLike,
    k: int,
    seen: Interactions | None = None,
    excluded: npt.NDArray[np.bool_] | None = None,
) -> Top:
    """Rank all items for all users by ``queries @ items.T`` in float32 and keep the best k.

    Parameters
    ----------
    queries
        (users, d), finite.
    items
        (items, d), finite.
    k
        How many to keep, at least 1.
    seen
        Items that a user is not to get, by user; row u belongs to ``queries[u]``.
    excluded
        (items,) True for items that nobody is to get.

    Raises
    ------
    InputError
        Shapes that don't fit, or values that are not finite.
    """
    users = np.ascontiguousarray(queries, dtype=np.float32)
    catalogue = np.ascontiguousarray(items, dtype=np.float32)
    _check(users, catalogue, k, seen, excluded)
    allowed = np.arange(len(catalogue)) if excluded is None else np.flatnonzero(~excluded)
    chosen = catalogue if excluded is None else catalogue[allowed]
    best = Top(np.full((len(users), k), -1, np.int64), np.full((len(users), k), -np.inf, np.float32))
    if not len(chosen):
        return best
    with single_threaded_products() as threads:
        plan = pruning.plan(users, chosen, partial(_kth_scores, chosen, k))
        ranking = _Ranking(users, catalogue, k, seen, best, threads)
        if plan is None:
            ranking.rank_everybody(allowed)
        else:
            ranking.rank_everybody(allowed[plan.first])
            ranking.improve(plan.needs(users), allowed[plan.rest])
    return best


def _kth_scores(items: Scores, k: int, users: Scores, own: Ordinals) -> Scores:
    """Each user's k-th best score among some of the items, or -inf where there are fewer."""
    if len(own) < k:
        return np.full(len(users), -np.inf, np.float32)
    scores: Scores = np.partition(users @ items[own].T, len(own) - k, axis=1)[:, len(own) - k]
    return scores


class _Ranking:
    """Fills the lists of all users, a block of users per thread at a time."""

    def __init__(
        self, users: Scores, items: Scores, k: int, seen: Interactions | None, best: Top, threads: int
    ) -> None:
        self._users, self._items, self._k, self._seen = users, items, k, seen
        self._best, self._threads = best, threads

    def rank_everybody(self, own: Ordinals) -> None:
        """Rank some items, or all, for all users, whose lists are empty."""
        ranker, size = Ranker(self._items[own], self._k), self._block_users(len(own))

        def rank(start: int, memory: Memory) -> None:
            part = slice(start, min(start + size, len(self._users)))
            found = ranker.rank(memory, self._users[part], Seen(self._seen, part, own, len(self._items)))
            keep_best(found._replace(item=own[found.item]), self._best.items[part], self._best.scores[part])

        self._spread(rank, range(0, len(self._users), size))

    def improve(self, needs: pruning.Needs, rest: Ordinals) -> None:
        """Rank the rest of the items for those users who may find something better among them."""
        order = needs.order(self._best.scores[:, -1])
        size = self._block_users(len(rest))

        def rank(start: int, memory: Memory) -> None:
            users = order[start : start + size]
            kth = self._best.scores[users, -1]
            own = rest[needs.of(users, kth)]
            if not len(own):
                return
            seen = Seen(self._seen, users, own, len(self._items))
            found = Ranker(self._items, self._k, own).improve(memory, self._users[users], seen, kth)
            # Most users' lists are as they were.
            better, user = np.unique(found.user, return_inverse=True)
            known = Top(self._best.items[users[better]], self._best.scores[users[better]])
            more = Top(np.full_like(known.items, -1), np.full_like(known.scores, -np.inf))
            keep_best(found._replace(user=user, item=own[found.item]), more.items, more.scores)
            merged = _merged(known, more)
            self._best.items[users[better]], self._best.scores[users[better]] = merged.items, merged.scores

        self._spread(rank, range(0, len(order), size))

    def _block_users(self, items: int) -> int:
        """How many users to rank so many items for at a time."""
        return max(1, min(BLOCK_USERS, BLOCK_BYTES // (4 * max(items, 1)), len(self._users)))

    def _spread(self, rank: Callable[[int, Memory], None], starts: range) -> None:
        workers = max(1, min(self._threads, len(starts)))

        def work(worker: int) -> None:
            memory = Memory()
            for start in starts[worker::workers]:
                rank(start, memory)

        with ThreadPoolExecutor(workers, thread_name_prefix="ranking") as pool:
            list(pool.map(work, range(workers)))


def _merged(one: Top, other: Top) -> Top:
    """The best of two lists of each user; equal scores are ordered by item."""
    items = np.concatenate([one.items, other.items], axis=1)
    scores = np.concatenate([one.scores, other.scores], axis=1)
    k = one.items.shape[1]
    order = np.lexsort((np.where(items < 0, np.iinfo(np.int64).max, items), -scores), axis=1)[:, :k]
    return Top(np.take_along_axis(items, order, 1), np.take_along_axis(scores, order, 1))


def _check(
    users: Scores,
    items: Scores,
    k: int,
    seen: Interactions | None,
    excluded: npt.NDArray[np.bool_] | None,
) -> None:
    if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1]:
        raise InputError(
            f"queries have shape {users.shape} and items {items.shape}; both need as many columns"
        )
    if k < 1:
        raise InputError(f"k is {k}, expected at least 1")
    if seen is not None and seen.users != len(users):
        raise InputError(f"seen has {seen.users} users, queries have {len(users)}")
    if seen is not None and len(seen.items) and int(seen.items.max()) >= len(items):
        raise InputError(f"seen names item {int(seen.items.max())}, but there are {len(items)}")
    if excluded is not None and excluded.shape != (len(items),):
        raise InputError(f"excluded has shape {excluded.shape}, expected ({len(items)},)")
    for name, vectors in (("queries", users), ("items", items)):
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise InputError(f"row {row} of the {name} holds a value that is not finite: training diverged")
