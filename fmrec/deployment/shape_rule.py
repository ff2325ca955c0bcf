"""Defaults that depend on the data's shape: sampled negatives and copies, and SageMaker's hyperparameters.

What suits dense ratings of films doesn't suit a shop with a few purchases per customer. The rule here fills
in what neither the deployment's settings nor an execution's input say, from the counts of interactions, users
and items alone, so that it costs nothing and always answers the same. docs/quality.md says what it was
fitted on, and what it reaches on data that it wasn't fitted on.

`sampling` is asked by the encoding, once it has counted; `hyperparameters` before the training, with what
the encoding has written. Both are pure.

The weight decay is what matters most. The optimizer adds it once for every mini-batch in which an id occurs,
however often it occurs there, and a direction of the factors grows only where the data speaks louder for it
than the decay. What is mere chance speaks as loudly as 1 / sqrt(picks per user) + 1 / sqrt(picks per item)
(the spectral norm of a sparse random matrix, relative to its rows and columns), and less so among more
negatives; so sparse data wants more decay, by a power of that sum that was fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fmrec.artifacts.manifest import Manifest
from fmrec.dataset.labels import ImplicitLabel, Label
from fmrec.deployment.defaults import TASK

NEGATIVES = 8
COPIES_RANGE = (2, 8)
TRAINING_ROWS = 40_000_000
"""What copies may make of the data; larger data has fewer of them, and more epochs instead."""

FULL_WEIGHT_PICKS = 40
"""Of users with more picks than this, all together count as the root of their number."""

PASSES = 24
"""How often each pick is seen in training, where all count in full: copies × epochs."""
MINI_BATCH_SIZE = 1000
LEARNING_RATE = 0.003
DECAY = 4.4e-5
"""At `NEGATIVES` and `MINI_BATCH_SIZE`, for an id that occurs once in a mini-batch, and with 1 / sqrt(picks
per user) + 1 / sqrt(picks per item) = 1."""
DECAY_EXPONENT = 0.75
DECAY_RANGE = (2e-5, 5e-5)
"""Before mini-batches and negatives are reckoned with; outside, less or more did not help."""
FACTORS, MANY_FACTORS, MOST_FACTORS = 64, 128, 256
MANY_ITEMS = 4_500
"""From where on `MANY_FACTORS` pay: tastes are more varied than in a small catalogue."""
SPARSE = 0.7
"""From where on `MOST_FACTORS` pay in a large catalogue: where each user has few picks, what goes with what
differs from item to item."""

CO_OCCURRENCE_VALUES = 1 << 25
"""Of all items' vectors of co-occurrence: 128 MiB, a few times over while they are found."""
LEAST_CO_OCCURRENCE = 8
"""Fewer factors than that say little that popularity doesn't."""


@dataclass(frozen=True)
class Sampling:
    """How negatives are sampled for implicit feedback."""

    negatives_per_positive: int
    copies: int


@dataclass(frozen=True)
class Shape:
    """What the encoding wrote for training."""

    picks: int
    """Positives, counted once however many copies there are."""
    users: int
    items: int
    negatives_per_positive: int
    copies: int
    """How often each pick is written, each time with negatives of its own."""
    written_share: float = 1.0
    """Share of the copies' positives that was written, where users with many picks count less; `picks` are
    without the others."""

    @classmethod
    def of(cls, manifest: Manifest) -> Shape:
        label = manifest.dataset.get("label", {})
        implicit = label.get("mode") == ImplicitLabel.mode
        negatives = int(label.get("negatives_per_positive", 0)) if implicit else 0
        copies = int(label.get("copies", 1)) if implicit else 1
        share = manifest.train.positive_share
        written = manifest.train.rows * (1.0 if share is None or not implicit else share)
        picks = round(written / (copies * int(label.get("models", 1))))
        thinned = manifest.details.get("thinned", {}).get("train", 0)
        share = round(written / (written + thinned), 4) if thinned else 1.0
        return cls(max(1, picks), max(1, manifest.users), max(1, manifest.items), negatives, copies, share)


