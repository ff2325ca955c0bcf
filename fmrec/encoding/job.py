"""The encoding job: raw interactions to recordIO-protobuf parts, a feature index and a manifest.

Ingest → index → encode ids → split and label → attach features → shuffle → write → commit. Files are parsed
once; from then on only packed rows of numbers move, and distinct ids. Shuffles stand between the stages only.
Tasks store the parts themselves, and the driver makes them appear when all counts add up. The driver holds
counts by file, piece, partition, bucket and reason, never rows, users or items.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial, reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.artifacts.layout import MANIFEST
from fmrec.artifacts.manifest import Dropped, Manifest
from fmrec.dataset import Attributes, Dataset, ImplicitLabel
from fmrec.deployment.shape_rule import full_weight_picks, sampling
from fmrec.encoding.attach_features import AttachFeatures
from fmrec.encoding.encode_ids import EncodeIds, encode_ids, pack_code_tables
from fmrec.encoding.facts_for_messages import DataFacts, count_events, most_interactions
from fmrec.encoding.feature_index import COUNT, NAME, NAMESPACE, SIDES, Keep, write_index
from fmrec.encoding.features.attributes import described_ids
from fmrec.encoding.features.kinds import OWNER
from fmrec.encoding.features.side_features import SideFeatures, context_of
from fmrec.encoding.features.side_table import SideTable, pack_lookup, seen_ids, write_side_table
from fmrec.encoding.ingest.read_interactions import Ingested, ingest
from fmrec.encoding.ingest.source_rows import resolve
from fmrec.encoding.ingest.spark_errors import READING_SETTINGS, to_input_error
from fmrec.encoding.one_task import INDEX, encode_in_one_task, fits_one_task
from fmrec.encoding.run_manifest import manifest_of, outcome_of
from fmrec.encoding.run_outputs import RunOutputs
from fmrec.encoding.shuffle.buckets import Buckets, CountedByIndex, Route, SideRoute
from fmrec.encoding.shuffle.messages import Kind
from fmrec.encoding.shuffle.spark_shuffle import run_stage
from fmrec.encoding.shuffle_plan import Range, ShufflePlan
from fmrec.encoding.split_and_label import SplitAndLabel
from fmrec.encoding.stored_parts import TaskSummary, collect_summaries, store_no_pairs
from fmrec.encoding.training_check import check_training
from fmrec.encoding.unknown_ids import POLICIES
from fmrec.encoding.write_records import WriteRecords
from fmrec.errors import FmrecError, InputError
from fmrec.events.erasure import read_erasures
from fmrec.storage import object_store
from fmrec.storage.part_files import SUFFIX, Output, WrittenPart

PARQUET = ".parquet"
OUTPUTS = {"seen": PARQUET, "heldout": PARQUET, "train": SUFFIX, "test": SUFFIX}
"""What tasks store, in folders of these names, and how the parts' names end."""
NO_FEATURES: dict[str, Any] = {"attributes": {}, "feature_values": {}}
"""What ``SideFeatures.counts`` says where there are none."""
PIECES_PER_CORE = 4
Progress = Callable[[str, int | None], None]
"""Called with each step that begins, and the number of rows that it works on, once known."""
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # Compressing cached columns costs more time than reading their bytes back from disk.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # Packed rows are large, so batches are bounded by bytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(4 << 20),
    **READING_SETTINGS,
}


def encode(
    spark: SparkSession,
    dataset: Dataset,
    raw_uri: str,
    output_uri: str,
    run: str,
    *,
    progress: Progress | None = None,
) -> Manifest:
    """Encode a data set.

    Parameters
    ----------
    raw_uri : str
        What relative paths in the data set are relative to: a folder or an S3 prefix.
    output_uri : str
        Folder or S3 prefix to write to, laid out as in docs/contracts.md. What an earlier run
        wrote there is replaced.
    run : str
        Name of the run, for the manifest.

    Returns
    -------
    Manifest
        As written to ``manifest.json``, last.

    Raises
    ------
    InputError
        The data can't be used: nothing there, a field missing, too many bad rows, nothing to learn from.
    FormatError
        The counts don't add up.
    """
    with _settings(spark), contextlib.ExitStack() as caches:

        def keep(frame: DataFrame) -> DataFrame:
            kept = frame.persist(StorageLevel.DISK_ONLY)
            caches.callback(kept.unpersist)
            return kept

        tell = progress or (lambda step, rows: None)
        try:
            return _Job(spark, dataset, raw_uri, output_uri, keep, tell).run(run)
        except Exception as error:
            found = None if isinstance(error, FmrecError) else to_input_error(error)
            if found is None:
                raise
            raise found from error


