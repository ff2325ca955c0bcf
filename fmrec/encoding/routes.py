"""Where rows go: by user, where it is decided about them; past side features; and to the part they end in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.batches import Batch, by_bucket, hashes, units
from fmrec.encoding.exchange import TRAIN, Packed, exchange
from fmrec.encoding.feature_space import COUNT

FINENESS = 16
"""Into how many groups of users the rows of one bucket are counted, about."""


@dataclass(frozen=True)
class Buckets:
    """How rows are cut by a column: bucket b begins at column ``starts[b]``; tasks take ranges of buckets."""

    starts: NDArray[np.int64]
    partitions: int

    @classmethod
    def even(cls, columns: tuple[int, int], count: int, partitions: int) -> Buckets:
        """Cut a range of columns into ``count`` buckets of as many columns each."""
        first, end = columns
        starts = first + -(-np.arange(count, dtype=np.int64) * (end - first) // count)
        return cls(starts, partitions)

    @property
    def count(self) -> int:
        return len(self.starts)

    def of(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bucket of each column; the first one's if unknown."""
        found = np.searchsorted(self.starts, columns, side="right") - 1
        return np.asarray(np.maximum(found, 0), dtype=np.int64)

    def partition(self, bucket: Column) -> Column:
        return F.floor(bucket * self.partitions / self.count).cast("int")

    def exchange(self, packed: DataFrame) -> DataFrame:
        return exchange(packed, self.partition(F.col("bucket")), self.partitions)


def balanced_buckets(
    spark: SparkSession,
    index_uri: str,
    users: tuple[int, int],
    rows: int,
    bucket_rows: int,
    partitions: int,
) -> Buckets:
    """Cut users so that each bucket has some ``bucket_rows`` of all rows, however unlike users are.

    The driver sees one number for each of ``FINENESS`` groups a bucket, as the feature index counts them.
    """
    first, end = users
    if partitions == 1 and rows <= bucket_rows:
        return Buckets.even(users, 1, 1)
    index = spark.read.schema(f"column bigint, {COUNT} bigint").parquet(index_uri)
    mine = index.where((F.col("column") >= first) & (F.col("column") < end))
    width = max(1, math.floor((end - first) * bucket_rows / FINENESS / rows))
    group = F.floor((F.col("column") - first) / width)
    counts = np.array(mine.groupBy(group).agg(F.sum(COUNT)).sort(group).collect(), np.int64).reshape(-1, 2)
    before = np.cumsum(counts[:, 1]) - counts[:, 1]
    opens = np.append(True, np.diff(before // bucket_rows) > 0)
    return Buckets(first + counts[opens, 0] * width, min(partitions, int(opens.sum())))


@dataclass(frozen=True)
class Stop:
    """Where rows are gathered by user or by item to be given side features."""

    side: str
    buckets: Buckets
    unknown: str = "index"
    """What becomes of rows whose user or item train never met: a policy of the data set document."""

    def route(self, batch: Batch, kind: int) -> Iterator[Packed]:
        where = batch.user if self.side == "user" else batch.item
        for bucket, rows in by_bucket(batch, self.buckets.of(where)):
            yield bucket, kind, rows.to_bytes()


@dataclass(frozen=True)
class Order:
    """Where each encoded row ends: training rows at random, test rows by user, in buckets after train's."""

    seed: int
    train: Buckets
    test: Buckets

    def route(self, batch: Batch, kind: int) -> Iterator[Packed]:
        if kind == TRAIN:
            bucket = (units(self._key(batch)) * self.train.count).astype(np.int64)
        else:
            bucket = self.train.count + self.test.of(batch.user)
        for number, rows in by_bucket(batch, bucket):
            yield number, kind, rows.to_bytes()

    def exchange(self, packed: DataFrame) -> DataFrame:
        bucket = F.col("bucket")
        of_test = self.train.partitions + self.test.partition(bucket - self.train.count)
        partition = F.when(bucket < self.train.count, self.train.partition(bucket)).otherwise(of_test)
        return exchange(packed, partition, self.train.partitions + self.test.partitions)

    def part(self, partition: int) -> tuple[str, int]:
        """Return the channel and the number of the part that a partition of ``exchange`` becomes."""
        if partition < self.train.partitions:
            return "train", partition
        return "test", partition - self.train.partitions

    def sort(self, batch: Batch, channel: str) -> Batch:
        if channel == "test":
            return batch.take(np.lexsort((batch.item, batch.row, batch.user)))
        key = self._key(batch)
        order = np.argsort(key)
        ordered = key[order]
        if (ordered[1:] == ordered[:-1]).any():
            order = np.lexsort((batch.item, batch.user, batch.row, key))
        return batch.take(order)

    def _key(self, batch: Batch) -> NDArray[np.uint64]:
        return hashes(self.seed, batch.user, batch.item, batch.row)
