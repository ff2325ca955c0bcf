from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.artifacts.interactions import from_pairs
from fmrec.ranking import popularity
from fmrec.ranking.popularity import most_popular


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 30),
    items=st.integers(1, 60),
    k=st.integers(1, 12),
    positions=st.sampled_from([1, 50, 10**6]),
)
def test_every_user_gets_the_most_popular_unseen_items(
    seed: Any, users: Any, items: Any, k: Any, positions: Any
) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 5, items)
    met = random.random((users, items)) < random.random((users, 1))
    excluded = random.random(items) < 0.2
    met_users, met_items = np.nonzero(met)
    popularity.POSITIONS, before = positions, popularity.POSITIONS
    try:
        top = most_popular(counts, k, from_pairs(met_users, met_items, users), excluded)
    finally:
        popularity.POSITIONS = before
    for user in range(users):
        free = [i for i in range(items) if not met[user, i] and not excluded[i]]
        best = sorted(free, key=lambda item: (-counts[item], item))[:k]
        assert top.items[user].tolist() == best + [-1] * (k - len(best))
        assert top.scores[user, : len(best)].tolist() == counts[best].tolist()
        assert np.isneginf(top.scores[user, len(best) :]).all()
