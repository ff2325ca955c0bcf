"""The deployed defaults against EASE, ALS, item-kNN and popularity, each tuned on the same validation split.

The opponents' parameters are chosen on a fifth of what was picked in training; then each is fitted on all of
train and judged on test once. The factorization machine has the deployed defaults
(`fmrec.deployment.defaults`, and by the data's shape `fmrec.deployment.shape_rule`), and is fitted by the
stand-in's own trainer in this process: positives, copies and negatives as the encoding makes them, though
with other draws. ``--ensemble S`` averages S of them. Co-occurrence is added as the export adds it, with the
deployed weight; ``--co-occurrence`` takes others, for the same trained models.
``--validation`` judges everything on the validation split and leaves test alone. Of the data sets that
``--deployed`` names, models are also trained and judged by the deployed workflow, in a local cloud: the same
interactions as a file, with a cut in time between train and test.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.container.hyperparameters import resolve
from algorithms.factorization_machines.dataset import Dataset
from algorithms.factorization_machines.hyperparameters import SCHEMA
from algorithms.factorization_machines.mini_batches import Rows
from algorithms.factorization_machines.train import Trainer, available_threads
from bench.deployment import deployment
from bench.interaction_sets import SETS, InteractionSet
from bench.movielens_split import two_hot
from fmrec.artifacts.interactions import from_pairs
from fmrec.deployment import shape_rule
from fmrec.deployment.defaults import SERVING, TASKS
from fmrec.deployment.shape_rule import Sampling, Shape, co_occurrence_factors, sampling
from fmrec.model.co_occurrence import learn
from fmrec.model.ensemble import Ensemble
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.ranking.evaluation import Judge
from fmrec.ranking.popularity import most_popular
from fmrec.ranking.simple_models import SimpleModel, co_occurrences, ease, item_knn
from fmrec.ranking.top_k import Top, top_k

K = 10
TARGET = 0.97
"""Of the best of EASE and ALS."""
EASE_GRID = (30.0, 100.0, 300.0, 1000.0)
KNN_GRID = (20, 50, 100, 200, 1000)
ALS_GRID = tuple(
    (factors, regularization, confidence)
    for factors in (64, 128)
    for regularization, confidence in ((1.0, 2.0), (10.0, 5.0), (30.0, 10.0), (60.0, 10.0), (60.0, 40.0))
)

SHOWN = ("num_factors", "epochs", "mini_batch_size", "factors_lr", "factors_wd")

Rank = Callable[[InteractionSet], Top]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=list(SETS), nargs="+", default=["movielens", "epinions"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ensemble", type=int, default=1)
    parser.add_argument("--co-occurrence", type=float, nargs="+", default=[SERVING["co_occurrence"]])
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--deployed", choices=list(SETS), nargs="+", default=[])
    options = parser.parse_args()
    if options.deployed and options.validation:
        parser.error("--deployed judges on test rows: leave --validation out")
    reached = True
    for name in options.data:
        reached &= compare(
            SETS[name](),
            options.seeds,
            options.ensemble,
            options.co_occurrence,
            validation=options.validation,
            through_workflow=name in options.deployed,
        )
    return 0 if reached else 1


def compare(
    data: InteractionSet,
    seeds: list[int],
    ensemble: int,
    weights: list[float],
    *,
    validation: bool,
    through_workflow: bool,
) -> bool:
    """Print all figures of one data set; return whether the target is reached with any of the weights."""
    cut = data.validation()
    final = cut if validation else data
    judged = Judged(final)
    print(
        f"\n{final.name}: {final.users} users, {final.items} items, {len(final.liked[0])} picks to learn from"
    )
    opponents: dict[str, float] = {}
    for name, rankers in (("EASE", _ease), ("item-kNN", _item_knn), ("ALS", _als)):
        choices = rankers(cut)
        scores = {choice: Judged(cut).ndcg(rank(cut)) for choice, rank in choices.items()}
        best = max(scores, key=lambda choice: scores[choice])
        opponents[name] = scores[best] if validation else judged.ndcg(rankers(final, best)[best](final))
        print(f"  {name:<24}{opponents[name]:.4f}   {best} (validation {scores[best]:.4f})", flush=True)
    print(f"  {'popularity':<24}{judged.ndcg(popularity(final)):.4f}")
    sampled, hyperparameters = deployed(final)
    print(
        f"  by the data's shape: {sampled.copies} copies, {sampled.negatives_per_positive} negatives, "
        + ", ".join(f"{name} {hyperparameters[name]}" for name in SHOWN)
    )
    trained = [machines(final, seed, ensemble, sampled, hyperparameters) for seed in seeds]
    best_opponent, good = max(opponents["EASE"], opponents["ALS"]), False
    for weight in weights:
        name = f"FM x {ensemble}, co-occurrence {weight:g}"
        good |= told(name, [judged.ndcg(top_of(final, model, weight)) for model in trained], best_opponent)
    if through_workflow:
        found = [deployed_ndcg(final, seed, ensemble) for seed in seeds]
        good &= told(f"FM x {ensemble}, deployed workflow", found, best_opponent)
    return good


def told(name: str, found: list[float], best_opponent: float) -> bool:
    """Print the figures of some seeds; return whether their mean reaches the target."""
    mean = float(np.mean(found))
    reached = mean >= TARGET * best_opponent
    print(f"  {name:<28}{mean:.4f}   " + " ".join(f"{value:.4f}" for value in found))
    print(
        f"  of the best of EASE and ALS: {mean / best_opponent:.3f}   {'reached' if reached else 'MISSED'}",
        flush=True,
    )
    return reached


def deployed_ndcg(data: InteractionSet, seed: int, ensemble: int) -> float:
    """Train and judge by the deployed workflow on its defaults: of the data only the cut in time is said."""
    with deployment(seed) as target, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        write_ratings(data, path)
        target.upload(path, "interactions/ratings.csv")
        given = {
            "dataset": {"interactions": {"path": "interactions/"}, "split": {"method": "time-cut", "at": 1}},
            "ensemble": ensemble,
        }
        return target.ndcg(target.run("recommend", given))


def write_ratings(data: InteractionSet, path: Path) -> None:
    """Write a rating of 5 for each pick and of 1 for all else, at time 0 for training and 1 for test."""
    keys = [pairs[0] * data.items + pairs[1] for pairs in (data.seen, data.liked)]
    rating = np.where(np.isin(keys[0], keys[1]), 5, 1)
    train = np.column_stack([*data.seen, rating, np.zeros_like(rating)])
    held_out = np.column_stack([*data.held_out, np.tile([5, 1], (len(data.held_out[0]), 1))])
    header = "user_id,item_id,rating,timestamp"
    np.savetxt(path, np.concatenate([train, held_out]), "%d", ",", header=header, comments="")


def deployed(data: InteractionSet) -> tuple[Sampling, dict[str, Any]]:
    """What a deployment on its defaults trains with, on these interactions."""
    sampled = sampling(len(data.seen[0]))
    by_shape = shape_rule.hyperparameters(shape_of(data, sampled))
    return sampled, {**TASKS["recommend"]["hyperparameters"], **by_shape}


def shape_of(data: InteractionSet, sampled: Sampling) -> Shape:
    """The shape of what `rows_of` makes of these interactions."""
    share = float(_written_shares(data, sampled.copies).mean())
    picks = round(len(data.liked[0]) * share)
    return Shape(picks, data.users, data.items, **asdict(sampled), written_share=share)


def _written_shares(data: InteractionSet, copies: int) -> NDArray[np.float64]:
    """In what share of the copies each pick is written (`fmrec.encoding.split_and_label.Thinning`)."""
    picks = np.bincount(data.liked[0], minlength=data.users)
    share = np.sqrt(np.minimum(1.0, shape_rule.FULL_WEIGHT_PICKS / np.maximum(picks, 1)))
    return np.asarray(np.maximum(share, 1 / copies)[data.liked[0]])


class Judged:
    """NDCG@10 over the users with something held out."""

    def __init__(self, data: InteractionSet) -> None:
        self._relevant = data.relevant()
        self._users = np.flatnonzero(self._relevant.counts())
        self._seen = data.histories()
        self._met_by = np.bincount(self._seen.items, minlength=data.items)

    def ndcg(self, top: Top) -> float:
        judge = Judge(K, self._met_by, self._seen.users)
        mine = Top(top.items[self._users], top.scores[self._users])
        judge.add(mine, self._relevant.take(self._users), self._seen.counts()[self._users])
        return float(judge.report()["metrics"][f"ndcg_at_{K}"])


def popularity(data: InteractionSet) -> Top:
    return most_popular(np.bincount(data.seen[1], minlength=data.items), K, data.histories())


def _ease(data: InteractionSet, only: Any = None) -> dict[Any, Rank]:
    together = co_occurrences([data.histories()], data.items)

    def ranker(regularization: float) -> Rank:
        return lambda cut: SimpleModel(ease(together, regularization)).top(
            cut.histories(), cut.histories(), K
        )

    return {choice: ranker(choice) for choice in (EASE_GRID if only is None else (only,))}


def _item_knn(data: InteractionSet, only: Any = None) -> dict[Any, Rank]:
    together = co_occurrences([data.histories()], data.items)

    def ranker(neighbours: int) -> Rank:
        return lambda cut: SimpleModel(item_knn(together, neighbours)).top(
            cut.histories(), cut.histories(), K
        )

    return {choice: ranker(choice) for choice in (KNN_GRID if only is None else (only,))}


def _als(data: InteractionSet, only: Any = None) -> dict[Any, Rank]:
    def ranker(choice: tuple[int, float, float]) -> Rank:
        return lambda cut: als(cut, *choice)

    return {choice: ranker(choice) for choice in (ALS_GRID if only is None else (only,))}


def als(data: InteractionSet, factors: int, regularization: float, confidence: float) -> Top:
    """`implicit`'s alternating least squares (Hu, Koren and Volinsky, ICDM 2008)."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    values = np.full(len(data.liked[0]), confidence, np.float32)
    matrix = csr_matrix((values, data.liked), shape=(data.users, data.items))
    with threadpool_limits(1, "blas"):  # the library has threads of its own
        model = AlternatingLeastSquares(
            factors=factors, regularization=regularization, iterations=15, random_state=0
        )
        model.fit(matrix, show_progress=False)
    return top_k(model.user_factors, model.item_factors, K, data.histories())


