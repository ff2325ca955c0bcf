"""A run's side features: their names for the index, and their feature ids for users, items and rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset, Feature
from fmrec.encoding.feature_index import COUNT, NAME, NAMESPACE, SIDES, Keep, read_index
from fmrec.encoding.features.attributes import (
    TRAINED,
    AttributeCounts,
    FeatureValues,
    check_features,
    count_values,
    read_attributes,
    warn_of_rows,
)
from fmrec.encoding.features.kinds import (
    OWNER,
    Measured,
    Reading,
    all_entries,
    measure,
    names_of,
    to_feature_ids,
)
from fmrec.encoding.ingest.read_interactions import Context
from fmrec.encoding.ingest.source_rows import resolve

FIRST_ORDINAL = 2
"""Ordinal of the first side feature's namespace, after users and items."""


def context_of(dataset: Dataset) -> Context:
    """Return what ingestion keeps of the interactions for features of their context."""
    fields: dict[str, str] = {}
    texts: dict[int, Column] = {}
    names: dict[int, str] = {}
    for at, feature in enumerate(dataset.features):
        if feature.of != "interaction":
            continue
        ordinal, name = at + FIRST_ORDINAL, _context(at)
        if feature.kind == "date-part":
            texts[ordinal] = Measured(Reading(feature)).token(F.col("timestamp"))
        else:
            fields[name] = feature.column
            text = F.trim(F.col(name))
            texts[ordinal] = F.when(text != "", text)
        names[ordinal] = name
    return Context(fields, texts, names)


@dataclass(frozen=True)
class _Owned:
    """Entries by what owns them, a user, an item, or a text of context: ``OWNER`` and ``ENTRIES``."""

    features: dict[int, Feature]
    """By the ordinals of their namespaces."""
    frame: DataFrame


