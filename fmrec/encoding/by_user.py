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
from fmrec.dataset.labels import Label
from fmrec.dataset.splits import Split, for_validation
from fmrec.encoding.batches import Batch, hashes, in_order, units
from fmrec.encoding.negatives import ItemRange, sample_negatives

Mask = NDArray[np.bool_]
SPLIT_SALT, WEIGHT_SALT, TRAIN_SALT, TEST_SALT = 1, 2, 3, 4
DUPLICATE = "duplicate of a later interaction"
COPY = 1 << 40
"""What is added to row numbers from copy to copy, so that the order of training puts copies apart."""
FOR_TEST = "held out for test"
NOT_PICKED = "met, but not picked"


@dataclass(frozen=True)
class Pairs:
    """Distinct pairs of users and items, sorted by both.

    Parameters
    ----------
    user, item : int64 arrays
    relevant : bool array
        Whether the user liked the item, in any of the pair's rows.
    value : float64 array
        The pair's last value as read; NaN under implicit feedback.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    relevant: Mask
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Decided:
    """What became of a bucket's interactions; ``value`` is the label now.

    ``seen`` are the pairs met in train, ``heldout`` those held out for judging.
    """

    train: Batch
    test: Batch
    seen: Pairs
    heldout: Pairs
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
    batch = batch.take(in_order(batch.user, batch.row))
    batch = _without_duplicates(batch, dataset.duplicates, tally)
    test = is_test(batch, dataset.split)
    if dataset.validation:
        tally[f"dropped {FOR_TEST}"] += int(test.sum())
        batch = batch.take(~test)
        test = is_test(batch, for_validation(dataset.split))
    # From here on a time only says that a row is no negative; what is all the same packs well.
    batch = batch.with_(time=np.zeros(len(batch)))
    label = dataset.label
    seen, heldout = _pairs(batch.take(~test), label), _pairs(batch.take(test), label)
    if not isinstance(label, ImplicitLabel):
        if isinstance(label, BinaryLabel):
            batch = batch.with_(value=(batch.value >= label.threshold).astype(np.float64))
        tally["encoded train"] += int((~test).sum())
        tally["encoded test"] += int(test.sum())
        return Decided(batch.take(~test), batch.take(test), seen, heldout, tally)
    met = _pairs(batch, label)
    copies = _copies(batch, label.seed)
    # Test rows count once each: a metric is not a loss to be weighted.
    copies[test] = batch.value[test] > 0
    picked = copies > 0
    tally[f"dropped {NOT_PICKED}"] += int((~picked).sum())
    sides = []
    # Train must not know what is held out, not even by its absence from the negatives.
    for side, name, salt, known in (
        (~test & picked, "train", TRAIN_SALT, seen),
        (test & picked, "test", TEST_SALT, met),
    ):
        tally[f"encoded {name}"] += int(side.sum())
        positives = _repeated(
            batch.take(np.repeat(np.flatnonzero(side), copies[side])),
            label.copies if name == "train" else 1,
        )
        negatives = sample_negatives(
            positives, label.negatives_per_positive, (known.user, known.item), items, label.seed, salt
        )
        tally[f"negatives {name}"] += len(negatives)
        tally[f"repeated {name}"] += len(positives) - int(side.sum())
        sides.append(Batch.concatenate([positives, negatives]))
    return Decided(sides[0], sides[1], seen, heldout, +tally)


def is_test(batch: Batch, split: Split) -> Mask:
    """Say which rows are held out; ``batch`` is sorted by user and row."""
    match split:
        case LeaveFirstN(n):
            return _place_in_user(batch.user) < n
        case LeaveLastN(n):
            latest_last = in_order(batch.user, batch.time)
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
    """Leave one row a pair, the last by time and row, unless the policy is to keep all.

    ``batch`` is sorted by user and row, before and after.
    """
    if policy == "all" or not len(batch):
        return batch
    order = in_order(batch.user, batch.item)
    user, item = batch.user[order], batch.item[order]
    if not ((user[1:] == user[:-1]) & (item[1:] == item[:-1])).any():
        return batch
    ordered = batch.take(in_order(batch.user, batch.item, batch.time))
    last = np.append((ordered.user[1:] != ordered.user[:-1]) | (ordered.item[1:] != ordered.item[:-1]), True)
    kept = ordered.take(last)
    if policy == "sum":
        starts = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
        kept = kept.with_(value=np.add.reduceat(ordered.value, starts))
    dropped = len(batch) - len(kept)
    if dropped:
        tally[f"dropped {DUPLICATE}"] += dropped
    return kept.take(in_order(kept.user, kept.row))


def _copies(batch: Batch, seed: int) -> NDArray[np.int64]:
    """How many times to write each row: its weight, where a fraction is a seeded chance."""
    whole = np.floor(batch.value)
    chance = units(hashes(seed + WEIGHT_SALT, batch.user, batch.item, batch.row))
    return np.asarray(whole + (chance < batch.value - whole), dtype=np.int64)


def _repeated(picked: Batch, times: int) -> Batch:
    """Return positives once a copy, each copy with row numbers of its own."""
    again = np.repeat(np.arange(times, dtype=np.int64), len(picked))
    positives = picked.take(np.tile(np.arange(len(picked)), times))
    return positives.with_(value=np.ones(len(positives)), row=positives.row + again * COPY)


def _pairs(batch: Batch, label: Label) -> Pairs:
    """Return what rows, sorted by user and row and with no labels yet, say about each pair."""
    order = in_order(batch.user, batch.item)
    user, item, value = batch.user[order], batch.item[order], batch.value[order]
    first = np.ones(len(user), np.bool_)
    first[1:] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
    starts = np.flatnonzero(first)
    if isinstance(label, ImplicitLabel):
        relevant, value = value > 0, np.full(len(value), np.nan)
    else:
        relevant = value >= label.threshold
    if len(starts):
        relevant = np.logical_or.reduceat(relevant, starts)
    return Pairs(
        user[first], item[first], relevant, value[np.append(starts[1:], len(user))[: len(starts)] - 1]
    )


def _place_in_user(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2, … within each run of one user."""
    places = np.arange(len(user), dtype=np.int64)
    if not len(user):
        return places
    starts = np.concatenate(([True], user[1:] != user[:-1]))
    return np.asarray(places - np.maximum.accumulate(np.where(starts, places, 0)))
