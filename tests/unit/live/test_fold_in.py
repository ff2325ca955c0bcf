"""Folding users in, against the exact optimum of the same objective found by plain damped Newton steps."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from fmrec.artifacts.interactions import Interactions, from_pairs
from fmrec.errors import InputError
from fmrec.live import FoldIn
from fmrec.live.unpicked_items import Catalogue

Doubles = npt.NDArray[np.float64]
WEIGHT, REGULARIZATION = 0.05, 2.0


def catalogue(
    items: int, factors: int, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Item vectors in groups of taste, with offsets as sampled negatives leave them: mostly far below 0."""
    random = np.random.default_rng(seed)
    tastes = random.normal(size=(20, factors)) * 0.25
    vectors = tastes[random.integers(0, 20, items)] + random.normal(size=(items, factors)) * 0.12
    return vectors.astype(np.float32), random.normal(-3, 1, items).astype(np.float32)


def objective(
    q: Doubles, x: Doubles, o: Doubles, weights: Doubles, liked: npt.NDArray[np.bool_], regularization: float
) -> float:
    signs = np.where(liked, -1.0, 1.0)
    losses = weights * np.logaddexp(0, signs * (x @ q + o))
    return float(losses.sum() + regularization / 2 * q @ q)


def optimum(
    vectors: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.float32],
    ordinals: npt.NDArray[np.int64],
    history_weights: Doubles | None = None,
    regularization: float = REGULARIZATION,
    negative_weight: float = WEIGHT,
) -> Doubles:
    """The exact minimum, in float64."""
    x, o = vectors.astype(np.float64), offsets.astype(np.float64)
    weights, liked = np.full(len(x), negative_weight), np.zeros(len(x), bool)
    weights[ordinals] = 1 if history_weights is None else history_weights
    liked[ordinals] = True
    q = np.zeros(x.shape[1])
    for _ in range(200):
        p = 1 / (1 + np.exp(-(x @ q + o)))
        gradient = x.T @ (weights * (p - liked)) + regularization * q
        if np.linalg.norm(gradient) < 1e-10:
            break
        hessian = (x * (weights * p * (1 - p))[:, None]).T @ x + regularization * np.eye(len(q))
        step = np.linalg.solve(hessian, gradient)
        here = objective(q, x, o, weights, liked, regularization)
        while objective(q - step, x, o, weights, liked, regularization) > here + 1e-12 * abs(here):
            step /= 2
        q = q - step
    return q


def histories(items: int, users: int, seed: int = 1, longest: int = 120) -> list[npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    return [random.permutation(items)[: random.integers(1, longest)] for _ in range(users)]


def packed(lists: list[npt.NDArray[np.int64]]) -> Interactions:
    owners = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    return from_pairs(owners, np.concatenate(lists), len(lists))


def relative_errors(found: npt.NDArray[np.float32], exact: Doubles) -> Doubles:
    return np.asarray(np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1), np.float64)


@pytest.mark.parametrize(
    ("items", "users", "alone", "in_batch"), [(800, 30, 1e-3, 1e-3), (20_000, 12, 0.04, 8e-3)]
)
def test_vectors_are_near_the_exact_optimum_on_small_and_sampled_catalogues(
    items: int, users: int, alone: float, in_batch: float
) -> None:
    vectors, offsets = catalogue(items, 24)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    lists = histories(items, users)
    exact = np.array([optimum(vectors, offsets, one) for one in lists])
    found = np.array([fold_in.user_vector(one) for one in lists])
    assert found.dtype == np.float32
    assert relative_errors(found, exact).max() < alone
    assert relative_errors(fold_in.user_vectors(packed(lists)), exact).max() < in_batch
    tight = np.array([fold_in.user_vector(one, tolerance=1e-6) for one in lists])
    assert relative_errors(tight, exact).max() < 2e-5


def test_a_batch_of_users_gets_the_vectors_that_each_gets_alone_whatever_the_lengths_of_histories() -> None:
    vectors, offsets = catalogue(6000, 16)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    lists = [*histories(6000, 140), np.zeros(0, np.int64), np.arange(3000)]
    alone = np.array([fold_in.user_vector(one, tolerance=1e-5) for one in lists])
    together = fold_in.user_vectors(packed(lists), tolerance=1e-5)
    assert np.abs(together - alone).max() < 2e-4
    assert not alone[140].any()


