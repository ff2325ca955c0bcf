"""EASE, item-kNN and ALS against their definitions, user by user."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.artifacts.interactions import Interactions, concatenate, from_pairs
from fmrec.ranking import alternating_least_squares as als
from fmrec.ranking import simple_models as module
from fmrec.ranking.simple_models import SimpleModel, ease, item_knn, simple_models


def interactions(users: int, items: int, seed: int, share: float = 0.3) -> tuple[Interactions, Any]:
    present = np.random.default_rng(seed).random((users, items)) < share
    rows, columns = np.nonzero(present)
    return from_pairs(rows, columns, users), present.astype(float)


def fitted(users: int = 60, items: int = 20, seed: int = 1, **limits: Any) -> Any:
    history, present = interactions(users, items, seed)
    parts = [history.take(np.arange(0, 25)), history.take(np.arange(25, users))]
    counts = {"interactions": int(present.sum()), "picks": int(present.sum())}
    return (
        simple_models(lambda: iter(parts), lambda: iter(parts), items, **counts, **limits),
        history,
        present,
    )


def test_ease_is_the_ridge_regression_of_each_item_on_all_others() -> None:
    (models, why), _, x = fitted()

    assert why == ""
    weights = models["ease"].weights
    for item in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), item)
        gram = x[:, others].T @ x[:, others] + module.REGULARIZATION * np.eye(len(others))
        expected = np.linalg.solve(gram, x[:, others].T @ x[:, item])
        np.testing.assert_allclose(weights[others, item], expected, atol=1e-5)
        assert weights[item, item] == 0


def test_item_knn_keeps_the_cosines_of_the_nearest_items() -> None:
    _, _, x = fitted()
    weights = item_knn((x.T @ x).astype(np.float32), neighbours=4)
    norms = np.linalg.norm(x, axis=0)
    cosines = x.T @ x / np.outer(norms, norms)
    np.fill_diagonal(cosines, 0)

    for item, row in enumerate(cosines):
        edge = np.sort(row)[-4]
        np.testing.assert_allclose(weights[item], np.where(row >= edge - 1e-6, row, 0), atol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.5, 0.9]))
def test_lists_are_the_best_scores_outside_the_history(seed: int, k: int, share: float) -> None:
    history, x = interactions(7, 9, seed, share)
    weights = np.random.default_rng(seed).integers(-3, 4, (9, 9)).astype(np.float32)
    top = SimpleModel(weights).top(history, history, k)

    for user in range(7):
        scores = x[user] @ weights
        ranked = sorted((i for i in range(9) if not x[user, i]), key=lambda i: (-scores[i], i))[:k]
        assert top.items[user].tolist() == ranked + [-1] * (k - len(ranked))
        np.testing.assert_allclose(top.scores[user, : len(ranked)], scores[ranked], atol=1e-5)


def test_long_histories_are_ranked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    history, _ = interactions(40, 30, 3, 0.5)
    model = SimpleModel((ease((np.eye(30) + 1).astype(np.float32)) + np.arange(30)).astype(np.float32))
    whole = model.top(history, history, 5)
    monkeypatch.setattr(module, "FLOATS_AT_ONCE", 100)

    assert np.array_equal(model.top(history, history, 5).items, whole.items)


def test_above_its_limits_nothing_is_fitted_and_a_sentence_says_why() -> None:
    (models, why), *_ = fitted(maximum_items=19)
    assert models == {}
    assert why == "simple models weren't fitted: there are 20 items, and the limit is 19"
    (models, why), *_ = fitted(maximum_seconds=1e-9)
    assert models == {}
    assert "with 20 items and " in why
    assert "they take about 0 seconds, and the limit is 1e-09" in why


def test_als_is_the_least_squares_solution_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    history, x = interactions(60, 20, 1)
    monkeypatch.setattr(als, "ITERATIONS", 200)
    model = als.fit(history, 20, factors=5, regularization=2)
    weights = 1 + (als.CONFIDENCE - 1) * x

    def solved(of: Any, others: Any, weight: Any) -> Any:
        system = (others.T * weight) @ others + 2 * np.eye(5)
        return np.linalg.solve(system, (others.T * weight) @ of)

    items = model.items.astype(float)
    users = np.array([solved(x[user], items, weights[user]) for user in range(60)])
    again = np.array([solved(x[:, item], users, weights[:, item]) for item in range(20)])
    np.testing.assert_allclose(again, items, atol=2e-3)
    top = model.top(history, history, 4)
    scores = np.where(x, -np.inf, users @ items.T)
    np.testing.assert_allclose(top.scores, -np.sort(-scores, axis=1)[:, :4], atol=1e-4)


def test_als_solves_in_blocks_and_keeps_zeros_for_who_picked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    history, _ = interactions(40, 30, 3, 0.2)
    history = concatenate(
        [history.take(np.arange(20)), Interactions(np.zeros(2, np.int64), history.items[:0])]
    )
    found = []
    for floats in (1 << 20, 50):
        monkeypatch.setattr(als, "FLOATS_AT_ONCE", floats)
        found.append(als.fit(history, 30, factors=4))
    np.testing.assert_allclose(found[0].items, found[1].items, atol=1e-5)
    vectors = np.zeros((21, 4), np.float32)
    als.solve(history, found[0].items, vectors, 10, 3)
    assert not vectors[20].any()
    assert vectors[:20].any(axis=1).all()


@pytest.mark.parametrize(("picks", "expected"), [(1, 10), (10, 20), (25, 50), (40, 60)])
def test_als_is_regularized_by_the_number_of_picks(picks: int, expected: float) -> None:
    history = from_pairs(np.repeat([0, 2], picks), np.tile(np.arange(picks), 2), 3)
    assert als.fit(history, 40).regularization == expected


def test_without_room_or_time_for_als_the_others_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALS_PICKS", 300)
    (models, why), _, present = fitted()
    assert set(models) == {"ease", "item_knn"}
    assert why.startswith(
        f"ALS wasn't fitted: with {int(present.sum())} interactions that were liked it takes"
    )
    assert why.endswith("of the limit of 300 are left; 300 at most are held in memory")

    def late(*_: Any, **__: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(module, "ALS_PICKS", 1000)
    monkeypatch.setattr(module, "fit", late)
    (models, why), *_ = fitted()
    assert set(models) == {"ease", "item_knn"}
    assert why == "ALS wasn't fitted: it takes more than the limit of 300 seconds leaves"


def test_counting_stops_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0.0, 1e6, 200.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    (models, why), *_ = fitted(maximum_seconds=300.0)

    assert models == {}
    assert "counting pairs of items takes more than the limit of 300 seconds leaves" in why
