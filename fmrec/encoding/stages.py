"""The stages of larger runs as Spark runs them, from chunks to stored parts, with a shuffle before each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset
from fmrec.encoding.attach_features import AttachFeatures
from fmrec.encoding.encode_ids import EncodeIds, encode_ids, pack_code_tables
from fmrec.encoding.feature_index import COUNT, NAME, NAMESPACE, SIDES, Keep, check_sides, write_index
from fmrec.encoding.features.attribute_counts import FeatureReport
from fmrec.encoding.features.attribute_files import OWNER, AttributeFiles
from fmrec.encoding.features.attributes import GroupedAttributes
from fmrec.encoding.features.reading import context_readings
from fmrec.encoding.features.side_features import SideFeatures, features_of_side, with_own_ids
from fmrec.encoding.features.side_table import SideTable, pack_lookup, seen_ids, write_side_table
from fmrec.encoding.index_task import IndexReport, IndexTask, collect_reports
from fmrec.encoding.ingest.read_interactions import Ingested
from fmrec.encoding.session_settings import PLAN_ONCE, session_settings
from fmrec.encoding.shuffle.buckets import Buckets, CountedByIndex, GroupCounts, Route, SideRoute
from fmrec.encoding.shuffle.messages import Kind
from fmrec.encoding.shuffle.spark_shuffle import make_messages, run_stage
from fmrec.encoding.shuffle_plan import Range, ShufflePlan
from fmrec.encoding.split_and_label import SplitAndLabel
from fmrec.encoding.stored_parts import TaskSummary, collect_summaries
from fmrec.encoding.task_input import task_rows
from fmrec.encoding.unknown_ids import POLICIES
from fmrec.encoding.write_records import RecordOrder, WriteRecords
from fmrec.storage.part_files import Output


@dataclass(frozen=True)
class Indexed:
    """What ids and names of side features stand for, and where rows go by that."""

    ranges: dict[str, Range]
    """Of all namespaces."""
    trained: dict[str, Range]
    """Of those users and items that have interactions."""
    by_user: Buckets
    order: RecordOrder
    code_tables: DataFrame
    """What stands for each chunk's texts, packed by chunk."""
    contexts: list[int] = field(default_factory=list)
    """The ordinals of the namespaces that texts of context are in."""
    side_features: Mapping[str, DataFrame] = field(default_factory=dict)
    """By described side what ``SideFeatures.rows`` returns."""
    report: FeatureReport = field(default_factory=FeatureReport)
    warnings: list[str] = field(default_factory=list)
    by_one_task: bool = False
    """Whether ``code_tables`` are at hand, and no query that joins."""


