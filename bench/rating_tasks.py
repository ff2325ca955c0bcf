"""Rating prediction, two-hot and with side features: rows, trials and scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.factorization_machines.metrics import SUMS, metrics
from algorithms.factorization_machines.mini_batches import Rows
from algorithms.factorization_machines.train import Trainer
from bench.movielens_split import ITEMS, USERS, MovieLensSplit
from bench.trials import Result, Trial, Which
from fmrec.dataset.features import Feature, take_features

STEPS = ((1000, 0.003), (1000, 0.005), (4000, 0.01), (10_000, 0.02))
"""Mini-batch sizes and the learning rates that suit them: larger ones' gradients are less noisy."""
Settings = dict[str, Any]
Sides = dict[str, list[dict[str, str]]]


def rating_trials() -> Iterator[Trial]:
    """Two-hot rating prediction."""
    for size, rate in STEPS:
        for decay in (8e-5, 1e-4, 1.2e-4):
            rates = {"linear_lr": rate, "factors_lr": rate, "linear_wd": 1e-5, "factors_wd": decay}
            yield Trial({**rates, "mini_batch_size": size}, 40)


class PredictRating:
    """The ``predict-rating`` task, two-hot."""

    sign = -1
    folds = 3
    names: tuple[str, ...] = (
        "binary_classification_cross_entropy <loss>",
        "binary_classification_accuracy <score>",
        "binary_f_1.000 <score>",
    )

    def __init__(self, split: MovieLensSplit) -> None:
        self._split = split

    def fold(self, number: int) -> tuple[Which, Which]:
        return self._split.fold(number)

    def search(self, score: Callable[[Trial], Result]) -> Result:
        return min(map(score, rating_trials()), key=lambda result: result.score)

    def settings(self, trial: Trial, row_count: int) -> Settings:
        return {"feature_dim": USERS + ITEMS, "bias_lr": 0.01, "factors_init_sigma": 0.005}

    def rows(self, trial: Trial, which: Which, seed: int) -> Rows:
        return self.encoded(trial, np.random.default_rng(seed).permutation(which))

    def encoded(self, trial: Trial, which: Which) -> Rows:
        """Rows in the order given."""
        return self._split.rows(which, binary=True)

    def judge(self, trainer: Trainer, trial: Trial, fitted: Which, held: Which) -> dict[str, float]:
        sums = np.zeros(len(SUMS))
        trainer.evaluate(self.encoded(trial, held), sums)
        return metrics(sums, held.size, binary=True)


START: Settings = {
    "age": "numeric",
    "age_scale": 0.075,
    "gender_scale": 0.05,
    "occupation_scale": 0.1,
    "genre_scale": 0.2,
    "year": "numeric",
    "year_scale": 0.1,
    "batches": 6,
    "factors_lr": 0.007,
    "linear_lr": 0.03,
    "factors_wd": 6e-5,
    "linear_wd": 3e-5,
    "factors_init_sigma": 0.02,
}
"""Where the search with side features starts: what was best of earlier, wider searches on such folds."""
KINDS = ("numeric", "bucket 5", "bucket 10", "categorical")
ALTERNATIVES: dict[str, tuple[Any, ...]] = {
    "genre_scale": (0.1, 0.15, 0.2, 0.25, 0.3),
    "age": KINDS,
    "age_scale": (0.05, 0.075, 0.1, 0.15),
    "year": KINDS,
    "year_scale": (0.05, 0.1, 0.15),
    "gender_scale": (0.0, 0.05, 0.1),
    "occupation_scale": (0.0, 0.05, 0.1, 0.15),
    "batches": (6, 9, 12),
    "linear_lr": (0.01, 0.02, 0.03),
    "linear_wd": (1e-5, 3e-5, 6e-5),
    "factors_wd": (5e-5, 6e-5, 7e-5),
    "factors_lr": (0.007, 0.01, 0.015),
    "factors_init_sigma": (0.005, 0.02),
}
"""What is tried for each setting, in this order. ``batches`` is mini-batches an epoch: their size is such
that they hold all rows and none of them twice, so that an epoch is as many steps on a fold as on train."""
EPOCHS = 28
BIAS_LR = 0.01


class SideFeatures(PredictRating):
    """Age, gender and occupation of users; genres and year of films."""

    folds = 8

    def __init__(self, split: MovieLensSplit) -> None:
        super().__init__(split)
        self._sides = read_sides(split)
        self._made: dict[str, Encoded] = {}

    def fold(self, number: int) -> tuple[Which, Which]:
        return self._split.drawn_fold(number)

    def search(self, score: Callable[[Trial], Result]) -> Result:
        """Move one setting after another to where the score is best."""
        current = dict(START)
        known: dict[str, Result] = {}

        def result(settings: Settings) -> Result:
            key = json.dumps(settings)
            if key not in known:
                known[key] = score(side_feature_trial(settings))
            return known[key]

        for name, values in ALTERNATIVES.items():
            tried = [current, *(current | {name: value} for value in values)]
            current = min(tried, key=lambda settings: result(settings).score)
        return result(current)

    def settings(self, trial: Trial, row_count: int) -> Settings:
        width = self._encoded(trial).width
        return {"feature_dim": width, "bias_lr": BIAS_LR, "mini_batch_size": batch_size(trial, row_count)}

    def encoded(self, trial: Trial, which: Which) -> Rows:
        made = self._encoded(trial)
        columns, weights = made.columns[which], made.weights[which]
        present = columns >= 0
        indptr = np.concatenate([[0], present.sum(axis=1).cumsum()])
        return Rows(indptr, columns[present], weights[present], self._split.labels[which])

    def winner_document(self, winner: Result) -> Settings:
        """What to start an execution with, to train as the winner on all of train."""
        trial = winner.trial
        size = batch_size(trial, self._split.train.size)
        rates = {
            "epochs": winner.epochs,
            "mini_batch_size": size,
            "bias_lr": BIAS_LR,
            **trial.hyperparameters,
        }
        return {"dataset": {"features": features(trial.data)}, "hyperparameters": rates}

    def _encoded(self, trial: Trial) -> Encoded:
        documents = features(trial.data)
        key = json.dumps(documents)
        if key not in self._made:
            # One trial's rows are asked for again and again, earlier ones' hardly ever.
            self._made = {key: encode(self._split, self._sides, take_features(documents, "features"))}
        return self._made[key]


