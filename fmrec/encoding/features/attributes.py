"""Attributes as Spark groups and counts them: one row per id, and a count of whatever could not be used.

One pass groups usable rows by id and bad rows by reason, so that the counts cost no second look at the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.feature_index import Keep
from fmrec.encoding.features.attribute_counts import EXAMPLES, AttributeCounts, FeatureValues
from fmrec.encoding.features.attribute_files import (
    EXAMPLE,
    OWNER,
    PLACE,
    READS,
    REASON,
    AttributeFiles,
    present,
)
from fmrec.encoding.features.reading import Reading

TRAINED = "_trained"
"""Whether an id has interactions."""
_MATCHED, _COUNT, _SAYS = "_matched", "_count", "_says"


@dataclass(frozen=True)
class GroupedAttributes:
    """The rows of attribute files by id, of several the last one, or by what is wrong with them."""

    files: AttributeFiles
    frame: DataFrame

    @classmethod
    def of(cls, files: AttributeFiles, keep: Keep) -> GroupedAttributes:
        place = F.struct(*PLACE)
        grouped = files.rows.groupBy(OWNER, REASON).agg(
            F.max_by(READS, place).alias(READS),
            F.min_by(EXAMPLE, place).alias(EXAMPLE),
            F.count("*").alias(_COUNT),
            F.max(present(F.col(READS))).alias(_SAYS),
        )
        return cls(files, keep(grouped))

    def described_ids(self, longest: int) -> DataFrame:
        """Return the ids of which a row says something: ``OWNER``.

        Parameters
        ----------
        longest : int
            Ids with more characters are left out, as such interactions are.
        """
        return self.frame.where(F.col(_SAYS) & (F.length(OWNER) <= longest)).select(OWNER)

    def of_ids(self, known: DataFrame, ids: int, max_bad_share: float, keep: Keep) -> SideAttributes:
        """Return the attributes of ids that are indexed.

        Parameters
        ----------
        known : DataFrame
            ``OWNER``, all ids that are indexed, and ``TRAINED``.
        ids : int
            How many of them have interactions.

        Raises
        ------
        InputError
            Too many rows are bad, or no row has an id that interactions have.
        """
        readings = list(self.files.readings.values())
        # Counted are those that interactions have, whoever else is indexed.
        table = keep(self.frame.join(known.withColumn(_MATCHED, F.when(F.col(TRAINED), True)), OWNER, "left"))
        found = table.groupBy(REASON).agg(
            F.sum(_COUNT).alias("rows"),
            F.count(OWNER).alias("ids"),
            F.count(_MATCHED).alias("matched"),
            F.first(EXAMPLE).alias("example"),
            *_counted(readings, F.when(F.col(_MATCHED), 1)),
        )
        by_reason = {row[REASON]: row for row in found.collect()}
        usable: Row | None = by_reason.get(None)
        counts = AttributeCounts.of_rows(
            self.files.path,
            {reason: row["rows"] for reason, row in by_reason.items()},
            {reason: row["example"] for reason, row in by_reason.items() if reason is not None},
            distinct=usable["ids"] if usable else 0,
            matched=usable["matched"] if usable else 0,
            ids=ids,
        )
        self.files.check(counts, max_bad_share)
        if not counts.matched:
            there, known = table.where(F.col(OWNER).isNotNull()), known.where(TRAINED)
            counts.check_matched(self.files.attributes.id, _first_ids(there), _first_ids(known))
        matched = table.where(F.col(TRAINED).isNotNull()).select(OWNER, TRAINED, READS)
        return SideAttributes(matched, counts, _values(usable, readings, counts.ids, matched.where(TRAINED)))


@dataclass(frozen=True)
class SideAttributes:
    """One side's attributes: ``OWNER`` (the id), ``TRAINED`` and ``READS``; and counts."""

    rows: DataFrame
    counts: AttributeCounts
    values: Mapping[str, FeatureValues]


def count_values(
    frame: DataFrame, readings: Iterable[Reading], times: Column, owners: int
) -> dict[str, FeatureValues]:
    """Count the texts of features that can be used, each of which occurs so many times, by feature."""
    readings = list(readings)
    row = frame.agg(*_counted(readings, times)).head()
    return _values(row, readings, owners, frame)


def _counted(readings: list[Reading], times: Column) -> list[Column]:
    """Return sums of how many texts are there, and of how many can't be used, by feature."""
    columns = []
    for at in range(len(readings)):
        read = F.col(READS)[at]
        for kind, chosen in (("present", read["present"]), ("unusable", read["unusable"].isNotNull())):
            columns.append(F.sum(F.when(chosen, times)).alias(f"{kind} {at}"))
    return columns


def _values(
    row: Row | None, readings: list[Reading], owners: int, frame: DataFrame
) -> dict[str, FeatureValues]:
    """Take features' counts, as ``_counted`` names them, and look up unusable texts if there are some."""
    values = {}
    for at, reading in enumerate(readings):
        found, unusable = ((row[f"{kind} {at}"] if row else 0) or 0 for kind in ("present", "unusable"))
        examples: tuple[str, ...] = ()
        if unusable:
            text = F.col(READS)[at]["unusable"].alias("text")
            shown = frame.select(text).where("text IS NOT NULL").distinct().sort("text")
            examples = tuple(example[0] for example in shown.take(EXAMPLES))
        values[reading.feature.name] = FeatureValues(found - unusable, unusable, owners - found, examples)
    return values


def _first_ids(frame: DataFrame) -> list[str]:
    return [row[0] for row in frame.select(OWNER).sort(OWNER).take(EXAMPLES)]
