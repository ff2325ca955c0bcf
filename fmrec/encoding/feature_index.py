"""Names to feature ids: an index that is contiguous, reproducible and never gathered in one place.

A name is a user's or item's id, or a value of a side feature, each in a namespace of its own. Names
are sorted across the cluster (integers first, as numbers, then the others as texts; after all others those
that no interaction has); each sorted
partition numbers its own names, and the driver adds how many the partitions before it hold. That is one
number per partition and namespace, whatever the number of names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset
from fmrec.errors import InputError

_POSITION_BITS = 33
"""``monotonically_increasing_id`` is the partition's number and, in its lower bits, the row's in it."""
_INTEGER = r"^-?[0-9]{1,37}$"
NAMESPACE, NAME, COUNT = "_namespace", "name", "interactions"
SIDES = ("user", "item")
"""The first two namespaces."""
Keep = Callable[[DataFrame], DataFrame]
"""Caches a DataFrame until the job ends."""


def write_index(
    names: DataFrame, namespaces: list[str], uri: str, partitions: int, keep: Keep
) -> dict[str, tuple[int, int]]:
    """Number all names, write the feature index and return each namespace's range of feature ids.

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
    number = F.when(F.col(NAME).rlike(_INTEGER), F.col(NAME).try_cast("decimal(38,0)"))
    order = [F.col(NAMESPACE), F.col(COUNT) == 0, number.asc_nulls_last(), F.col(NAME)]
    # Finding the ranges of several partitions takes a look of its own.
    placed = names.coalesce(1) if partitions == 1 else keep(names).repartitionByRange(partitions, *order)
    ordered = keep(placed.sortWithinPartitions(*order).withColumn("_id", F.monotonically_increasing_id()))
    sizes = _sizes(ordered)
    ranges: dict[str, tuple[int, int]] = {}
    first = 0
    for ordinal, namespace in enumerate(namespaces):
        count = sum(size for (_, of), size in sizes.items() if of == ordinal)
        ranges[namespace] = (first, first + count)
        first += count
    labels = F.get(F.array(*[F.lit(namespace) for namespace in namespaces]), F.col(NAMESPACE))
    written = Observation()
    ordered.select(
        _feature_id(sizes).alias("column"), labels.alias("namespace"), F.col(NAME), F.col(COUNT)
    ).observe(
        written,
        F.count("column").alias("count"),
        F.min("column").alias("first"),
        F.max("column").alias("last"),
        F.sum(F.col("column").cast("decimal(38,0)")).alias("sum"),
    ).write.mode("overwrite").parquet(uri)
    seen = written.get
    ends = (0, first - 1) if first else (None, None)
    if (seen["count"], seen["first"], seen["last"], int(seen["sum"] or 0)) != (
        first, *ends, first * (first - 1) // 2
    ):  # fmt: skip
        raise InputError(
            f"the feature index is not contiguous ({seen}, expected {first} feature ids from 0): a machine "
            "was lost while it was made, so encode again"
        )
    return ranges


def read_index(spark: SparkSession, uri: str, namespaces: Mapping[str, int]) -> DataFrame:
    """Return some namespaces of a written index: ``NAMESPACE``, ``NAME`` and ``column``.

    Parameters
    ----------
    namespaces : mapping of str to int
        The ordinals to give them, by their names.
    """
    index = spark.read.schema("column bigint, namespace string, name string").parquet(uri)
    ordinals = F.create_map(*[F.lit(part) for pair in namespaces.items() for part in pair])
    found = index.where(F.col("namespace").isin(*namespaces))
    return found.select(ordinals[F.col("namespace")].alias(NAMESPACE), NAME, "column")


def check_sides(dataset: Dataset, trained: Mapping[str, tuple[int, int]]) -> None:
    """Refuse data without a user or an item that is frequent enough.

    Parameters
    ----------
    trained : mapping of str to (int, int)
        The ranges of those users and items that have interactions, by side.

    Raises
    ------
    InputError
        A range is empty.
    """
    for side in SIDES:
        if trained[side][0] == trained[side][1]:
            raise InputError(
                f"no {side} has at least {getattr(dataset.minimum_interactions, side)} "
                f"interactions: lower minimum_interactions.{side}"
            )


def _sizes(ordered: DataFrame) -> Counter[tuple[int, int]]:
    """Return how many names there are by partition and namespace."""
    counted = ordered.groupBy(_partition(), NAMESPACE).count().collect()
    return Counter({(int(row[0]), int(row[1])): int(row[2]) for row in counted})


def _feature_id(sizes: Counter[tuple[int, int]]) -> Column:
    """Return a name's feature id: its place in its partition, after those of all partitions before."""
    lengths = [0] * (1 + max((partition for partition, _ in sizes), default=0))
    for (partition, _), size in sizes.items():
        lengths[partition] += size
    offsets = list(accumulate(lengths, initial=0))
    offset = F.element_at(F.lit(offsets).cast("array<bigint>"), (_partition() + 1).cast("int"))
    return F.col("_id").bitwiseAND((1 << _POSITION_BITS) - 1) + offset


def _partition() -> Column:
    return F.shiftright("_id", _POSITION_BITS)
