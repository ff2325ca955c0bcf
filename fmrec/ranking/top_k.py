"""The exact k best items of every user by inner product, without users × items in memory.

Users come in blocks. Of a block's scores, laid out item by user so that whole rows are compared at
once, only the maxima of groups of 32 items are looked at first: the k-th largest group maximum is a
lower bound of the k-th best score, so that only the few groups that reach it are opened. Cost beyond
the matrix products is one pass over the scores while they are in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.ranking import pruning
from fmrec.ranking.blas import single_threaded_products

Scores = npt.NDArray[np.float32]
Ordinals = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]

GROUP = 32
"""Items whose scores share a maximum."""
CHUNK = 1024
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
    allowed = None if excluded is None else np.flatnonzero(~excluded)
    chosen = catalogue if allowed is None else catalogue[allowed]
    best = Top(np.full((len(users), k), -1, np.int64), np.full((len(users), k), -np.inf, np.float32))
    if not len(chosen):
        return best
    with single_threaded_products() as threads:
        plan = pruning.plan(users, chosen, partial(_kth_scores, chosen, k))
        ranking = _Ranking(users, catalogue, k, seen, best, threads)
        if plan is None:
            ranking.rank_everybody(allowed)
            return best
        first, rest = (
            (plan.first, plan.rest) if allowed is None else (allowed[plan.first], allowed[plan.rest])
        )
        ranking.rank_everybody(first)
        ranking.improve(plan.needs(users), rest)
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

    def block_users(self, items: int) -> int:
        """How many users to rank so many items for at a time."""
        return max(1, min(BLOCK_USERS, BLOCK_BYTES // (4 * max(items, 1)), len(self._users)))

    def rank_everybody(self, own: Ordinals | None) -> None:
        """Rank some items, or all, for all users, whose lists are empty."""
        items = self._items if own is None else self._items[own]
        ranker, size = _Ranker(items, self._k), self.block_users(len(items))
        place_of = None if own is None else self._places(own)

        def rank(start: int, memory: _Memory) -> None:
            part = slice(start, min(start + size, len(self._users)))
            found = Top(self._best.items[part], self._best.scores[part])
            owner, places = self._seen_by(part, place_of)
            ranker.rank(memory, self._users[part], owner, places, found)
            if own is not None:
                ranked = found.items >= 0
                found.items[ranked] = own[found.items[ranked]]

        self._spread(rank, range(0, len(self._users), size))

    def improve(self, needs: pruning.Needs, rest: Ordinals) -> None:
        """Rank the rest of the items for those users who may find something better among them."""
        order, size = needs.order(self._best.scores[:, -1]), self.block_users(len(rest))

        def rank(start: int, memory: _Memory) -> None:
            users = order[start : start + size]
            known = Top(self._best.items[users], self._best.scores[users])
            own = rest[needs.of(users, known.scores[:, -1])]
            if not len(own):
                return
            found = Top(np.full_like(known.items, -1), np.full_like(known.scores, -np.inf))
            owner, places = self._seen_by(users, self._places(own))
            ranker = _Ranker(self._items[own], self._k)
            ranker.rank(memory, self._users[users], owner, places, found, known.scores[:, -1])
            better = np.flatnonzero(found.items[:, 0] >= 0)
            known, found = (Top(each.items[better], each.scores[better]) for each in (known, found))
            found.items[found.items >= 0] = own[found.items[found.items >= 0]]
            merged = _merged(known, found)
            self._best.items[users[better]], self._best.scores[users[better]] = merged.items, merged.scores

        self._spread(rank, range(0, len(order), size))

    def _spread(self, rank: Callable[[int, _Memory], None], starts: range) -> None:
        workers = max(1, min(self._threads, len(starts)))

        def work(worker: int) -> None:
            memory = _Memory()
            for start in starts[worker::workers]:
                rank(start, memory)

        with ThreadPoolExecutor(workers, thread_name_prefix="ranking") as pool:
            list(pool.map(work, range(workers)))

    def _places(self, own: Ordinals) -> Places:
        """Where each item is among some, -1 where it is not."""
        places = np.full(len(self._items), -1, np.int32)
        places[own] = np.arange(len(own), dtype=np.int32)
        return places

    def _seen_by(self, users: slice | Ordinals, place_of: Places | None) -> tuple[Places, Places]:
        """Return some users' seen pairs: ordinals among these users, and the places of items."""
        if self._seen is None:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        if isinstance(users, slice):
            indptr = self._seen.indptr[users.start : users.stop + 1]
            items, counts = self._seen.items[indptr[0] : indptr[-1]], np.diff(indptr)
        else:
            own = self._seen.take(users)
            items, counts = own.items, own.counts()
        owner = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        if place_of is None:
            return owner, items
        places = place_of[items]
        inside = np.flatnonzero(places >= 0)
        return owner[inside], places[inside]


