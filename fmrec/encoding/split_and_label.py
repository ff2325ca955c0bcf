"""Indexed rows to labelled rows, where a user's interactions are together: duplicates, split, label,
negatives.

What becomes of rows is a pure function of one bucket of users, so it doesn't matter which machine runs it,
how often, or in what order rows arrive. Records are made some at a time: memory is bounded however many
negatives, copies and repetitions one interaction brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmrec.artifacts.manifest import Dropped
from fmrec.dataset import (
    BinaryLabel,
    Dataset,
    ImplicitLabel,
    LeaveFirstN,
    LeaveLastN,
    NoSplit,
    RandomSplit,
    RegressionLabel,
    TimeCut,
)
from fmrec.dataset.hashing import hashes, left_out, units
from fmrec.dataset.left_out_share import share_left_out
from fmrec.dataset.splits import Split, for_validation
from fmrec.encoding.negatives import ItemRange, NegativeSampler
from fmrec.encoding.pairs import Pairs, distinct_pairs, pack_ids
from fmrec.encoding.row_types import COPY, IndexedRows, LabelledRows
from fmrec.encoding.shuffle.buckets import Route
from fmrec.encoding.shuffle.messages import KIND_OF_CHANNEL, Kind, Message, each_bucket
from fmrec.encoding.sorting import in_order, order_of_some
from fmrec.encoding.stored_parts import PairsPart
from fmrec.encoding.tally import Tally
from fmrec.storage.part_files import Output

Mask = NDArray[np.bool_]
SPLIT_SALT, WEIGHT_SALT = 1, 2
NEGATIVES_SALT = {"train": 3, "test": 4}
THINNING_SALT = 5
CHUNK_RECORDS = 500_000
"""Positives and negatives that are made at once, about."""


@dataclass(frozen=True)
class SplitRows:
    """A bucket's rows by channel, as read, sorted by user and row; and what they say about pairs."""

    train: IndexedRows
    test: IndexedRows
    seen: Pairs
    heldout: Pairs
    both: Pairs
    """The pairs of train and test together."""
    trained: Pairs
    """What training has of ``seen``: all but the pairs of users left out of training."""


def split_rows(rows: IndexedRows, dataset: Dataset, tally: Tally, left_out_share: float = 0.0) -> SplitRows:
    """Remove duplicates and hold rows out.

    Parameters
    ----------
    rows : IndexedRows
        Rows of whole users, in any order. Under implicit feedback ``value`` is the interaction's
        weight, 0 where an item was seen, but not picked.
    left_out_share : float
        Share of the users whose rows are in neither channel; their pairs are in ``seen`` and ``heldout`` all
        the same.
    """
    rows = rows.take(in_order(rows.user, rows.row))
    rows, order = remove_duplicates(rows, dataset.duplicates, tally)
    test = hold_out(rows, dataset.split)
    if dataset.validation:
        tally.drop(Dropped.HELD_OUT_FOR_TEST, int(test.sum()))
        rows, order = rows.take(~test), order_of_some(order, ~test)
        test = hold_out(rows, for_validation(dataset.split))
    train, held_out = rows.take(~test), rows.take(test)
    label = dataset.label
    seen = distinct_pairs(train, order_of_some(order, ~test), label)
    heldout = distinct_pairs(held_out, order_of_some(order, test), label)
    both = distinct_pairs(rows, order, label) if isinstance(label, ImplicitLabel) else seen
    trained = seen
    if isinstance(label, ImplicitLabel) and left_out_share:
        # Neither channel has them: their vectors stay untrained, and would blur what SageMaker measures.
        of_train, of_test = (left_out(side.user, left_out_share, label.seed) for side in (train, held_out))
        tally.drop(Dropped.USER_LEFT_OUT, int(of_train.sum() + of_test.sum()))
        train, held_out = train.take(~of_train), held_out.take(~of_test)
        trained = seen.take(~left_out(seen.user, left_out_share, label.seed))
    return SplitRows(train, held_out, seen, heldout, both, trained)


def label_rows(
    split: SplitRows, dataset: Dataset, items: ItemRange, tally: Tally
) -> Iterator[tuple[str, LabelledRows]]:
    """Yield the records of train and of test, some at a time."""
    for channel, rows in (("train", split.train), ("test", split.test)):
        if isinstance(dataset.label, ImplicitLabel):
            # Train must not know what is held out, not even by its absence from the negatives.
            known = split.trained if channel == "train" else split.both
            labelled = _label_implicit(rows, dataset.label, channel, known, items, tally)
        else:
            labelled = _label_explicit(rows, dataset.label, channel, tally)
        for found in labelled:
            yield channel, found


