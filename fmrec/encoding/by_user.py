"""What is decided where all interactions of a user are together: duplicates, split, labels, negatives.

Everything here is a pure function of one bucket of users, so it doesn't matter which machine runs it,
how often, or in what order rows arrive.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmrec.dataset import (
    BinaryLabel,
    Dataset,
    ImplicitLabel,
    LeaveFirstN,
    LeaveLastN,
    NoSplit,
    RandomSplit,
    TimeCut,
)
from fmrec.dataset.splits import Split
from fmrec.encoding.batches import Batch, hashes, units
from fmrec.encoding.negatives import ItemRange, sample_negatives

Mask = NDArray[np.bool_]
SPLIT_SALT, WEIGHT_SALT, TRAIN_SALT, TEST_SALT = 1, 2, 3, 4
DUPLICATE = "duplicate of a later interaction"
NOT_PICKED = "met, but not picked"


@dataclass(frozen=True)
class Decided:
    """What became of a bucket's interactions; ``value`` is the label now.

    ``seen_user`` and ``seen_item`` are the distinct pairs met in train, sorted.
    """

    train: Batch
    test: Batch
    seen_user: NDArray[np.int64]
    seen_item: NDArray[np.int64]
    tally: Counter[str]


def decide(batch: Batch, dataset: Dataset, items: ItemRange) -> Decided:
    """Decide about all interactions of some users.

    Parameters
    ----------
    batch : Batch
        Rows of whole users, in any order. Under implicit feedback ``value`` is the interaction's
        weight, 0 where an item was met, but not picked.
    """
    tally: Counter[str] = Counter()
    batch = batch.take(np.lexsort((batch.row, batch.user)))
    batch = _without_duplicates(batch, dataset.duplicates, tally)
    test = is_test(batch, dataset.split)
    met_user, met_item = _pairs(batch)
    seen_user, seen_item = _pairs(batch.take(~test))
    label = dataset.label
    if not isinstance(label, ImplicitLabel):
        if isinstance(label, BinaryLabel):
            batch = batch.with_(value=(batch.value >= label.threshold).astype(np.float64))
        tally["encoded train"] += int((~test).sum())
        tally["encoded test"] += int(test.sum())
        return Decided(batch.take(~test), batch.take(test), seen_user, seen_item, tally)
    copies = _copies(batch, label.seed)
    # Test rows count once each: a metric is not a loss to be weighted.
    copies[test] = batch.value[test] > 0
    picked = copies > 0
    tally[f"dropped {NOT_PICKED}"] += int((~picked).sum())
    sides = []
    for side, name, salt in ((~test & picked, "train", TRAIN_SALT), (test & picked, "test", TEST_SALT)):
        tally[f"encoded {name}"] += int(side.sum())
        positives = batch.take(np.repeat(np.flatnonzero(side), copies[side]))
        positives = positives.with_(value=np.ones(len(positives)))
        negatives = sample_negatives(
            positives, label.negatives_per_positive, (met_user, met_item), items, label.seed, salt
        )
        tally[f"negatives {name}"] += len(negatives)
        tally[f"repeated {name}"] += len(positives) - int(side.sum())
        sides.append(Batch.concatenate([positives, negatives]))
    return Decided(sides[0], sides[1], seen_user, seen_item, +tally)


def is_test(batch: Batch, split: Split) -> Mask:
    """Say which rows are held out; ``batch`` is sorted by user and row."""
    match split:
        case LeaveFirstN(n):
            return _place_in_user(batch.user) < n
        case LeaveLastN(n):
            latest_last = np.lexsort((batch.row, batch.time, batch.user))
            from_end = _place_in_user(batch.user[latest_last][::-1])[::-1]
            test = np.empty(len(batch), np.bool_)
            test[latest_last] = from_end < n
            return test
        case TimeCut():
            return batch.time >= split.seconds
        case RandomSplit(share, seed):
            # By pair: one pair's rows are never on both sides.
            return units(hashes(seed + SPLIT_SALT, batch.user, batch.item)) < share
        case NoSplit():
            return np.zeros(len(batch), np.bool_)


def _without_duplicates(batch: Batch, policy: str, tally: Counter[str]) -> Batch:
    """Leave one row a pair, the last by time and row, unless the policy is to keep all."""
    if policy == "all" or not len(batch):
        return batch
    order = np.lexsort((batch.row, batch.time, batch.item, batch.user))
    ordered = batch.take(order)
    last = np.append((ordered.user[1:] != ordered.user[:-1]) | (ordered.item[1:] != ordered.item[:-1]), True)
    kept = ordered.take(last)
    if policy == "sum":
        starts = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
        kept = kept.with_(value=np.add.reduceat(ordered.value, starts))
    dropped = len(batch) - len(kept)
    if dropped:
        tally[f"dropped {DUPLICATE}"] += dropped
    return kept.take(np.lexsort((kept.row, kept.user)))


def _copies(batch: Batch, seed: int) -> NDArray[np.int64]:
    """How many times to write each row: its weight, where a fraction is a seeded chance."""
    whole = np.floor(batch.value)
    chance = units(hashes(seed + WEIGHT_SALT, batch.user, batch.item, batch.row))
    return np.asarray(whole + (chance < batch.value - whole), dtype=np.int64)


def _pairs(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct pairs of users and items, sorted by user and item."""
    order = np.lexsort((batch.item, batch.user))
    user, item = batch.user[order], batch.item[order]
    first = np.ones(len(user), np.bool_)
    first[1:] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
    return user[first], item[first]


def _place_in_user(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2, … within each run of one user."""
    places = np.arange(len(user), dtype=np.int64)
    if not len(user):
        return places
    starts = np.concatenate(([True], user[1:] != user[:-1]))
    return np.asarray(places - np.maximum.accumulate(np.where(starts, places, 0)))
