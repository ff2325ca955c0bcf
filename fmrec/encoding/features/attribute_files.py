"""Attribute files: opened once per run, and read as rows of ids with what every feature's text says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Attributes, Dataset
from fmrec.encoding.features.attribute_counts import AttributeCounts
from fmrec.encoding.features.reading import EXAMPLE_LENGTH, Reading, features_of
from fmrec.encoding.ingest import advice
from fmrec.encoding.ingest.encodings import undecoded_reason
from fmrec.encoding.ingest.source_rows import (
    BROKEN,
    PATH,
    POSITION,
    RAW,
    SKIP,
    START,
    Opened,
    open_rows,
    resolve,
)

OWNER, READS = "_owner", "_reads"
REASON, EXAMPLE = "_reason", "_example"
PLACE = (PATH, START, POSITION)
"""What says which of two rows is the later one."""


@dataclass(frozen=True)
class DescribedSide:
    """Users or items of which attributes say something, and what.

    Parameters
    ----------
    path : str
        Where the attributes are.
    readings : mapping of int to Reading
        How the side's features are read, by the ordinals of their namespaces.
    """

    side: str
    attributes: Attributes
    path: str
    readings: Mapping[int, Reading]


@dataclass(frozen=True)
class AttributeFiles(DescribedSide):
    """The files that describe a side."""

    opened: Opened

    @property
    def described(self) -> DescribedSide:
        """What tasks may know of it."""
        return DescribedSide(self.side, self.attributes, self.path, self.readings)

    @property
    def rows(self) -> DataFrame:
        """``OWNER`` (the id), ``READS`` (of each feature what ``Reading.read`` returns), and ``PLACE``;
        of rows that can't be used ``REASON`` and ``EXAMPLE``, how they begin.
        """
        rows = self.opened.rows.where(~F.col(SKIP))
        no_id = F.when(F.coalesce(F.trim(OWNER), F.lit("")) == "", "missing id")
        reason = F.coalesce(BROKEN, no_id)
        reads = [reading.read(F.col(field_of(ordinal))) for ordinal, reading in self.readings.items()]
        return rows.select(
            F.when(reason.isNull(), F.col(OWNER)).alias(OWNER),
            F.array(*reads).alias(READS),
            *PLACE,
            reason.alias(REASON),
            F.when(reason.isNotNull(), F.left(RAW, F.lit(EXAMPLE_LENGTH))).alias(EXAMPLE),
        )

    def check(self, counts: AttributeCounts, max_bad_share: float) -> None:
        """Refuse attributes too many rows of which are bad.

        Raises
        ------
        InputError
            They are.
        """
        counts.check_bad(max_bad_share, lambda: self._advice(counts))

    def _advice(self, counts: AttributeCounts) -> str:
        """Return what to change in the document: another encoding, if that is why most bad rows are bad."""
        source = self.attributes.source
        reason = max(counts.bad, key=lambda reason: counts.bad[reason])
        if reason == undecoded_reason(source.encoding):
            return advice.on_bytes(self.opened.files, source, f"{self.side}s")
        return ": correct the rows, or how the document says they are written"


def open_attributes(spark: SparkSession, dataset: Dataset, raw_uri: str) -> list[AttributeFiles]:
    """Look at the attribute files of those sides that features describe.

    Raises
    ------
    InputError
        Nothing is there, or the files don't have the features' columns.
    """
    found = []
    for side, attributes in (("user", dataset.users), ("item", dataset.items)):
        features = features_of(dataset, side)
        if attributes is None or not features:
            continue
        path = resolve(raw_uri, attributes.source.path)
        readings = {ordinal: Reading.of(feature, attributes.source) for ordinal, feature in features.items()}
        fields = {OWNER: attributes.id} | {field_of(at): feature.column for at, feature in features.items()}
        opened = open_rows(spark, attributes.source, path, fields)
        found.append(AttributeFiles(side, attributes, path, readings, opened))
    return found


def field_of(ordinal: int) -> str:
    """Return what a feature's text is called while it is read: the feature's name may be any text."""
    return f"feature_{ordinal}"


def present(reads: Column) -> Column:
    """Say whether a row says something in one of its features' columns."""
    return F.exists(reads, lambda read: read["present"])
