"""Attribute files: what they say about users or items, and a count of whatever could not be used.

One pass groups usable rows by id and bad rows by reason, so that the counts cost no second look at the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Attributes, Source
from fmrec.encoding.feature_index import Keep
from fmrec.encoding.features.kinds import OWNER, Reading
from fmrec.encoding.ingest import advice
from fmrec.encoding.ingest.encodings import undecoded_reason
from fmrec.encoding.ingest.source_rows import BROKEN, PATH, POSITION, RAW, SKIP, START, open_rows
from fmrec.errors import InputError

EXAMPLES = 3
EXAMPLE_LENGTH = 200
FEW = 0.5
"""Share of the ids with attributes below which the run warns."""
TRAINED = "_trained"
"""Whether an id has interactions."""
_REASON, _MATCHED, _COUNT, _EXAMPLE = "_reason", "_matched", "_count", "_example"


@dataclass(frozen=True)
class FeatureValues:
    """How many texts of a feature could be used; ``missing`` counts owners without any."""

    usable: int
    unusable: int
    missing: int
    examples: tuple[str, ...] = ()
    """Some of the unusable texts."""

    def to_document(self) -> dict[str, Any]:
        found = {"usable": self.usable, "unusable": self.unusable, "missing": self.missing}
        return found | ({"examples": list(self.examples)} if self.examples else {})


@dataclass(frozen=True)
class AttributeCounts:
    """``read = bad + repeated + unmatched + matched``: rows of attribute files.

    ``repeated`` rows have the id of a later row, ``unmatched`` ids that no interaction has. ``ids`` are the
    users or items that are indexed.
    """

    path: str
    read: int
    repeated: int
    unmatched: int
    matched: int
    ids: int
    bad: Mapping[str, int] = field(default_factory=dict)
    bad_examples: Mapping[str, str] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        counts = {key: getattr(self, key) for key in ("read", "repeated", "unmatched", "matched", "ids")}
        return {"path": self.path} | counts | {"bad": self.bad, "bad_examples": self.bad_examples}


@dataclass(frozen=True)
class SideAttributes:
    """One side's attributes: ``OWNER`` (the id), ``TRAINED``, a column of text per feature, by its name; and
    counts.
    """

    rows: DataFrame
    counts: AttributeCounts
    values: Mapping[str, FeatureValues]


def read_attributes(
    spark: SparkSession,
    attributes: Attributes,
    path: str,
    readings: list[Reading],
    known: DataFrame,
    *,
    section: str,
    max_bad_share: float,
    keep: Keep,
) -> SideAttributes:
    """Read users' or items' attributes. Of several rows with one id the last counts.

    Parameters
    ----------
    known : DataFrame
        ``OWNER``, all ids that are indexed, and ``TRAINED``.
    section : str
        Of the document, which describes the files: ``users`` or ``items``.

    Raises
    ------
    InputError
        Too many rows are bad, or no row has an id that interactions have.
    """
    names = [reading.feature.name for reading in readings]
    fields = {OWNER: attributes.id} | {reading.feature.name: reading.feature.column for reading in readings}
    opened = open_rows(spark, attributes.source, path, fields)
    rows = opened.rows.where(~F.col(SKIP))
    no_id = F.when(F.coalesce(F.trim(OWNER), F.lit("")) == "", "missing id")
    rows = rows.withColumn(_REASON, F.coalesce(BROKEN, no_id))
    good, place = F.col(_REASON).isNull(), F.struct(PATH, START, POSITION)
    grouped = rows.groupBy(F.when(good, F.col(OWNER)).alias(OWNER), _REASON).agg(
        F.max_by(F.struct(*[F.col(f"`{name}`") for name in names]), place).alias("_last"),
        F.min_by(F.when(~good, F.left(RAW, F.lit(EXAMPLE_LENGTH))), place).alias(_EXAMPLE),
        F.count("*").alias(_COUNT),
    )
    # Counted are those that interactions have, whoever else is indexed.
    table = keep(grouped.join(known.withColumn(_MATCHED, F.when(F.col(TRAINED), True)), OWNER, "left"))
    matched = table.where(F.col(TRAINED).isNotNull()).select(OWNER, TRAINED, "_last.*")
    found = table.groupBy(_REASON).agg(
        F.sum(_COUNT).alias("rows"),
        F.count(OWNER).alias("ids"),
        F.count(_MATCHED).alias("matched"),
        F.first(_EXAMPLE).alias("example"),
        *_counted({name: F.col(f"_last.`{name}`") for name in names}, readings, F.col(_MATCHED)),
    )
    by_reason = {row[_REASON]: row for row in found.collect()}
    usable: Row | None = by_reason.pop(None, None)
    trained = known.where(TRAINED)
    ids = trained.count()
    counts = AttributeCounts(
        path,
        read=sum(row["rows"] for row in by_reason.values()) + (usable["rows"] if usable else 0),
        repeated=usable["rows"] - usable["ids"] if usable else 0,
        unmatched=usable["ids"] - usable["matched"] if usable else 0,
        matched=usable["matched"] if usable else 0,
        ids=ids,
        bad={reason: row["rows"] for reason, row in sorted(by_reason.items())},
        bad_examples={reason: row["example"] for reason, row in sorted(by_reason.items())},
    )
    _check_bad(counts, max_bad_share, lambda: _advice(counts, attributes.source, opened.files, section))
    if usable is None or not counts.matched:
        raise InputError(_no_match(counts, attributes, table, trained))
    values = {
        reading.feature.name: values_of(
            usable, reading, counts.ids, matched.where(TRAINED).select(F.col(f"`{reading.feature.name}`"))
        )
        for reading in readings
    }
    return SideAttributes(matched, counts, values)


def described_ids(
    spark: SparkSession, attributes: Attributes, path: str, columns: list[str], *, longest: int
) -> DataFrame:
    """Return the ids of which attributes say something in one of the columns, each once: ``OWNER``.

    Parameters
    ----------
    longest : int
        Ids with more characters are left out, as such interactions are.
    """
    fields = {OWNER: attributes.id} | {f"_{at}": column for at, column in enumerate(columns)}
    rows = open_rows(spark, attributes.source, path, fields).rows
    says = [F.coalesce(F.trim(f"_{at}"), F.lit("")) != "" for at in range(len(columns))]
    usable = ~F.col(SKIP) & F.col(BROKEN).isNull() & (F.trim(OWNER) != "") & (F.length(OWNER) <= longest)
    return rows.where(usable & reduce(or_, says)).select(OWNER).distinct()


def count_values(
    frame: DataFrame, text: Column, reading: Reading, times: Column, owners: int
) -> FeatureValues:
    """Count the texts of a feature that can be used, each of which occurs so many times."""
    row = frame.agg(*_counted({reading.feature.name: text}, [reading], F.lit(True), times)).head()
    return values_of(row, reading, owners, frame.select(text))


def values_of(row: Row | None, reading: Reading, owners: int, texts: DataFrame) -> FeatureValues:
    """Take a feature's counts, as ``_counted`` names them, and look up unusable texts if there are some."""
    name = reading.feature.name
    present, usable = ((row[f"{kind} {name}"] if row else 0) or 0 for kind in ("present", "usable"))
    examples: tuple[str, ...] = ()
    if present > usable:
        text = F.col(f"`{texts.columns[0]}`")
        bad = texts.where(~reading.usable(text) & (F.trim(text) != ""))
        shown = bad.select(F.left(text, F.lit(EXAMPLE_LENGTH)).alias("text")).distinct().sort("text")
        examples = tuple(row[0] for row in shown.take(EXAMPLES))
    return FeatureValues(usable, present - usable, owners - present, examples)


