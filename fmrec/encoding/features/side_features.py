"""A run's side features: their names for the index, and their feature ids for users, items and rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset
from fmrec.encoding.feature_index import COUNT, NAME, NAMESPACE, SIDES, Keep, read_index
from fmrec.encoding.features.attribute_counts import AttributeCounts, FeatureReport, FeatureValues
from fmrec.encoding.features.attribute_files import OWNER, READS
from fmrec.encoding.features.attributes import TRAINED, GroupedAttributes, count_values
from fmrec.encoding.features.kinds import Measured, placed_entries
from fmrec.encoding.features.measuring import measure
from fmrec.encoding.features.reading import Reading, context_readings, features_of
from fmrec.encoding.ingest.read_interactions import Context
from fmrec.encoding.python_tasks import map_in_arrow
from fmrec.encoding.row_types import FeatureLookup
from fmrec.encoding.shuffle.messages import Kind, from_arrow

EXTRA_COLUMNS, EXTRA_VALUES = "extra_columns", "extra_values"
"""Feature ids and values of an id's features, in the order of feature ids."""
ENTRIES = "_entries"
_TIMES = "_times"
_ENTRIES_TYPE = f"array<struct<{NAMESPACE}: int, name: string, weight: float>>"


def context_of(dataset: Dataset) -> Context:
    """Return what ingestion keeps of the interactions for features of their context."""
    fields: dict[str, str] = {}
    texts: dict[int, Column] = {}
    names: dict[int, str] = {}
    for ordinal, feature in features_of(dataset, "interaction").items():
        name = f"context_{ordinal}"
        if feature.kind == "date-part":
            texts[ordinal] = Reading(feature).date_part(F.col("timestamp"))
        else:
            fields[name] = feature.column
            text = F.trim(F.col(name))
            texts[ordinal] = F.when(text != "", text)
        names[ordinal] = name
    return Context(fields, texts, names)


@dataclass(frozen=True)
class _Owned:
    """Entries by what owns them, a user, an item, or a text of context: ``OWNER`` and ``ENTRIES``."""

    features: Mapping[int, Reading]
    """By the ordinals of their namespaces."""
    frame: DataFrame


class SideFeatures:
    """All side features of a run.

    Parameters
    ----------
    attributes : list of GroupedAttributes
    texts : DataFrame
        The interactions' texts as ``chunks.distinct_texts`` returns them, with those of
        ``context_texts`` among them.
    ids : DataFrame
        ``NAMESPACE`` (0 users, 1 items), ``NAME`` and ``COUNT`` of all ids that are indexed.
    trained : mapping of str to int
        How many of them have interactions, by side.
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
        attributes: list[GroupedAttributes],
        texts: DataFrame,
        ids: DataFrame,
        trained: Mapping[str, int],
        *,
        interactions: int,
        partitions: int,
        keep: Keep,
    ) -> None:
        self._spark = spark
        self._sides: dict[str, _Owned] = {}
        self._contexts: list[_Owned] = []
        counts: dict[str, AttributeCounts] = {}
        values: dict[str, FeatureValues] = {}
        readings: list[Reading] = []
        for grouped in attributes:
            side, of_side = grouped.files.side, grouped.files.readings
            known = ids.where(F.col(NAMESPACE) == SIDES.index(side)).select(
                F.col(NAME).alias(OWNER), (F.col(COUNT) > 0).alias(TRAINED)
            )
            found = grouped.of_ids(known, trained[side], dataset.quarantine.max_share, keep)
            counts[side] = found.counts
            values |= found.values
            readings += of_side.values()
            measured = measure(found.rows.where(TRAINED), of_side, F.lit(1), partitions, keep)
            self._sides[side] = _Owned(of_side, keep(_entries(found.rows, measured)))
        for ordinal, reading in context_readings(dataset).items():
            readings.append(reading)
            counted = texts.where(F.col(NAMESPACE) == ordinal).groupBy(F.col(NAME).alias(OWNER))
            frame = counted.agg(F.sum(COUNT).alias(_TIMES))
            frame = keep(frame.select(OWNER, F.array(reading.read(F.col(OWNER))).alias(READS), _TIMES))
            if reading.is_checked:
                values |= count_values(frame, [reading], F.col(_TIMES), interactions)
            measured = measure(frame, {ordinal: reading}, F.col(_TIMES), partitions, keep)
            self._contexts.append(_Owned({ordinal: reading}, keep(_entries(frame, measured))))
        self.report = FeatureReport(counts, values)
        self.warnings = self.report.warnings(readings)

    def names(self) -> list[DataFrame]:
        """Return each namespace's names for the index: what training learns something of."""
        sides = [owned.frame.where(TRAINED) for owned in self._sides.values()]
        return [_names(frame) for frame in (*sides, *(owned.frame for owned in self._contexts))]

    def describes(self, side: str) -> bool:
        return side in self._sides

    def rows(self, side: str, index_uri: str) -> DataFrame:
        """Return features of all ids of a described side: ``column``, ``EXTRA_COLUMNS``, ``EXTRA_VALUES``."""
        index = read_index(self._spark, index_uri, {side: SIDES.index(side)})
        whole = index.select(F.col(NAME).alias(OWNER), "column")
        found = whole.join(self._looked_up(self._sides[side], index_uri), OWNER, "left")
        return found.select("column", EXTRA_COLUMNS, EXTRA_VALUES)

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
            frames.append(found.select(F.lit(ordinal).alias(NAMESPACE), OWNER, EXTRA_COLUMNS, EXTRA_VALUES))
        return reduce(DataFrame.unionAll, frames)

    def _looked_up(self, owned: _Owned, index_uri: str) -> DataFrame:
        ordinals = {reading.feature.name: ordinal for ordinal, reading in owned.features.items()}
        return _to_feature_ids(owned.frame, read_index(self._spark, index_uri, ordinals))