def side_feature_trial(settings: Settings) -> Trial:
    rates = {name: value for name, value in settings.items() if "_lr" in name or "_wd" in name}
    rates["factors_init_sigma"] = settings["factors_init_sigma"]
    data = {name: value for name, value in settings.items() if name not in rates}
    return Trial(rates, EPOCHS, data)


def batch_size(trial: Trial, row_count: int) -> int:
    return -(-row_count // int(trial.data["batches"]))


def features(settings: Settings) -> list[Settings]:
    """The ``features`` section of the data set document."""
    found = [
        {"name": "age", "of": "user", **_kind(settings["age"]), "scale": settings["age_scale"]},
        {"name": "gender", "of": "user", "scale": settings["gender_scale"]},
        {"name": "occupation", "of": "user", "scale": settings["occupation_scale"]},
        {
            "name": "genre",
            "of": "item",
            "column": "genres",
            "kind": "multi-valued",
            "scale": settings["genre_scale"],
        },
        {"name": "year", "of": "item", **_kind(settings["year"]), "scale": settings["year_scale"]},
    ]
    return [feature for feature in found if feature["scale"] > 0]


def _kind(text: str) -> Settings:
    kind, _, buckets = text.partition(" ")
    return {"kind": kind} | ({"buckets": int(buckets)} if buckets else {})


@dataclass(frozen=True)
class Encoded:
    """All ratings' columns and weights, a row each; columns that a row has less than others are -1."""

    columns: NDArray[np.int32]
    weights: NDArray[np.float32]
    width: int


def encode(split: MovieLensSplit, sides: Sides, side_features: tuple[Feature, ...]) -> Encoded:
    """What ``fmrec encode`` makes of side features: users, items, and a namespace of columns each."""
    owners = {"user": split.columns[:, 0], "item": split.columns[:, 1] - USERS}
    columns, weights = [split.columns], [np.ones(split.columns.shape, np.float32)]
    width = USERS + ITEMS
    for feature in side_features:
        entries = feature_entries([row[feature.column].strip() for row in sides[feature.of]], feature)
        names = sorted({name for row in entries for name in row})
        longest = max(map(len, entries))
        own_columns = np.full((len(entries), longest), -1, np.int32)
        own_weights = np.zeros((len(entries), longest), np.float32)
        for row, entry in enumerate(entries):
            own_columns[row, : len(entry)] = [width + names.index(name) for name in entry]
            own_weights[row, : len(entry)] = list(entry.values())
        columns.append(own_columns[owners[feature.of]])
        weights.append(own_weights[owners[feature.of]])
        width += len(names)
    return Encoded(np.hstack(columns), np.hstack(weights), width)


def feature_entries(texts: list[str], feature: Feature) -> list[dict[str, float]]:
    """Names and weights that stand for each text, as ``Feature`` describes them; none for an empty one."""
    if feature.kind == "categorical":
        return [{text: feature.scale} if text else {} for text in texts]
    if feature.kind == "multi-valued":
        lists = [sorted(set(filter(None, text.split(feature.separator)))) for text in texts]
        return [{name: feature.scale / len(names) for name in names} for names in lists]
    numbers = np.array([float(text) if text else np.nan for text in texts])
    known = np.sort(numbers[~np.isnan(numbers)])
    if feature.kind == "numeric":
        standard = feature.scale * (numbers - known.mean()) / known.std()
        return [{feature.name: weight} if not np.isnan(weight) else {} for weight in standard.tolist()]
    if feature.kind == "bucket" and feature.buckets is not None:
        # The values at which the share of values up to them passes 1/buckets, 2/buckets, …
        values, first = np.unique(known, return_index=True)
        upto = np.append(first[1:], known.size)
        passes = upto * feature.buckets // known.size > first * feature.buckets // known.size
        bucket = np.searchsorted(values[passes & (upto < known.size)], numbers)
        return [
            {str(at): feature.scale} if not np.isnan(number) else {}
            for at, number in zip(bucket, numbers, strict=True)
        ]
    raise ValueError(f"features of kind {feature.kind} are no part of this search")


def read_sides(split: MovieLensSplit) -> Sides:
    """Attributes of users and items, in the order of ids 1, 2, …"""
    return {side: _table(split, side) for side in ("user", "item")}


def _table(split: MovieLensSplit, side: str) -> list[dict[str, str]]:
    with (split.folder / f"{side}s.csv").open(newline="", encoding="utf-8") as file:
        return sorted(csv.DictReader(file), key=lambda row: int(row[f"{side}_id"]))