def hold_out(rows: IndexedRows, split: Split) -> Mask:
    """Say which rows are held out; they are sorted by user and row."""
    match split:
        case LeaveFirstN(n):
            return _place_in_user(rows.user) < n
        case LeaveLastN(n):
            latest_last = in_order(rows.user, rows.time)
            from_end = _place_in_user(rows.user[latest_last][::-1])[::-1]
            test = np.empty(len(rows), np.bool_)
            test[latest_last] = from_end < n
            return test
        case TimeCut():
            return rows.time >= split.seconds
        case RandomSplit(share, seed):
            # By pair: one pair's rows are never on both sides.
            return units(hashes(seed + SPLIT_SALT, rows.user, rows.item)) < share
        case NoSplit():
            return np.zeros(len(rows), np.bool_)


def remove_duplicates(rows: IndexedRows, policy: str, tally: Tally) -> tuple[IndexedRows, NDArray[np.int64]]:
    """Leave one row per pair, the last by time and row, unless the policy is to keep all.

    Rows are sorted by user and row, before and after. Returned are also their places in the order of users,
    items and rows.
    """
    order = in_order(rows.user, rows.item)
    user, item = rows.user[order], rows.item[order]
    if policy == "all" or not ((user[1:] == user[:-1]) & (item[1:] == item[:-1])).any():
        return rows, order
    ordered = rows.take(in_order(rows.user, rows.item, rows.time))
    last = np.append((ordered.user[1:] != ordered.user[:-1]) | (ordered.item[1:] != ordered.item[:-1]), True)
    kept = ordered.take(last)
    if policy == "sum":
        starts = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
        kept = kept.with_(value=np.add.reduceat(ordered.value, starts))
    tally.drop(Dropped.DUPLICATE, len(rows) - len(kept))
    kept = kept.take(in_order(kept.user, kept.row))
    return kept, in_order(kept.user, kept.item)


def _label_explicit(rows: IndexedRows, label: object, channel: str, tally: Tally) -> Iterator[LabelledRows]:
    value = rows.value
    if isinstance(label, BinaryLabel):
        value = (value >= label.threshold).astype(np.float64)
    tally.channel(channel).encoded += len(rows)
    yield _labelled(rows, value)