def test_weights_move_the_optimum_and_repeated_items_add_theirs_up() -> None:
    vectors, offsets = catalogue(700, 12)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    ordinals, weights = np.array([5, 77, 300, 12]), np.array([0.01, 3, 1, 0.5])
    found = fold_in.user_vector(ordinals, weights, tolerance=1e-6)
    assert np.abs(found - optimum(vectors, offsets, ordinals, weights)).max() < 1e-4
    twice = fold_in.user_vector([5, 77, 77], [1, 1, 2], tolerance=1e-6)
    assert np.abs(twice - optimum(vectors, offsets, np.array([5, 77]), np.array([1.0, 3.0]))).max() < 1e-4


def test_searches_end_at_the_optimum_where_newton_steps_overshoot() -> None:
    # Long vectors, weak regularization: probabilities jump between 0 and 1 along a step.
    random = np.random.default_rng(3)
    vectors = (random.normal(size=(9000, 8)) * 3).astype(np.float32)
    offsets = random.normal(-4, 3, 9000).astype(np.float32)
    fold_in = FoldIn(vectors, offsets, 0.05, 0.5)
    for one in histories(9000, 12, longest=40):
        found = fold_in.user_vector(one, tolerance=1e-6)
        exact = optimum(vectors, offsets, one, None, 0.05, 0.5)
        assert np.linalg.norm(fold_in.user_vector(one) - exact) < 0.05 * np.linalg.norm(exact)
        assert np.linalg.norm(found - exact) < 1e-3 * np.linalg.norm(exact)


def pushed_down() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """As trained models do: at q = 0 every second item is probable, for each user few are."""
    random = np.random.default_rng(11)
    vectors, offsets = catalogue(9000, 20)
    vectors += random.normal(size=20).astype(np.float32) * random.exponential(0.5, (9000, 1)).astype(
        np.float32
    )
    return vectors, offsets + np.float32(3)


def all_improbable() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """At q = 0 hardly an item is probable, and a typical user's 20 picks lead far from those of one."""
    random = np.random.default_rng(2)
    tastes = random.normal(size=(20, 24)) * 0.6
    vectors = tastes[random.integers(0, 20, 9000)] + random.normal(size=(9000, 24)) * 0.4
    return vectors.astype(np.float32), random.normal(-8, 2, 9000).astype(np.float32)


def test_vectors_are_near_the_optimum_where_the_model_pushes_most_items_down_for_everybody() -> None:
    vectors, offsets = pushed_down()
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    lists = histories(9000, 12)
    exact = np.array([optimum(vectors, offsets, one) for one in lists])
    found = np.array([fold_in.user_vector(one) for one in lists])
    assert relative_errors(found, exact).max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "regularization", "negative_weight"),
    [(pushed_down, 2.0, 0.05), (pushed_down, 1.0, 0.15), (all_improbable, 1.0, 0.15)],
)
def test_a_batch_of_short_and_long_histories_is_near_the_optimum_in_models_that_push_items_down(
    model: Callable[[], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]],
    regularization: float,
    negative_weight: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, offsets = model()
    random = np.random.default_rng(12)
    lists = [random.permutation(9000)[:length] for length in (1, 3, 10, 100) for _ in range(6)]
    exact = np.array([optimum(vectors, offsets, one, None, regularization, negative_weight) for one in lists])
    searched, gradients = 0, Catalogue.gradients

    def counted(self: Catalogue, queries: Doubles) -> tuple[Doubles, npt.NDArray[np.float32] | None]:
        nonlocal searched
        searched += len(queries)
        return gradients(self, queries)

    monkeypatch.setattr(Catalogue, "gradients", counted)
    # Parameters are often tried on a model whose typical user is another's.
    for made_for in ((regularization, negative_weight), (4.0, 0.02)):
        fold_in = FoldIn(vectors, offsets, *made_for).with_parameters(regularization, negative_weight)
        searched = 0
        assert relative_errors(fold_in.user_vectors(packed(lists)), exact).max() < 0.015
        assert searched <= 6 * len(lists)
        tight = fold_in.user_vectors(packed(lists), tolerance=1e-6)
        assert relative_errors(tight, exact).max() < 5e-5


@pytest.mark.slow
@pytest.mark.parametrize("items", [900, 9000])
def test_contributions_sum_to_the_score_of_200_random_users(items: int) -> None:
    vectors, offsets = catalogue(items, 32)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    random = np.random.default_rng(4)
    for one in histories(items, 200, seed=5):
        asked = random.permutation(items)[:20]
        found = fold_in.contributions(one, asked)
        # Each part is computed by itself, the score from the vector: nothing is "the rest" by definition.
        assert np.abs(found.offset + found.history.sum(axis=1) + found.negatives - found.scores).max() < 1e-4
        assert found.history.shape == (20, len(one))
        assert np.array_equal(found.ordinals, np.sort(one))
        assert np.abs(fold_in.scores(found.vector, asked) - found.scores).max() < 1e-4


