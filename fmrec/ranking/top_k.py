"""The exact k best items of every user by inner product, without users × items in memory.

Users come in blocks. Of a block's scores, laid out item by user so that whole rows are compared at
once, only the maxima of groups of 32 items are looked at first: the k-th largest group maximum is a
lower bound of the k-th best score, so that only the few groups that reach it are opened. Cost beyond
the matrix products is one pass over the scores while they are in the cache.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.ranking.blas import single_threaded_products

Scores = npt.NDArray[np.float32]
Ordinals = npt.NDArray[np.int64]

GROUP = 32
"""Items whose scores share a maximum."""
CHUNK = 2048
"""Items scored at a time: their scores for a block of users fit the processor's cache."""
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
    ranker = _Ranker(catalogue, k, seen, excluded, len(users))
    best = Top(np.full((len(users), k), -1, np.int64), np.full((len(users), k), -np.inf, np.float32))
    starts = range(0, len(users), ranker.block_users)
    with single_threaded_products() as threads:
        workers = max(1, min(threads, len(starts)))

        def work(worker: int) -> None:
            block = ranker.new_block()
            for start in starts[worker::workers]:
                end = min(start + ranker.block_users, len(users))
                ranker.rank(block, users[start:end], start, best.items[start:end], best.scores[start:end])

        with ThreadPoolExecutor(workers, thread_name_prefix="ranking") as pool:
            list(pool.map(work, range(workers)))
    return best


@dataclass(frozen=True)
class _Block:
    """One worker's memory: ``scores`` (items, block users) and the maxima of its groups, padded."""

    scores: Scores
    maxima: Scores


class _Ranker:
    def __init__(
        self,
        items: Scores,
        k: int,
        seen: Interactions | None,
        excluded: npt.NDArray[np.bool_] | None,
        users: int,
    ) -> None:
        self._items = items
        self._k = k
        self._seen = seen
        self._excluded = np.flatnonzero(excluded) if excluded is not None else np.zeros(0, np.int64)
        self._groups = -(-len(items) // GROUP)
        self._supergroups = -(-self._groups // GROUP)
        fitting = BLOCK_BYTES // (4 * GROUP * max(self._groups, 1))
        self.block_users = max(1, min(BLOCK_USERS, fitting, users))

    def new_block(self) -> _Block:
        # What pads the last group and the last group of groups is never the best.
        return _Block(
            np.full((self._groups * GROUP, self.block_users), -np.inf, np.float32),
            np.full((self._supergroups * GROUP, self.block_users), -np.inf, np.float32),
        )

    def rank(self, block: _Block, users: Scores, start: int, items_out: Ordinals, scores_out: Scores) -> None:
        count = len(users)
        scores, maxima = block.scores, block.maxima
        if count < self.block_users:  # the last block: the same memory, cut so that rows stay contiguous
            scores, maxima = _narrowed(scores, count), _narrowed(maxima, count)
            scores[len(self._items) :] = -np.inf
            maxima[self._groups :] = -np.inf
        self._score(users, start, scores, maxima)
        bound = self._lower_bound(maxima)
        opened = maxima >= bound
        few = bool(np.isneginf(bound).any())  # somebody may get fewer than k items
        if few:
            opened &= maxima > -np.inf
        if np.count_nonzero(opened) > 4 * self._k * count:
            # Equal scores everywhere (a user without a profile): the first k groups hold the first items.
            tied = (maxima == bound) & opened
            opened = (opened & ~tied) | (tied & (np.cumsum(tied, axis=0, dtype=np.int32) <= self._k))
        # Of flat arrays, NumPy finds what is not zero several times as fast.
        group, user = np.divmod(np.flatnonzero(opened), count)
        found = scores.reshape(self._groups, GROUP, count)[group, :, user]
        good = found >= bound[user, None]
        if few:
            good &= found > -np.inf
        at, within = np.divmod(np.flatnonzero(good), GROUP)
        user, item, score = user[at], group[at] * GROUP + within, found[at, within]
        # lexsort is stable and items ascend for each user, so equal scores stay in the order of items.
        order = np.lexsort((-score, user))
        user = user[order]
        rank = np.arange(len(user)) - np.searchsorted(user, user)
        kept = rank < self._k
        order, user, rank = order[kept], user[kept], rank[kept]
        items_out[user, rank] = item[order]
        scores_out[user, rank] = score[order]

    def _score(self, users: Scores, start: int, scores: Scores, maxima: Scores) -> None:
        """Fill scores and group maxima, a chunk of items at a time, with -inf where masked."""
        count = len(users)
        flat = scores.reshape(-1)
        masked, bounds = self._masked(start, count)
        for number, first in enumerate(range(0, len(self._items), CHUNK)):
            last = min(first + CHUNK, len(self._items))
            np.matmul(self._items[first:last], users.T, out=scores[first:last])
            flat[masked[bounds[number] : bounds[number + 1]]] = -np.inf
            until = -(-last // GROUP)
            if len(self._excluded):
                inside = slice(*np.searchsorted(self._excluded, (first, last)))
                scores[self._excluded[inside]] = -np.inf
            whole = scores[first : until * GROUP].reshape(-1, GROUP, count)
            np.maximum.reduce(whole, axis=1, out=maxima[first // GROUP : until])

    def _masked(self, start: int, count: int) -> tuple[Ordinals, Ordinals]:
        """Flat positions of what the block's users have seen, ordered by chunk, and the chunks' bounds."""
        chunks = -(-len(self._items) // CHUNK)
        if self._seen is None:
            return np.zeros(0, np.int64), np.zeros(chunks + 1, np.int64)
        indptr = self._seen.indptr[start : start + count + 1]
        items = self._seen.items[indptr[0] : indptr[-1]]
        # A stable sort of so few bits is a radix sort, of one byte at a time.
        chunk = (items // CHUNK).astype(np.uint8 if chunks <= 256 else np.uint16)
        order = np.argsort(chunk, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(chunk, minlength=chunks))])
        positions = np.repeat(np.arange(count), np.diff(indptr))
        positions += np.multiply(items, count, dtype=np.int64)
        return positions[order], bounds

    def _lower_bound(self, maxima: Scores) -> Scores:
        """A score (block users,) that at least k items of each user reach, or -inf."""
        for level in (maxima.reshape(self._supergroups, GROUP, -1).max(axis=1), maxima):
            if len(level) > self._k:
                at = len(level) - self._k
                bound: Scores = np.partition(np.ascontiguousarray(level.T), at, axis=1)[:, at]
                return bound
        return np.full(maxima.shape[1], -np.inf, np.float32)


def _narrowed(rows: Scores, width: int) -> Scores:
    """Rows of another width in the same memory; what they hold is undefined."""
    return rows.reshape(-1)[: len(rows) * width].reshape(len(rows), width)


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
