"""Trials of hyperparameters: what is proposed, within which bound, and what is chosen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.deployment import trials
from fmrec.deployment.trials import TUNABLE, Budget, Trial, Values

OWN = {
    "linear_wd": "4.4e-05",
    "factors_wd": "4.4e-05",
    "num_factors": "64",
    "epochs": "3",
    "linear_lr": "0.003",
    "factors_lr": "0.003",
}
SMALL = Budget(parallel_jobs=4, maximum_jobs=12, training_seconds=20.0, fixed_seconds=120.0)
LARGE = replace(SMALL, training_seconds=3000.0)


def searched(own: Values, budget: Budget, reached: Callable[[Trial], float | None]) -> list[Trial]:
    tried: list[Trial] = []
    while proposed := trials.propose(own, tried, budget):
        tried += [replace(trial, ndcg=reached(trial), usd=0.01) for trial in proposed]
    return tried


def longest_rounds(tried: list[Trial], own: Values, budget: Budget) -> float:
    return sum(
        max(trials.seconds(trial.values, own, budget) for trial in together)
        for _, together in itertools.groupby(tried, lambda trial: trial.round)
    )


subsets = st.sets(st.sampled_from(TUNABLE)).map(
    lambda names: {name: value for name, value in OWN.items() if name in names}
)
budgets = st.builds(
    Budget,
    st.integers(1, 10),
    st.integers(1, 40),
    st.floats(0, 1e5, allow_nan=False),
    st.floats(1, 1e3, allow_nan=False),
)


@given(own=subsets, budget=budgets, reached=st.lists(st.none() | st.floats(0, 1), min_size=40, max_size=40))
def test_all_rounds_take_at_most_as_long_as_three_trainings_whatever_they_reach(
    own: dict[str, str], budget: Budget, reached: list[float | None]
) -> None:
    tried = searched(own, budget, lambda trial: reached[trial.number - 1])

    assert longest_rounds(tried, own, budget) <= 3 * (budget.fixed_seconds + budget.training_seconds) * 1.001
    assert 1 <= len(tried) <= budget.maximum_jobs
    assert [trial.number for trial in tried] == list(range(1, len(tried) + 1))
    assert all(
        len(list(together)) <= budget.parallel_jobs
        for _, together in itertools.groupby(tried, lambda trial: trial.round)
    )
    # The run's own values come first, nothing is tried twice, and only what may be changed is.
    assert tried[0].values == own
    assert len({tuple(sorted(trial.values.items())) for trial in tried}) == len(tried)
    assert all(trial.values.keys() == own.keys() for trial in tried)
    # Instances were chosen with the memory for so many.
    factors = trials.most_factors(own, otherwise=0)
    assert all(int(trial.values.get("num_factors", 0)) <= factors for trial in tried)


@given(reached=st.lists(st.none() | st.floats(0, 1), min_size=12, max_size=12))
def test_the_choice_is_never_worse_than_the_runs_own_values(reached: list[float | None]) -> None:
    tried = searched(OWN, SMALL, lambda trial: reached[trial.number - 1])
    best = trials.choose(tried)

    judged = [trial.ndcg for trial in tried if trial.ndcg is not None]
    assert (None if best is None else best.ndcg) == max(judged, default=None)


def test_the_weight_decay_is_moved_first_then_from_the_best_on() -> None:
    def decay(trial: Trial) -> float:
        return float(trial.values["factors_wd"])

    tried = searched(OWN, SMALL, decay)
    assert [decay(trial) for trial in tried[:3]] == [4.4e-05, 6.6e-05, 2.9e-05]
    assert decay(tried[4]) == 9.9e-05
    best = trials.choose(tried)
    assert best is not None
    assert decay(best) > 6.6e-05


@pytest.mark.parametrize("lever", ["factors_wd", "epochs", "factors_lr"])
@pytest.mark.parametrize("wanted", [0.6, 1.5])
def test_every_lever_is_moved_that_alone_decides(lever: str, wanted: float) -> None:
    def moved(trial: Trial) -> float:
        return float(trial.values[lever]) / float(OWN[lever])

    tried = searched(
        OWN, replace(SMALL, parallel_jobs=8), lambda trial: -abs(math.log(moved(trial) / wanted))
    )
    best = trials.choose(tried)

    assert best is not None
    assert (moved(best) > 1) == (wanted > 1)


@pytest.mark.parametrize("budget", [SMALL, LARGE])
def test_no_trial_takes_the_time_of_a_round_to_come_so_that_all_jobs_are_used(budget: Budget) -> None:
    tried = searched(OWN, budget, lambda trial: 1 / trial.number)

    assert [trial.round for trial in tried] == [1] * 4 + [2] * 4 + [3] * 4
    # More factors take twice as long, which two rounds leave room for.
    assert "128" not in {trial.values["num_factors"] for trial in tried}
    fewer = searched(OWN, replace(budget, maximum_jobs=8), lambda trial: 1 / trial.number)
    assert [trial.round for trial in fewer] == [1] * 4 + [2] * 4
    assert "128" in {trial.values["num_factors"] for trial in fewer}


def test_of_equals_the_cheaper_trial_is_chosen_then_the_earlier_one() -> None:
    tried = [Trial(1, 1, OWN, 0.3, 0.02), Trial(2, 1, OWN, 0.3, 0.01), Trial(3, 1, OWN, 0.3, 0.01)]

    assert trials.choose(tried) == tried[1]
    assert trials.choose([replace(tried[0], usd=None), tried[2]]) == tried[2]
    assert trials.choose([replace(trial, ndcg=None) for trial in tried]) is None


def test_what_is_given_is_no_trials_to_change() -> None:
    assert trials.tunable(OWN | {"mini_batch_size": "1000"}, ["epochs", "mini_batch_size"]) == {"epochs": "3"}
    assert trials.most_factors({"epochs": "3"}, 64) == 64
    assert trials.most_factors(OWN, 64) == 256
    assert trials.most_factors(OWN | {"num_factors": "700"}, 64) == 1000
