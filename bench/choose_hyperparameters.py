"""Which hyperparameters to train with, chosen on validation data that is held out of train.

MovieLens 100k, ua split. For each trial a model is fitted by the FM stand-in's own trainer on train without
five ratings a user, and judged on those five after every epoch, for some folds (each with a seed of its own);
a trial's score is the mean over folds at its best epoch. Test rows are never looked at, unless ``--test``
asks for the winner's figures: it is then fitted on all of train for as many epochs as were best, and judged
on test.

Three tasks:

recommend       implicit feedback: ratings of at least 4 against sampled items that the user never rated,
drawn
                once into a fixed file, as the container reads the same file in every epoch (``copies`` such
                draws, shuffled together). Score: NDCG@10 over all items that the user hasn't rated.
predict-rating  rating >= 4 or not, two-hot. Score: cross entropy.
side-features   the same with attributes of users and films, as ``fmrec encode`` writes them: one setting
                after another is moved to where the score is best, those of features first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from algorithms.factorization_machines.mini_batches import Rows
from algorithms.factorization_machines.train import Trainer
from bench.movielens_split import ITEMS, USERS, MovieLensSplit, two_hot
from bench.rating_tasks import PredictRating, SideFeatures
from bench.trials import BUILD, Result, Task, Trial, Which, choose, report_test
from fmrec.artifacts.interactions import from_pairs
from fmrec.ranking.metrics import accuracy_metrics
from fmrec.ranking.top_k import top_k


def recommend_trials() -> Iterator[Trial]:
    """First the data, at the rates that suit resampled negatives; then the rates around the best data."""

    def trial(negatives: int, copies: int, rate: float, decay: float, **more: float) -> Trial:
        rates = {"linear_lr": rate, "factors_lr": rate, "linear_wd": decay, "factors_wd": decay}
        # A pass over so many rows counts as one epoch of one copy: all trials get about the same work.
        epochs = max(5, round(280 / ((1 + negatives) * copies)))
        return Trial({**rates, **more}, min(epochs, 24), {"negatives": negatives, "copies": copies})

    for negatives, copies in ((2, 1), (4, 1), (8, 1), (16, 1), (24, 1), (4, 2), (8, 2), (16, 2), (4, 4)):
        yield trial(negatives, copies, 0.003, 2e-5)
    for negatives, copies in ((8, 2), (16, 1)):
        for rate, decay in ((0.0015, 2e-5), (0.003, 1e-5), (0.003, 3e-5), (0.006, 2e-5)):
            yield trial(negatives, copies, rate, decay)
        yield trial(negatives, copies, 0.004, 2e-5, mini_batch_size=4000)


class Recommend:
    """The ``recommend`` task."""

    sign = 1
    folds = 3
    names: tuple[str, ...] = ("ndcg", "recall", "precision", "hit_rate")

    def __init__(self, split: MovieLensSplit) -> None:
        self._split = split
        self._user = split.columns[:, 0].astype(np.int64)
        self._item = split.columns[:, 1].astype(np.int64) - USERS

    def fold(self, number: int) -> tuple[Which, Which]:
        return self._split.fold(number)

    def search(self, score: Callable[[Trial], Result]) -> Result:
        return max(map(score, recommend_trials()), key=lambda result: result.score)

    def settings(self, trial: Trial, row_count: int) -> dict[str, Any]:
        return {"feature_dim": USERS + ITEMS, "bias_lr": 0.003, "bias_wd": 0, "factors_init_sigma": 0.01}

    def rows(self, trial: Trial, which: Which, seed: int) -> Rows:
        """Positives and sampled negatives, each copy with its own, shuffled."""
        generator = np.random.default_rng(seed)
        rated = np.zeros((USERS, ITEMS), bool)
        rated[self._user[which], self._item[which]] = True
        liked = which[self._split.labels[which] == 1]
        copies, negatives = int(trial.data["copies"]), int(trial.data["negatives"])
        user = np.repeat(np.tile(self._user[liked], copies), negatives)
        item = generator.integers(0, ITEMS, user.size)
        while (again := rated[user, item]).any():
            item[again] = generator.integers(0, ITEMS, int(again.sum()))
        columns = np.concatenate(
            [np.tile(self._split.columns[liked], (copies, 1)), np.column_stack([user, USERS + item])]
        )
        labels = np.concatenate([np.ones(liked.size * copies), np.zeros(user.size)]).astype(np.float32)
        order = generator.permutation(labels.size)
        return two_hot(columns[order].astype(np.int32), labels[order])

    def judge(self, trainer: Trainer, trial: Trial, fitted: Which, held: Which) -> dict[str, float]:
        model = trainer.machine()
        liked = held[self._split.labels[held] == 1]
        users = np.unique(self._user[liked])
        relevant = from_pairs(self._user[liked], self._item[liked], USERS).take(users)
        seen = from_pairs(self._user[fitted], self._item[fitted], USERS).take(users)
        queries = np.column_stack([model.factors[users], np.ones(users.size, np.float32)])
        items = np.column_stack([model.factors[USERS:], model.linear[USERS:]])
        top = top_k(queries, items, 10, seen)
        hits = relevant.contains(np.arange(users.size)[:, None], top.items)
        return {
            name: float(values.mean()) for name, values in accuracy_metrics(hits, relevant.counts()).items()
        }


TASKS: dict[str, Callable[[MovieLensSplit], Task]] = {
    "recommend": Recommend,
    "predict-rating": PredictRating,
    "side-features": SideFeatures,
}


def main() -> None:
    """Choose, and report on test if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=list(TASKS), nargs="*", default=list(TASKS))
    parser.add_argument(
        "--folds", type=int, choices=range(1, 9), help="fits a trial, if not the task's own number"
    )
    parser.add_argument("--test", action="store_true", help="then judge the winner on test, with three seeds")
    options = parser.parse_args()
    split = MovieLensSplit.load(BUILD / "movielens")
    for name in options.task:
        print(f"\n{name}")
        task = TASKS[name](split)
        winner = choose(task, min(task.folds, options.folds or task.folds))
        if isinstance(task, SideFeatures):
            print("as an execution's input: " + json.dumps(task.winner_document(winner)))
        if options.test:
            report_test(task, split, winner)


if __name__ == "__main__":
    main()
