"""The best of some items for a block of users.

Scores are laid out item by user, so that whole rows are compared at once. Only the maxima of groups of 32
items are looked at first: the k-th largest group maximum is a lower bound of the k-th best score, so that
only the few groups that reach it are opened, while their scores are in the processor's cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions

Scores = npt.NDArray[np.float32]
Ordinals = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]

GROUP = 32
"""Items whose scores share a maximum."""
CHUNK = 1024
"""Items scored at a time: their scores for a block of users fit the processor's cache."""
MERGED = 4
"""Times the items wanted: where there are more groups, some are taken as one, for a bound that is little
lower and is found several times as fast."""
BOUNDING = 8
"""Times the items wanted: groups whose maxima give a bound at first."""
GROWTH = 1.5
"""Times as many items give the next bound."""


class Candidates(NamedTuple):
    """Scores that may be among a user's best."""

    user: Ordinals
    """Ordinals within a block."""
    item: Ordinals
    score: Scores


class Memory:
    """One worker's memory for scores, the maxima of their groups, and a chunk's items, as large as any block
    needed.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, Scores] = {}

    def scores(self, rows: int, width: int) -> Scores:
        """Rows whose contents are undefined; so are those below."""
        return self._rows("scores", rows, width)

    def maxima(self, rows: int, width: int) -> Scores:
        return self._rows("maxima", rows, width)

    def items(self, rows: int, width: int) -> Scores:
        return self._rows("items", rows, width)

    def _rows(self, name: str, rows: int, width: int) -> Scores:
        if name not in self._arrays or len(self._arrays[name]) < rows * width:
            self._arrays[name] = np.empty(rows * width, np.float32)
        return self._arrays[name][: rows * width].reshape(rows, width)


class Seen:
    """What a block's users have seen of some items.

    ``users`` is the block; ``items`` are which of ``item_count`` items.
    """

    def __init__(
        self, seen: Interactions | None, users: slice | Ordinals, items: Ordinals, item_count: int
    ) -> None:
        self._seen, self._users, self._items, self._item_count = seen, users, items, item_count

    def pairs(self) -> tuple[Places, Places]:
        """All pairs: ordinals within the block, and places among the items."""
        if self._seen is None:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        if isinstance(self._users, slice):
            indptr = self._seen.indptr[self._users.start : self._users.stop + 1]
            seen, counts = self._seen.items[indptr[0] : indptr[-1]], np.diff(indptr)
        else:
            own = self._seen.take(self._users)
            seen, counts = own.items, own.counts()
        owner = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        place_of = np.full(self._item_count, -1, np.int32)
        place_of[self._items] = np.arange(len(self._items), dtype=np.int32)
        places = place_of[seen]
        inside = np.flatnonzero(places >= 0)
        return owner[inside], places[inside]

    def left_out(self, found: Candidates) -> Candidates:
        """The candidates that their users have not seen; quick where few users have any."""
        if self._seen is None or not len(found.user):
            return found
        some, owner = np.unique(found.user, return_inverse=True)
        users = some + self._users.start if isinstance(self._users, slice) else self._users[some]
        new = ~self._seen.take(users).contains(owner, self._items[found.item])
        return Candidates(found.user[new], found.item[new], found.score[new])


class Ranker:
    """Ranks some items for blocks of users.

    Parameters
    ----------
    items
        (items, d)
    k
        How many are kept of each user's best.
    own
        Which of the items to rank, or None for all; what is found are places among them.
    """

    def __init__(self, items: Scores, k: int, own: Ordinals | None = None) -> None:
        self._items, self._k, self._own = items, k, own
        self._count = len(items if own is None else own)

    def rank(self, memory: Memory, users: Scores, seen: Seen) -> Candidates:
        """Find each user's best, and some more.

        Once some chunks give a bound, the scores of others are looked at while in the processor's cache, and
        the bound is raised now and then.
        """
        count, groups = len(users), -(-self._count // GROUP)
        starts = range(0, self._count, CHUNK)
        held = min(len(starts), -(-BOUNDING * self._k * GROUP // CHUNK))
        scores, maxima = memory.scores(min(held * CHUNK, groups * GROUP), count), memory.maxima(groups, count)
        columns = np.ascontiguousarray(users.T)
        bound, raised, parts = np.full(count, -np.inf, np.float32), 0, []
        waiting: list[tuple[int, Scores, Scores]] = []
        masks = self._masks(*seen.pairs(), count)
        for number, first in enumerate(starts):
            at = first if number < held else 0
            rows = min(CHUNK, groups * GROUP - first)
            chunk = first, scores[at : at + rows], maxima[first // GROUP :][: rows // GROUP]
            self._score(memory, columns, *chunk, masks[number])
            waiting.append(chunk)
            done = number + 1
            if done < held:
                continue
            if done >= GROWTH * raised:
                kth, raised = _kth_largest(maxima[: (first + rows) // GROUP], self._k), done
                bound = np.maximum(bound, _just_below(kth))
            parts += [self._above(bound, *one) for one in waiting]
            waiting.clear()
        found = _joined(parts)
        best = np.flatnonzero(found.score > bound[found.user])
        return Candidates(found.user[best], found.item[best], found.score[best])

    def improve(self, memory: Memory, users: Scores, seen: Seen, known: Scores) -> Candidates:
        """Find the scores that are at least ``known`` (users,); of very many, at least each user's best."""
        count, bound, parts = len(users), _just_below(known), []
        columns = np.ascontiguousarray(users.T)
        masks: list[Ordinals] | None = None
        unbound = bool(np.isneginf(bound).any())
        for number, first in enumerate(range(0, self._count, CHUNK)):
            groups = -(-min(CHUNK, self._count - first) // GROUP)
            scores, maxima = memory.scores(groups * GROUP, count), memory.maxima(groups, count)
            self._score(memory, columns, first, scores, maxima)
            opened = np.flatnonzero(maxima > bound)
            if unbound or len(opened) > self._many(count):
                # Looking up what was seen is quicker than masking it only for few candidates.
                masks = masks or self._masks(*seen.pairs(), count)
                self._score(memory, columns, first, scores, maxima, masks[number])
                bound = np.maximum(bound, _just_below(_kth_largest(maxima, self._k)))
                unbound = bool(np.isneginf(bound).any())
                opened = np.flatnonzero(maxima > bound)
            if len(opened):
                parts.append(self._above(bound, first, scores, maxima, opened))
        return seen.left_out(_joined(parts))

    def _score(
        self,
        memory: Memory,
        columns: Scores,
        first: int,
        scores: Scores,
        maxima: Scores,
        mask: Ordinals | None = None,
    ) -> None:
        """Fill a chunk's scores, -inf where masked, and its groups' maxima; ``columns`` is (d, users).

        A group's items are as many apart as there are groups, so that maxima are taken of long rows.
        """
        if self._own is None:
            items = self._items[first : first + CHUNK]
        else:
            own = self._own[first : first + CHUNK]
            # Into memory in the processor's cache; that all ordinals are in range is known.
            items = np.take(self._items, own, axis=0, out=memory.items(len(own), len(columns)), mode="clip")
        np.matmul(items, columns, out=scores[: len(items)])
        scores[len(items) :] = -np.inf  # what fills up the groups is never the best
        if mask is not None:
            scores.reshape(-1)[mask] = -np.inf
        np.maximum.reduce(scores.reshape(GROUP, -1), axis=0, out=maxima.reshape(-1))

    def _many(self, count: int) -> int:
        """More groups of so many users than need to be opened, but where scores are equal."""
        return 4 * self._k * count

    def _above(
        self, bound: Scores, first: int, scores: Scores, maxima: Scores, opened: Ordinals | None = None
    ) -> Candidates:
        """Find a chunk's scores above a bound (users,); ``opened`` is which maxima are, where known."""
        count = len(bound)
        # Of flat arrays, NumPy finds what is not zero several times as fast.
        opened = np.flatnonzero(maxima > bound) if opened is None else opened
        if len(opened) > self._many(count):
            # Users without a profile, to whom all items are equal: of the lowest scores, the first k.
            above, lowest = scores > bound, scores == np.nextafter(bound, np.float32(np.inf))
            above &= ~lowest | (np.cumsum(lowest, axis=0, dtype=np.int32) <= self._k)
            item, user = np.divmod(np.flatnonzero(above), count)
            return Candidates(user, first + item, scores[item, user])
        inside = scores.reshape(GROUP, -1).take(opened, axis=1)
        within, at = np.divmod(np.flatnonzero(inside > bound[opened % count]), max(len(opened), 1))
        group, user = np.divmod(opened[at], count)
        return Candidates(user, first + within * len(maxima) + group, inside[within, at])

    def _masks(self, owner: Places, seen: Places, count: int) -> list[Ordinals]:
        """For each chunk, where in its scores the items are that the block's users have seen."""
        chunks = -(-self._count // CHUNK)
        number = seen // CHUNK
        within = (seen - number * CHUNK) * count + owner
        # A stable sort of so few bits is a radix sort, of one byte at a time.
        narrow = number.astype(np.uint8 if chunks <= 256 else np.uint16)
        order = np.argsort(narrow, kind="stable")
        ordered = within[order].astype(np.int64)
        return np.split(ordered, np.cumsum(np.bincount(narrow, minlength=chunks))[:-1])


def _joined(parts: list[Candidates]) -> Candidates:
    if not parts:
        return Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return Candidates(*map(np.concatenate, zip(*parts, strict=True)))


def _kth_largest(maxima: Scores, k: int) -> Scores:
    """A score (users,) that at least k items of each user reach, or -inf; ``maxima`` (groups, users)."""
    merged = len(maxima) // (MERGED * k)
    if merged > 1:
        last = len(maxima) // merged * merged
        maxima = np.maximum.reduce(maxima[:last].reshape(-1, merged, maxima.shape[1]), axis=1)
    at = len(maxima) - k
    if at < 0:
        return np.full(maxima.shape[1], -np.inf, np.float32)
    kth: Scores = np.partition(np.ascontiguousarray(maxima.T), at, axis=1)[:, at]
    return kth


def _just_below(scores: Scores) -> Scores:
    """What scores have to exceed to reach these."""
    below: Scores = np.nextafter(scores, np.float32(-np.inf))
    return below


def keep_best(found: Candidates, items: Ordinals, scores: Scores) -> None:
    """Fill each user's list, (users, k), best first; equal scores are ordered by item."""
    user, item, score = _best_first(found)
    rank = np.arange(len(user)) - np.searchsorted(user, user)
    kept = np.flatnonzero(rank < items.shape[1])
    user, rank = user[kept], rank[kept]
    items[user, rank], scores[user, rank] = item[kept], score[kept]


def _best_first(found: Candidates) -> Candidates:
    """Sort by user, by descending score, and by item."""
    bits = int(found.item.max(initial=1)).bit_length()
    if int(found.user.max(initial=0)).bit_length() + 32 + bits > 64:
        order = np.lexsort((found.item, -found.score, found.user))
        return Candidates(found.user[order], found.item[order], found.score[order])
    # One integer holds it all, and is sorted several times as fast. Adding 0 makes -0 one with 0.
    pattern = (found.score + np.float32(0)).view(np.int32)
    descending = np.where(pattern < 0, pattern, pattern ^ 0x7FFFFFFF).view(np.uint32)
    keys = (found.user.astype(np.uint64) << np.uint64(32)) | descending
    keys <<= np.uint64(bits)
    keys |= found.item.astype(np.uint64)
    keys.sort()
    item = (keys & np.uint64((1 << bits) - 1)).astype(np.int64)
    keys >>= np.uint64(bits)
    descending = keys.astype(np.uint32)
    pattern = descending.view(np.int32)
    score = np.where(pattern < 0, pattern, pattern ^ 0x7FFFFFFF).view(np.float32)
    return Candidates((keys >> np.uint64(32)).astype(np.int64), item, score)