def check_features(values: Mapping[str, tuple[Reading, FeatureValues]]) -> list[str]:
    """Return warnings about features of which some values can't be used.

    Raises
    ------
    InputError
        A feature has no usable value.
    """
    warnings = []
    for name, (reading, found) in values.items():
        feature = reading.feature
        examples = ", ".join(map(repr, found.examples))
        if not found.usable:
            owners = {"user": "users", "item": "items"}.get(feature.of, "interactions")
            reason = (
                f"none of the {found.unusable} values of {feature.column!r} is {reading.expected} "
                f"(there are {examples})"
                if found.unusable
                else f"{feature.column!r} is empty for all of the {found.missing} {owners}"
            )
            raise InputError(
                f"the feature {name!r} (kind {feature.kind}) has nothing to write: {reason}; "
                "correct the feature's settings or its values, or leave it out of features"
            )
        if found.unusable:
            total = found.usable + found.unusable
            warnings.append(
                f"{found.unusable} of {total} values of the feature {name!r} are not {reading.expected} "
                f"and write nothing, e.g. {examples}"
            )
    return warnings


def warn_of_rows(side: str, counts: AttributeCounts) -> list[str]:
    """Return warnings about attribute rows."""
    warnings = []
    if counts.bad:
        bad = "; ".join(
            f"{count} {reason}, e.g. {counts.bad_examples[reason]!r}" for reason, count in counts.bad.items()
        )
        warnings.append(
            f"{sum(counts.bad.values())} of {counts.read} rows of {counts.path} can't be used: {bad}"
        )
    if counts.matched < FEW * counts.ids:
        warnings.append(
            f"{counts.path} has attributes of {counts.matched} of the {counts.ids} {side}s only; "
            f"{counts.unmatched} of its ids occur in no interaction"
        )
    return warnings


