"""What a run's trials of hyperparameters reach, compared with a far larger search over more of them.

Both are judged by NDCG@10 on the same validation split, a fifth of what was picked in training; test rows are
left alone. Trials are those of the deployed workflow (`fmrec.deployment.trials`): they begin with the values
by the data's shape and take as long as three trainings. The larger search draws negatives, copies, decays,
rates and factors at random, and counts each of a fit's epochs as a trial of its own. Fits are the stand-in's
own trainer in this process, with the same seed, so that both are favoured by the same luck.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.container.hyperparameters import resolve
from algorithms.factorization_machines.dataset import Dataset
from algorithms.factorization_machines.hyperparameters import SCHEMA
from algorithms.factorization_machines.train import Trainer, available_threads
from bench.interaction_sets import SETS, InteractionSet
from bench.opponents import Judged, K, deployed, rows_of, shape_of
from fmrec.deployment import shape_rule, trials
from fmrec.deployment.defaults import TASKS, TUNING_BY_RANKING
from fmrec.deployment.shape_rule import Sampling
from fmrec.deployment.trials import Budget, Trial
from fmrec.ranking.top_k import top_k

WITHIN = 0.98
"""Of the best of the larger search."""
PASSES = 36
"""Over each pick in a fit of the larger search: half as many again as by the rule."""


@dataclass(frozen=True)
class Fits:
    """One data set's validation split, and how well a fit ranks what it holds out."""

    data: InteractionSet
    judged: Judged
    seed: int

    def curve(self, hyperparameters: Mapping[str, Any], sampled: Sampling) -> list[float]:
        """NDCG after each epoch."""
        data, width = self.data, self.data.users + self.data.items
        settings = resolve(SCHEMA, {**hyperparameters, "feature_dim": width})
        trainer = Trainer(settings, self.seed, available_threads())
        generator = np.random.default_rng(self.seed)
        rows = rows_of(data, generator, sampled.negatives_per_positive, sampled.copies)
        found = []
        with (
            tempfile.TemporaryDirectory() as folder,
            Dataset([rows], width, settings["mini_batch_size"], Path(folder)) as dataset,
        ):
            for _ in range(settings["epochs"]):
                trainer.train_epoch(dataset)
                model = trainer.machine()
                queries = np.column_stack([model.factors[: data.users], np.ones(data.users, np.float32)])
                items = np.column_stack([model.factors[data.users :], model.linear[data.users :]])
                found.append(self.judged.ndcg(top_k(queries, items, K, data.histories())))
        return found


def by_trials(fits: Fits, parallel_jobs: int) -> list[Trial]:
    """The trials of a run in which starts, ends and downloads take as long as the training itself."""
    data = fits.data
    sampled, hyperparameters = deployed(data)
    own = trials.tunable(hyperparameters, trials.TUNABLE)
    budget = Budget(parallel_jobs, TUNING_BY_RANKING["maximum_jobs"], 120.0, 120.0)
    tried: list[Trial] = []
    while proposed := trials.propose(own, tried, budget):
        for trial in proposed:
            ndcg = fits.curve({**hyperparameters, **trial.values}, sampled)[-1]
            tried.append(replace(trial, ndcg=ndcg))
            changed = {name: value for name, value in trial.values.items() if value != own[name]}
            print(f"  trial {trial.number:>3}, round {trial.round}  {ndcg:.4f}  {changed}", flush=True)
    return tried


def at_random(fits: Fits, count: int) -> list[tuple[float, str]]:
    """NDCG of at least so many trials, each with what it was of."""
    data = fits.data
    found: list[tuple[float, str]] = []
    number = 0
    while len(found) < count:
        chance = np.random.default_rng((fits.seed, number))
        sampled = Sampling(int(chance.choice([4, 8, 12])), int(chance.choice([4, 8, 12])))
        shape = shape_of(data, sampled)
        rule = shape_rule.hyperparameters(shape)
        decay, rate = _log_uniform(chance, 0.35, 2.8), _log_uniform(chance, 0.5, 2)
        linear, factors = decay * _log_uniform(chance, 0.5, 4), float(chance.choice([0.5, 1, 2]))
        values = {
            "num_factors": int(factors * int(rule["num_factors"])),
            "factors_wd": decay * float(rule["factors_wd"]),
            "linear_wd": linear * float(rule["linear_wd"]),
            "factors_lr": rate * float(rule["factors_lr"]),
            "linear_lr": rate * float(rule["linear_lr"]),
            "epochs": max(2, round(PASSES / (sampled.copies * shape.written_share))),
        }
        curve = fits.curve({**TASKS["recommend"]["hyperparameters"], **rule, **values}, sampled)
        what = (
            f"{sampled.negatives_per_positive} negatives, {sampled.copies} copies, factors x {factors:g}, "
            f"decay x {decay:.2f}, linear x {linear:.2f}, rate x {rate:.2f}"
        )
        print(f"  {' '.join(f'{value:.4f}' for value in curve)}  {what}", flush=True)
        found += [(value, f"{what}, epoch {epoch}") for epoch, value in enumerate(curve, start=1)]
        number += 1
    return found


def _log_uniform(chance: np.random.Generator, least: float, most: float) -> float:
    return math.exp(chance.uniform(math.log(least), math.log(most)))


def main() -> int:
    """Print both searches; 1 if the trials' choice is not within `WITHIN` of the larger search's best."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", choices=list(SETS), nargs="+", default=["movielens", "epinions", "listening"]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=TUNING_BY_RANKING["parallel_jobs"])
    parser.add_argument("--random", type=int, default=200, help="trials of the larger search; 0 for none")
    options = parser.parse_args()
    reached = True
    for name in options.data:
        data = SETS[name]().validation()
        fits = Fits(data, Judged(data), options.seed)
        print(f"\n{data.name}")
        best = trials.choose(by_trials(fits, options.parallel))
        assert best is not None
        assert best.ndcg is not None
        if options.random:
            value, what = max(at_random(fits, options.random))
            reached &= best.ndcg >= WITHIN * value
            print(f"  best of {options.random} at random: {value:.4f}, {what}")
            print(f"  trials: {best.ndcg:.4f}, {best.ndcg / value:.3f} of it")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
