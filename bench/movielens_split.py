"""MovieLens 100k split as MovieLens' own ua does, with validation rows taken out of train.

Test is the first 10 ratings of each user in file order, the rest is train. A fold takes five ratings of
each user out of train for validation, the next five for the next fold; trial models are fitted on what is
left. File order is random in time, and every user has at least 20 ratings.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from algorithms.factorization_machines.mini_batches import Rows
from demo import movielens

TEST_PER_USER = 10
VALIDATION_PER_USER = 5
USERS, ITEMS = 943, 1682
THRESHOLD = 4


@dataclass(frozen=True)
class MovieLensSplit:
    """All ratings in file order, and which of them are for what."""

    columns: NDArray[np.int32]
    """(ratings, 2): user, and 943 + item."""
    ratings: NDArray[np.float32]
    times: NDArray[np.int64]
    """(ratings,) seconds since 1970."""
    place: NDArray[np.int64]
    """(ratings,) which of its user's ratings each is, in file order."""
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> MovieLensSplit:
        """Fetch the data set if it isn't in ``folder`` and split it."""
        files = movielens.fetch(folder, print)
        with files.ratings.open(newline="", encoding="utf-8") as file:
            table = [
                (int(row["user_id"]), int(row["item_id"]), float(row["rating"]), int(row["timestamp"]))
                for row in csv.DictReader(file)
            ]
        user, item, rating, time = (np.array(column) for column in zip(*table, strict=True))
        order = np.argsort(user, kind="stable")
        place = np.empty(len(user), np.int64)
        place[order] = np.arange(len(user)) - np.searchsorted(user[order], user[order])
        columns = np.column_stack([user - 1, USERS + item - 1]).astype(np.int32)
        return cls(columns, rating.astype(np.float32), time, place, files.folder)

    @property
    def test(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.place < TEST_PER_USER)

    @property
    def train(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.place >= TEST_PER_USER)

    def fold(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows to fit on and rows to validate on, of the folds 0, 1, …"""
        first = TEST_PER_USER + number * VALIDATION_PER_USER
        held = (self.place >= first) & (self.place < first + VALIDATION_PER_USER)
        return np.flatnonzero((self.place >= TEST_PER_USER) & ~held), np.flatnonzero(held)

    def drawn_fold(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same with five ratings of each user drawn from train: users have only two such folds
        in a row.
        """
        train = self.train
        user = self.columns[train, 0]
        order = np.lexsort((np.random.default_rng(seed).random(train.size), user))
        place = np.arange(train.size) - np.searchsorted(user[order], user[order])
        held = np.zeros(train.size, np.bool_)
        held[order[place < VALIDATION_PER_USER]] = True
        return train[~held], train[held]

    @property
    def width(self) -> int:
        return USERS + ITEMS

    @property
    def labels(self) -> NDArray[np.float32]:
        """1 for a rating of at least 4."""
        return (self.ratings >= THRESHOLD).astype(np.float32)

    def rows(self, which: NDArray[np.int64], binary: bool) -> Rows:
        """Two-hot rows, labelled 0/1 or with the rating."""
        return two_hot(self.columns[which], (self.labels if binary else self.ratings)[which])


def two_hot(columns: NDArray[np.int32], labels: NDArray[np.float32]) -> Rows:
    """Rows of two ones each."""
    count = len(labels)
    return Rows(
        np.arange(0, 2 * count + 1, 2, dtype=np.int64),
        np.ascontiguousarray(columns).ravel(),
        np.ones(2 * count, np.float32),
        labels,
    )
