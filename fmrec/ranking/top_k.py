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
from fmrec.ranking import pruning
from fmrec.ranking.blas import single_threaded_products
from fmrec.ranking.pruning import Stages

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
    with single_threaded_products():
        stages = _plan(users, catalogue, k, excluded)
    best = Top(np.full((len(users), k), -1, np.int64), np.full((len(users), k), -np.inf, np.float32))
    ranker = _StagedRanker(users, catalogue, k, seen, excluded, stages)
    starts = range(0, len(users), ranker.block_users)
    with single_threaded_products() as threads:
        workers = max(1, min(threads, len(starts)))

        def work(worker: int) -> None:
            block = ranker.new_block()
            for start in starts[worker::workers]:
                end = min(start + ranker.block_users, len(users))
                ranker.rank(block, start, Top(best.items[start:end], best.scores[start:end]))

        with ThreadPoolExecutor(workers, thread_name_prefix="ranking") as pool:
            list(pool.map(work, range(workers)))
    return best


def _plan(users: Scores, items: Scores, k: int, excluded: npt.NDArray[np.bool_] | None) -> Stages | None:
    def kth_scores(some_users: Scores, some_items: Ordinals) -> npt.NDArray[np.float64]:
        allowed = some_items if excluded is None else some_items[~excluded[some_items]]
        if len(allowed) < k or not len(some_users):
            return np.full(len(some_users), -np.inf)
        scores = some_users @ items[allowed].T
        return np.partition(scores, len(allowed) - k, axis=1)[:, len(allowed) - k].astype(np.float64)

    return pruning.plan(users, items, kth_scores)


class _StagedRanker:
    """Ranks the catalogue stage by stage, each for the users who may still find something better in it."""

    def __init__(
        self,
        users: Scores,
        items: Scores,
        k: int,
        seen: Interactions | None,
        excluded: npt.NDArray[np.bool_] | None,
        stages: Stages | None,
    ) -> None:
        self._users, self._k, self._seen, self._stages = users, k, seen, stages
        self._own = [np.arange(len(items))] if stages is None else stages.items
        self._rankers = [
            _Ranker(items[own], k, None if excluded is None else excluded[own]) for own in self._own
        ]
        largest = max(ranker.rows for ranker in self._rankers)
        self.block_users = max(1, min(BLOCK_USERS, BLOCK_BYTES // (4 * max(largest, 1)), len(users)))
        # Where each item is: all stages' items one after the other.
        self._place_of = np.empty(len(items), np.int64)
        self._place_of[np.concatenate(self._own)] = np.arange(len(items))

    def new_block(self) -> _Block:
        rows = max(ranker.rows for ranker in self._rankers)
        groups = max(ranker.maxima_rows for ranker in self._rankers)
        return _Block(
            np.empty(rows * self.block_users, np.float32), np.empty(groups * self.block_users, np.float32)
        )

    def rank(self, block: _Block, start: int, out: Top) -> None:
        count = len(out.items)
        users = self._users[start : start + count]
        owner, places = self._seen_by(start, count)
        if self._stages is None:
            self._rankers[0].rank(block, users, owner, places, out)
            return
        radius = self._stages.radius(users)
        lengths = np.linalg.norm(users.astype(np.float64), axis=1)
        active, first = np.arange(count), 0
        position = np.empty(count, np.int64)
        for own, ranker, bound in zip(self._own, self._rankers, self._stages.bounds, strict=True):
            position[:] = -1
            position[active] = np.arange(len(active))
            inside = (places >= first) & (places < first + len(own)) & (position[owner] >= 0)
            found = Top(
                np.full((len(active), self._k), -1, np.int64),
                np.full((len(active), self._k), -np.inf, np.float32),
            )
            ranker.rank(block, users[active], position[owner[inside]], places[inside] - first, found)
            ranked = found.items >= 0
            found.items[ranked] = own[found.items[ranked]]
            if first:
                found = _merged(Top(out.items[active], out.scores[active]), found)
            out.items[active], out.scores[active] = found.items, found.scores
            kth = found.scores[:, -1]
            active = active[bound.at(radius[active], lengths[active]) >= kth]
            first += len(own)
            if not len(active):
                break

    def _seen_by(self, start: int, count: int) -> tuple[Ordinals, Ordinals]:
        """Return the block's seen pairs: users in the block, and the places of items."""
        if self._seen is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        indptr = self._seen.indptr[start : start + count + 1]
        items = self._seen.items[indptr[0] : indptr[-1]]
        owner = np.repeat(np.arange(count), np.diff(indptr))
        return owner, items.astype(np.int64) if self._stages is None else self._place_of[items]


def _merged(one: Top, other: Top) -> Top:
    """The best of two lists of each user; equal scores are ordered by item."""
    items = np.concatenate([one.items, other.items], axis=1)
    scores = np.concatenate([one.scores, other.scores], axis=1)
    k = one.items.shape[1]
    order = np.lexsort((np.where(items < 0, np.iinfo(np.int64).max, items), -scores), axis=1)[:, :k]
    return Top(np.take_along_axis(items, order, 1), np.take_along_axis(scores, order, 1))


@dataclass(frozen=True)
class _Block:
    """One worker's memory for scores, and for the maxima of their groups."""

    scores: Scores
    maxima: Scores


class _Ranker:
    """Ranks one stage's items for a block of users."""

    def __init__(self, items: Scores, k: int, excluded: npt.NDArray[np.bool_] | None) -> None:
        self._items = items
        self._k = k
        self._excluded = np.flatnonzero(excluded) if excluded is not None else np.zeros(0, np.int64)
        self._groups = -(-len(items) // GROUP)
        self._supergroups = -(-self._groups // GROUP)
        self.rows = self._groups * GROUP
        self.maxima_rows = self._supergroups * GROUP

    def rank(self, block: _Block, users: Scores, owner: Ordinals, seen: Ordinals, out: Top) -> None:
        """Fill ``out`` with each user's best; ``owner`` and ``seen`` are pairs of user and item to
        leave out.
        """
        count = len(users)
        scores = block.scores[: self.rows * count].reshape(self.rows, count)
        maxima = block.maxima[: self.maxima_rows * count].reshape(self.maxima_rows, count)
        # What pads the last group and the last group of groups is never the best.
        scores[len(self._items) :] = -np.inf
        maxima[self._groups :] = -np.inf
        self._score(users, owner, seen, scores, maxima)
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
        out.items[user, rank] = item[order]
        out.scores[user, rank] = score[order]

    def _score(self, users: Scores, owner: Ordinals, seen: Ordinals, scores: Scores, maxima: Scores) -> None:
        """Fill scores and group maxima, a chunk of items at a time, with -inf where masked."""
        count = len(users)
        flat = scores.reshape(-1)
        masked, bounds = self._masked(owner, seen, count)
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

    def _masked(self, owner: Ordinals, seen: Ordinals, count: int) -> tuple[Ordinals, Ordinals]:
        """Flat positions of what the block's users have seen, ordered by chunk, and the chunks' bounds."""
        chunks = -(-len(self._items) // CHUNK)
        # A stable sort of so few bits is a radix sort, of one byte at a time.
        chunk = (seen // CHUNK).astype(np.uint8 if chunks <= 256 else np.uint16)
        order = np.argsort(chunk, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(chunk, minlength=chunks))])
        positions = np.multiply(seen, count, dtype=np.int64)
        positions += owner
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