def _counted(
    texts: Mapping[str, Column], readings: Iterable[Reading], counts: Column, times: Column | None = None
) -> list[Column]:
    """Return sums of how many texts are there, and of how many can be used, by feature."""
    weight = F.lit(1) if times is None else times
    columns = []
    for reading in readings:
        text = texts[reading.feature.name]
        present = counts & (F.trim(text) != "")
        for kind, chosen in (("present", present), ("usable", present & reading.usable(text))):
            columns.append(F.sum(F.when(chosen, weight)).alias(f"{kind} {reading.feature.name}"))
    return columns


def _advice(counts: AttributeCounts, source: Source, files: list[str], section: str) -> str:
    """Return what to change in the document: another encoding, if that is why most bad rows are bad."""
    reason = max(counts.bad, key=lambda reason: counts.bad[reason])
    if reason == undecoded_reason(source.encoding):
        return advice.on_bytes(files, source, section)
    return ": correct the rows, or how the document says they are written"


def _check_bad(counts: AttributeCounts, limit: float, advise: Callable[[], str]) -> None:
    bad = sum(counts.bad.values())
    if bad <= limit * counts.read:
        return
    reasons = ", ".join(
        f"{count} {reason}, e.g. {counts.bad_examples[reason]!r}" for reason, count in counts.bad.items()
    )
    raise InputError(
        f"{bad} of {counts.read} rows of {counts.path} are bad ({bad / counts.read:.2%}: {reasons}), more than "
        f"quarantine.max_share allows ({limit:.2%}){advise()}"
    )


def _no_match(counts: AttributeCounts, attributes: Attributes, table: DataFrame, known: DataFrame) -> str:
    if not counts.read:
        return f"{counts.path} holds no rows: expected attributes"

    def some(frame: DataFrame) -> str:
        return ", ".join(repr(row[0]) for row in frame.select(OWNER).sort(OWNER).take(EXAMPLES))

    there = some(table.where(F.col(OWNER).isNotNull()))
    return (
        f"none of the {counts.unmatched} ids in {attributes.id!r} of {counts.path} occurs in the interactions: "
        f"there are {there}, the interactions have {some(known)}; ids are compared letter by letter, so that "
        "blanks and leading zeros count"
    )
