"""Gathering rows by user, and which of them are held out for testing."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import LeaveFirstN, LeaveLastN, NoSplit, RandomSplit, TimeCut
from fmrec.dataset.splits import Split

HASH_RANGE = 1 << 53
"""Hashes are reduced to so many values, which a double holds exactly, to make shares of them."""


def gather_by_user(rows: DataFrame, partitions: int, users: int) -> DataFrame:
    """Bring each user's rows together; partitions hold consecutive ranges of user columns."""
    group = F.floor(F.col("user_column") * partitions / users).cast("int")
    return rows.withColumn("group", group).repartitionById(partitions, "group")


def mark_test(rows: DataFrame, split: Split) -> DataFrame:
    """Add ``test``: whether the row is held out.

    Parameters
    ----------
    rows : DataFrame
        ``group``, ``user_column``, ``item_column``, ``row`` and, for splits by time, ``timestamp``,
        gathered by user.
    """
    return rows.withColumn("test", _is_test(split))


def _is_test(split: Split) -> Column:
    # The group is in the window's partition because Spark then sees that no exchange is needed.
    user = Window.partitionBy("group", "user_column")
    match split:
        case LeaveFirstN(n):
            return F.row_number().over(user.orderBy("row")) <= n
        case LeaveLastN(n):
            return F.row_number().over(user.orderBy(F.desc("timestamp"), F.desc("row"))) <= n
        case TimeCut():
            return F.col("timestamp") >= split.seconds
        case RandomSplit(share, seed):
            # By pair: one pair's rows are never on both sides.
            draw = F.pmod(
                F.xxhash64(F.lit(seed), F.lit("split"), "user_column", "item_column"), F.lit(HASH_RANGE)
            )
            return draw < share * HASH_RANGE
        case NoSplit():
            return F.lit(False)