def test_the_largest_contribution_is_of_the_item_that_is_most_alike() -> None:
    vectors = np.array([[3, 0], [0, 3], [2.9, 0.1], [0.1, 2.9]] + [[-1, -1]] * 20, np.float32)
    fold_in = FoldIn(vectors, np.full(24, -1, np.float32), 1, 0.1)
    found = fold_in.contributions([0, 1], [2, 3])
    assert found.history[0, 0] > 10 * abs(found.history[0, 1])
    assert found.history[1, 1] > 10 * abs(found.history[1, 0])


@pytest.mark.parametrize("items", [500, 12_000])
def test_recommend_equals_brute_force_with_seen_and_excluded_items_left_out(items: int) -> None:
    vectors, offsets = catalogue(items, 20)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    random = np.random.default_rng(6)
    for one in histories(items, 25):
        excluded = random.random(items) < 0.3
        scores = fold_in.scores(fold_in.user_vector(one))
        scores[one] = -np.inf
        scores[excluded] = -np.inf
        expected = np.lexsort((np.arange(items), -scores))[:10]
        top = fold_in.recommend(one, 10, excluded=excluded)
        assert np.abs(top.scores - scores[expected]).max() < 1e-5
        assert np.array_equal(top.items, expected)


def test_recommend_can_show_seen_items_hide_others_and_run_out_of_items() -> None:
    vectors, offsets = catalogue(50, 8)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    assert 7 in fold_in.recommend([7], 50, seen=[]).items
    hidden = np.arange(40)
    rest = fold_in.recommend([7], 50, seen=hidden)
    assert sorted(rest.items) == list(range(40, 50))
    assert not len(fold_in.recommend([7], 5, excluded=np.ones(50, bool)).items)


def test_rank_gives_many_users_the_lists_that_each_gets_alone() -> None:
    vectors, offsets = catalogue(5000, 16)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    lists = histories(5000, 20)
    together = fold_in.rank(packed(lists), 10)
    same = [
        len(np.intersect1d(fold_in.recommend(one, 10).items, top))
        for one, top in zip(lists, together.items, strict=True)
    ]
    assert np.mean(same) > 9.8  # vectors differ by thousandths, so a tie may fall either way


def test_a_view_of_a_memory_mapped_matrix_is_used_as_it_is(tmp_path: object) -> None:
    vectors, offsets = catalogue(6000, 12)
    path = f"{tmp_path}/items.npy"
    np.save(path, np.hstack([vectors, offsets[:, None]]))
    mapped = np.load(path, mmap_mode="r")
    fold_in = FoldIn(mapped[:, :-1], mapped[:, -1], REGULARIZATION, WEIGHT)
    expected = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT).user_vector([1, 2, 3])
    assert np.abs(fold_in.user_vector([1, 2, 3]) - expected).max() < 1e-5


def test_who_did_nothing_gets_zeros_so_that_items_rank_by_their_own_weight() -> None:
    vectors, offsets = catalogue(300, 8)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    assert not fold_in.user_vector([]).any()
    assert np.array_equal(fold_in.recommend([], 5).items, np.argsort(-offsets, kind="stable")[:5])


@pytest.mark.parametrize(
    ("ordinals", "weights", "sentence"),
    [
        ([0, 300], None, "a history names item 300: expected ordinals from 0 below 300"),
        ([-1], None, "names item -1"),
        ([0.5], None, "expected item ordinals as integers"),
        ([[1]], None, "has the shape (1, 1)"),
        ([1, 2], [1], "a history of 2 items has weights of shape (1,)"),
        ([1], [-1], "not below 0"),
        ([1], [np.nan], "finite"),
    ],
)
def test_histories_that_make_no_sense_are_refused(ordinals: object, weights: object, sentence: str) -> None:
    vectors, offsets = catalogue(300, 8)
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, WEIGHT)
    with pytest.raises(InputError) as error:
        fold_in.user_vector(ordinals, weights)  # type: ignore[arg-type]
    assert sentence in str(error.value)


def test_models_that_make_no_sense_are_refused() -> None:
    vectors, offsets = catalogue(300, 8)
    with pytest.raises(InputError, match="regularization is 0"):
        FoldIn(vectors, offsets, 0, WEIGHT)
    with pytest.raises(InputError, match="negative_weight is nan"):
        FoldIn(vectors, offsets, 1, float("nan"))
    with pytest.raises(InputError, match=r"items have the shape \(300, 8\) and offsets \(299,\)"):
        FoldIn(vectors, offsets[1:], 1, WEIGHT)
    vectors[17, 3] = np.inf
    with pytest.raises(InputError, match="item 17 has a vector or an offset that is not finite"):
        FoldIn(vectors, offsets, 1, WEIGHT)