@dataclass(frozen=True)
class Stages:
    """One run's stages: ``index``, then ``encode``.

    Parameters
    ----------
    attributes : list of AttributeFiles
        Of the sides that features describe.
    index_uri : str
        The folder of the feature index.
    side_table_uris : mapping of str to str
        The folders of users' and items' features, by side.
    """

    spark: SparkSession
    dataset: Dataset
    attributes: list[AttributeFiles]
    read: Ingested
    index_uri: str
    side_table_uris: Mapping[str, str]
    keep: Keep

    def index(self) -> Indexed:
        """Give all ids and names of side features their feature ids.

        Raises
        ------
        InputError
            No user or no item is frequent enough, or side features can't be used.
        """
        read, partitions = self.read, self._partitions
        attributes = [GroupedAttributes.of(files, self.keep) for files in self.attributes]
        others = self._without_interactions(read.texts, attributes)
        ids = reduce(DataFrame.unionAll, others, self._frequent_ids(read.texts))
        with_interactions: dict[str, int] = {}
        if self.dataset.features:
            ids = self.keep(ids)
            found = ids.where(F.col(COUNT) > 0).groupBy(NAMESPACE).count().collect()
            with_interactions = dict.fromkeys(SIDES, 0) | {SIDES[at]: count for at, count in found}
        features = SideFeatures(
            self.spark,
            self.dataset,
            attributes,
            read.texts,
            ids,
            with_interactions,
            interactions=read.good_count,
            partitions=partitions,
            keep=self.keep,
        )
        namespaces = ["user", "item", *(feature.name for feature in self.dataset.features)]
        names = reduce(DataFrame.unionAll, features.names(), ids)
        ranges = write_index(names, namespaces, self.index_uri, partitions, self.keep)
        trained = {side: ranges[side] for side in SIDES}
        for side, count in with_interactions.items():
            trained[side] = (ranges[side][0], ranges[side][0] + count)
        check_sides(self.dataset, trained)
        plan = self._plan(ranges, CountedByIndex(self.spark, self.index_uri, ranges["user"]))
        code_tables = pack_code_tables(read.texts, features.of_texts(self.index_uri))
        return Indexed(
            ranges,
            trained,
            plan.by_user(),
            plan.record_order(),
            code_tables,
            features.contexts,
            {side: features.rows(side, self.index_uri) for side in SIDES if features.describes(side)},
            features.report,
            features.warnings,
        )

    def index_in_one_task(self, output: Output) -> tuple[Indexed, TaskSummary, IndexReport]:
        """Do the same by one task, which stores the index to ``output``; see ``fits_index_task``."""
        described = [files.described for files in self.attributes]
        contexts = context_readings(self.dataset)
        task = IndexTask(self.dataset, self.read.good_count, self._partitions, described, output)
        rows = task_rows(self.read, self.attributes, contexts, with_rows=False)
        messages = self.keep(make_messages(rows, task))
        for_driver = messages.where(F.col("kind").isin(int(Kind.INDEX), int(Kind.STORED_PART)))
        summary, report = collect_reports(for_driver)
        warnings = report.check(self.dataset, self.attributes)
        plan = self._plan(report.ranges, report.count_groups)
        indexed = Indexed(
            report.ranges,
            report.trained,
            plan.by_user(),
            plan.record_order(),
            messages.where(F.col("kind") == int(Kind.LOOKUP)),
            list(contexts),
            {side.side: features_of_side(messages, side.side) for side in described},
            report.features,
            warnings,
            by_one_task=True,
        )
        return indexed, summary, report

    def encode(
        self, indexed: Indexed, outputs: dict[str, Output]
    ) -> tuple[TaskSummary, dict[str, SideTable]]:
        """Store train, test, seen and heldout; return what tasks report, and the tables of side features."""
        unknown = POLICIES[self.dataset.unknown]
        by_user, order = indexed.by_user, indexed.order
        tables = {} if unknown.needs_seen_ids else self._write_side_tables(indexed, {})
        # Where rows pass by to be given side features, or to be judged by what train has seen.
        stops = [
            SideRoute(side, _buckets(side, indexed.ranges[side], by_user))
            for side in SIDES
            if unknown.needs_seen_ids or (side in tables and not tables[side].small)
        ]
        routes: list[Route] = [*stops, order]
        to_ids = EncodeIds(indexed.contexts, self.read.numbers, by_user)
        with_ids = encode_ids(self.read.chunks, indexed.code_tables, to_ids, self._partitions)
        split = SplitAndLabel.of(self.dataset, indexed.trained, outputs, routes[0], unknown.needs_seen_ids)
        rows = run_stage(by_user.shuffle(with_ids), split)
        seen: dict[str, DataFrame] = {}
        if unknown.needs_seen_ids:
            labelled = self.keep(rows)
            rows = labelled.where(F.col("kind") != int(Kind.SEEN_IDS))
            seen = {side: self.keep(seen_ids(labelled, side)) for side in SIDES}
            tables = self._write_side_tables(indexed, seen if unknown.leaves_out_ids else {})
        for stop, route in zip(stops, routes[1:], strict=True):
            side = stop.side
            ids, table = indexed.ranges[side], tables.get(side)
            lookup = pack_lookup(self.spark, stop.buckets, ids, table, seen.get(side))
            stage = AttachFeatures(side, unknown, route)
            rows = run_stage(stop.buckets.shuffle(rows.unionAll(lookup)), stage)
        attached = {stop.side for stop in stops}
        read_whole = [table for side, table in tables.items() if side not in attached]
        records = {name: outputs[name] for name in ("train", "test")}
        write = WriteRecords(order, records, read_whole, _feature_dim(indexed))
        written = run_stage(order.shuffle(rows), write)
        with session_settings(self.spark, {} if stops or not indexed.by_one_task else PLAN_ONCE):
            return collect_summaries(written), tables

    @property
    def _partitions(self) -> int:
        return ShufflePlan.partitions_of(self.read.rows)

    def _plan(self, ranges: dict[str, Range], counts: GroupCounts) -> ShufflePlan:
        return ShufflePlan(self.dataset, self.read.good_count, self._partitions, ranges["user"], counts)

    def _without_interactions(self, texts: DataFrame, attributes: list[GroupedAttributes]) -> list[DataFrame]:
        """Ids of users and items that only their attributes name."""
        frames = []
        for grouped in attributes:
            if not grouped.files.attributes.without_interactions:
                continue
            at = SIDES.index(grouped.files.side)
            met = texts.where(F.col(NAMESPACE) == at).select(F.col(NAME).alias(OWNER))
            ids = grouped.described_ids(self.dataset.quarantine.max_id_length)
            others = ids.join(met, OWNER, "left_anti")
            frames.append(
                others.select(
                    F.lit(at).alias(NAMESPACE), F.col(OWNER).alias(NAME), F.lit(0).cast("bigint").alias(COUNT)
                )
            )
        return frames

    def _frequent_ids(self, texts: DataFrame) -> DataFrame:
        """Return every id that occurs often enough, with how often."""
        minimum = self.dataset.minimum_interactions
        ids = texts.where(F.col(NAMESPACE).between(0, len(SIDES) - 1))
        counted = ids.groupBy(NAMESPACE, NAME).agg(F.sum(COUNT).alias(COUNT))
        needed = F.when(F.col(NAMESPACE) == 0, minimum.user).otherwise(minimum.item)
        return counted.where(F.col(COUNT) >= needed)

    def _write_side_tables(self, indexed: Indexed, seen: dict[str, DataFrame]) -> dict[str, SideTable]:
        """Write the side features of users and items, without the own ids that are not seen, if ``seen``."""
        return {
            side: write_side_table(
                with_own_ids(rows, indexed.trained[side][1], seen.get(side)),
                side,
                self.side_table_uris[side],
                indexed.ranges[side],
                _feature_dim(indexed),
            )
            for side, rows in indexed.side_features.items()
        }


def _buckets(side: str, ids: Range, by_user: Buckets) -> Buckets:
    if side == "user":
        return by_user
    return Buckets.even(ids, by_user.count, by_user.partitions)


def _feature_dim(indexed: Indexed) -> int:
    return max(end for _, end in indexed.ranges.values())
