"""Which hyperparameters to train with, chosen on validation data that is held out of train.

MovieLens 100k, ua split. For each trial a model is fitted by the FM stand-in's own trainer on train without
five ratings a user, and judged on those five after every epoch, for three folds (each with a seed of its own);
a trial's score is the mean over folds at its best epoch. Test rows are never looked at, unless ``--test`` asks for the winner's figures: it is then
fitted on all of train for as many epochs as were best, and judged on test.

Three tasks:

recommend       implicit feedback: ratings of at least 4 against sampled items that the user never rated, drawn
                once into a fixed file, as the container reads the same file in every epoch (``copies`` such
                draws, shuffled together). Score: NDCG@10 over all items that the user hasn't rated.
predict-rating  rating >= 4 or not, two-hot. Score: cross entropy.
side-features   the same with attributes of users and films, as ``fmrec encode`` writes them.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.container.hyperparameters import resolve
from algorithms.factorization_machines.dataset import Dataset
from algorithms.factorization_machines.hyperparameters import SCHEMA
from algorithms.factorization_machines.metrics import metrics
from algorithms.factorization_machines.optimizer import SUMS
from algorithms.factorization_machines.rows import Rows
from algorithms.factorization_machines.train import Trainer, available_threads
from bench.movielens_split import ITEMS, USERS, MovieLensSplit, two_hot
from fmrec.ranking.interactions import from_pairs
from fmrec.ranking.metrics import accuracy_metrics
from fmrec.ranking.top_k import top_k

BUILD = Path(__file__).parents[1] / "build"
SEEDS = (0, 1, 2)
Which = NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """Hyperparameters, and what else decides: how negatives are drawn, how side features are scaled."""

    hyperparameters: dict[str, float]
    epochs: int
    data: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(f"{name}={value:g}" for name, value in {**self.data, **self.hyperparameters}.items())


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


STEPS = ((1000, 0.003), (1000, 0.005), (4000, 0.01), (10_000, 0.02))
"""Mini-batch sizes and the learning rates that suit them: larger ones' gradients are less noisy."""


def rating_trials() -> Iterator[Trial]:
    """Two-hot rating prediction."""
    for size, rate in STEPS:
        for decay in (8e-5, 1e-4, 1.2e-4):
            yield Trial(rating_rates(rate, decay, mini_batch_size=size), 40)


def side_feature_trials() -> Iterator[Trial]:
    """The same with side features, whose scale decides how much they say."""
    for scale in (0.05, 0.1):
        for size, rate in STEPS:
            for decay in (6e-5, 8e-5, 1e-4, 1.2e-4):
                yield Trial(rating_rates(rate, decay, mini_batch_size=size), 40, {"scale": scale})


def rating_rates(rate: float, decay: float, **more: float) -> dict[str, float]:
    return {"linear_lr": rate, "factors_lr": rate, "linear_wd": 1e-5, "factors_wd": decay, **more}


class Recommend:
    """The ``recommend`` task."""

    trials = staticmethod(recommend_trials)
    sign = 1
    """The score is better the higher it is."""
    names = ("ndcg", "recall", "precision", "hit_rate")

    def __init__(self, split: MovieLensSplit) -> None:
        self._split = split
        self._user = split.columns[:, 0].astype(np.int64)
        self._item = split.columns[:, 1].astype(np.int64) - USERS

    def settings(self, trial: Trial) -> dict[str, Any]:
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


class PredictRating:
    """The ``predict-rating`` task, two-hot."""

    trials = staticmethod(rating_trials)
    sign = -1
    """The score is better the lower it is."""
    names = (
        "binary_classification_cross_entropy <loss>",
        "binary_classification_accuracy <score>",
        "binary_f_1.000 <score>",
    )

    def __init__(self, split: MovieLensSplit) -> None:
        self._split = split

    def settings(self, trial: Trial) -> dict[str, Any]:
        return {"feature_dim": self.width, "bias_lr": 0.01, "factors_init_sigma": 0.005}

    @property
    def width(self) -> int:
        return USERS + ITEMS

    def rows(self, trial: Trial, which: Which, seed: int) -> Rows:
        return self.encoded(trial, np.random.default_rng(seed).permutation(which))

    def encoded(self, trial: Trial, which: Which) -> Rows:
        """Rows in the order given."""
        return self._split.rows(which, binary=True)

    def judge(self, trainer: Trainer, trial: Trial, fitted: Which, held: Which) -> dict[str, float]:
        sums = np.zeros(len(SUMS))
        trainer.evaluate(self.encoded(trial, held), sums)
        return metrics(sums, held.size, binary=True)