@contextlib.contextmanager
def _settings(spark: SparkSession) -> Iterator[None]:
    """What the job relies on, whatever the session was started with; put back afterwards."""
    # Files are cut finely enough that no core is left waiting for the last piece.
    pieces = PIECES_PER_CORE * spark.sparkContext.defaultParallelism
    settings = SETTINGS | {"spark.sql.files.minPartitionNum": str(pieces)}
    before = {key: spark.conf.get(key, None) for key in settings}
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, earlier in before.items():
            if earlier is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, earlier)


@dataclass
class _Job:
    """One run."""

    spark: SparkSession
    dataset: Dataset
    raw_uri: str
    output_uri: str
    keep: Keep
    tell: Progress
    started: float = field(default_factory=time.monotonic)

    def run(self, run: str) -> Manifest:
        object_store.delete(self._output(MANIFEST))  # its presence means "complete"
        self.tell("reading", None)
        quarantine_uri, context = self._output("quarantine/"), context_of(self.dataset)
        erasures = read_erasures(self.raw_uri, self.dataset.name)
        read = ingest(
            self.spark, self.dataset, self.raw_uri, quarantine_uri, self.keep, context, erasures=erasures
        )
        self._choose_sampling(read.good_count)
        self.tell("indexing", read.rows)
        encode_rows = self._in_one_task if fits_one_task(self.dataset, read) else self._in_stages
        with contextlib.ExitStack() as uses_outputs:
            outputs, encoded = encode_rows(read, uses_outputs)
            summary, ranges = encoded.summary, encoded.ranges
            summary.tally.drop(Dropped.NOT_RATED, read.not_rated)
            summary.tally.drop(Dropped.ERASED, read.erased)
            details = self._checked(read, encoded)
            without = {side: ranges[side][1] - encoded.trained[side][1] for side in SIDES}
            if any(without.values()):
                details["without_interactions"] = without
            if encoded.tables:
                details["side_features"] = {side: f"{side}_features/" for side in encoded.tables}
            seconds = round(time.monotonic() - self.started, 3)
            manifest = manifest_of(run, self.dataset, read, summary, ranges, seconds, details)
            for side in SIDES:
                if side not in encoded.tables:  # an earlier run may have had some
                    object_store.delete_folder(self._output(f"{side}_features/"))
            outputs.commit(self._parts(outputs.folders, summary), manifest.to_json())
        return manifest

    def _in_one_task(self, read: Ingested, uses: contextlib.ExitStack) -> tuple[RunOutputs, _Encoded]:
        object_store.delete_folder(self.index_uri)
        outputs = uses.enter_context(RunOutputs(self.output_uri, OUTPUTS | {INDEX: PARQUET}))
        self.tell("encoding", read.rows)
        summary, index = encode_in_one_task(self.dataset, read, outputs.folders)
        self._check_index(index.ranges)
        return outputs, _Encoded(summary, index.ranges, index.ranges, index.events, lambda: index.most)

    def _in_stages(self, read: Ingested, uses: contextlib.ExitStack) -> tuple[RunOutputs, _Encoded]:
        features, ranges, trained = self._index(read)
        self.tell("encoding", read.rows)
        outputs = uses.enter_context(RunOutputs(self.output_uri, OUTPUTS))
        summary, tables = _Encoding(self, read, features, ranges, trained, outputs.folders).run()
        label = self.dataset.label
        events = count_events(read.texts, label.event_weights if isinstance(label, ImplicitLabel) else ())
        most = partial(most_interactions, self.spark, self.index_uri)
        return outputs, _Encoded(summary, ranges, trained, events, most, tables, features)

    def _index(self, read: Ingested) -> tuple[SideFeatures, dict[str, Range], dict[str, Range]]:
        """Give all ids and names of side features their feature ids; return the features, all ranges, and of
        users and items the ranges of those that have interactions.
        """
        partitions = ShufflePlan.partitions_of(read.rows)
        ids = reduce(
            DataFrame.unionAll, self._without_interactions(read.texts), self._frequent_ids(read.texts)
        )
        if self.dataset.features:
            ids = self.keep(ids)
        features = SideFeatures(
            self.spark,
            self.dataset,
            self.raw_uri,
            read.texts,
            ids,
            interactions=read.good_count,
            partitions=partitions,
            keep=self.keep,
        )
        namespaces = ["user", "item", *(feature.name for feature in self.dataset.features)]
        names = reduce(DataFrame.unionAll, features.names(), ids)
        ranges = write_index(names, namespaces, self.index_uri, partitions, self.keep)
        trained = {side: ranges[side] for side in SIDES}
        if any(self._described().values()):
            more: dict[int, int] = dict(ids.where(F.col(COUNT) == 0).groupBy(NAMESPACE).count().collect())
            trained = {
                side: (ranges[side][0], ranges[side][1] - more.get(at, 0)) for at, side in enumerate(SIDES)
            }
        self._check_index(trained)
        return features, ranges, trained

    def _check_index(self, trained: dict[str, Range]) -> None:
        """Refuse data without a user or an item that is frequent enough."""
        for side in SIDES:
            if trained[side][0] == trained[side][1]:
                raise InputError(
                    f"no {side} has at least {getattr(self.dataset.minimum_interactions, side)} "
                    f"interactions: lower minimum_interactions.{side}"
                )

    def _described(self) -> dict[str, Attributes | None]:
        """The attributes of users and of items by which ids without interactions are indexed, too."""
        found = {"user": self.dataset.users, "item": self.dataset.items}
        return {
            side: attributes if attributes is not None and attributes.without_interactions else None
            for side, attributes in found.items()
        }

    def _without_interactions(self, texts: DataFrame) -> list[DataFrame]:
        """Ids of users and items that only their attributes name."""
        frames = []
        for at, (side, attributes) in enumerate(self._described().items()):
            if attributes is None:
                continue
            columns = [feature.column for feature in self.dataset.features if feature.of == side]
            path = resolve(self.raw_uri, attributes.source.path)
            longest = self.dataset.quarantine.max_id_length
            ids = described_ids(self.spark, attributes, path, columns, longest=longest)
            met = texts.where(F.col(NAMESPACE) == at).select(F.col(NAME).alias(OWNER))
            others = ids.join(met, OWNER, "left_anti")
            frames.append(
                others.select(
                    F.lit(at).alias(NAMESPACE), F.col(OWNER).alias(NAME), F.lit(0).cast("bigint").alias(COUNT)
                )
            )
        return frames

    def _choose_sampling(self, interactions: int) -> None:
        """Choose how many negatives and copies are written, where the document leaves it open."""
        label = self.dataset.label
        if isinstance(label, ImplicitLabel) and label.auto:
            chosen = label.chosen(**asdict(sampling(interactions)))
            chosen = replace(chosen, full_weight_picks=full_weight_picks(label))
            self.dataset = replace(self.dataset, label=chosen)

    def _frequent_ids(self, texts: DataFrame) -> DataFrame:
        """Return every id that occurs often enough, with how often."""
        minimum = self.dataset.minimum_interactions
        ids = texts.where(F.col(NAMESPACE).between(0, len(SIDES) - 1))
        counted = ids.groupBy(NAMESPACE, NAME).agg(F.sum(COUNT).alias(COUNT))
        needed = F.when(F.col(NAMESPACE) == 0, minimum.user).otherwise(minimum.item)
        return counted.where(F.col(COUNT) >= needed)

    def _checked(self, read: Ingested, encoded: _Encoded) -> dict[str, Any]:
        """Refuse what no model can learn from; return counts and warnings for the manifest."""
        outcome = outcome_of(read, encoded.summary, encoded.events)
        facts = DataFacts(self.spark, self.dataset, self.raw_uri, encoded.most_interactions)
        features = encoded.features
        warnings = [*(features.warnings if features else []), *check_training(self.dataset, outcome, facts)]
        counts = features.counts() if features else NO_FEATURES
        return counts | {"warnings": warnings}

    @staticmethod
    def _parts(outputs: dict[str, Output], summary: TaskSummary) -> dict[str, list[WrittenPart]]:
        """What the tasks stored, by folder; a folder of pairs is never without a part."""
        parts = {name: [stored.part for stored in summary.of(name)] for name in outputs}
        return {
            name: [store_no_pairs(outputs[name])] if not found and OUTPUTS[name] == PARQUET else found
            for name, found in parts.items()
        }

    def _output(self, name: str) -> str:
        return object_store.join(self.output_uri, name)

    def side_table_uri(self, side: str) -> str:
        return self._output(f"{side}_features/")

    @property
    def index_uri(self) -> str:
        return self._output("feature_index/")