def machines(
    data: InteractionSet,
    seed: int,
    ensemble: int,
    sampled: Sampling,
    hyperparameters: Mapping[str, Any],
) -> Ensemble:
    """Train on implicit feedback with sampled negatives."""
    return Ensemble([fit(data, 1000 * seed + number, sampled, hyperparameters) for number in range(ensemble)])


def top_of(data: InteractionSet, model: Ensemble, weight: float) -> Top:
    """Rank by the vectors that the export makes of models, co-occurrence with that weight among them."""
    queries, _ = model.parameters(0, data.users)
    vectors, constants = model.parameters(data.users, data.users + data.items)
    items = np.column_stack([vectors, constants]).astype(np.float32)
    queries = np.column_stack([queries, np.ones(data.users)]).astype(np.float32)
    picks = from_pairs(*data.liked, data.users)
    factors = co_occurrence_factors(data.items, model.machine_factors[0])
    found = learn([picks], data.items, factors) if weight else None
    if found is not None:
        found = found.weighed(weight, (queries, items), (found.users(picks), found.items))
    if found is not None:
        queries, items = np.hstack([queries, found.users(picks)]), np.hstack([items, found.items])
    return top_k(queries, items, K, data.histories())


def fit(
    data: InteractionSet, seed: int, sampled: Sampling, hyperparameters: Mapping[str, Any]
) -> FactorizationMachine:
    generator = np.random.default_rng(seed)
    width = data.users + data.items
    settings = resolve(SCHEMA, {**hyperparameters, "feature_dim": width})
    trainer = Trainer(settings, seed, available_threads())
    with (
        tempfile.TemporaryDirectory() as folder,
        Dataset(
            [rows_of(data, generator, sampled.negatives_per_positive, sampled.copies)],
            width,
            settings["mini_batch_size"],
            Path(folder),
        ) as rows,
    ):
        for _ in range(settings["epochs"]):
            trainer.train_epoch(rows)
    return trainer.machine()