class SideFeatures(PredictRating):
    """Age in buckets, gender, occupation; genres and year in buckets."""

    trials = staticmethod(side_feature_trials)

    def __init__(self, split: MovieLensSplit) -> None:
        super().__init__(split)
        users, items = _table(split.folder / "users.csv"), _table(split.folder / "items.csv")
        self._columns: list[NDArray[np.int64]] = []
        self._weights: list[NDArray[np.float32]] = []
        self._width = USERS + ITEMS
        of_user = [split.columns[:, 0], split.columns[:, 1] - USERS]
        self._add(_by_id(users, "user_id", _buckets(users, "age")), of_user[0])
        self._add(_by_id(users, "user_id", [[row["gender"]] for row in users]), of_user[0])
        self._add(_by_id(users, "user_id", [[row["occupation"]] for row in users]), of_user[0])
        self._add(_by_id(items, "item_id", [row["genres"].split("|") for row in items]), of_user[1])
        self._add(_by_id(items, "item_id", _buckets(items, "year")), of_user[1])

    @property
    def width(self) -> int:
        return self._width

    def _add(self, values: list[list[str]], owner: NDArray[np.int32]) -> None:
        """One namespace: each value a column, weighing 1 / values of its owner."""
        names = {name: column for column, name in enumerate(sorted({name for row in values for name in row}))}
        longest = max(map(len, values))
        columns = np.full((len(values), longest), -1, np.int64)
        weights = np.zeros((len(values), longest), np.float32)
        for row, texts in enumerate(values):
            columns[row, : len(texts)] = [self._width + names[text] for text in texts]
            weights[row, : len(texts)] = 1 / max(1, len(texts))
        self._columns.append(columns[owner])
        self._weights.append(weights[owner])
        self._width += len(names)

    def encoded(self, trial: Trial, which: Which) -> Rows:
        scale = trial.data["scale"]
        columns = np.hstack([self._split.columns[which], *(part[which] for part in self._columns)])
        weights = np.hstack(
            [np.ones((which.size, 2), np.float32), *(scale * part[which] for part in self._weights)]
        )
        present = columns >= 0
        indptr = np.concatenate([[0], present.sum(axis=1).cumsum()])
        return Rows(
            indptr,
            columns[present].astype(np.int32),
            weights[present].astype(np.float32),
            self._split.labels[which],
        )


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _by_id(table: list[dict[str, str]], key: str, values: list[list[str]]) -> list[list[str]]:
    """Values in the order of ids 1, 2, …"""
    ordered: list[list[str]] = [[] for _ in table]
    for row, value in zip(table, values, strict=True):
        ordered[int(row[key]) - 1] = [text for text in value if text]
    return ordered


def _buckets(table: list[dict[str, str]], column: str, count: int = 10) -> list[list[str]]:
    """Quantile buckets; nothing where the value is missing."""
    known = np.array([float(row[column]) for row in table if row[column]])
    edges = np.unique(np.quantile(known, np.linspace(0, 1, count + 1)[1:-1]))
    return [
        [str(int(np.searchsorted(edges, float(row[column]), side="right")))] if row[column] else []
        for row in table
    ]


TASKS: dict[str, Callable[[MovieLensSplit], Recommend | PredictRating]] = {
    "recommend": Recommend,
    "predict-rating": PredictRating,
    "side-features": SideFeatures,
}


def fit(
    task: Recommend | PredictRating, trial: Trial, fitted: Which, held: Which, seed: int, epochs: int
) -> list[dict[str, float]]:
    """Metrics on ``held`` after each epoch of fitting on ``fitted``."""
    settings = resolve(
        SCHEMA,
        {
            "num_factors": 64,
            "predictor_type": "binary_classifier",
            "epochs": epochs,
            **task.settings(trial),
            **trial.hyperparameters,
        },
    )
    trainer = Trainer(settings, seed, available_threads())
    curve = []
    rows = task.rows(trial, fitted, seed)
    with Dataset([rows], settings["feature_dim"], settings["mini_batch_size"], BUILD) as dataset:
        for _ in range(epochs):
            trainer.train_epoch(dataset)
            curve.append(task.judge(trainer, trial, fitted, held))
    return curve


def choose(task: Recommend | PredictRating, split: MovieLensSplit, folds: int) -> tuple[Trial, int]:
    """Run all trials, print each one's best epoch, and return the winner with its epochs."""
    results = []
    print(f"{task.names[0]:>44}  epoch  seconds  trial")
    for trial in task.trials():
        start = time.perf_counter()
        curves = [
            [point[task.names[0]] for point in fit(task, trial, *split.fold(fold), fold, trial.epochs)]
            for fold in range(folds)
        ]
        curve = np.mean(curves, axis=0)
        epoch = int(np.argmax(task.sign * curve)) + 1
        best = float(curve[epoch - 1])
        results.append((best, epoch, trial))
        print(f"{best:>44.4f}  {epoch:>5}  {time.perf_counter() - start:>7.1f}  {trial}", flush=True)
    best, epoch, trial = max(results, key=lambda result: task.sign * result[0])
    print(f"winner: {trial}, {epoch} epochs: {task.names[0]} {best:.4f} on validation")
    return trial, epoch


def report_test(task: Recommend | PredictRating, split: MovieLensSplit, trial: Trial, epochs: int) -> None:
    """Fit on all of train, for as long as was best, and print test metrics of every seed and their mean."""
    found = [fit(task, trial, split.train, split.test, seed, epochs)[-1] for seed in SEEDS]
    for name in task.names:
        values = [metric[name] for metric in found]
        listed = ", ".join(f"{value:.4f}" for value in values)
        print(f"test {name}: {np.mean(values):.4f} (seeds {', '.join(map(str, SEEDS))}: {listed})")


def main() -> None:
    """Choose, and report on test if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=list(TASKS), nargs="*", default=list(TASKS))
    parser.add_argument("--folds", type=int, default=3, choices=(1, 2, 3), help="fits a trial")
    parser.add_argument("--test", action="store_true", help="then judge the winner on test, with three seeds")
    options = parser.parse_args()
    split = MovieLensSplit.load(BUILD / "movielens")
    for name in options.task:
        print(f"\n{name}")
        task = TASKS[name](split)
        trial, epochs = choose(task, split, options.folds)
        if options.test:
            report_test(task, split, trial, epochs)


if __name__ == "__main__":
    main()
