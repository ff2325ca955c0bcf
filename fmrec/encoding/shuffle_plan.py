"""How the job cuts its work: partitions, buckets of users and of records, from what can be expected."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fmrec.dataset import Dataset, ImplicitLabel, LeaveFirstN, LeaveLastN, NoSplit, RandomSplit
from fmrec.encoding.shuffle.buckets import Buckets, GroupCounts, balanced_buckets
from fmrec.encoding.write_records import RecordOrder

PART_BYTES = 32 << 20
ROW_BYTES = 64
"""A two-hot row with a label in recordIO-protobuf, about."""
FEATURE_BYTES = 12
"""What a side feature adds to a row, about."""
BUCKET_ROWS = 250_000
"""Rows that a task holds at once, about: a bucket of users, or of training rows."""
PARTITION_ROWS = 2_000_000

Range = tuple[int, int]
"""A half-open range of feature ids."""


@dataclass(frozen=True)
class ShufflePlan:
    """What buckets and partitions there are.

    Parameters
    ----------
    rows : int
        Interactions that can be used.
    partitions : int
        Of everything that is not cut by parts.
    users : Range
    count_groups : GroupCounts
        Says how many of the rows are of which users.
    """

    dataset: Dataset
    rows: int
    partitions: int
    users: Range
    count_groups: GroupCounts

    @staticmethod
    def partitions_of(rows: int) -> int:
        return max(1, math.ceil(rows / PARTITION_ROWS))

    def by_user(self) -> Buckets:
        """Return buckets of users, where rows are split and labelled."""
        return self._balanced(BUCKET_ROWS, self.partitions)

    def record_order(self) -> RecordOrder:
        """Plan the parts from what can be expected: rows, negatives, and the share held out."""
        split, label = self.dataset.split, self.dataset.label
        held_out = self.rows
        if isinstance(split, LeaveFirstN | LeaveLastN):
            held_out = min(self.rows, (self.users[1] - self.users[0]) * split.n)
        elif isinstance(split, RandomSplit):
            held_out = math.ceil(self.rows * split.share)
        elif isinstance(split, NoSplit):
            held_out = 0
        factor, copies, weight, models = 1, 1, 1, 1
        if isinstance(label, ImplicitLabel):
            factor, copies = 1 + label.negatives_per_positive, label.copies
            models = label.models
            weight = _largest_weight(label)
        buckets, parts = self._cut(self.rows * factor * copies, self.dataset.parts)
        # Parts are ranges of buckets, so finer buckets leave them as they are; each model has its own.
        train = Buckets(np.arange(models * buckets * weight, dtype=np.int64), models * parts)
        buckets, parts = self._cut(held_out * factor, None)
        if isinstance(split, LeaveFirstN | LeaveLastN | NoSplit):
            test = Buckets.even(self.users, buckets, parts)
        else:
            test = self._balanced(max(1, math.ceil(self.rows / buckets)), parts)
        return RecordOrder(self.dataset.seed, train, test, models, copies)

    def _cut(self, expected: int, parts: int | None) -> tuple[int, int]:
        """Return how many buckets and parts the expected records make."""
        parts = parts or max(1, math.ceil(expected * row_bytes(self.dataset) / PART_BYTES))
        return parts * max(1, math.ceil(expected / parts / BUCKET_ROWS)), parts

    def _balanced(self, bucket_rows: int, partitions: int) -> Buckets:
        return balanced_buckets(self.count_groups, self.users, self.rows, bucket_rows, partitions)


def row_bytes(dataset: Dataset) -> int:
    """Return how many bytes a record has, about."""
    return ROW_BYTES + FEATURE_BYTES * len(dataset.features)


def records_per_row(dataset: Dataset) -> int:
    """Return how many training records a row can become."""
    label = dataset.label
    if not isinstance(label, ImplicitLabel):
        return 1
    return (1 + label.negatives_per_positive) * label.copies * label.models * _largest_weight(label)


def _largest_weight(label: ImplicitLabel) -> int:
    return max(1, math.ceil(max(label.event_weights.values(), default=1)))
