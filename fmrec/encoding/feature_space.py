"""Names to columns: an index that is contiguous, reproducible and never gathered in one place.

A name is a user's or item's id, or a value of a side feature, each in a namespace of its own. Names
are sorted across the cluster (numerically, if all of a namespace are numbers); each sorted partition
numbers its own names, and the driver adds how many the partitions before it hold. That is one number
a partition, whatever the number of names.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.errors import InputError

_POSITION_BITS = 33
"""``monotonically_increasing_id`` is the partition's number and, in its lower bits, the row's in it."""
_INTEGER = r"^-?[0-9]{1,37}$"
NAMESPACE, NAME, COUNT = "_namespace", "name", "interactions"
Keep = Callable[[DataFrame], DataFrame]
"""Caches a DataFrame until the job ends."""


def write_index(
    names: DataFrame, namespaces: list[str], uri: str, partitions: int, keep: Keep
) -> dict[str, tuple[int, int]]:
    """Number all names, write the feature index and return each namespace's range of columns.

    Parameters
    ----------
    names : DataFrame
        ``NAMESPACE`` (int, an ordinal in ``namespaces``), ``NAME`` (string) and ``COUNT`` (bigint);
        each name of a namespace once.
    partitions : int
        Into how many to sort.

    Raises
    ------
    InputError
        What was written is not contiguous, because a machine was lost between counting and writing.
    """
    names = keep(names)
    found = {
        row[0]: (int(row[1]), bool(row[2]))
        for row in names.groupBy(NAMESPACE)
        .agg(F.count(F.lit(1)), F.bool_and(F.col(NAME).rlike(_INTEGER)))
        .collect()
    }
    ranges: dict[str, tuple[int, int]] = {}
    first = 0
    for ordinal, namespace in enumerate(namespaces):
        count = found.get(ordinal, (0, False))[0]
        ranges[namespace] = (first, first + count)
        first += count
    numeric = [ordinal for ordinal, (_, is_numeric) in found.items() if is_numeric]
    number = F.when(F.col(NAMESPACE).isin(numeric), F.col(NAME).try_cast("decimal(38,0)"))
    order = [F.col(NAMESPACE), number, F.col(NAME)]
    ordered = keep(
        names.repartitionByRange(partitions, *order)
        .sortWithinPartitions(*order)
        .withColumn("_id", F.monotonically_increasing_id())
    )
    labels = F.get(F.array(*[F.lit(namespace) for namespace in namespaces]), F.col(NAMESPACE))
    written = Observation()
    ordered.select(
        _column(ordered).alias("column"), labels.alias("namespace"), F.col(NAME), F.col(COUNT)
    ).observe(
        written,
        F.count("column").alias("count"),
        F.min("column").alias("first"),
        F.max("column").alias("last"),
        F.sum(F.col("column").cast("decimal(38,0)")).alias("sum"),
    ).write.mode("overwrite").parquet(uri)
    seen = written.get
    if (seen["count"], seen["first"], seen["last"], int(seen["sum"] or 0)) != (
        first, 0, first - 1, first * (first - 1) // 2
    ):  # fmt: skip
        raise InputError(
            f"the feature index is not contiguous ({seen}, expected {first} columns from 0): a machine "
            "was lost while it was made, so encode again"
        )
    return ranges


def read_index(spark: SparkSession, uri: str, namespace: str) -> DataFrame:
    """Return one namespace of a written index: ``name`` and ``column``."""
    index = spark.read.schema("column bigint, namespace string, name string").parquet(uri)
    return index.where(F.col("namespace") == namespace).select("name", "column")


def _column(ordered: DataFrame) -> Column:
    partition = F.shiftright("_id", _POSITION_BITS)
    counts = sorted((int(row[0]), int(row[1])) for row in ordered.groupBy(partition).count().collect())
    offsets = [0] * (counts[-1][0] + 1 if counts else 1)
    total = 0
    for number, count in counts:
        offsets[number] = total
        total += count
    offset = F.element_at(F.lit(offsets).cast("array<bigint>"), (partition + 1).cast("int"))
    return F.col("_id").bitwiseAND((1 << _POSITION_BITS) - 1) + offset
