"""Vectors of a factorization machine trained at MovieLens 20M's size, made once and kept under build/.

Interactions are drawn, as MovieLens 20M can't be fetched everywhere: items are as popular as 1 / (rank + 20),
and of eight times as many candidates by popularity each user takes those of highest affinity, an inner
product of 16 random dimensions plus noise. 16 positives a user, with two uniform negatives each, are learned
for four epochs with the stand-in and the settings of the training benchmark, but for the factors' weight
decay.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from algorithms.container.hyperparameters import resolve
from algorithms.factorization_machines.dataset import Dataset
from algorithms.factorization_machines.hyperparameters import SCHEMA
from algorithms.factorization_machines.mini_batches import Rows
from algorithms.factorization_machines.train import Trainer, available_threads
from bench.training import SETTINGS

BUILD = Path(__file__).parents[1] / "build"
POSITIVES, NEGATIVES, CANDIDATES, DIMENSIONS = 16, 32, 128, 16
EPOCHS = 4
FACTORS_WD = 1e-6
"""Less than on MovieLens 100k: with fewer rows per user and mini-batch, more would decay all factors to zero.
"""
BLOCK = 4096

Vectors = npt.NDArray[np.float32]


def trained_vectors(users: int, items: int, factors: int) -> tuple[Vectors, Vectors]:
    """Queries [V_u, 1] (users, factors + 1) and items [V_i, w_i] (items, factors + 1)."""
    path = BUILD / "bench" / f"vectors-{users}-{items}-{factors}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        queries, catalogue = _train(users, items, factors)
        np.savez(path, users=queries, items=catalogue)
    stored = np.load(path)
    return stored["users"], stored["items"]


def _train(users: int, items: int, factors: int) -> tuple[Vectors, Vectors]:
    settings = resolve(
        SCHEMA,
        {
            **SETTINGS,
            "num_factors": factors,
            "factors_wd": FACTORS_WD,
            "factors_init_sigma": 0.05,
            "feature_dim": users + items,
            "predictor_type": "binary_classifier",
            "epochs": EPOCHS,
        },
    )
    rows = _rows(users, items)
    trainer = Trainer(settings, 0, available_threads())
    with Dataset([rows], users + items, settings["mini_batch_size"], BUILD) as dataset:
        for _ in range(EPOCHS):
            trainer.train_epoch(dataset)
    machine = trainer.machine()
    return (
        np.column_stack([machine.factors[:users], np.ones(users, np.float32)]),
        np.column_stack([machine.factors[users:], machine.linear[users:]]),
    )


def _rows(users: int, items: int) -> Rows:
    """All rows in random order."""
    parts = list(_interactions(users, items))
    columns, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.random.default_rng(1).permutation(len(labels))
    indptr = np.arange(0, 2 * len(labels) + 1, 2, dtype=np.int64)
    return Rows(indptr, columns[order].ravel(), np.ones(2 * len(labels), np.float32), labels[order])


def _interactions(users: int, items: int) -> Iterator[tuple[npt.NDArray[np.int32], Vectors]]:
    """Columns (rows, 2) and labels, a block of users at a time."""
    random = np.random.default_rng(0)
    popularity = np.cumsum(1 / (np.arange(items) + 20.0))
    tastes = random.standard_normal((users, DIMENSIONS)).astype(np.float32)
    traits = random.standard_normal((items, DIMENSIONS)).astype(np.float32) / DIMENSIONS**0.5
    for start in range(0, users, BLOCK):
        own = tastes[start : start + BLOCK]
        drawn = random.random((len(own), CANDIDATES)) * popularity[-1]
        candidates = np.minimum(np.searchsorted(popularity, drawn), items - 1)
        affinity = np.einsum("ur,ucr->uc", own, traits[candidates])
        affinity += 0.5 * random.gumbel(size=candidates.shape)
        best = np.argpartition(-affinity, POSITIVES, axis=1)[:, :POSITIVES]
        picked = np.take_along_axis(candidates, best, 1)
        others = random.integers(0, items, (len(own), NEGATIVES))
        columns = np.empty((len(own), POSITIVES + NEGATIVES, 2), np.int32)
        columns[:, :, 0] = np.arange(start, start + len(own))[:, None]
        columns[:, :, 1] = users + np.concatenate([picked, others], axis=1)
        labels = np.zeros((len(own), POSITIVES + NEGATIVES), np.float32)
        labels[:, :POSITIVES] = 1
        yield columns.reshape(-1, 2), labels.ravel()
