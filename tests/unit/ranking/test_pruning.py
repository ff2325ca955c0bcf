"""Pruned ranking is exact: the items, scores and ties of ranking everything."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.artifacts.interactions import from_pairs
from fmrec.ranking import block_ranking, pruning
from fmrec.ranking import top_k as module
from fmrec.ranking.top_k import top_k
from tests.unit.ranking.test_top_k import brute_force


def force_plan(patch: pytest.MonkeyPatch, first: int) -> None:
    patch.setattr(pruning, "FIRST_ITEMS", first)
    patch.setattr(pruning, "MIN_ITEMS", 2)
    patch.setattr(pruning, "MIN_USERS", 1)
    patch.setattr(pruning, "SAMPLED_USERS", 1)
    patch.setattr(pruning, "WORTHWHILE", 9.0)


def trained(random: Any, users: int, items: int, dim: int) -> tuple[Any, Any]:
    """Small integers, exact in float32: popular items have weights and lengths that others lack."""
    queries = random.integers(-2, 3, (users, dim + 1)).astype(np.float32)
    queries[:, -1] = 1
    lengths = random.choice([0, 0, 1, 3], items)
    catalogue = np.column_stack(
        [random.integers(-1, 2, (items, dim)) * lengths[:, None], random.integers(0, 3, items) * lengths]
    ).astype(np.float32)
    return queries, catalogue


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 40),
    items=st.integers(2, 300),
    dim=st.integers(1, 5),
    k=st.integers(1, 20),
    first=st.integers(1, 40),
    share_seen=st.sampled_from([0.0, 0.1, 0.9]),
    share_excluded=st.sampled_from([0.0, 0.3, 1.0]),
    block=st.integers(1, 17),
)
def test_a_plan_finds_what_sorting_every_score_finds(
    seed: Any,
    users: Any,
    items: Any,
    dim: Any,
    k: Any,
    first: Any,
    share_seen: Any,
    share_excluded: Any,
    block: Any,
) -> None:
    random = np.random.default_rng(seed)
    queries, catalogue = trained(random, users, items, dim)
    met_users, met_items = np.nonzero(random.random((users, items)) < share_seen)
    seen = from_pairs(met_users, met_items, users)
    excluded = random.random(items) < share_excluded
    with pytest.MonkeyPatch.context() as patch:
        force_plan(patch, first)
        patch.setattr(module, "BLOCK_USERS", block)
        patch.setattr(block_ranking, "CHUNK", 32)
        best = top_k(queries, catalogue, k, seen, excluded)
    assert best.items.tolist() == brute_force(queries, catalogue, k, seen, excluded).tolist()
    ranked = best.items >= 0
    products = queries @ catalogue.T
    assert np.array_equal(best.scores[ranked], products[np.nonzero(ranked)[0], best.items[ranked]])
    assert np.isneginf(best.scores[~ranked]).all()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(1, 12), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_no_item_that_reaches_the_kth_best_score_is_left_out(seed: int, dim: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    users = (random.standard_normal((50, dim)) + random.standard_normal(dim) * 3).astype(np.float32)
    lengths = random.exponential(1, (200, 1)) ** 3 * scale
    items = (random.standard_normal((200, dim)) * lengths).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        force_plan(patch, 8)
        plan = pruning.plan(users, items, lambda some, own: np.full(len(some), -np.inf, np.float32))
    assert plan is not None
    assert np.sort(np.concatenate([plan.first, plan.rest])).tolist() == list(range(200))
    needs, scores = plan.needs(users), (users @ items.T)[:, plan.rest]
    for user, own in enumerate(scores):
        for kth in np.quantile(own, [0.5, 0.9, 1.0], method="higher").astype(np.float32):
            needed = needs.of(np.array([user]), np.array([kth]))
            assert set(np.flatnonzero(own >= kth)) <= set(needed)
    kth = scores.max(axis=1)
    assert set(np.flatnonzero((scores >= kth[:, None]).any(axis=0))) <= set(needs.of(np.arange(50), kth))


def test_popular_items_spare_most_products_and_random_vectors_none() -> None:
    random = np.random.default_rng(3)
    users = random.standard_normal((5000, 17)).astype(np.float32)
    items = random.standard_normal((9000, 17)).astype(np.float32)

    def kth_scores(some: Any, own: Any) -> Any:
        return np.sort(some @ items[own].T, axis=1)[:, -10]

    assert pruning.plan(users, items, kth_scores) is None
    items *= (1 / np.arange(1, 9001) ** 0.7)[random.permutation(9000), None].astype(np.float32)
    plan = pruning.plan(users, items, kth_scores)
    assert plan is not None
    kth, needs = kth_scores(users, plan.first), plan.needs(users)
    order = needs.order(kth)
    needed = [len(needs.of(block, kth[block])) for block in np.split(order, 10)]
    assert needed == sorted(needed)
    assert np.mean(needed) < 0.2 * 9000
