"""A run's side features: their names for the index, and their columns for users, items and rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset, Feature
from fmrec.encoding.batches import Batch, Ragged
from fmrec.encoding.exchange import TABLE, Packed, map_packed, pack
from fmrec.encoding.feature_space import NAME, NAMESPACE, Keep, read_index
from fmrec.encoding.rows import resolve
from fmrec.encoding.side_features import (
    ENTRIES,
    OWNER,
    Measured,
    as_text,
    measure,
    names_of,
    read_attributes,
    to_columns,
)
from fmrec.encoding.stages import Stop

SIDES = ("user", "item")
FIRST_ORDINAL = 2
"""Ordinal of the first side feature's namespace, after users and items."""


def context_fields(dataset: Dataset) -> dict[str, str]:
    """Return the interactions' columns that features are made of, by the names they get here."""
    return {
        _context(at): feature.column
        for at, feature in enumerate(dataset.features)
        if feature.of == "interaction" and feature.kind != "date-part"
    }


@dataclass(frozen=True)
class _Owned:
    """A feature's entries by what owns them: a user, an item, or a context's token."""

    ordinal: int
    measured: Measured
    frame: DataFrame


class SideFeatures:
    """All side features of a run.

    Parameters
    ----------
    good : DataFrame
        Interactions, with the columns of ``context_fields``.
    ids : DataFrame
        ``NAMESPACE`` (0 users, 1 items) and ``NAME`` of all ids that are indexed.
    """

    def __init__(
        self,
        spark: SparkSession,
        dataset: Dataset,
        raw_uri: str,
        good: DataFrame,
        ids: DataFrame,
        *,
        partitions: int,
        keep: Keep,
    ) -> None:
        self._spark = spark
        self._owned: dict[str, list[_Owned]] = {"user": [], "item": [], "interaction": []}
        numbered = list(enumerate(dataset.features, start=FIRST_ORDINAL))
        for side, attributes in (("user", dataset.users), ("item", dataset.items)):
            features = [feature for _, feature in numbered if feature.of == side]
            if attributes is None or not features:
                continue
            path = resolve(raw_uri, attributes.source.path)
            known = ids.where(F.col(NAMESPACE) == SIDES.index(side)).select(F.col(NAME).alias(OWNER))
            table = keep(read_attributes(spark, attributes, path, features).join(known, OWNER, "left_semi"))
            for ordinal, feature in numbered:
                if feature.of == side:
                    measured = measure(table, feature, as_text(feature), partitions, keep)
                    entries = measured.entries(measured.token(as_text(feature))).alias(ENTRIES)
                    self._owned[side].append(_Owned(ordinal, measured, table.select(OWNER, entries)))
        for ordinal, feature in numbered:
            if feature.of == "interaction":
                text = _context_text(ordinal, feature)
                measured = measure(good, feature, text, partitions, keep)
                self._owned["interaction"].append(_Owned(ordinal, measured, _tokens(good, measured, text)))

    def names(self) -> list[DataFrame]:
        """Return each namespace's names for the index."""
        return [names_of(owned.frame, owned.ordinal) for all_of in self._owned.values() for owned in all_of]

    def describes(self, side: str) -> bool:
        return bool(self._owned[side])

    def table(self, stop: Stop, index_uri: str, met: DataFrame) -> DataFrame:
        """Pack one side's features by bucket of its columns: what ``stages.attach`` looks up.

        Parameters
        ----------
        met : DataFrame
            ``user_column`` and ``item_column`` of every pair met in train.
        """
        side = stop.side
        index = read_index(self._spark, index_uri, side)
        whole = index.select(F.col(NAME).alias(OWNER), F.col("column").alias("owner_column"))
        lists: list[tuple[Column, Column]] = []
        for owned in self._owned[side]:
            found = self._looked_up(owned, index_uri, f"_{owned.ordinal}")
            whole = whole.join(found, OWNER, "left")
            lists.append((F.col(f"_{owned.ordinal}_columns"), F.col(f"_{owned.ordinal}_values")))
        known = F.lit(1.0)
        if stop.unknown != "index":
            trained = met.select(F.col(f"{side}_column").alias("owner_column")).distinct()
            whole = whole.join(trained.withColumn("_known", known), "owner_column", "left")
            known = F.coalesce("_known", F.lit(0.0))
        return _pack_table(whole.select("owner_column", known.alias("known"), *_concatenated(lists)), stop)

    def with_context(self, rows: DataFrame, index_uri: str) -> DataFrame:
        """Add ``extra_columns`` and ``extra_values``: the non-zeros of each row's context."""
        lists: list[tuple[Column, Column]] = []
        for owned in self._owned["interaction"]:
            feature = owned.measured.feature
            text = _context_text(owned.ordinal, feature)
            if feature.kind == "numeric":
                column = read_index(self._spark, index_uri, feature.name).head()
                weights = F.transform(owned.measured.entries(text), lambda entry: entry["weight"])
                number = -1 if column is None else column["column"]
                columns = F.array_repeat(F.lit(number).cast("bigint"), F.size(weights))
                lists.append((columns, weights))
                continue
            found = self._looked_up(owned, index_uri, f"_{owned.ordinal}")
            token = f"_{owned.ordinal}_token"
            rows = rows.withColumn(token, owned.measured.token(text))
            rows = rows.join(found.withColumnRenamed(OWNER, token), token, "left")
            lists.append((F.col(f"_{owned.ordinal}_columns"), F.col(f"_{owned.ordinal}_values")))
        return rows.select("*", *_concatenated(lists)) if lists else rows

    def _looked_up(self, owned: _Owned, index_uri: str, prefix: str) -> DataFrame:
        index = read_index(self._spark, index_uri, owned.measured.feature.name)
        return to_columns(owned.frame, index).toDF(OWNER, f"{prefix}_columns", f"{prefix}_values")