class SideFeatures:
    """All side features of a run.

    Parameters
    ----------
    texts : DataFrame
        The interactions' texts as ``chunks.distinct_texts`` returns them, with those of
        ``context_texts`` among them.
    ids : DataFrame
        ``NAMESPACE`` (0 users, 1 items) and ``NAME`` of all ids that are indexed.
    interactions : int
        How many there are.

    Raises
    ------
    InputError
        A feature has nothing to write, attributes belong to no id, or too many of their rows are bad.
    """

    def __init__(
        self,
        spark: SparkSession,
        dataset: Dataset,
        raw_uri: str,
        texts: DataFrame,
        ids: DataFrame,
        *,
        interactions: int,
        partitions: int,
        keep: Keep,
    ) -> None:
        self._spark = spark
        self._sides: dict[str, _Owned] = {}
        self._contexts: list[_Owned] = []
        self._attributes: dict[str, AttributeCounts] = {}
        self._values: dict[str, tuple[Reading, FeatureValues]] = {}
        numbered = list(enumerate(dataset.features, start=FIRST_ORDINAL))
        for side, attributes in (("user", dataset.users), ("item", dataset.items)):
            features = {ordinal: feature for ordinal, feature in numbered if feature.of == side}
            if attributes is None or not features:
                continue
            path = resolve(raw_uri, attributes.source.path)
            known = ids.where(F.col(NAMESPACE) == SIDES.index(side)).select(
                F.col(NAME).alias(OWNER), (F.col(COUNT) > 0).alias(TRAINED)
            )
            readings = {
                ordinal: Reading.of(feature, attributes.source) for ordinal, feature in features.items()
            }
            found = read_attributes(
                spark,
                attributes,
                path,
                list(readings.values()),
                known,
                section=f"{side}s",
                max_bad_share=dataset.quarantine.max_share,
                keep=keep,
            )
            self._attributes[side] = found.counts
            entries = {}
            trained = found.rows.where(TRAINED)
            for ordinal, reading in readings.items():
                name = reading.feature.name
                self._values[name] = reading, found.values[name]
                text = F.col(f"`{name}`")
                measured = measure(trained, reading, text, F.lit(1), partitions, keep)
                entries[ordinal] = measured.entries(measured.token(text))
            self._sides[side] = _Owned(features, found.rows.select(OWNER, TRAINED, all_entries(entries)))
        for ordinal, feature in numbered:
            if feature.of == "interaction":
                reading = Reading.of(feature, dataset.interactions.source)
                counted = texts.where(F.col(NAMESPACE) == ordinal).groupBy(F.col(NAME).alias(OWNER))
                frame = counted.agg(F.sum(COUNT).alias("_times"))
                if feature.kind != "date-part":  # which come from times that were checked
                    values = count_values(frame, F.col(OWNER), reading, F.col("_times"), interactions)
                    self._values[feature.name] = reading, values
                self._contexts.append(_contexts(frame, ordinal, reading, partitions, keep))
        self.warnings = [
            *check_features(self._values),
            *[warning for side, counts in self._attributes.items() for warning in warn_of_rows(side, counts)],
        ]

    def counts(self) -> dict[str, Any]:
        """Return what was read of attributes, and each feature's usable values, for the manifest."""
        return {
            "attributes": {side: counts.to_document() for side, counts in self._attributes.items()},
            "feature_values": {name: values.to_document() for name, (_, values) in self._values.items()},
        }

    def names(self) -> list[DataFrame]:
        """Return each namespace's names for the index: what training learns something of."""
        sides = [owned.frame.where(TRAINED) for owned in self._sides.values()]
        return [names_of(frame) for frame in (*sides, *(owned.frame for owned in self._contexts))]

    def describes(self, side: str) -> bool:
        return side in self._sides

    def rows(self, side: str, index_uri: str, trained_end: int, seen: DataFrame | None = None) -> DataFrame:
        """Return all features of a described side: ``column``, ``columns`` and ``values``, the own id first.

        Parameters
        ----------
        trained_end : int
            From this feature id on the side's own ids have no interactions, and are left out.
        seen : DataFrame or None
            ``column``, all ids that train has seen: the others' own ids, which no training row has, are
            left out. None to leave out none.
        """
        index = read_index(self._spark, index_uri, {side: SIDES.index(side)})
        whole = index.select(F.col(NAME).alias(OWNER), "column")
        trained = F.col("column") < trained_end
        own = F.when(trained, F.array("column")), F.when(trained, F.array(F.lit(1.0).cast("float")))
        if seen is not None:
            whole = whole.join(seen.withColumn("_known", F.lit(True)), "column", "left")
            own = F.when(F.col("_known"), own[0]), F.when(F.col("_known"), own[1])
        whole = whole.join(self._looked_up(self._sides[side], index_uri), OWNER, "left")
        none = F.array().cast("array<bigint>"), F.array().cast("array<float>")
        columns, values = (
            F.concat(F.coalesce(first, nothing), F.coalesce(extra, nothing))
            for first, extra, nothing in zip(own, ("extra_columns", "extra_values"), none, strict=True)
        )
        return whole.select("column", columns.alias("columns"), values.alias("values"))

    @property
    def contexts(self) -> list[int]:
        """The ordinals of the namespaces that texts of context are in."""
        return [ordinal for owned in self._contexts for ordinal in owned.features]

    def of_texts(self, index_uri: str) -> DataFrame:
        """Return what stands for each id and text of context: what ``pack_code_tables`` takes."""
        ids = read_index(self._spark, index_uri, {side: ordinal for ordinal, side in enumerate(SIDES)})
        frames = [
            ids.select(
                NAMESPACE,
                NAME,
                F.array("column").alias("columns"),
                F.array(F.lit(1.0).cast("float")).alias("values"),
            )
        ]
        for owned in self._contexts:
            (ordinal,) = owned.features
            found = self._looked_up(owned, index_uri)
            frames.append(
                found.select(F.lit(ordinal).alias(NAMESPACE), OWNER, "extra_columns", "extra_values")
            )
        return reduce(DataFrame.unionAll, frames)

    def _looked_up(self, owned: _Owned, index_uri: str) -> DataFrame:
        ordinals = {feature.name: ordinal for ordinal, feature in owned.features.items()}
        return to_feature_ids(owned.frame, read_index(self._spark, index_uri, ordinals))


def _context(at: int) -> str:
    return f"context_{at}"


def _contexts(frame: DataFrame, ordinal: int, reading: Reading, partitions: int, keep: Keep) -> _Owned:
    """Return each different text of a context feature once, with its entries and how often it occurs."""
    text = F.col(OWNER)
    if reading.feature.kind == "date-part":  # whose text is a token already
        measured, token = Measured(reading), text
    else:
        measured = measure(frame, reading, text, F.col("_times"), partitions, keep)
        token = measured.token(text)
    entries = all_entries({ordinal: measured.entries(token)})
    return _Owned({ordinal: reading.feature}, frame.select(OWNER, entries, "_times"))
