import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.artifacts.interactions import from_pairs
from fmrec.errors import InputError
from fmrec.ranking import block_ranking
from fmrec.ranking import top_k as module
from fmrec.ranking.blas import _thread_functions, single_threaded_products
from fmrec.ranking.top_k import top_k


def brute_force(queries: Any, items: Any, k: Any, seen: Any = None, excluded: Any = None) -> Any:
    """Every score sorted, one user at a time."""
    scores = (queries.astype(np.float64) @ items.astype(np.float64).T).astype(np.float32)
    best = np.full((len(queries), k), -1)
    for user, row in enumerate(scores):
        allowed = np.ones(len(items), bool) if excluded is None else ~excluded
        if seen is not None:
            allowed[seen.of(user)] = False
        order = [i for i in np.lexsort((np.arange(len(items)), -row)) if allowed[i]][:k]
        best[user, : len(order)] = order
    return best


def small_integers(random: Any, *shape: Any) -> Any:
    """Vectors whose products are exact in float32, with many ties among them."""
    return random.integers(-3, 4, shape).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 40),
    items=st.integers(1, 300),
    dim=st.integers(1, 6),
    k=st.integers(1, 40),
    share_seen=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    share_excluded=st.sampled_from([0.0, 0.3, 1.0]),
    block=st.integers(1, 17),
)
def test_equals_sorting_every_score(
    seed: Any, users: Any, items: Any, dim: Any, k: Any, share_seen: Any, share_excluded: Any, block: Any
) -> None:
    random = np.random.default_rng(seed)
    queries, catalogue = small_integers(random, users, dim), small_integers(random, items, dim)
    met_users, met_items = np.nonzero(random.random((users, items)) < share_seen)
    seen = from_pairs(met_users, met_items, users)
    excluded = random.random(items) < share_excluded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_USERS", block)
        patch.setattr(block_ranking, "CHUNK", 64)
        best = top_k(queries, catalogue, k, seen, excluded)
    assert best.items.tolist() == brute_force(queries, catalogue, k, seen, excluded).tolist()
    ranked = best.items >= 0
    products = queries @ catalogue.T
    assert np.array_equal(best.scores[ranked], products[np.nonzero(ranked)[0], best.items[ranked]])
    assert np.isneginf(best.scores[~ranked]).all()


@pytest.mark.slow
def test_several_blocks_chunks_and_levels_of_maxima() -> None:
    random = np.random.default_rng(1)
    queries, catalogue = small_integers(random, 1100, 9), small_integers(random, 5000, 9)
    seen = from_pairs(random.integers(0, 1100, 40_000), random.integers(0, 5000, 40_000), 1100)
    best = top_k(queries, catalogue, 10, seen)
    assert best.items.tolist() == brute_force(queries, catalogue, 10, seen).tolist()
    assert not seen.contains(np.arange(1100)[:, None], best.items).any()


@pytest.mark.parametrize("k", [1, 10, 40])
def test_bounds_that_are_raised_while_chunks_are_ranked_leave_nothing_out(k: int) -> None:
    random = np.random.default_rng(3)
    queries, catalogue = small_integers(random, 60, 9), small_integers(random, 9000, 9)
    catalogue *= np.linspace(1, 3, 9000, dtype=np.float32).round()[:, None]  # the best come last
    seen = from_pairs(random.integers(0, 60, 9000), random.integers(4500, 9000, 9000), 60)
    best = top_k(queries, catalogue, k, seen)
    assert best.items.tolist() == brute_force(queries, catalogue, k, seen).tolist()


def test_users_without_a_profile_get_the_first_items_in_bounded_memory() -> None:
    queries, catalogue = np.zeros((512, 4)), np.ones((60_000, 4))
    workers = 2  # two blocks of users, each with memory of its own
    tracemalloc.start()
    best = top_k(queries, catalogue, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (best.items == [0, 1, 2]).all()
    assert peak < 1.2 * workers * module.BLOCK_BYTES


def test_memory_does_not_grow_with_users_times_items() -> None:
    random = np.random.default_rng(2)
    queries = random.normal(size=(20_000, 4)).astype(np.float32)
    catalogue = random.normal(size=(4_000, 4)).astype(np.float32)
    top_k(queries[:10], catalogue, 10)
    tracemalloc.start()
    top_k(queries, catalogue, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6 < 4 * len(queries) * len(catalogue)


@pytest.mark.parametrize(
    ("queries", "items", "k", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), 1, "both need as many columns"),
        (np.ones((2, 3)), np.ones((2, 3)), 0, "k is 0"),
        (np.array([[1.0], [np.nan]]), np.ones((2, 1)), 1, "row 1 of the queries"),
        (np.ones((2, 1)), np.array([[1.0], [np.inf]]), 1, "row 1 of the items"),
    ],
)
def test_what_does_not_fit_is_refused(queries: Any, items: Any, k: Any, words: Any) -> None:
    with pytest.raises(InputError, match=words):
        top_k(queries, items, k)


def test_masks_that_do_not_fit_are_refused() -> None:
    ones = np.ones((2, 1))
    with pytest.raises(InputError, match="seen has 1 users, queries have 2"):
        top_k(ones, ones, 1, from_pairs(np.array([0]), np.array([0]), 1))
    with pytest.raises(InputError, match="seen names item 2, but there are 2"):
        top_k(ones, ones, 1, from_pairs(np.array([0]), np.array([2]), 2))
    with pytest.raises(InputError, match=r"excluded has shape \(3,\), expected \(2,\)"):
        top_k(ones, ones, 1, None, np.zeros(3, bool))


def test_products_get_their_threads_back() -> None:
    functions = _thread_functions()
    if functions is None:
        pytest.skip("this NumPy is not linked with OpenBLAS")
    threads, set_threads = functions
    before = threads()
    set_threads(2)  # tests run with one, which could not be told from one that was left behind
    try:
        with single_threaded_products(), single_threaded_products():
            assert threads() == 1
        assert threads() == 2
    finally:
        set_threads(before)
