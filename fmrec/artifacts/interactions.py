"""who interacted with what: user-item pairs as compressed rows, the form in which ranking masks and
judges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.errors import InputError

WIDE = 32
"""``reduceat`` goes down one column after the other: from so many columns on, adding row by row is faster, of
the 1682 items of MovieLens 100k seventeen times.
"""


@dataclass(frozen=True)
class Interactions:
    """Items by user, each item once, ascending.

    ``indptr`` int64 (users + 1,): user u has ``items[indptr[u]:indptr[u + 1]]``; ``items`` int32.
    """

    indptr: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]

    @property
    def users(self) -> int:
        return len(self.indptr) - 1

    def counts(self) -> npt.NDArray[np.int64]:
        """How many items each user has, (users,)."""
        return np.diff(self.indptr)

    def of(self, user: int) -> npt.NDArray[np.int32]:
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def take(self, users: npt.NDArray[np.int64]) -> Interactions:
        """The rows of some users, in the order given."""
        counts = self.counts()[users]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        shift = np.repeat(self.indptr[users] - indptr[:-1], counts)
        return Interactions(indptr, self.items[np.arange(indptr[-1]) + shift])

    def parts(self, room: int) -> Iterator[tuple[int, Interactions]]:
        """Cut into ranges of at most so many users and pairs, a user who has more alone: the first user of
        each, and its rows.
        """
        room, start = max(1, room), 0
        while start < self.users:
            end = int(np.searchsorted(self.indptr, self.indptr[start] + room, side="right")) - 1
            end = min(max(end, start + 1), start + room, self.users)
            first, last = self.indptr[start], self.indptr[end]
            yield start, Interactions(self.indptr[start : end + 1] - first, self.items[first:last])
            start = end

    def sums(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The sum over each user's pairs of their values (pairs, k): (users, k)."""
        found = np.zeros((self.users, values.shape[1]), np.float32)
        # The sum of an empty range is zero; reduceat would take its neighbour's.
        filled = np.flatnonzero(self.counts())
        if values.shape[1] >= WIDE:
            for user in filled:
                np.add.reduce(values[self.indptr[user] : self.indptr[user + 1]], axis=0, out=found[user])
        elif len(filled):
            found[filled] = np.add.reduceat(values, self.indptr[:-1][filled], axis=0, dtype=np.float32)
        return found

    def contains(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether each of the pairs ``(users, items)``, broadcast, is among these; False for items
        below 0.
        """
        users, items = np.broadcast_arrays(users, items)
        width = max(int(self.items.max(initial=0)), int(items.max(initial=0))) + 1
        owners = np.repeat(np.arange(self.users), self.counts())
        keys = np.append(owners * width + self.items, -1)  # what is beyond the last equals nothing
        wanted = users * width + items
        found: npt.NDArray[np.bool_] = keys[np.searchsorted(keys[:-1], wanted)] == wanted
        found &= items >= 0
        return found


def concatenate(parts: Sequence[Interactions]) -> Interactions:
    """The users of all parts, one part after the other."""
    counts = np.concatenate([np.zeros(0, np.int64), *(part.counts() for part in parts)])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Interactions(indptr, np.concatenate([np.zeros(0, np.int32), *(part.items for part in parts)]))


def from_pairs(
    users: npt.NDArray[np.integer], items: npt.NDArray[np.integer], user_count: int
) -> Interactions:
    """Compress pairs of user and item ordinals, in any order; pairs that repeat count once.

    Raises
    ------
    InputError
        A user or item is out of range.
    """
    users, items = np.asarray(users, np.int64), np.asarray(items, np.int64)
    if len(users) != len(items):
        raise InputError(f"{len(users)} users and {len(items)} items, expected pairs")
    if len(users) and (users.min() < 0 or users.max() >= user_count or items.min() < 0):
        raise InputError(
            f"pairs have users from {users.min()} to {users.max()} and items from {items.min()}; expected "
            f"users from 0 below {user_count} and items from 0"
        )
    width = int(items.max(initial=0)) + 1
    keys = users * width + items
    if len(keys) > 1 and not (keys[1:] > keys[:-1]).all():
        keys.sort()  # and not np.unique, which hashes: many times slower
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
        users, items = keys // width, keys % width
    indptr = np.zeros(user_count + 1, np.int64)
    np.cumsum(np.bincount(users, minlength=user_count), out=indptr[1:])
    return Interactions(indptr, items.astype(np.int32))
