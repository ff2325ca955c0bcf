"""Ids to columns: an index that is contiguous, reproducible and never gathered in one place.

Ids are sorted across the cluster (numerically, if all of them are numbers); each sorted partition
numbers its own ids, and the driver adds how many the partitions before it hold. That is one number
a partition, whatever the number of ids.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.errors import InputError

_POSITION_BITS = 33
"""``monotonically_increasing_id`` is the partition's number and, in its lower bits, the row's in it."""
_INTEGER = r"^-?[0-9]{1,37}$"


def number_names(
    names: DataFrame,
    first: int,
    namespace: str,
    partitions: int,
    keep: Callable[[DataFrame], DataFrame],
) -> tuple[DataFrame, int]:
    """Number names in their order.

    Parameters
    ----------
    names : DataFrame
        ``name`` (string, distinct, not null) and other columns, which are kept.
    first : int
        Column of the first name.
    partitions : int
        Into how many to sort.
    keep : callable
        Caches a DataFrame: numbers are only right for the order that was counted.

    Returns
    -------
    tuple of (DataFrame, int)
        ``column`` (bigint), ``namespace`` and ``names``' columns, sorted by ``column``; and the number of names.
    """
    numeric = names.agg(F.bool_and(F.col("name").rlike(_INTEGER))).head()
    order = [F.col("name")]
    if numeric is not None and numeric[0]:
        order = [F.col("name").cast("decimal(38,0)"), *order]
    ordered = keep(
        names.repartitionByRange(partitions, *order)
        .sortWithinPartitions(*order)
        .withColumn("_id", F.monotonically_increasing_id())
    )
    partition = F.shiftright("_id", _POSITION_BITS)
    counts = sorted((int(row[0]), int(row[1])) for row in ordered.groupBy(partition).count().collect())
    offsets = [0] * (counts[-1][0] + 1 if counts else 1)
    total = 0
    for number, count in counts:
        offsets[number] = total
        total += count
    offset = F.element_at(F.lit(offsets).cast("array<bigint>"), (partition + 1).cast("int"))
    column = F.col("_id").bitwiseAND((1 << _POSITION_BITS) - 1) + offset + F.lit(first)
    numbered = ordered.select(
        column.cast("bigint").alias("column"), F.lit(namespace).alias("namespace"), *names.columns
    )
    return numbered, total


def check_contiguous(index: DataFrame, feature_dim: int) -> None:
    """Check what was written: a lost executor must not have left a gap or a twin in the index.

    Raises
    ------
    InputError
        Columns are not exactly 0 to feature_dim - 1.
    """
    found = index.agg(F.count("column"), F.count_distinct("column"), F.min("column"), F.max("column")).head()
    if found is None or tuple(found) != (feature_dim, feature_dim, 0, feature_dim - 1):
        raise InputError(
            f"the feature index is not contiguous: (rows, columns, first, last) are {found}, expected "
            f"{feature_dim} columns from 0; a machine was lost while it was made, so encode again"
        )