def _context(at: int) -> str:
    return f"context_{at}"


def _context_text(ordinal: int, feature: Feature) -> Column:
    return F.col("timestamp" if feature.kind == "date-part" else _context(ordinal - FIRST_ORDINAL))


def _tokens(good: DataFrame, measured: Measured, text: Column) -> DataFrame:
    """Return each different token of a context feature once, with its entries and how often it occurs."""
    if measured.feature.kind == "numeric":
        # Every number has its own weight, but all have one name.
        used = good.where(F.size(measured.entries(text)) > 0).agg(F.count(F.lit(1)).alias("_times"))
        one = F.array(
            F.struct(F.lit(measured.feature.name).alias("name"), F.lit(0.0).cast("float").alias("weight"))
        )
        return used.where("_times > 0").select(
            F.lit(None).cast("string").alias(OWNER), one.alias(ENTRIES), "_times"
        )
    tokens = good.select(measured.token(text).alias(OWNER)).where(F.col(OWNER).isNotNull())
    counted = tokens.groupBy(OWNER).agg(F.count(F.lit(1)).alias("_times"))
    return counted.select(OWNER, measured.entries(F.col(OWNER)).alias(ENTRIES), "_times")


def _concatenated(lists: list[tuple[Column, Column]]) -> tuple[Column, Column]:
    no_columns, no_values = F.array().cast("array<bigint>"), F.array().cast("array<float>")
    columns = F.concat(no_columns, *[F.coalesce(columns, no_columns) for columns, _ in lists])
    values = F.concat(no_values, *[F.coalesce(values, no_values) for _, values in lists])
    return columns.alias("extra_columns"), values.alias("extra_values")


def _pack_table(table: DataFrame, stop: Stop) -> DataFrame:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        for found in batches:
            owner = np.asarray(found.column(0)).astype(np.int64)
            known = np.asarray(found.column(1)).astype(np.float64)
            extra = Ragged.from_arrow(found.column(2), found.column(3))
            table = Batch(owner, owner, known, np.zeros(len(owner)), owner, extra)
            yield from pack(table, stop.buckets.of(owner, *stop.columns), TABLE)

    return map_packed(table, run)
