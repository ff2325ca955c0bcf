"""Who picked what, split into train, validation and test: films, reviews, and three sets made by chance.

A validation split is cut from train; test rows are for the last figures only. Items and users are those of
train, so what test holds of others is left out.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.movielens_split import ITEMS, TEST_PER_USER, USERS, MovieLensSplit
from fmrec.artifacts.interactions import Interactions, from_pairs

BUILD = Path(__file__).parents[1] / "build"
EPINIONS = "https://github.com/sisinflab/Top-N-Recommendation-Algorithms-A-Quest-for-the-State-of-the-Art"
EPINIONS_SPLIT = "data/epinions/splitting/0"
VALIDATION_SHARE = 0.2
TEST_SHARE = 10
"""One in so many ratings is after the cut in time."""
TEST_SEED = 17

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class InteractionSet:
    """Pairs of user and item ordinals."""

    name: str
    users: int
    items: int
    liked: Pairs
    """What users picked in training: positives."""
    seen: Pairs
    """All that they interacted with in training: masked, and never drawn as negatives."""
    held_out: Pairs

    def validation(self, seed: int = 0) -> InteractionSet:
        """The same with a fifth of what was picked in training held out, and test forgotten."""
        held = np.random.default_rng(seed).random(len(self.liked[0])) < VALIDATION_SHARE
        taken = self.liked[0][held] * self.items + self.liked[1][held]
        kept = ~np.isin(self.seen[0] * self.items + self.seen[1], taken)
        return replace(
            self,
            name=f"{self.name}, validation",
            liked=(self.liked[0][~held], self.liked[1][~held]),
            seen=(self.seen[0][kept], self.seen[1][kept]),
            held_out=(self.liked[0][held], self.liked[1][held]),
        )

    def histories(self) -> Interactions:
        return from_pairs(*self.seen, self.users)

    def relevant(self) -> Interactions:
        return from_pairs(*self.held_out, self.users)


def movielens() -> InteractionSet:
    """MovieLens 100k, ua; a rating of at least 4 is a pick."""
    split = MovieLensSplit.load(BUILD / "data/ml-100k")
    user, item = split.columns[:, 0].astype(np.int64), split.columns[:, 1].astype(np.int64) - USERS
    train, test = split.train, split.test
    liked, relevant = train[split.labels[train] == 1], test[split.labels[test] == 1]
    return InteractionSet(
        "MovieLens 100k",
        USERS,
        ITEMS,
        (user[liked], item[liked]),
        (user[train], item[train]),
        (user[relevant], item[relevant]),
    )


def movielens_otherwise(method: str) -> InteractionSet:
    """MovieLens 100k with as much held out as in ua, otherwise: each user's ``last`` ten ratings, ten drawn
    for each user (``random``), or the last tenth of all ratings (``time``).

    Who has no rating before that tenth is not judged, and what was not rated before it can't be found.
    """
    split = MovieLensSplit.load(BUILD / "data/ml-100k")
    user, item = split.columns[:, 0].astype(np.int64), split.columns[:, 1].astype(np.int64) - USERS
    if method == "time":
        test = np.argsort(split.times, kind="stable")[-len(user) // TEST_SHARE :]
    else:
        key = split.times if method == "last" else np.random.default_rng(TEST_SEED).random(len(user))
        order = np.lexsort((key, user))
        from_end = np.searchsorted(user[order], user[order], side="right") - np.arange(len(user))
        test = order[from_end <= TEST_PER_USER]
    held = np.zeros(len(user), np.bool_)
    held[test] = True
    known = np.isin(user, user[~held]) & np.isin(item, item[~held])
    liked = split.labels == 1
    return InteractionSet(
        f"MovieLens 100k, {method}",
        USERS,
        ITEMS,
        (user[~held & liked], item[~held & liked]),
        (user[~held], item[~held]),
        (user[held & liked & known], item[held & liked & known]),
    )


def epinions() -> InteractionSet:
    """Reviews of a shop, the first split of a public comparison of recommenders; every one is a pick.

    It is fetched with git when it isn't in ``build/data/epinions`` and never part of this repository.
    """
    folder = BUILD / "data/epinions"
    if not (folder / "train.tsv").exists():
        _fetch(folder)
    train, test = (
        np.loadtxt(folder / f"{name}.tsv", dtype=np.int64, usecols=(0, 1)) for name in ("train", "test")
    )
    users, user = np.unique(train[:, 0], return_inverse=True)
    items, item = np.unique(train[:, 1], return_inverse=True)
    known = test[np.isin(test[:, 0], users) & np.isin(test[:, 1], items)]
    picked = (user.astype(np.int64), item.astype(np.int64))
    held_out = (np.searchsorted(users, known[:, 0]), np.searchsorted(items, known[:, 1]))
    return InteractionSet("Epinions", len(users), len(items), picked, picked, held_out)


def _fetch(folder: Path) -> None:
    checkout = folder / "repository"
    sparse = ["git", "clone", "--quiet", "--depth", "1", "--filter=blob:none", "--sparse", EPINIONS]
    subprocess.run([*sparse, str(checkout)], check=True)
    subprocess.run(["git", "-C", str(checkout), "sparse-checkout", "set", EPINIONS_SPLIT], check=True)
    for name in ("train", "test"):
        (checkout / EPINIONS_SPLIT / f"{name}.tsv").rename(folder / f"{name}.tsv")


def sparse_shop(seed: int = 11) -> InteractionSet:
    """A shop: 6,000 customers with about six purchases each of 5,000 products, most of them in two or three
    of 500 groups of products that go together; some are bought by everybody.
    """
    chance = np.random.default_rng(seed)
    users, items, groups = 6_000, 5_000, 500
    sizes = chance.pareto(1.5, groups) + 0.3
    group_of = chance.choice(groups, items, p=sizes / sizes.sum())
    appeal = (1 + np.arange(items)) ** -0.4
    appeal = appeal[chance.permutation(items)]
    appeal_of_group = np.bincount(group_of, appeal, groups) ** 0.5
    counts = 3 + chance.geometric(0.3, users)
    found = []
    for user, count in enumerate(counts):
        own = chance.choice(groups, 2 + user % 2, p=appeal_of_group / appeal_of_group.sum())
        share = np.isin(group_of, own)
        weight = appeal * np.where(share, 0.75 / appeal[share].sum(), 0.25 / appeal.sum()) * 1e3
        found.append(_picks(chance, user, weight, count))
    return _leave_some("sparse shop", users, items, np.concatenate(found), chance)


def listening(seed: int = 12) -> InteractionSet:
    """Listeners: 2,000 with 10 to 500 of 4,000 artists each, whose audiences are heavy-tailed."""
    chance = np.random.default_rng(seed)
    users, items, tastes = 2_000, 4_000, 16
    appeal = chance.pareto(1.1, items) + 0.05
    item_tastes = chance.dirichlet(np.full(tastes, 0.15), items)
    user_tastes = chance.dirichlet(np.full(tastes, 0.25), users)
    counts = np.clip(chance.lognormal(3.6, 0.8, users), 10, 500).astype(np.int64)
    found = [
        _picks(chance, user, appeal * (user_tastes[user] @ item_tastes.T) ** 1.5, count)
        for user, count in enumerate(counts)
    ]
    return _leave_some("listening", users, items, np.concatenate(found), chance)


def viewing(seed: int = 13) -> InteractionSet:
    """Viewers: 2,000 with 20 to 600 of 1,500 films each, after tastes more than after popularity."""
    chance = np.random.default_rng(seed)
    users, items, tastes = 2_000, 1_500, 16
    appeal = (1 + np.arange(items)) ** -0.4
    item_tastes = chance.dirichlet(np.full(tastes, 0.15), items)
    user_tastes = chance.dirichlet(np.full(tastes, 0.25), users)
    counts = np.clip(chance.lognormal(4.6, 0.7, users), 20, 600).astype(np.int64)
    found = [
        _picks(chance, user, appeal * (0.004 + user_tastes[user] @ item_tastes.T) ** 2.5, count)
        for user, count in enumerate(counts)
    ]
    return _leave_some("viewing", users, items, np.concatenate(found), chance)


def _picks(
    chance: np.random.Generator, user: int, weight: NDArray[np.floating], count: int
) -> NDArray[np.int64]:
    """Items drawn without replacement (Efraimidis and Spirakis 2006), as (count, 2) pairs."""
    keys = np.log(chance.random(len(weight))) / weight
    chosen = np.argpartition(-keys, count)[:count]
    return np.column_stack([np.full(count, user), chosen])


def _leave_some(
    name: str, users: int, items: int, pairs: NDArray[np.int64], chance: np.random.Generator
) -> InteractionSet:
    held = chance.random(len(pairs)) < VALIDATION_SHARE
    train, test = pairs[~held], pairs[held]
    picked = (train[:, 0], train[:, 1])
    return InteractionSet(name, users, items, picked, picked, (test[:, 0], test[:, 1]))


SETS: dict[str, Callable[[], InteractionSet]] = {
    "movielens": movielens,
    "movielens-last": partial(movielens_otherwise, "last"),
    "movielens-random": partial(movielens_otherwise, "random"),
    "movielens-time": partial(movielens_otherwise, "time"),
    "epinions": epinions,
    "shop": sparse_shop,
    "listening": listening,
    "viewing": viewing,
}
