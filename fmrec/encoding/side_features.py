"""Side features: from a column of attributes or context to named values with weights.

Each kind of feature turns one text into entries, (name, weight) pairs; names get columns of their own
in the feature's namespace. What depends on the whole data (mean and deviation, quantiles) is measured
first: exactly, and as few numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Attributes, Feature
from fmrec.encoding.feature_space import COUNT, NAME, NAMESPACE, Keep
from fmrec.encoding.rows import BROKEN, PATH, POSITION, SKIP, START, read_rows
from fmrec.encoding.times import seconds_of

ENTRY = "array<struct<name: string, weight: float>>"
OWNER, ENTRIES = "_owner", "_entries"
_DATE_PARTS: Mapping[str, Callable[[Column], Column]] = {
    "year": F.year,
    "month": F.month,
    "day-of-month": F.dayofmonth,
    "day-of-week": lambda moment: F.weekday(moment) + 1,
    "hour": F.hour,
}
"""Weeks begin with Monday, 1."""


@dataclass(frozen=True)
class Measured:
    """A feature and what was measured of its column."""

    feature: Feature
    mean: float = 0.0
    deviation: float = 0.0
    boundaries: tuple[float, ...] = ()

    def token(self, text: Column) -> Column:
        """Reduce a text to what decides its entries, so that few different ones are left."""
        feature = self.feature
        if feature.kind == "bucket":
            edges = [f"{edge:g}" for edge in self.boundaries]
            names = [
                f"{at} ({low}, {high}]"
                for at, (low, high) in enumerate(zip(["-inf", *edges], [*edges, "inf"], strict=True))
            ]
            bounds = F.array(*[F.lit(edge) for edge in self.boundaries]).cast("array<double>")
            number = _number(text)
            below = F.size(F.filter(bounds, lambda edge: edge < number))
            return F.when(number.isNotNull(), F.get(F.array(*[F.lit(name) for name in names]), below))
        if feature.kind == "date-part":
            moment = F.timestamp_seconds(text)
            return _DATE_PARTS[str(feature.part)](moment).cast("string")
        return F.when(F.trim(text) != "", F.trim(text))

    def entries(self, token: Column) -> Column:
        """Return a token's entries."""
        feature = self.feature
        if feature.kind == "numeric":
            weight = (_number(token) - self.mean) / (self.deviation or 1.0) * feature.scale
            one = _entry(F.lit(feature.name), weight)
            usable = _number(token).isNotNull() & F.lit(self.deviation > 0)
            return F.when(usable, F.array(one)).otherwise(F.array().cast(ENTRY))
        if feature.kind == "multi-valued":
            pattern = F.concat(F.lit("\\Q"), F.lit(feature.separator), F.lit("\\E"))
            texts = F.transform(F.split(token, pattern), F.trim)
            names = F.array_sort(F.array_distinct(F.filter(texts, lambda name: name != "")))
            found = F.transform(names, lambda name: _entry(name, F.lit(feature.scale) / F.size(names)))
            return F.coalesce(found, F.array().cast(ENTRY))
        return F.when(token.isNotNull(), F.array(_entry(token, F.lit(feature.scale)))).otherwise(
            F.array().cast(ENTRY)
        )


def read_attributes(
    spark: SparkSession, attributes: Attributes, path: str, features: list[Feature]
) -> DataFrame:
    """Read users' or items' attributes: ``OWNER`` (the id) and a text column a feature, by its name.

    Rows without an id or that can't be taken apart are left out; of several with one id the last counts.
    """
    fields = {OWNER: attributes.id} | {feature.name: feature.column for feature in features}
    rows = read_rows(spark, attributes.source, path, fields)
    usable = rows.where(~F.col(SKIP) & F.col(BROKEN).isNull() & (F.trim(OWNER) != ""))
    names = [f"`{feature.name}`" for feature in features]
    last = F.max_by(F.struct(*names), F.struct(PATH, START, POSITION)).alias("_last")
    return usable.groupBy(OWNER).agg(last).select(OWNER, "_last.*")


def as_text(feature: Feature) -> Column:
    """A feature's raw column, where dates of attributes are turned into seconds as for interactions."""
    if feature.kind != "date-part":
        return F.col(f"`{feature.name}`")
    return seconds_of(F.col(f"`{feature.name}`"), str(feature.timestamp_format))