def sampling(interactions: int) -> Sampling:
    """Negatives per positive, and copies, for so many interactions."""
    least, most = COPIES_RANGE
    copies = TRAINING_ROWS // (max(1, interactions) * (1 + NEGATIVES))
    return Sampling(NEGATIVES, min(most, max(least, copies)))


def sampling_behind(label: Label, rows: int) -> Sampling:
    """How negatives were sampled, from how many rows were written."""
    if not isinstance(label, ImplicitLabel):
        return Sampling(0, 1)
    least, most = COPIES_RANGE
    found = label
    for copies in range(most, least - 1, -1):
        found = label.chosen(negatives_per_positive=NEGATIVES, copies=copies)
        interactions = rows // (found.copies * (1 + found.negatives_per_positive))
        if sampling(interactions).copies >= copies:
            break
    return Sampling(found.negatives_per_positive, found.copies)


def full_weight_picks(label: Label) -> int | None:
    """How many picks of a user count in full: what the label says, or what the encoding chooses.

    None: all of them do.
    """
    if not isinstance(label, ImplicitLabel):
        return None
    if label.full_weight_picks is None and label.all_by_size:
        return FULL_WEIGHT_PICKS
    return label.full_weight_picks


def hyperparameters(shape: Shape, mini_batch_size: int = MINI_BATCH_SIZE) -> dict[str, str]:
    """All hyperparameters that the rule knows, as SageMaker takes them, for mini-batches of that size."""
    decay = f"{weight_decay(shape, mini_batch_size):.2g}"
    rate = f"{LEARNING_RATE:g}"
    return {
        "num_factors": str(_factors(shape)),
        "epochs": str(max(1, min(PASSES, round(PASSES / (shape.copies * shape.written_share))))),
        "mini_batch_size": str(mini_batch_size),
        "linear_lr": rate,
        "factors_lr": rate,
        "linear_wd": decay,
        "factors_wd": decay,
    }


def co_occurrence_factors(items: int, num_factors: int) -> int:
    """How many dimensions co-occurrence adds (`fmrec.model.co_occurrence`): as many as one model has, fewer
    in large catalogues, 0 where they would be too few.
    """
    found = min(num_factors, items, CO_OCCURRENCE_VALUES // max(items, 1))
    return found if found >= LEAST_CO_OCCURRENCE else 0


def _factors(shape: Shape) -> int:
    if shape.items < MANY_ITEMS:
        return FACTORS
    return MANY_FACTORS if _sparsity(shape) < SPARSE else MOST_FACTORS


def _sparsity(shape: Shape) -> float:
    """1 / sqrt(picks per user) + 1 / sqrt(picks per item)."""
    return math.sqrt(shape.users / shape.picks) + math.sqrt(shape.items / shape.picks)


def weight_decay(shape: Shape, mini_batch_size: int = MINI_BATCH_SIZE) -> float:
    """The decay of linear weights and factors."""
    together = (_at_once(mini_batch_size / shape.users) + _at_once(mini_batch_size / shape.items)) / 2
    rows = MINI_BATCH_SIZE * (1 + NEGATIVES) / (mini_batch_size * (1 + shape.negatives_per_positive))
    least, most = DECAY_RANGE
    return min(most, max(least, DECAY * math.pow(_sparsity(shape), DECAY_EXPONENT))) * together * rows


def _at_once(expected: float) -> float:
    """How often an id occurs in a mini-batch where it occurs, if all are as frequent (Poisson)."""
    return expected / -math.expm1(-expected)


def choose(given: Mapping[str, Any], shape: Shape, task: str) -> dict[str, Any] | None:
    """What the rule adds to the hyperparameters that are given.

    Returns
    -------
    dict or None
        ``shape`` and ``hyperparameters``, those that aren't given; None where there are none, and for other
        tasks and predictors than those that the rule was fitted for.
    """
    if task != TASK or given.get("predictor_type") != "binary_classifier":
        return None
    written = shape.picks * (1 + shape.negatives_per_positive) * shape.copies
    mini_batch_size = max(1, min(int(given.get("mini_batch_size", MINI_BATCH_SIZE)), written))
    by_shape = hyperparameters(shape, mini_batch_size)
    chosen = {name: value for name, value in by_shape.items() if name not in given}
    return {"shape": asdict(shape), "hyperparameters": chosen} if chosen else None