def _best_first(found: _Candidates) -> Ordinals:
    """The order by user, by descending score, and by item."""
    bits = max(len(found.user) - 1, 1).bit_length()
    if int(found.user.max(initial=0)).bit_length() + 32 + bits > 64:
        # lexsort is stable, and items ascend for each user.
        return np.lexsort((-found.score, found.user))
    # One integer holds it all, and is sorted several times as fast. Adding 0 makes -0 one with 0.
    pattern = (found.score + np.float32(0)).view(np.int32)
    descending = np.where(pattern < 0, pattern, pattern ^ 0x7FFFFFFF).view(np.uint32)
    keys = (found.user.astype(np.uint64) << np.uint64(32)) | descending
    keys <<= np.uint64(bits)
    keys |= np.arange(len(keys), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64((1 << bits) - 1)).astype(np.int64)


def _padded(groups: int) -> int:
    """How many rows of maxima so many groups need: they have maxima in groups of their own."""
    return -(-groups // GROUP) * GROUP


def _merged(one: Top, other: Top) -> Top:
    """The best of two lists of each user; equal scores are ordered by item."""
    items = np.concatenate([one.items, other.items], axis=1)
    scores = np.concatenate([one.scores, other.scores], axis=1)
    k = one.items.shape[1]
    order = np.lexsort((np.where(items < 0, np.iinfo(np.int64).max, items), -scores), axis=1)[:, :k]
    return Top(np.take_along_axis(items, order, 1), np.take_along_axis(scores, order, 1))


class _Memory:
    """One worker's memory for scores, and for the maxima of their groups, as large as any block needed."""

    def __init__(self) -> None:
        self._scores, self._maxima = np.empty(0, np.float32), np.empty(0, np.float32)

    def scores(self, rows: int, width: int) -> Scores:
        """Rows whose contents are undefined."""
        if len(self._scores) < rows * width:
            self._scores = np.empty(rows * width, np.float32)
        return self._scores[: rows * width].reshape(rows, width)

    def maxima(self, rows: int, width: int) -> Scores:
        """Rows whose contents are undefined."""
        if len(self._maxima) < rows * width:
            self._maxima = np.empty(rows * width, np.float32)
        return self._maxima[: rows * width].reshape(rows, width)


class _Candidates(NamedTuple):
    """Scores that may be among a user's best; each user's items ascend."""

    user: Ordinals
    item: Ordinals
    score: Scores


class _Ranker:
    """Ranks some items for a block of users."""

    def __init__(self, items: Scores, k: int) -> None:
        self._items = items
        self._k = k

    def rank(
        self,
        memory: _Memory,
        users: Scores,
        owner: Places,
        seen: Places,
        out: Top,
        known: Scores | None = None,
    ) -> None:
        """Fill ``out`` with each user's best; ``owner`` and ``seen`` are pairs of user and item to
        leave out. Items whose scores are below ``known`` (users,) are not of interest.
        """
        count, chunk = len(users), CHUNK // GROUP
        groups = -(-len(self._items) // GROUP)
        masked = self._masked(owner, seen, count)
        if known is not None:
            # Scores that are of interest are few, and looked for while their chunk is in the cache.
            scores = memory.scores(min(groups, chunk) * GROUP, count)
            maxima = memory.maxima(_padded(min(groups, chunk)), count)
            parts = []
            for number in range(len(masked)):
                rows = min(groups - number * chunk, chunk)
                maxima[rows:] = -np.inf
                self._score(users, number, masked[number], scores[: rows * GROUP], maxima[:rows])
                found, known = self._candidates(scores[: rows * GROUP], maxima, rows, known)
                parts.append(found._replace(item=found.item + number * CHUNK))
            self._keep_best(_Candidates(*map(np.concatenate, zip(*parts, strict=True))), out)
            return
        scores = memory.scores(groups * GROUP, count)
        maxima = memory.maxima(_padded(groups), count)
        maxima[groups:] = -np.inf
        for number in range(len(masked)):
            own = slice(number * chunk, min((number + 1) * chunk, groups))
            within = slice(own.start * GROUP, own.stop * GROUP)
            self._score(users, number, masked[number], scores[within], maxima[own])
        self._keep_best(self._candidates(scores, maxima, groups, self._lower_bound(maxima))[0], out)

    def _score(self, users: Scores, number: int, masked: Ordinals, scores: Scores, maxima: Scores) -> None:
        """Fill a chunk's scores and group maxima, with -inf where masked."""
        items = self._items[number * CHUNK : (number + 1) * CHUNK]
        np.matmul(items, users.T, out=scores[: len(items)])
        scores[len(items) :] = -np.inf  # what pads the last group is never the best
        scores.reshape(-1)[masked] = -np.inf
        np.maximum.reduce(scores.reshape(-1, GROUP, len(users)), axis=1, out=maxima)

    def _candidates(
        self, scores: Scores, maxima: Scores, groups: int, bound: Scores
    ) -> tuple[_Candidates, Scores]:
        """Find the scores that reach a bound; also return the bound, raised where it was far too low."""
        count, many = len(bound), 4 * self._k * len(bound)
        opened = maxima >= bound
        few = bool(np.isneginf(bound).any())  # somebody may get fewer than k items
        if few:
            opened &= maxima > -np.inf
        if np.count_nonzero(opened) > many:
            bound = np.maximum(bound, self._lower_bound(maxima))
            opened &= maxima >= bound
            # Equal scores everywhere (a user without a profile): the first k groups hold the first items.
            tied = (maxima == bound) & opened
            opened = (opened & ~tied) | (tied & (np.cumsum(tied, axis=0, dtype=np.int32) <= self._k))
        # Of flat arrays, NumPy finds what is not zero several times as fast.
        group, user = np.divmod(np.flatnonzero(opened), count)
        found = scores.reshape(groups, GROUP, count)[group, :, user]
        good = found >= bound[user, None]
        if few:
            good &= found > -np.inf
        at, within = np.divmod(np.flatnonzero(good), GROUP)
        return _Candidates(user[at], group[at] * GROUP + within, found[at, within]), bound

    def _keep_best(self, found: _Candidates, out: Top) -> None:
        order = _best_first(found)
        user = found.user[order]
        rank = np.arange(len(user)) - np.searchsorted(user, user)
        kept = rank < self._k
        order, user, rank = order[kept], user[kept], rank[kept]
        out.items[user, rank] = found.item[order]
        out.scores[user, rank] = found.score[order]

    def _masked(self, owner: Places, seen: Places, count: int) -> list[Ordinals]:
        """For each chunk, where in its scores the items are that the block's users have seen."""
        chunks = -(-len(self._items) // CHUNK)
        number = seen // CHUNK
        within = (seen - number * CHUNK) * count + owner
        # A stable sort of so few bits is a radix sort, of one byte at a time.
        narrow = number.astype(np.uint8 if chunks <= 256 else np.uint16)
        order = np.argsort(narrow, kind="stable")
        ordered = within[order].astype(np.int64)
        return np.split(ordered, np.cumsum(np.bincount(narrow, minlength=chunks))[:-1])

    def _lower_bound(self, maxima: Scores) -> Scores:
        """A score (block users,) that at least k items of each user reach, or -inf."""
        for level in (maxima.reshape(-1, GROUP, maxima.shape[1]).max(axis=1), maxima):
            if len(level) > self._k:
                at = len(level) - self._k
                bound: Scores = np.partition(np.ascontiguousarray(level.T), at, axis=1)[:, at]
                return bound
        return np.full(maxima.shape[1], -np.inf, np.float32)


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
