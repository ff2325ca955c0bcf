"""The encoding job: raw interactions to recordIO-protobuf parts, a feature index and a manifest.

Files are parsed once; from then on only packed batches of numbers move, and distinct ids. Rows are gathered by user (for duplicates, split, negatives and what a
user has seen) and then spread by a seeded hash, so that the order of training rows is random, yet the
same whatever the cluster does. Tasks store the parts themselves, and the driver makes them appear when
all counts add up. The driver holds counts by file, piece, partition, bucket and reason, never rows, users
or items.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.dataset import BinaryLabel, Dataset, ImplicitLabel, LeaveFirstN, LeaveLastN, NoSplit, RandomSplit
from fmrec.encoding.by_user import FOR_TEST, NOT_PICKED
from fmrec.encoding.chunks import pack_columns
from fmrec.encoding.data_facts import DataFacts, count_events
from fmrec.encoding.exchange import MET
from fmrec.encoding.feature_space import COUNT, NAME, NAMESPACE, Keep, write_index
from fmrec.encoding.feature_tables import SIDES, SideFeatures
from fmrec.encoding.ingest.spark_errors import READING_SETTINGS, to_input_error
from fmrec.encoding.intake import Intake, take_in
from fmrec.encoding.negatives import ItemRange
from fmrec.encoding.routes import Buckets, Order, Stop, balanced_buckets
from fmrec.encoding.side_tables import SideTable, pack_table, write_side_table
from fmrec.encoding.stages import (
    BELOW_MINIMUM,
    attach,
    decide_by_user,
    to_parts,
    to_rows,
    trained_columns,
)
from fmrec.encoding.storing import StoredPart, Told, collect_told, store_no_pairs
from fmrec.encoding.training_check import Outcome, check_training
from fmrec.errors import FmrecError, FormatError, InputError
from fmrec.storage import object_store
from fmrec.storage.part_files import SUFFIX, Output, open_output

PART_BYTES = 32 << 20
ROW_BYTES = 64
"""A two-hot row with a label in recordIO-protobuf, about."""
FEATURE_BYTES = 12
"""What a side feature adds to a row, about."""
PARQUET = ".parquet"
OUTPUTS = {"seen": PARQUET, "heldout": PARQUET, "train": SUFFIX, "test": SUFFIX}
"""What tasks store, in folders of these names, and how the parts' names end."""
BUCKET_ROWS = 250_000
"""Rows that a task holds at once, about: a bucket of users, or of training rows."""
PARTITION_ROWS = 2_000_000
PIECES_PER_CORE = 4
Progress = Callable[[str, int | None], None]
"""Told about each step that begins, and the number of rows that it works on, once known."""
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
        The data can't be used: nothing there, a column missing, too many bad rows.
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
    """One run's frame of reference."""

    spark: SparkSession
    dataset: Dataset
    raw_uri: str
    output_uri: str
    keep: Keep
    tell: Progress
    started: float = field(default_factory=time.monotonic)

    def run(self, run: str) -> Manifest:
        object_store.delete(self._output("manifest.json"))  # its presence means "complete"

        self.tell("reading", None)
        read = take_in(self.spark, self.dataset, self.raw_uri, self._output("quarantine/"), self.keep)

        self.tell("indexing", read.rows)
        partitions = max(1, math.ceil(read.rows / PARTITION_ROWS))
        index_uri = self._output("feature_index/")
        ids = self._ids(read.texts)
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
        ranges = write_index(names, namespaces, index_uri, partitions, self.keep)
        self._check_ranges(ranges)

        self.tell("encoding", read.rows)
        with self._outputs() as outputs:
            told, tables = self._encode_rows(read, features, ranges, partitions, outputs)
            told.tally["dropped not rated"] += read.not_rated
            train, nonzeros = self._channel("train", told)
            test, _ = self._channel("test", told)
            nnz_per_row = round(nonzeros / max(train.rows, 1), 6)
            warnings = features.warnings + self._check_training(read, told, train)
            details = features.counts() | {"warnings": warnings}
            manifest = self._manifest(
                run, read, told.tally, ranges, train, test, nnz_per_row, tables, details
            )
            for name, output in outputs.items():
                parts = [stored.part for stored in told.parts.get(name, [])]
                if not parts and OUTPUTS[name] == PARQUET:
                    parts = [store_no_pairs(output)]
                output.commit(parts, overwrite=True)
        for side in SIDES:
            if side not in tables:  # an earlier run may have had some
                object_store.delete_folder(self._output(f"{side}_features/"))
        object_store.write_bytes(self._output("manifest.json"), manifest.to_json().encode("utf-8"))
        return manifest

    def _encode_rows(
        self,
        read: Intake,
        features: SideFeatures,
        ranges: dict[str, tuple[int, int]],
        partitions: int,
        outputs: dict[str, Output],
    ) -> tuple[Told, dict[str, SideTable]]:
        """Store train, test, seen and heldout; return what tasks told, and the side features by side."""
        index_uri = self._output("feature_index/")
        policy = self.dataset.unknown
        described = [side for side in SIDES if features.describes(side)]
        tables: dict[str, SideTable] = {}
        if policy == "index":
            tables = {side: self._write_side_table(features, side, ranges, None) for side in described}
        by_user = balanced_buckets(
            self.spark, index_uri, ranges["user"], read.good_count, BUCKET_ROWS, partitions
        )
        # Where rows pass by, once it is decided what they become, to be given side features.
        stops = [
            Stop(
                side,
                by_user if side == "user" else Buckets.even(ranges[side], by_user.count, by_user.partitions),
                policy,
            )
            for side in SIDES
            if policy != "index" or (side in tables and not tables[side].small)
        ]
        order = self._order(read.good_count, ranges["user"], index_uri)
        routes = [*(stop.route for stop in stops), order.route]
        columns = pack_columns(read.texts, features.of_texts(index_uri))
        found = to_rows(read.chunks, columns, features.contexts, read.numbers, by_user, partitions)
        popularity = (
            isinstance(self.dataset.label, ImplicitLabel) and self.dataset.label.sampling == "popularity"
        )
        rows = decide_by_user(
            by_user.exchange(found),
            self.dataset,
            ItemRange(*ranges["item"], popularity),
            (outputs["seen"], outputs["heldout"]),
            routes[0],
            tell_met=policy != "index",
        )
        trained: dict[str, DataFrame] = {}
        if policy != "index":
            decided = self.keep(rows)
            rows = decided.where(F.col("kind") != MET)
            trained = {
                side: self.keep(trained_columns(decided.where(F.col("kind") == MET), side)) for side in SIDES
            }
            own = trained if policy == "features-only" else {}
            tables = {
                side: self._write_side_table(features, side, ranges, own.get(side)) for side in described
            }
        for stop, route in zip(stops, routes[1:], strict=True):
            table = pack_table(
                self.spark, stop, ranges[stop.side], tables.get(stop.side), trained.get(stop.side)
            )
            rows = attach(stop.buckets.exchange(rows.unionAll(table)), stop, route)
        read_whole = (
            [] if stops and policy != "index" else [table for table in tables.values() if table.small]
        )
        feature_dim = max(end for _, end in ranges.values())
        records = {name: outputs[name] for name in ("train", "test")}
        return collect_told(to_parts(order.exchange(rows), order, records, read_whole, feature_dim)), tables

    def _write_side_table(
        self,
        features: SideFeatures,
        side: str,
        ranges: dict[str, tuple[int, int]],
        trained: DataFrame | None,
    ) -> SideTable:
        rows = features.rows(side, self._output("feature_index/"), trained)
        feature_dim = max(end for _, end in ranges.values())
        return write_side_table(rows, side, self._output(f"{side}_features/"), ranges[side], feature_dim)

    @contextlib.contextmanager
    def _outputs(self) -> Iterator[dict[str, Output]]:
        """What tasks store to; nothing of it stays, unless it was committed."""
        outputs: dict[str, Output] = {}
        try:
            for name, suffix in OUTPUTS.items():
                outputs[name] = open_output(self._output(f"{name}/"), overwrite=True, suffix=suffix)
            yield outputs
        except BaseException:
            for output in outputs.values():
                output.abort()
            raise

    def _output(self, name: str) -> str:
        return object_store.join(self.output_uri, name)

    def _check_ranges(self, ranges: dict[str, tuple[int, int]]) -> None:
        for namespace in ("user", "item"):
            if ranges[namespace][0] == ranges[namespace][1]:
                raise InputError(
                    f"no {namespace} has at least {getattr(self.dataset.minimum_interactions, namespace)} "
                    f"interactions: lower minimum_interactions.{namespace}"
                )

    def _ids(self, texts: DataFrame) -> DataFrame:
        """Every id that is met often enough, with how often."""
        least = self.dataset.minimum_interactions
        counted = (
            texts.where(F.col(NAMESPACE).between(0, len(SIDES) - 1))
            .groupBy(NAMESPACE, NAME)
            .agg(F.sum(COUNT).alias(COUNT))
        )
        return counted.where(F.col(COUNT) >= F.when(F.col(NAMESPACE) == 0, least.user).otherwise(least.item))

    def _order(self, rows: int, users: tuple[int, int], index_uri: str) -> Order:
        """Plan the parts from what can be expected: rows, negatives, and the share held out."""
        split, label = self.dataset.split, self.dataset.label
        held_out = rows
        if isinstance(split, LeaveFirstN | LeaveLastN):
            held_out = min(rows, (users[1] - users[0]) * split.n)
        elif isinstance(split, RandomSplit):
            held_out = math.ceil(rows * split.share)
        elif isinstance(split, NoSplit):
            held_out = 0
        factor, copies = 1, 1
        if isinstance(label, ImplicitLabel):
            factor, copies = 1 + label.negatives_per_positive, label.copies
        row_bytes = ROW_BYTES + FEATURE_BYTES * len(self.dataset.features)

        def cut(expected: int, parts: int | None) -> tuple[int, int]:
            parts = parts or max(1, math.ceil(expected * row_bytes / PART_BYTES))
            return parts * max(1, math.ceil(expected / parts / BUCKET_ROWS)), parts

        buckets, parts = cut(rows * factor * copies, self.dataset.parts)
        train = Buckets(np.arange(buckets, dtype=np.int64), parts)
        buckets, parts = cut(held_out * factor, None)
        if isinstance(split, LeaveFirstN | LeaveLastN | NoSplit):
            test = Buckets.even(users, buckets, parts)
        else:
            bucket_rows = max(1, math.ceil(rows / buckets))
            test = balanced_buckets(self.spark, index_uri, users, rows, bucket_rows, parts)
        return Order(self.dataset.seed, train, test)

    def _channel(self, name: str, told: Told) -> tuple[Channel, int]:
        """Return what train or test holds, and its number of non-zeros."""
        parts: list[StoredPart] = told.parts.get(name, [])
        rows = sum(stored.rows for stored in parts)
        expected = sum(told.tally[f"{kind} {name}"] for kind in ("encoded", "repeated", "negatives"))
        if rows != expected:
            raise FormatError(f"{rows} rows were written to {name}/, but {expected} were expected")
        binary = isinstance(self.dataset.label, BinaryLabel | ImplicitLabel)
        share = sum(stored.positives for stored in parts) / rows if binary and rows else None
        size = sum(stored.part.bytes for stored in parts)
        return Channel(f"{name}/", rows, len(parts), size, share), sum(stored.nonzeros for stored in parts)

    def _check_training(self, read: Intake, told: Told, train: Channel) -> list[str]:
        """Refuse what no model can learn from; return what to warn of."""
        tally, label = told.tally, self.dataset.label
        dropped = {
            name.removeprefix("dropped "): count
            for name, count in tally.items()
            if name.startswith("dropped ")
        }
        outcome = Outcome(
            read=read.rows,
            train=train.rows,
            positives=sum(stored.positives for stored in told.parts.get("train", [])),
            held_out=tally["encoded test"] + dropped.get(FOR_TEST, 0),
            not_picked=dropped.get(NOT_PICKED, 0),
            below_minimum=sum(dropped.get(reason, 0) for reason in BELOW_MINIMUM.values()),
            unknown=sum(dropped.get(f"{side} met in test only", 0) for side in SIDES),
            events=count_events(read.texts, label.event_weights if isinstance(label, ImplicitLabel) else ()),
        )
        facts = DataFacts(self.spark, self.dataset, self.raw_uri, self._output("feature_index/"))
        return check_training(self.dataset, outcome, facts)

    def _manifest(
        self,
        run: str,
        read: Intake,
        tally: Counter[str],
        ranges: dict[str, tuple[int, int]],
        train: Channel,
        test: Channel,
        nnz_per_row: float,
        tables: dict[str, SideTable],
        more: dict[str, Any],
    ) -> Manifest:
        dropped = {
            name.removeprefix("dropped "): count
            for name, count in sorted(tally.items())
            if name.startswith("dropped ") and count
        }
        rows = Rows(
            read=read.rows,
            encoded=tally["encoded train"] + tally["encoded test"],
            train=tally["encoded train"],
            test=tally["encoded test"],
            quarantined=sum(read.bad.values()),
            dropped=sum(dropped.values()),
        )
        rows.reconcile()
        details: dict[str, Any] = {
            "files": read.files,
            "negatives": {name: tally[f"negatives {name}"] for name in ("train", "test")},
            "repeated": {"train": tally["repeated train"]},
            **more,
        }
        if tables:
            details["side_features"] = {side: f"{side}_features/" for side in tables}
        return Manifest(
            run=run,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            dataset=self.dataset.to_document(),
            feature_dim=max(end for _, end in ranges.values()),
            nnz_per_row=nnz_per_row,
            users=ranges["user"][1],
            items=ranges["item"][1] - ranges["item"][0],
            ranges=ranges,
            rows=rows,
            train=train,
            test=test,
            quarantine_reasons=dict(sorted(read.bad.items())),
            dropped_reasons=dropped,
            seconds=round(time.monotonic() - self.started, 3),
            details=details,
        )