def _label_implicit(
    rows: IndexedRows, label: ImplicitLabel, channel: str, known: Pairs, items: ItemRange, tally: Tally
) -> Iterator[LabelledRows]:
    # Test rows count once each: a metric is not a loss to be weighted.
    times = _repetitions(rows, label.seed) if channel == "train" else (rows.value > 0).astype(np.int64)
    copies = label.copies * label.models if channel == "train" else 1
    picked = times > 0
    tally.drop(Dropped.NOT_PICKED, int((~picked).sum()))
    rows, times = rows.take(picked), times[picked]
    thin = Thinning(rows, times, label) if channel == "train" else None
    counts = tally.channel(channel)
    counts.encoded += len(rows)
    positives = _labelled(rows, np.ones(len(rows)))
    seed = label.seed + NEGATIVES_SALT[channel]
    sampler = NegativeSampler(label.negatives_per_positive, known.user, known.item, items, seed)
    step = max(1, CHUNK_RECORDS // (1 + label.negatives_per_positive))
    written = 0
    for copy in range(copies):
        ends = np.cumsum(times if thin is None else thin.times(copy))
        in_copy = int(ends[-1]) if len(ends) else 0
        for start in range(0, in_copy, step):
            numbers = np.arange(start, min(start + step, in_copy), dtype=np.int64)
            found = positives.take(np.searchsorted(ends, numbers, side="right"))
            found = found.with_(sort_key=found.sort_key + copy * COPY)
            negatives = sampler.sample(found, written + start)
            counts.negatives += len(negatives)
            yield LabelledRows.concatenate([found, negatives])
        written += in_copy
    counts.repeated += written - len(rows)
    counts.thinned += int(times.sum()) * copies - written


class Thinning:
    """How often each pick is written in each copy: the picks of users with many count less.

    A user's n picks above `full_weight_picks`, f, count as √(f·n): each is written in a share √(f / n) of the
    copies, but in at least one for each model. Which copies those are is evenly spaced from a hashed start,
    so that a user's picks take turns.

    Parameters
    ----------
    rows, times : IndexedRows, int64 array
        Picks of whole users, sorted by user, and how often to write each.
    """

    def __init__(self, rows: IndexedRows, times: NDArray[np.int64], label: ImplicitLabel) -> None:
        self._times = times
        self._share: NDArray[np.float64] | None = None
        if label.full_weight_picks is None or label.copies == 1:
            return
        _, user, picks = np.unique(rows.user, return_inverse=True, return_counts=True)
        share = np.sqrt(np.minimum(1.0, label.full_weight_picks / picks))
        self._share = np.maximum(share, 1 / label.copies)[user]
        self._start = units(hashes(label.seed + THINNING_SALT, rows.user, rows.item, rows.row))

    def times(self, copy: int) -> NDArray[np.int64]:
        """How often each pick is written in this copy."""
        if self._share is None:
            return self._times
        rate = self._times * self._share
        before, after = (np.floor(number * rate + self._start) for number in (copy, copy + 1))
        return np.asarray(after - before, dtype=np.int64)


def _labelled(rows: IndexedRows, label: NDArray[np.float64]) -> LabelledRows:
    negative = np.zeros(len(rows), np.bool_)
    return LabelledRows(rows.user, rows.item, label, negative, rows.row, rows.context)


def _repetitions(rows: IndexedRows, seed: int) -> NDArray[np.int64]:
    """How many times to write each row: its weight, where a fraction is a seeded chance."""
    integer = np.floor(rows.value)
    chance = units(hashes(seed + WEIGHT_SALT, rows.user, rows.item, rows.row))
    return np.asarray(integer + (chance < rows.value - integer), dtype=np.int64)


def _place_in_user(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2, … within each run of one user."""
    places = np.arange(len(user), dtype=np.int64)
    if not len(user):
        return places
    starts = np.concatenate(([True], user[1:] != user[:-1]))
    return np.asarray(places - np.maximum.accumulate(np.where(starts, places, 0)))


@dataclass(frozen=True)
class SplitAndLabel:
    """The stage: buckets of users; pairs are stored, records go where ``route`` says.

    Parameters
    ----------
    seen, heldout : Output
        Where pairs seen in train, and pairs held out, are stored: one part per partition.
    reports_seen_ids : bool
        Whether to say which users and items train has seen, too.
    left_out_share : float
        Share of the users who are left out of training.
    """

    dataset: Dataset
    items: ItemRange
    seen: Output
    heldout: Output
    route: Route
    reports_seen_ids: bool
    left_out_share: float = 0.0

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        trained: Mapping[str, tuple[int, int]],
        outputs: Mapping[str, Output],
        route: Route,
        reports_seen_ids: bool,
    ) -> SplitAndLabel:
        """Return the stage for the users and items in ``trained``, which have interactions."""
        label = dataset.label
        popularity = isinstance(label, ImplicitLabel) and label.sampling == "popularity"
        items = ItemRange(*trained["item"], popularity)
        first, end = trained["user"]
        wanted = label.left_out_users if isinstance(label, ImplicitLabel) else 0.0
        share = share_left_out(wanted, end - first, items.count)
        return cls(dataset, items, outputs["seen"], outputs["heldout"], route, reports_seen_ids, share)

    def __call__(self, messages: Iterable[Message], partition: int) -> Iterator[Message]:
        tally = Tally()
        with (
            PairsPart("seen", self.seen, partition) as seen,
            PairsPart("heldout", self.heldout, partition) as heldout,
        ):
            for bucket, found in each_bucket(messages):
                rows: list[IndexedRows] = []
                for message in found:
                    if message.is_report:
                        yield message
                    else:
                        rows.append(IndexedRows.from_bytes(message.payload))
                bucket_rows = IndexedRows.concatenate(rows)
                if self.dataset.interactions.timestamp is not None:
                    tally.count_days(bucket_rows.time)
                if isinstance(self.dataset.label, RegressionLabel):
                    tally.count_values(bucket_rows.value)
                split = split_rows(bucket_rows, self.dataset, tally, self.left_out_share)
                seen.write(split.seen)
                heldout.write(split.heldout)
                if self.reports_seen_ids:
                    yield Message(Kind.SEEN_IDS, bucket, pack_ids(split.trained))
                for channel, labelled in label_rows(split, self.dataset, self.items, tally):
                    yield from self.route(labelled, KIND_OF_CHANNEL[channel])
            for stored in (*seen.finish(), *heldout.finish()):
                yield Message(Kind.STORED_PART, 0, stored.to_bytes())
        yield Message.of_tally(tally)
