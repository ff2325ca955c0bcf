"""What all choices of hyperparameters share: a trial, its fits on validation folds, and its score."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from algorithms.container.hyperparameters import resolve
from algorithms.factorization_machines.dataset import Dataset
from algorithms.factorization_machines.hyperparameters import SCHEMA
from algorithms.factorization_machines.mini_batches import Rows
from algorithms.factorization_machines.train import Trainer, available_threads
from bench.movielens_split import MovieLensSplit

BUILD = Path(__file__).parents[1] / "build"
SEEDS = (0, 1, 2)
Which = NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """Hyperparameters, and what else decides: how negatives are drawn, what is made of side features."""

    hyperparameters: dict[str, float]
    epochs: int
    """At most; the best epoch is found out."""
    data: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        settings = {**self.data, **self.hyperparameters}
        return " ".join(
            f"{name}={value}" if isinstance(value, str) else f"{name}={value:g}"
            for name, value in settings.items()
        )


@dataclass(frozen=True)
class Result:
    """A trial's score at its best epoch, as a mean over folds."""

    score: float
    epochs: int
    trial: Trial


class Task(Protocol):
    """What is learned, from which rows, and how it is judged."""

    sign: int
    """1 if the score is better the higher it is, else -1."""
    names: tuple[str, ...]
    """Of the metrics; the first one is the score."""
    folds: int
    """How many validation folds a trial is fitted on, unless asked for fewer."""

    def fold(self, number: int) -> tuple[Which, Which]:
        """Rows to fit on, and rows to validate on."""

    def search(self, score: Callable[[Trial], Result]) -> Result:
        """Score trials, and return the best result."""

    def settings(self, trial: Trial, row_count: int) -> dict[str, Any]:
        """Hyperparameters beside the trial's, for so many rows to fit on."""

    def rows(self, trial: Trial, which: Which, seed: int) -> Rows:
        """What to fit on, shuffled."""

    def judge(self, trainer: Trainer, trial: Trial, fitted: Which, held: Which) -> dict[str, float]:
        """Metrics on ``held``."""


def fit(
    task: Task, trial: Trial, fitted: Which, held: Which, seed: int, epochs: int
) -> list[dict[str, float]]:
    """Metrics on ``held`` after each epoch of fitting on ``fitted``."""
    rows = task.rows(trial, fitted, seed)
    settings = resolve(
        SCHEMA,
        {
            "num_factors": 64,
            "predictor_type": "binary_classifier",
            "epochs": epochs,
            **task.settings(trial, rows.labels.size),
            **trial.hyperparameters,
        },
    )
    trainer = Trainer(settings, seed, available_threads())
    curve = []
    with Dataset([rows], settings["feature_dim"], settings["mini_batch_size"], BUILD) as dataset:
        for _ in range(epochs):
            trainer.train_epoch(dataset)
            curve.append(task.judge(trainer, trial, fitted, held))
    return curve


def choose(task: Task, folds: int) -> Result:
    """Run all trials, print each one's best epoch, and return the winner."""
    print(f"{task.names[0]:>44}  epoch  seconds  trial")

    def score(trial: Trial) -> Result:
        start = time.perf_counter()
        curves = [
            [point[task.names[0]] for point in fit(task, trial, *task.fold(fold), fold, trial.epochs)]
            for fold in range(folds)
        ]
        curve = np.mean(curves, axis=0)
        epoch = int(np.argmax(task.sign * curve)) + 1
        result = Result(float(curve[epoch - 1]), epoch, trial)
        seconds = time.perf_counter() - start
        print(f"{result.score:>44.5f}  {epoch:>5}  {seconds:>7.1f}  {trial}", flush=True)
        return result

    winner = task.search(score)
    print(
        f"winner: {winner.trial}, {winner.epochs} epochs: "
        f"{task.names[0]} {winner.score:.5f} on {folds} validation folds"
    )
    return winner


def report_test(task: Task, split: MovieLensSplit, winner: Result) -> None:
    """Fit on all of train, for as long as was best, and print test metrics of every seed and their mean."""
    trial, epochs = winner.trial, winner.epochs
    found = [fit(task, trial, split.train, split.test, seed, epochs)[-1] for seed in SEEDS]
    for name in task.names:
        values = [metric[name] for metric in found]
        listed = ", ".join(f"{value:.4f}" for value in values)
        print(f"test {name}: {np.mean(values):.4f} (seeds {', '.join(map(str, SEEDS))}: {listed})")