def with_own_ids(rows: DataFrame, trained_end: int, seen: DataFrame | None = None) -> DataFrame:
    """Return ``column``, ``columns`` and ``values`` of ``SideFeatures.rows``, the own id first.

    Parameters
    ----------
    trained_end : int
        From this feature id on the side's own ids have no interactions, and are left out.
    seen : DataFrame or None
        ``column``, all ids that train has seen: the others' own ids, which no training row has, are
        left out. None to leave out none.
    """
    trained = F.col("column") < trained_end
    own = F.when(trained, F.array("column")), F.when(trained, F.array(F.lit(1.0).cast("float")))
    if seen is not None:
        rows = rows.join(seen.withColumn("_known", F.lit(True)), "column", "left")
        own = F.when(F.col("_known"), own[0]), F.when(F.col("_known"), own[1])
    none = F.array().cast("array<bigint>"), F.array().cast("array<float>")
    columns, values = (
        F.concat(F.coalesce(first, nothing), F.coalesce(extra, nothing))
        for first, extra, nothing in zip(own, (EXTRA_COLUMNS, EXTRA_VALUES), none, strict=True)
    )
    return rows.select("column", columns.alias("columns"), values.alias("values"))


def features_of_side(messages: DataFrame, side: str) -> DataFrame:
    """Return ``SideFeatures.rows`` of those that ``index_task`` packed."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for message in from_arrow(batches):
            found = FeatureLookup.from_bytes(message.payload)
            columns, values = found.features.to_arrow()
            arrays = {"column": found.feature_id, EXTRA_COLUMNS: columns, EXTRA_VALUES: values}
            yield pa.RecordBatch.from_pydict(arrays)

    mine = (F.col("kind") == int(Kind.SIDE_FEATURES)) & (F.col("bucket") == SIDES.index(side))
    schema = f"column bigint, {EXTRA_COLUMNS} array<bigint>, {EXTRA_VALUES} array<float>"
    return map_in_arrow(messages.where(mine), run, schema)


def _entries(frame: DataFrame, measured: Mapping[int, Measured]) -> DataFrame:
    """Return ``ENTRIES`` in place of ``READS``, the first column but one."""
    others = [name for name in frame.columns if name not in (OWNER, READS)]

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            entries = placed_entries(batch.column(READS), measured.items())
            arrays = {OWNER: batch.column(OWNER), ENTRIES: entries}
            yield pa.RecordBatch.from_pydict(arrays | {name: batch.column(name) for name in others})

    kinds = [f"{name} {frame.schema[name].dataType.simpleString()}" for name in others]
    schema = ", ".join((f"{OWNER} string", f"{ENTRIES} {_ENTRIES_TYPE}", *kinds))
    return map_in_arrow(frame.select(OWNER, READS, *others), run, schema)


def _names(owned: DataFrame) -> DataFrame:
    """Return the names that occur in ``ENTRIES``, each with how often."""
    times = F.col(_TIMES) if _TIMES in owned.columns else F.lit(1)
    return (
        owned.select(times.alias(_TIMES), F.inline(ENTRIES))
        .groupBy(NAMESPACE, NAME)
        .agg(F.sum(_TIMES).alias(COUNT))
    )


def _to_feature_ids(owned: DataFrame, index: DataFrame) -> DataFrame:
    """Replace names by feature ids: ``OWNER``, ``EXTRA_COLUMNS`` and ``EXTRA_VALUES``, sorted by id.

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
        F.col("_pairs.column").alias(EXTRA_COLUMNS),
        F.col("_pairs.weight").alias(EXTRA_VALUES),
    )
