"""What features need to know of all their values, counted and summed by Spark where they are many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.feature_index import Keep
from fmrec.encoding.features.attribute_files import READS
from fmrec.encoding.features.kinds import Measured, quantiles
from fmrec.encoding.features.reading import Reading
from fmrec.encoding.python_tasks import map_in_arrow

_PARTITION = "_partition"


def measure(
    frame: DataFrame, readings: Mapping[int, Reading], times: Column, partitions: int, keep: Keep
) -> dict[int, Measured]:
    """Measure what features need to know of all their values, each of which occurs so many times.

    Parameters
    ----------
    frame : DataFrame
        ``READS``, of each feature what ``Reading.read`` returns.
    readings : mapping of int to Reading
        The features, by the ordinals of their namespaces.
    """
    numbers = {
        ordinal: (reading, F.col(READS)[at]["number"])
        for at, (ordinal, reading) in enumerate(readings.items())
    }
    measured = {ordinal: Measured(reading) for ordinal, reading in readings.items()}
    scaled = {at: found for at, found in numbers.items() if found[0].feature.kind == "numeric"}
    if scaled:
        means = _averages(frame, {at: number for at, (_, number) in scaled.items()}, times)
        squares = {at: (number - means[at]) ** 2 for at, (_, number) in scaled.items()}
        for at, square in _averages(frame, squares, times).items():
            measured[at] = Measured.of_moments(readings[at], means[at], float(np.sqrt(square)))
    cut = {at: number for at, (reading, number) in numbers.items() if reading.feature.kind == "bucket"}
    if cut:
        buckets = {at: readings[at].feature.buckets or 1 for at in cut}
        for at, found in _quantiles(frame, cut, times, buckets, partitions, keep).items():
            measured[at] = Measured(readings[at], boundaries=tuple(found))
    return measured


def _averages(frame: DataFrame, numbers: Mapping[int, Column], times: Column) -> dict[int, float]:
    columns = [
        F.sum(number * times) / F.sum(F.when(number.isNotNull(), times)) for number in numbers.values()
    ]
    row = frame.agg(*columns).head()
    return {at: (row[place] if row else None) or 0.0 for place, at in enumerate(numbers)}


def _quantiles(
    frame: DataFrame,
    numbers: Mapping[int, Column],
    times: Column,
    buckets: Mapping[int, int],
    partitions: int,
    keep: Keep,
) -> dict[int, list[float]]:
    """Return the exact inner quantiles of features: numbers are counted, sorted and summed."""
    each = F.array(
        *[
            F.struct(F.lit(at).alias("at"), number.alias("x"), times.alias("times"))
            for at, number in numbers.items()
        ]
    )
    counts = (
        frame.select(F.inline(each))
        .where("x IS NOT NULL")
        .groupBy("at", "x")
        .agg(F.sum("times").cast("bigint").alias("count"))
    )
    placed = counts.coalesce(1) if partitions == 1 else keep(counts).repartitionByRange(partitions, "at", "x")
    ordered = placed.sortWithinPartitions("at", "x").withColumn(_PARTITION, F.spark_partition_id())
    if partitions > 1:
        ordered = keep(ordered)
    totals: dict[int, int] = {}
    before: dict[tuple[int, int], int] = {}
    if partitions > 1:
        sums = ordered.groupBy("at", _PARTITION).agg(F.sum("count")).collect()
        for at, partition, count in sorted(map(tuple, sums)):
            before[at, partition] = totals.get(at, 0)
            totals[at] = before[at, partition] + count

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = list(batches)
        if not found:
            return
        at, x, count, partition = (
            np.concatenate([np.asarray(batch.column(place)) for batch in found]) for place in range(4)
        )
        for feature in np.unique(at).tolist():
            mine = at == feature
            total = totals.get(feature, int(count[mine].sum()))
            first = before.get((feature, int(partition[0])), 0)
            reached = quantiles(x[mine], count[mine], buckets[feature], total, first)
            yield pa.RecordBatch.from_pydict(
                {"at": pa.array([feature] * len(reached), pa.int32()), "x": pa.array(reached, pa.float64())}
            )

    crossing = map_in_arrow(ordered, run, "at int, x double").collect()
    return {at: sorted(row["x"] for row in crossing if row["at"] == at) for at in numbers}