def rows_of(data: InteractionSet, generator: np.random.Generator, negatives: int, copies: int) -> Rows:
    """The copies of the positives, and uniform negatives that their users never interacted with, shuffled."""
    keys = np.sort(data.seen[0] * data.items + data.seen[1])
    number = np.arange(copies + 1)[:, None] * _written_shares(data, copies)
    _, pick = np.nonzero(np.diff(np.floor(number + generator.random(len(data.liked[0]))), axis=0))
    users, picked = data.liked[0][pick], data.liked[1][pick]
    user = np.repeat(users, negatives)
    item = generator.integers(0, data.items, len(user))
    again = _among(keys, user * data.items + item)
    while len(again):
        item[again] = generator.integers(0, data.items, len(again))
        again = again[_among(keys, user[again] * data.items + item[again])]
    columns = np.concatenate(
        [
            np.column_stack([users, data.users + picked]),
            np.column_stack([user, data.users + item]),
        ]
    ).astype(np.int32)
    labels = np.concatenate([np.ones(len(users)), np.zeros(len(user))]).astype(np.float32)
    order = generator.permutation(len(labels))
    return two_hot(columns[order], labels[order])


def _among(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of what is among sorted keys."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.flatnonzero(keys[places] == wanted)


if __name__ == "__main__":
    raise SystemExit(main())