def measure(
    frame: DataFrame, feature: Feature, text: Column, times: Column, partitions: int, keep: Keep
) -> Measured:
    """Measure what a feature needs to know of all its values, each of which occurs so many times."""
    if feature.kind == "numeric":
        number = _number(text)
        weight = F.when(number.isNotNull(), times)
        first = frame.agg(F.sum(number * times) / F.sum(weight)).head()
        mean = (first[0] if first is not None else None) or 0.0
        second = frame.agg(F.sqrt(F.sum((number - mean) ** 2 * times) / F.sum(weight))).head()
        deviation = (second[0] if second is not None else None) or 0.0
        # Sums depend on the order in which tasks end, in the last digits.
        return Measured(feature, float(f"{mean:.9g}"), float(f"{deviation:.9g}"))
    if feature.kind == "bucket":
        return Measured(feature, boundaries=_quantiles(frame, text, times, feature, partitions, keep))
    return Measured(feature)


def all_entries(entries: Mapping[int, Column]) -> Column:
    """Return the entries of several features, by the ordinals of their namespaces, as ``ENTRIES`` has them."""

    def placed(ordinal: int, found: Column) -> Column:
        return F.transform(
            found, lambda entry: F.struct(F.lit(ordinal).alias(NAMESPACE), entry["name"], entry["weight"])
        )

    return F.concat(*[placed(ordinal, found) for ordinal, found in entries.items()]).alias(ENTRIES)


def names_of(owned: DataFrame) -> DataFrame:
    """Return the names that occur in ``ENTRIES``, each with how often."""
    times = F.col("_times") if "_times" in owned.columns else F.lit(1)
    return (
        owned.select(times.alias("_times"), F.inline(ENTRIES))
        .groupBy(NAMESPACE, NAME)
        .agg(F.sum("_times").alias(COUNT))
    )


def to_columns(owned: DataFrame, index: DataFrame) -> DataFrame:
    """Replace names by columns: ``OWNER``, ``extra_columns`` and ``extra_values``, sorted by column.

    Parameters
    ----------
    index : DataFrame
        ``NAMESPACE`` (an ordinal), ``NAME`` and ``column``.
    """
    entries = owned.select(OWNER, F.inline(ENTRIES))
    found = entries.join(index, [NAMESPACE, NAME]).groupBy(OWNER)
    pairs = F.array_sort(F.collect_list(F.struct("column", "weight"))).alias("_pairs")
    return found.agg(pairs).select(
        OWNER,
        F.col("_pairs.column").alias("extra_columns"),
        F.col("_pairs.weight").alias("extra_values"),
    )


def _entry(name: Column, weight: Column) -> Column:
    return F.struct(name.alias("name"), weight.cast("float").alias("weight"))


def _number(text: Column) -> Column:
    number = text.try_cast("double")
    return F.when(~F.isnan(number) & (F.abs(number) < math.inf), number)


def _quantiles(
    frame: DataFrame, text: Column, times: Column, feature: Feature, partitions: int, keep: Keep
) -> tuple[float, ...]:
    """Return the exact inner quantiles, at most ``buckets - 1``: values are counted, sorted and summed."""
    buckets = feature.buckets or 1
    numbers = frame.select(_number(text).alias("x"), times.alias("_times")).where("x IS NOT NULL")
    counts = numbers.groupBy("x").agg(F.sum("_times").alias("count"))
    ordered = keep(
        counts.repartitionByRange(partitions, "x").withColumn("_partition", F.spark_partition_id())
    )
    sums = sorted(
        (row[0], int(row[1])) for row in ordered.groupBy("_partition").agg(F.sum("count")).collect()
    )
    total, before = 0, {}
    for partition, count in sums:
        before[partition] = total
        total += count
    if not total:
        return ()
    offsets = F.create_map(*[F.lit(part).cast("bigint") for pair in before.items() for part in pair])
    running = F.sum("count").over(Window.partitionBy("_partition").orderBy("x"))
    upto = (running + offsets[F.col("_partition").cast("bigint")]).alias("upto")
    reached = F.floor(F.col("upto") * buckets / total)
    crossing = ordered.select("x", "count", upto).where(
        reached > F.floor((F.col("upto") - F.col("count")) * buckets / total)
    )
    found = sorted((float(row["x"]), int(row["upto"])) for row in crossing.collect())
    return tuple(x for x, upto_x in found if upto_x < total)
