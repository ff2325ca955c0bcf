"""Buckets: how rows are cut by feature id or by chance, so that a task holds one bucket at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.feature_index import COUNT
from fmrec.encoding.row_types import LabelledRows
from fmrec.encoding.shuffle.messages import Kind, Message, pack_rows
from fmrec.encoding.shuffle.spark_shuffle import shuffle

FINENESS = 16
"""Into how many groups of users the rows of one bucket are counted, about."""


class Route(Protocol):
    """Packs labelled rows for the buckets of the next stage."""

    def __call__(self, rows: LabelledRows, kind: Kind) -> Iterator[Message]: ...


@dataclass(frozen=True)
class Buckets:
    """Ranges of feature ids: bucket b begins at ``starts[b]``; tasks take ranges of buckets."""

    starts: NDArray[np.int64]
    partitions: int

    @classmethod
    def even(cls, feature_ids: tuple[int, int], count: int, partitions: int) -> Buckets:
        """Cut a range of feature ids into ``count`` buckets of as many each."""
        first, end = feature_ids
        starts = first + -(-np.arange(count, dtype=np.int64) * (end - first) // count)
        return cls(starts, partitions)

    @property
    def count(self) -> int:
        return len(self.starts)

    def of(self, feature_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bucket of each feature id; the first one's if unknown."""
        found = np.searchsorted(self.starts, feature_ids, side="right") - 1
        return np.asarray(np.maximum(found, 0), dtype=np.int64)

    def partition(self, bucket: Column) -> Column:
        return F.floor(bucket * self.partitions / self.count).cast("int")

    def partition_of(self, bucket: int) -> int:
        """Return what ``partition`` computes."""
        return bucket * self.partitions // self.count

    def shuffle(self, messages: DataFrame) -> DataFrame:
        return shuffle(messages, self.partition(F.col("bucket")), self.partitions)


@dataclass(frozen=True)
class SideRoute:
    """Brings rows to the bucket of their user or item."""

    side: str
    buckets: Buckets

    def __call__(self, rows: LabelledRows, kind: Kind) -> Iterator[Message]:
        return pack_rows(kind, rows, self.buckets.of(rows.of_side(self.side)))


class GroupCounts(Protocol):
    """Counts the interactions of users in groups of ``width`` feature ids, the first from the first user on.

    Returns the number and count of each group that has users, ascending, as (groups, 2).
    """

    def __call__(self, width: int) -> NDArray[np.int64]: ...


def balanced_buckets(
    count_groups: GroupCounts, users: tuple[int, int], rows: int, bucket_rows: int, partitions: int
) -> Buckets:
    """Cut users so that each bucket has some ``bucket_rows`` of all rows, however unlike users are.

    The driver sees one number for each of ``FINENESS`` groups per bucket, as the feature index counts them.
    """
    first, end = users
    if partitions == 1 and rows <= bucket_rows:
        return Buckets.even(users, 1, 1)
    width = max(1, math.floor((end - first) * bucket_rows / FINENESS / rows))
    counts = count_groups(width)
    before = np.cumsum(counts[:, 1]) - counts[:, 1]
    opens = np.append(True, np.diff(before // bucket_rows) > 0)
    return Buckets(first + counts[opens, 0] * width, min(partitions, int(opens.sum())))


@dataclass(frozen=True)
class CountedByIndex:
    """The counts of a written feature index."""

    spark: SparkSession
    index_uri: str
    users: tuple[int, int]

    def __call__(self, width: int) -> NDArray[np.int64]:
        first, end = self.users
        index = self.spark.read.schema(f"column bigint, {COUNT} bigint").parquet(self.index_uri)
        mine = index.where((F.col("column") >= first) & (F.col("column") < end))
        group = F.floor((F.col("column") - first) / width)
        counts = mine.groupBy(group).agg(F.sum(COUNT)).sort(group).collect()
        return np.array(counts, np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class CountedInMemory:
    """The counts of users who are all at hand.

    Parameters
    ----------
    interactions : int64 array
        Of each user.
    """

    interactions: NDArray[np.int64]

    def __call__(self, width: int) -> NDArray[np.int64]:
        starts = np.arange(0, len(self.interactions), width)
        sums = np.add.reduceat(self.interactions, starts)
        return np.stack([np.arange(len(starts)), sums], axis=1)
