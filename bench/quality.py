"""How good the deployed defaults are on MovieLens 100k, through the deployed workflow, with several seeds.

Each seed gets a local cloud of its own, a real ``cdk deploy``, and four executions: ``recommend`` and
``predict-rating`` on their defaults, ``recommend`` with an ensemble of three, and ``predict-rating`` with
what is known of users and films. Test rows
are those of the ua split; hyperparameters were chosen on validation rows cut from train
(bench/choose_hyperparameters.py). Beside the figures stand popularity, `implicit`'s ALS on the same rows,
judged by the same code, how many times the processor seconds of one model the ensemble takes, and the limits.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.deployment import Deployment, deployment
from bench.processor_time import ProcessorTime
from demo import results, rival_models
from demo.cloud import ROOT, Cloud
from demo.movielens import MovieLens, fetch
from demo.rival_models import Arena
from fmrec.execution.step_functions import Execution
from localcloud.home import Home

SIDES: dict[str, Any] = {
    "task": "predict-rating",
    "dataset": {
        "interactions": {"path": "interactions/"},
        "users": {"path": "users.csv"},
        "items": {"path": "items.csv"},
        "features": [
            {"name": "age", "of": "user", "kind": "numeric", "scale": 0.075},
            {"name": "gender", "of": "user", "scale": 0.05},
            {"name": "occupation", "of": "user", "scale": 0.1},
            {"name": "genre", "of": "item", "column": "genres", "kind": "multi-valued", "scale": 0.2},
            {"name": "year", "of": "item", "kind": "numeric", "scale": 0.15},
        ],
        "split": {"method": "leave-first-n", "n": 10},
    },
    "hyperparameters": {
        "epochs": 20,
        "mini_batch_size": 15095,
        "bias_lr": 0.01,
        "linear_lr": 0.03,
        "factors_lr": 0.007,
        "linear_wd": 3e-5,
        "factors_wd": 6e-5,
        "factors_init_sigma": 0.02,
    },
}
ACCURACY, ENTROPY = "binary_classification_accuracy", "binary_classification_cross_entropy"
LIMITS = {
    "recommend NDCG@10": (">=", 0.302),
    "recommend above popularity": (">=", 0.15),
    "recommend against ALS": (">=", -0.01),
    "ensemble NDCG@10": (">=", 0.31),
    "ensemble training, times": ("<=", 3.2),
    "ensemble other steps, times": ("<=", 1.1),
    "rating accuracy": (">=", 0.708),
    "rating cross entropy": ("<=", 0.562),
    "sides cross entropy": ("<=", 0.556),
}
"""What the means over the seeds must keep; times are processor seconds, those of one model 1."""
ENSEMBLE = 3
TRAINER = "algorithms.factorization_machines"
EXECUTIONS = ("recommend", "ensemble", "rating", "sides")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", choices=EXECUTIONS, nargs="+", default=list(EXECUTIONS))
    arguments = parser.parse_args()
    data = fetch(ROOT / "build/data/ml-100k")
    found = []
    for seed in arguments.seeds:
        found.append(measure(seed, data, arguments.only))
        figures = "  ".join(f"{name} {value:.4f}" for name, value in found[-1].items())
        print(f"seed {seed}: {figures}", flush=True)
    kept = True
    for name, (relation, limit) in LIMITS.items():
        if name not in found[0]:
            continue
        mean = float(np.mean([figures[name] for figures in found]))
        good = mean >= limit if relation == ">=" else mean <= limit
        kept &= good
        print(f"{name:<28}{mean:8.4f}   must be {relation} {limit}   {'kept' if good else 'MISSED'}")
    return 0 if kept else 1


def measure(seed: int, data: MovieLens, executions: list[str]) -> dict[str, float]:
    """One seed's figures, by name."""
    with deployment(seed) as deployed:
        for path, key in (
            (data.ratings, "interactions/ratings.csv"),
            (data.users, "users.csv"),
            (data.items, "items.csv"),
        ):
            deployed.upload(path, key)
        figures: dict[str, float] = {}
        lists: list[Execution] = []
        with ProcessorTime(server_process(deployed.target), TRAINER) as processor:
            if "recommend" in executions:
                lists.append(deployed.run("recommend", {}))
                figures |= measure_lists(deployed, lists[0])
            if "ensemble" in executions:
                lists.append(deployed.run("ensemble", {"ensemble": ENSEMBLE}))
                figures["ensemble NDCG@10"] = deployed.ndcg(lists[-1])
            if len(lists) == 2:
                figures |= times_as_much(processor, *lists)
        for name, given in (("rating", {"task": "predict-rating"}), ("sides", SIDES)):
            if name in executions:
                jobs = deployed.run(name, given).jobs
                metrics = results.test_metrics(results.fm_training_job(deployed.target, jobs))
                figures[f"{name} accuracy"] = metrics[ACCURACY]
                figures[f"{name} cross entropy"] = metrics[ENTROPY]
        return figures


def server_process(target: Cloud) -> int:
    record = Home(target.state).read()
    if record is None:
        raise SystemExit(f"no local cloud runs with state {target.state}")
    return record.pid


def times_as_much(processor: ProcessorTime, single: Execution, several: Execution) -> dict[str, float]:
    """How many times the processor seconds of one model an ensemble takes."""
    (one, other), (all_, all_other) = (processor.of(execution) for execution in (single, several))
    print(
        f"  processor seconds: training {one:.1f}, ensemble {all_:.1f}; other steps {other:.1f}, ensemble "
        f"{all_other:.1f}"
    )
    return {
        "ensemble training, times": all_ / one,
        "ensemble other steps, times": all_other / other,
    }


def measure_lists(deployed: Deployment, lists: Execution) -> dict[str, float]:
    """What `recommend` reaches, and how far that is above what the others reach."""
    evaluation = results.read_run_report(deployed.target, deployed.bucket, lists.name)["evaluation"]
    with tempfile.TemporaryDirectory() as folder:
        encoding = rival_models.download_encoding(deployed.target, deployed.bucket, lists.name, Path(folder))
        arena = Arena.of(encoding)
    als = arena.metrics(*rival_models.alternating_least_squares(arena))["ndcg_at_10"]
    ndcg = evaluation["model"]["metrics"]["ndcg_at_10"]
    popularity = max(baseline["metrics"]["ndcg_at_10"] for baseline in evaluation["baselines"].values())
    return {
        "recommend NDCG@10": ndcg,
        "recommend above popularity": ndcg - popularity,
        "recommend against ALS": ndcg - als,
    }


if __name__ == "__main__":
    raise SystemExit(main())
