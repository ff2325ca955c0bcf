"""Side features: from a text of attributes or context to named values with weights.

Each kind of feature turns one text into entries, (name, weight) pairs; names get feature ids of their
own in the feature's namespace. What depends on the whole data (mean and deviation, quantiles) is measured
first: exactly, and as few numbers. ``usable`` says which texts a kind can't use, so that they are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Feature, Source
from fmrec.dataset.timestamps import UTC
from fmrec.encoding.feature_index import COUNT, NAME, NAMESPACE, Keep
from fmrec.encoding.ingest.number_text import LARGEST_FLOAT32, to_double
from fmrec.encoding.ingest.timestamps import seconds_of

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


_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999: beyond them Spark's dates have no year of four digits."""


@dataclass(frozen=True)
class Reading:
    """A feature and how its texts are to be read.

    ``lists`` says that the files can hold lists (JSON, Parquet): they come as the text of a JSON list.
    ``decimal`` and ``timezone`` are settings of the source.
    """

    feature: Feature
    lists: bool = False
    decimal: str = "."
    timezone: str = UTC

    @classmethod
    def of(cls, feature: Feature, source: Source) -> Reading:
        return cls(feature, source.format in ("jsonl", "parquet"), source.decimal, source.timezone)

    def number(self, text: Column) -> Column:
        """Return a text as a double that float32 can hold; null if it isn't one."""
        number = to_double(text, self.decimal)
        return F.when(F.abs(number) <= LARGEST_FLOAT32, number)

    def seconds(self, text: Column) -> Column:
        """Return an attribute's text as seconds since 1970; null if it isn't a time."""
        seconds = seconds_of(text, str(self.feature.timestamp_format), self.decimal, self.timezone)
        return F.when(seconds.between(_FIRST_SECOND, _LAST_SECOND), seconds)

    def names(self, text: Column) -> Column:
        """Return the distinct names in a text of several, without the blanks around them, sorted."""
        found = F.split(text, _literal(str(self.feature.separator)), -1)
        if self.lists:
            found = F.coalesce(self._list(text), found)
        return F.array_sort(F.array_distinct(F.filter(F.transform(found, _trimmed), lambda name: name != "")))

    def usable(self, text: Column) -> Column:
        """Say whether a text that is there can be used."""
        kind = self.feature.kind
        if kind in ("numeric", "bucket"):
            return self.number(text).isNotNull()
        if kind == "date-part":
            return self.seconds(text).isNotNull()
        if kind == "multi-valued":
            return F.size(self.names(text)) > 0
        return self._list(text).isNull() if self.lists else F.lit(True)

    @property
    def expected(self) -> str:
        """What a usable text is, for a sentence."""
        kind = self.feature.kind
        if kind in ("numeric", "bucket"):
            return "a number that float32 can hold"
        if kind == "date-part":
            return f"a time, written as timestamp_format {self.feature.timestamp_format!r} says"
        if kind == "multi-valued":
            return f"names, separated by {self.feature.separator!r}"
        return "one name (kind multi-valued takes lists)"

    @staticmethod
    def _list(text: Column) -> Column:
        return F.when(F.startswith(F.trim(text), F.lit("[")), F.from_json(text, "array<string>"))


@dataclass(frozen=True)
class Measured:
    """A feature and what was measured of its texts."""

    reading: Reading
    mean: float = 0.0
    deviation: float = 0.0
    boundaries: tuple[float, ...] = ()

    @property
    def feature(self) -> Feature:
        return self.reading.feature

    def token(self, text: Column) -> Column:
        """Reduce a text to what decides its entries, so that few different ones are left.

        An interaction's date parts come as seconds since 1970.
        """
        feature = self.feature
        if feature.kind == "bucket":
            edges = [f"{edge:g}" for edge in self.boundaries]
            names = [
                f"{at} ({low}, {high}]"
                for at, (low, high) in enumerate(zip(["-inf", *edges], [*edges, "inf"], strict=True))
            ]
            bounds = F.array(*[F.lit(edge) for edge in self.boundaries]).cast("array<double>")
            number = self.reading.number(text)
            below = F.size(F.filter(bounds, lambda edge: edge < number))
            return F.when(number.isNotNull(), F.get(F.array(*[F.lit(name) for name in names]), below))
        if feature.kind == "date-part":
            seconds = text if feature.of == "interaction" else self.reading.seconds(text)
            return _DATE_PARTS[str(feature.part)](F.timestamp_seconds(seconds)).cast("string")
        usable = self.reading.usable(text) & (F.trim(text) != "")
        # A separator may end with a blank.
        return F.when(usable, text if feature.kind == "multi-valued" else F.trim(text))

    def entries(self, token: Column) -> Column:
        """Return a token's entries."""
        feature = self.feature
        none = F.array().cast(ENTRY)
        if feature.kind == "numeric":
            number = self.reading.number(token)
            weight = (number - self.mean) / (self.deviation or 1.0) * feature.scale
            one = _entry(F.lit(feature.name), weight)
            return F.when(number.isNotNull() & F.lit(self.deviation > 0), F.array(one)).otherwise(none)
        if feature.kind == "multi-valued":
            names = self.reading.names(token)
            found = F.transform(names, lambda name: _entry(name, F.lit(feature.scale) / F.size(names)))
            return F.coalesce(found, none)
        return F.when(token.isNotNull(), F.array(_entry(token, F.lit(feature.scale)))).otherwise(none)


def measure(
    frame: DataFrame, reading: Reading, text: Column, times: Column, partitions: int, keep: Keep
) -> Measured:
    """Measure what a feature needs to know of all its values, each of which occurs so many times."""
    kind = reading.feature.kind
    if kind == "numeric":
        number = reading.number(text)
        weight = F.when(number.isNotNull(), times)
        first = frame.agg(F.sum(number * times) / F.sum(weight)).head()
        mean = (first[0] if first is not None else None) or 0.0
        second = frame.agg(F.sqrt(F.sum((number - mean) ** 2 * times) / F.sum(weight))).head()
        deviation = (second[0] if second is not None else None) or 0.0
        # Sums depend on the order in which tasks end, in the last digits.
        return Measured(reading, float(f"{mean:.9g}"), float(f"{deviation:.9g}"))
    if kind == "bucket":
        buckets = reading.feature.buckets or 1
        numbers = frame.select(reading.number(text).alias("x"), times.alias("_times")).where("x IS NOT NULL")
        return Measured(reading, boundaries=_quantiles(numbers, buckets, partitions, keep))
    return Measured(reading)


def all_entries(entries: Mapping[int, Column]) -> Column:
    """Return the entries of several features, by the ordinals of their namespaces, as in ``ENTRIES``."""

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


def to_feature_ids(owned: DataFrame, index: DataFrame) -> DataFrame:
    """Replace names by feature ids: ``OWNER``, ``extra_columns`` and ``extra_values``, sorted by id.

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


def _trimmed(text: Column) -> Column:
    """Take the blanks off both ends. (``F.trim`` by itself would take the element's position for letters.)"""
    return F.trim(text)


def _entry(name: Column, weight: Column) -> Column:
    return F.struct(name.alias("name"), weight.cast("float").alias("weight"))


def _literal(separator: str) -> str:
    """Return a regular expression of Java that matches just this text."""
    return "".join(f"\\{letter}" if not letter.isalnum() else letter for letter in separator)


def _quantiles(numbers: DataFrame, buckets: int, partitions: int, keep: Keep) -> tuple[float, ...]:
    """Return the exact inner quantiles, at most ``buckets - 1``: values are counted, sorted and summed."""
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
