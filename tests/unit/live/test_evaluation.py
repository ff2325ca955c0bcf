"""Judging users left out of training, on data whose tastes are known."""

import numpy as np
import numpy.typing as npt
import pytest

from fmrec.artifacts.interactions import Interactions, from_pairs
from fmrec.errors import InputError
from fmrec.live import FoldIn
from fmrec.live.evaluation import choose, first, hide, judge

ITEMS, TASTES = 120, 4


def world(users: int = 60, seed: int = 0) -> tuple[FoldIn, Interactions, Interactions, npt.NDArray[np.int64]]:
    """Items of four tastes, users who like one each: their histories, held-out items, and popularity."""
    random = np.random.default_rng(seed)
    taste = np.arange(ITEMS) % TASTES
    vectors = (np.eye(TASTES)[taste] * 2 + random.normal(size=(ITEMS, TASTES)) * 0.1).astype(np.float32)
    fold_in = FoldIn(vectors, np.full(ITEMS, -2, np.float32), 1, 0.1)
    owner, item = [], []
    for user in range(users):
        mine = random.permutation(np.flatnonzero(taste == user % TASTES))[:16]
        owner.append(np.full(16, user))
        item.append(mine)
    users_of, items_of = np.array(owner), np.array(item)
    liked = from_pairs(users_of[:, :10].ravel(), items_of[:, :10].ravel(), users)
    relevant = from_pairs(users_of[:, 10:].ravel(), items_of[:, 10:].ravel(), users)
    return fold_in, liked, relevant, random.integers(0, 50, ITEMS)


def test_users_left_out_are_judged_by_how_much_is_known_of_them() -> None:
    fold_in, liked, relevant, met_by = world()
    found = judge(fold_in, liked, liked, relevant, met_by, 500)
    assert found["users"] == 60
    assert list(found["by_interactions"]) == ["all", "10", "5", "3", "1"]
    ndcg = {name: report["metrics"]["ndcg_at_10"] for name, report in found["by_interactions"].items()}
    # One item tells the taste: lists are of 20 items of it that aren't seen, 6 of them relevant.
    assert min(ndcg.values()) > 0.2
    assert found["popularity"]["metrics"]["ndcg_at_10"] < 0.15
    assert found["comparison"]["ndcg_at_10"]["difference"] == pytest.approx(
        ndcg["all"] - found["popularity"]["metrics"]["ndcg_at_10"]
    )
    assert (found["regularization"], found["negative_weight"]) == (1, 0.1)


def test_who_has_no_history_or_nothing_held_out_is_not_judged() -> None:
    fold_in, liked, relevant, met_by = world()
    nobody = from_pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), 60)
    with pytest.raises(InputError, match="no user left out of training has a history and a held-out item"):
        judge(fold_in, liked, liked, nobody, met_by, 500)
    only_one = from_pairs(np.full(3, 7), liked.of(7)[:3].astype(np.int64), 60)
    assert judge(fold_in, only_one, liked, relevant, met_by, 500)["users"] == 1


def test_the_choice_is_the_best_of_its_table_and_the_same_each_time() -> None:
    fold_in, liked, _, _ = world()
    found = choose(fold_in, liked, liked, regularizations=(1, 1e6), negative_weights=(0.1, 0.5))
    assert len(found.trials) == 4
    assert found.users == 60
    # With a million nothing is learned from a history.
    assert found.regularization == 1
    assert max(trial.score for trial in found.trials) == next(
        trial.score
        for trial in found.trials
        if (trial.regularization, trial.negative_weight) == (found.regularization, found.negative_weight)
    )
    assert found == choose(fold_in, liked, liked, regularizations=(1, 1e6), negative_weights=(0.1, 0.5))
    assert found.to_document()["trials"][0]["ndcg_at_10_of_5"] == found.trials[0].ndcg_at_10_of_5


def test_nothing_can_be_chosen_on_users_who_liked_one_item() -> None:
    fold_in, liked, _, _ = world()
    with pytest.raises(InputError, match="no user left out of training liked two items"):
        choose(fold_in, first(liked, 1, np.random.default_rng(0)), liked)


def test_hidden_items_are_a_quarter_and_one_at_least_and_nothing_is_lost() -> None:
    pairs = from_pairs(np.repeat([0, 1, 3], [8, 1, 5]), np.r_[np.arange(8), 4, np.arange(5)], 4)
    stays, hidden = hide(pairs, 0.25, np.random.default_rng(0))
    assert hidden.counts().tolist() == [2, 1, 0, 1]
    assert stays.counts().tolist() == [6, 0, 0, 4]
    for user in range(4):
        assert sorted([*stays.of(user), *hidden.of(user)]) == pairs.of(user).tolist()
    assert first(pairs, 3, np.random.default_rng(0)).counts().tolist() == [3, 1, 0, 3]
