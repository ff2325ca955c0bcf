from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.artifacts.interactions import from_pairs
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.recommendations.knn_output import in_order
from fmrec.recommendations.selection import Rules, neighbours_to_ask, rank_exactly, select


def walk(products: Any, wanted: Any, seen: Any, excluded: Any, categories: Any, maximum: Any) -> Any:
    """What one user gets, one item after the other."""
    taken: dict[int, int] = {}
    kept: list[int] = []
    for item in sorted(range(len(products)), key=lambda i: (-products[i], i)):
        if len(kept) == wanted:
            break
        own = categories[item]
        if item in seen or excluded[item] or any(taken.get(c, 0) >= maximum for c in own):
            continue
        kept.append(item)
        for category in own:
            taken[category] = taken.get(category, 0) + 1
    return kept + [-1] * (wanted - len(kept))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 8),
    items=st.integers(1, 50),
    wanted=st.integers(1, 8),
    share_seen=st.sampled_from([0.0, 0.4, 0.95, 1.0]),
    maximum=st.sampled_from([1, 2, 100]),
)
def test_a_short_list_and_its_exact_fallback_equal_a_walk_over_all_items(
    seed: Any, users: Any, items: Any, wanted: Any, share_seen: Any, maximum: Any
) -> None:
    random = np.random.default_rng(seed)
    queries = random.integers(-3, 4, (users, 3)).astype(np.float32)
    vectors = random.integers(-3, 4, (items, 3)).astype(np.float32)
    wanted = min(wanted, items)
    met = random.random((users, items)) < share_seen
    met_users, met_items = np.nonzero(met)
    seen = from_pairs(met_users, met_items, users)
    item_categories = random.random((items, 4)) < 0.4
    filed, under = np.nonzero(item_categories)
    rules = Rules(random.random(items) < 0.2, from_pairs(filed, under, items), maximum)
    categories = [np.flatnonzero(row).tolist() for row in item_categories]
    products = (queries @ vectors.T).astype(np.float64)
    expected = [
        walk(products[u], wanted, set(seen.of(u).tolist()), rules.excluded, categories, maximum)
        for u in range(users)
    ]
    assert rank_exactly(queries, vectors, wanted, seen, rules).items.tolist() == expected
    everything = in_order(np.tile(np.arange(items), (users, 1)), products)
    best, short = select(everything, wanted, seen, rules)
    assert best.items.tolist() == expected
    assert short.tolist() == [row[-1] < 0 for row in expected]
    k = int(random.integers(1, items + 1))
    some = in_order(everything.items[:, :k], everything.products[:, :k])
    best, short = select(some, wanted, seen, rules)
    for user in np.flatnonzero(~short):
        assert best.items[user].tolist() == expected[user]


def manifest(users: Any, items: Any, train: Any) -> Any:
    return Manifest(
        run="r", created="", dataset={}, feature_dim=users + items, nnz_per_row=2.0, users=users, items=items,
        ranges={"user": (0, users), "item": (users, users + items)}, rows=Rows(train, train, train, 0),
        train=Channel("train/", train, 1, 1, 0.5), test=Channel("test/", 0, 0, 0, None),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("users", "items", "train", "k"),
    [
        (943, 1682, 90_570, 10 + 289),  # three mean histories of 96.04
        (1000, 50, 100_000, 50),  # never more than there are
        (1000, 10**6, 10**6, 1024),  # never more than k-NN is good for
    ],
)
def test_k_covers_n_and_most_histories_within_bounds(users: Any, items: Any, train: Any, k: Any) -> None:
    assert neighbours_to_ask(manifest(users, items, train), 10) == k


def test_k_is_n_where_seen_items_may_come_back() -> None:
    assert neighbours_to_ask(manifest(943, 1682, 90_570), 10, exclude_seen=False) == 10