@dataclass(frozen=True)
class _Encoded:
    """What was stored and counted.

    ``trained`` are the ranges of those users and items that have interactions.
    """

    summary: TaskSummary
    ranges: dict[str, Range]
    trained: dict[str, Range]
    events: dict[str, int]
    most_interactions: Callable[[], int]
    tables: Mapping[str, SideTable] = field(default_factory=dict)
    features: SideFeatures | None = None


@dataclass
class _Encoding:
    """The stages from chunks to stored parts."""

    job: _Job
    read: Ingested
    features: SideFeatures
    ranges: dict[str, Range]
    trained: dict[str, Range]
    """Users and items that have interactions."""
    outputs: dict[str, Output]

    def run(self) -> tuple[TaskSummary, dict[str, SideTable]]:
        """Store train, test, seen and heldout; return what tasks report, and the tables of side features."""
        job, read = self.job, self.read
        unknown = POLICIES[job.dataset.unknown]
        users, partitions = self.ranges["user"], ShufflePlan.partitions_of(read.rows)
        counted = CountedByIndex(job.spark, job.index_uri, users)
        plan = ShufflePlan(job.dataset, read.good_count, partitions, users, counted)
        tables = {} if unknown.needs_seen_ids else self._write_side_tables({})
        by_user, order = plan.by_user(), plan.record_order()
        # Where rows pass by to be given side features, or to be judged by what train has seen.
        stops = [
            SideRoute(side, self._buckets(side, by_user))
            for side in SIDES
            if unknown.needs_seen_ids or (side in tables and not tables[side].small)
        ]
        routes: list[Route] = [*stops, order]
        rows = self._labelled(by_user, routes[0], unknown.needs_seen_ids)
        seen: dict[str, DataFrame] = {}
        if unknown.needs_seen_ids:
            labelled = job.keep(rows)
            rows = labelled.where(F.col("kind") != int(Kind.SEEN_IDS))
            seen = {side: job.keep(seen_ids(labelled, side)) for side in SIDES}
            tables = self._write_side_tables(seen if unknown.leaves_out_ids else {})
        for stop, route in zip(stops, routes[1:], strict=True):
            side = stop.side
            lookup = pack_lookup(job.spark, stop.buckets, self.ranges[side], tables.get(side), seen.get(side))
            stage = AttachFeatures(side, unknown, route)
            rows = run_stage(stop.buckets.shuffle(rows.unionAll(lookup)), stage)
        attached = {stop.side for stop in stops}
        read_whole = [table for side, table in tables.items() if side not in attached]
        records = {name: self.outputs[name] for name in ("train", "test")}
        write = WriteRecords(order, records, read_whole, self._feature_dim)
        return collect_summaries(run_stage(order.shuffle(rows), write)), tables

    def _labelled(self, by_user: Buckets, route: Route, reports_seen_ids: bool) -> DataFrame:
        """Encode ids, then split and label."""
        dataset, read = self.job.dataset, self.read
        tables = pack_code_tables(read.texts, self.features.of_texts(self.job.index_uri))
        partitions = ShufflePlan.partitions_of(read.rows)
        to_ids = EncodeIds(self.features.contexts, read.numbers, by_user)
        indexed = encode_ids(read.chunks, tables, to_ids, partitions)
        stage = SplitAndLabel.of(dataset, self.trained, self.outputs, route, reports_seen_ids)
        return run_stage(by_user.shuffle(indexed), stage)

    def _buckets(self, side: str, by_user: Buckets) -> Buckets:
        if side == "user":
            return by_user
        return Buckets.even(self.ranges[side], by_user.count, by_user.partitions)

    def _write_side_tables(self, seen: dict[str, DataFrame]) -> dict[str, SideTable]:
        """Write the side features of users and items, without the own ids that are not seen, if ``seen``."""
        return {
            side: write_side_table(
                self.features.rows(side, self.job.index_uri, self.trained[side][1], seen.get(side)),
                side,
                self.job.side_table_uri(side),
                self.ranges[side],
                self._feature_dim,
            )
            for side in SIDES
            if self.features.describes(side)
        }

    @property
    def _feature_dim(self) -> int:
        return max(end for _, end in self.ranges.values())
