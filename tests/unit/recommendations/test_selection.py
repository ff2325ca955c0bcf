from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.artifacts.interactions import from_pairs
from fmrec.recommendations.knn_output import in_order
from fmrec.recommendations.selection import Rules, rank_exactly, select


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
