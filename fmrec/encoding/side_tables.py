"""Users' and items' features as rows by column: written once, then given to the rows that are encoded.

A table that is small is read by every task that encodes, which saves moving rows to where their
features are. A large one is cut like the rows, and they meet bucket by bucket (``stages.attach``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.artifacts.side_feature_rows import SideRows
from fmrec.encoding.batches import Batch, Ragged, by_bucket
from fmrec.encoding.exchange import TABLE, Packed, map_packed
from fmrec.encoding.routes import Stop

SMALL_BYTES = 32 << 20
"""Largest table that every task reads."""
PART_ROWS = 500_000
GROUP_ROWS = 10_000
"""Rows of a row group: what reading any range of rows costs at most, besides the range."""


@dataclass(frozen=True)
class SideTable:
    """One side's features, as they were written to ``uri``."""

    side: str
    uri: str
    columns: tuple[int, int]
    feature_dim: int
    nonzeros: int

    @property
    def small(self) -> bool:
        return 12 * self.nonzeros + 8 * (self.columns[1] - self.columns[0]) <= SMALL_BYTES

    def load(self) -> LoadedTable:
        """Read all of it."""
        rows = SideRows(self.uri, self.columns, self.feature_dim)[:]
        own = np.repeat(np.arange(*self.columns), np.diff(rows.indptr))
        extra = _without(own, Ragged(np.diff(rows.indptr), rows.indices, rows.data))
        return LoadedTable(self.side, self.columns[0], extra)


@dataclass(frozen=True)
class LoadedTable:
    """Side features by ordinal: row 0 is for the column ``first``."""

    side: str
    first: int
    extra: Ragged

    def beside(self, batch: Batch) -> Batch:
        """Give rows their user's or item's features."""
        columns = batch.user if self.side == "user" else batch.item
        return batch.with_(extra=batch.extra.beside(self.extra.take(columns - self.first)))


def write_side_table(
    rows: DataFrame, side: str, uri: str, columns: tuple[int, int], feature_dim: int
) -> SideTable:
    """Write ``column``, ``columns`` and ``values`` in the order of ``column``."""
    first, end = columns
    partitions = math.ceil((end - first) / PART_ROWS)
    partition = F.floor((F.col("column") - first) * partitions / (end - first)).cast("int")
    written = Observation()
    rows.repartitionById(partitions, partition).sortWithinPartitions("column").observe(
        written, F.sum(F.size("columns")).alias("nonzeros")
    ).write.mode("overwrite").option("parquet.block.row.count.limit", GROUP_ROWS).parquet(uri)
    return SideTable(side, uri, columns, feature_dim, int(written.get["nonzeros"]))


def pack_table(
    spark: SparkSession,
    stop: Stop,
    columns: tuple[int, int],
    table: SideTable | None,
    trained: DataFrame | None,
) -> DataFrame:
    """Pack one side's features by bucket of its columns: what ``stages.attach`` looks up.

    Parameters
    ----------
    table : SideTable or None
        None if the side has no features: then rows only tell what train met.
    trained : DataFrame or None
        ``column`` of all that train met; None if that doesn't matter.
    """
    if table is None:
        rows = spark.range(*columns).select(
            F.col("id").alias("column"),
            F.array().cast("array<bigint>").alias("columns"),
            F.array().cast("array<float>").alias("values"),
        )
    else:
        rows = spark.read.parquet(table.uri).select("column", "columns", "values")
    known = F.lit(1.0)
    if trained is not None:
        rows = rows.join(trained.withColumn("_known", F.lit(1.0)), "column", "left")
        known = F.coalesce("_known", F.lit(0.0))
    rows = rows.select("column", known.alias("known"), "columns", "values")

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        for found in batches:
            owner = np.asarray(found.column(0)).astype(np.int64)
            is_known = np.asarray(found.column(1)).astype(np.float64)
            extra = Ragged.from_arrow(found.column(2), found.column(3))
            extra = _without(np.repeat(owner, extra.lengths), extra)
            batch = Batch(owner, owner, is_known, np.zeros(len(owner)), owner, extra)
            for bucket, part in by_bucket(batch, stop.buckets.of(owner)):
                yield bucket, TABLE, part.to_bytes()

    return map_packed(rows, run)


def _without(own: NDArray[np.int64], rows: Ragged) -> Ragged:
    """Leave out each entry whose column is ``own``."""
    others = rows.columns != own
    row = np.repeat(np.arange(len(rows.lengths)), rows.lengths)[others]
    lengths = np.bincount(row, minlength=len(rows.lengths)).astype(np.int64)
    return Ragged(lengths, rows.columns[others].astype(np.int64), rows.values[others])
