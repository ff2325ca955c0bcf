"""Users' and items' features as rows by feature id: written once, then given to the rows that are encoded.

A table that is small is read by every task that encodes, which saves moving rows to where their
features are. A large one is cut like the rows, and joined bucket by bucket (``attach_features``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.artifacts.side_feature_rows import SideRows
from fmrec.encoding.pairs import unpack_ids
from fmrec.encoding.python_tasks import map_in_arrow
from fmrec.encoding.row_types import FeatureLookup, LabelledRows, Mask, SparseRows
from fmrec.encoding.shuffle.buckets import Buckets
from fmrec.encoding.shuffle.messages import Kind, Message, from_arrow, pack_rows
from fmrec.encoding.shuffle.spark_shuffle import make_messages
from fmrec.encoding.stored_parts import SideTablePart
from fmrec.storage.part_files import Output

SMALL_BYTES = 32 << 20
"""Largest table that every task reads."""
PART_ROWS = 500_000
GROUP_ROWS = 10_000
"""Rows of a row group: what reading any range of rows costs at most, in addition to the range."""


@dataclass(frozen=True)
class SideTable:
    """One side's features, as they were written to ``uri``."""

    side: str
    uri: str
    ids: tuple[int, int]
    """The half-open range of the side's own feature ids."""
    feature_dim: int
    nonzeros: int

    @property
    def small(self) -> bool:
        return 12 * self.nonzeros + 8 * (self.ids[1] - self.ids[0]) <= SMALL_BYTES

    def load(self) -> LoadedTable:
        """Read all of it."""
        rows = SideRows(self.uri, self.ids, self.feature_dim)[:]
        features = SparseRows(np.diff(rows.indptr), rows.indices, rows.data)
        return LoadedTable(self.side, self.ids[0], features.without(np.arange(*self.ids)))


@dataclass(frozen=True)
class LoadedTable:
    """Side features by ordinal: row 0 is for the feature id ``first``."""

    side: str
    first: int
    features: SparseRows

    def load(self) -> LoadedTable:
        return self

    def attach(self, rows: LabelledRows) -> LabelledRows:
        """Give rows their user's or item's features."""
        found = self.features.take(rows.of_side(self.side) - self.first)
        return rows.with_(features=rows.features.hstack(found))


def write_side_table(
    rows: DataFrame, side: str, uri: str, ids: tuple[int, int], feature_dim: int
) -> SideTable:
    """Write ``column``, ``columns`` and ``values`` in the order of ``column``."""
    first, end = ids
    partitions = math.ceil((end - first) / PART_ROWS)
    partition = F.floor((F.col("column") - first) * partitions / (end - first)).cast("int")
    written = Observation()
    rows.repartitionById(partitions, partition).sortWithinPartitions("column").observe(
        written, F.sum(F.size("columns")).alias("nonzeros")
    ).write.mode("overwrite").option("parquet.block.row.count.limit", GROUP_ROWS).parquet(uri)
    return SideTable(side, uri, ids, feature_dim, int(written.get["nonzeros"]))


def store_side_table(
    side: str, output: Output, first: int, written: Mask, features: SparseRows
) -> Iterator[Message]:
    """Store a table that is at hand, and report its part.

    Parameters
    ----------
    first : int
        The first of the side's own feature ids.
    written : bool array
        Which of the own ids are to be in the table.
    features : SparseRows
        The others, of each user or item.
    """
    own = SparseRows(
        written.astype(np.int64), first + np.flatnonzero(written), np.ones(written.sum(), np.float32)
    )
    rows = own.hstack(features)
    with SideTablePart(f"{side}_features", output, 0) as part:
        bounds = [(start, min(start + GROUP_ROWS, len(rows))) for start in range(0, len(rows), GROUP_ROWS)]
        for (start, end), found in zip(bounds, rows.cut(bounds), strict=True):
            part.write(np.arange(first + start, first + end), found)
        for stored in part.finish():
            yield Message(Kind.STORED_PART, 0, stored.to_bytes())


def pack_lookup(
    spark: SparkSession,
    buckets: Buckets,
    ids: tuple[int, int],
    table: SideTable | None,
    seen: DataFrame | None,
) -> DataFrame:
    """Pack one side's features by bucket of its ids, as ``AttachFeatures`` looks them up.

    Parameters
    ----------
    table : SideTable or None
        None if the side has no features: then the lookup only says what train has seen.
    seen : DataFrame or None
        ``column``, all ids that train has seen; None if that doesn't matter.
    """
    if table is None:
        rows = spark.range(*ids).select(
            F.col("id").alias("column"),
            F.array().cast("array<bigint>").alias("columns"),
            F.array().cast("array<float>").alias("values"),
        )
    else:
        rows = spark.read.parquet(table.uri).select("column", "columns", "values")
    known = F.lit(True)
    if seen is not None:
        rows = rows.join(seen.withColumn("_known", F.lit(True)), "column", "left")
        known = F.coalesce("_known", F.lit(False))
    rows = rows.select("column", known.alias("known"), "columns", "values")

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Message]:
        for found in batches:
            own = np.asarray(found.column(0)).astype(np.int64)
            is_known = np.asarray(found.column(1)).astype(np.bool_)
            features = SparseRows.from_arrow(found.column(2), found.column(3)).without(own)
            yield from pack_rows(Kind.LOOKUP, FeatureLookup(own, is_known, features), buckets.of(own))

    return make_messages(rows, run)


def seen_ids(messages: DataFrame, side: str) -> DataFrame:
    """Return the users or items that train has seen, each once: ``column`` (bigint)."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for message in from_arrow(batches):
            yield pa.RecordBatch.from_pydict({"column": unpack_ids(message.payload)[side]})

    found = messages.where(F.col("kind") == int(Kind.SEEN_IDS))
    return map_in_arrow(found, run, "column bigint").distinct()
