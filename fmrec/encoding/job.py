"""The encoding job: raw interactions to recordIO-protobuf parts, a feature index and a manifest.

Files are parsed once and ids never leave the JVM; from the join that turns them into columns on, only
packed batches of numbers move. Rows are gathered by user (for duplicates, split, negatives and what a
user has seen) and then spread by a seeded hash, so that the order of training rows is random, yet the
same whatever the cluster does. The driver holds counts by file, piece, partition and reason, never
rows, users or items.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec import objectstore
from fmrec.dataset import BinaryLabel, Dataset, ImplicitLabel, LeaveFirstN, LeaveLastN, NoSplit, RandomSplit
from fmrec.encoding.chunks import pack_columns
from fmrec.encoding.datasource import FORMAT, RecordIOProtobuf
from fmrec.encoding.exchange import HELDOUT, SEEN, TALLY, TEST, TRAIN, read_tally
from fmrec.encoding.feature_space import COUNT, NAME, NAMESPACE, Keep, Spread, read_spread, write_index
from fmrec.encoding.feature_tables import SIDES, SideFeatures
from fmrec.encoding.intake import Intake, take_in
from fmrec.encoding.negatives import ItemRange
from fmrec.encoding.stages import (
    Buckets,
    Order,
    Stop,
    attach,
    decide_by_user,
    to_pairs,
    to_records,
    to_rows,
)
from fmrec.errors import FormatError, InputError
from fmrec.manifest import Channel, Manifest, Rows

UNREADABLE = re.compile(r"\[FAILED_READ_FILE[^]]*\] Encountered error while reading file (.*?)\.\s")
PART_BYTES = 32 << 20
ROW_BYTES = 64
"""A two-hot row with a label in recordIO-protobuf, about."""
FEATURE_BYTES = 12
"""What a side feature adds to a row, about."""
BUCKET_ROWS = 250_000
"""Rows that a task holds at once, about: a bucket of users, or of training rows."""
RANGES_PER_BUCKET = 8
"""Ranges of users whose interactions are summed, to cut buckets of like size."""
PARTITION_ROWS = 2_000_000
Progress = Callable[[str, int | None], None]
"""Told about each step that begins, and the number of rows that it works on, once known."""
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # Compressing cached columns costs more time than reading their bytes back from disk.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # Packed rows are large, so batches are bounded by bytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
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
    spark.dataSource.register(RecordIOProtobuf)
    with _settings(spark), contextlib.ExitStack() as caches:

        def keep(frame: DataFrame) -> DataFrame:
            kept = frame.persist(StorageLevel.DISK_ONLY)
            caches.callback(kept.unpersist)
            return kept

        tell = progress or (lambda step, rows: None)
        try:
            return _Job(spark, dataset, raw_uri, output_uri, keep, tell).run(run)
        except Exception as error:
            found = UNREADABLE.search(str(error))
            if found is None:
                raise
            raise InputError(
                f"{found[1]} can't be read: it is cut off, damaged, or not of the format that the document says"
            ) from error


@contextlib.contextmanager
def _settings(spark: SparkSession) -> Iterator[None]:
    """What the job relies on, whatever the session was started with; put back afterwards."""
    before = {key: spark.conf.get(key, None) for key in SETTINGS}
    for key, value in SETTINGS.items():
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
        objectstore.delete(self._output("manifest.json"))  # its presence means "complete"

        self.tell("reading", None)
        read = take_in(self.spark, self.dataset, self.raw_uri, self._output("quarantine/"), self.keep)

        self.tell("indexing", read.rows)
        partitions = max(1, math.ceil(read.rows / PARTITION_ROWS))
        index_uri = self._output("feature_index/")
        ids = self._ids(read.texts)
        if self.dataset.features:
            ids = self.keep(ids)
        features = SideFeatures(
            self.spark, self.dataset, self.raw_uri, read.texts, ids, partitions=partitions, keep=self.keep
        )
        namespaces = ["user", "item", *(feature.name for feature in self.dataset.features)]
        names = reduce(DataFrame.unionAll, features.names(), ids)
        ranges = write_index(names, namespaces, index_uri, partitions, self.keep)
        self._check_ranges(ranges)

        self.tell("deciding", read.rows)
        users, items = ranges["user"], ranges["item"]
        buckets = max(1, math.ceil(read.rows / BUCKET_ROWS))
        spread = None
        if buckets > 1:  # the busiest users fill many times the buckets of others
            spread = read_spread(self.spark, index_uri, "user", users, buckets * RANGES_PER_BUCKET)
        by_user, by_item = Buckets(buckets, partitions, spread), Buckets(buckets, partitions)
        order = self._order(read.good_count, users[1], spread)
        # Where rows pass by, once it is decided what they become, to be given side features.
        stops = [
            Stop(side, buckets_of, ranges[side], self.dataset.unknown)
            for side, buckets_of in zip(SIDES, (by_user, by_item), strict=True)
            if features.describes(side) or self.dataset.unknown != "index"
        ]
        routes = [*(stop.route for stop in stops), order.route]
        label = self.dataset.label
        popularity = isinstance(label, ImplicitLabel) and label.sampling == "popularity"
        columns = pack_columns(read.texts, features.of_texts(index_uri))
        rows = to_rows(read.chunks, columns, features.contexts, read.numbers, by_user, users[1], partitions)
        packed = by_user.exchange(rows)
        decided = self.keep(decide_by_user(packed, self.dataset, ItemRange(*items, popularity), routes[0]))
        tally = _tally(decided)

        self.tell("writing", tally["encoded train"] + tally["encoded test"])
        met = to_pairs(decided.where(F.col("kind") == SEEN)).drop("value")
        met.write.mode("overwrite").parquet(self._output("seen/"))
        heldout = to_pairs(decided.where(F.col("kind") == HELDOUT))
        heldout.write.mode("overwrite").parquet(self._output("heldout/"))
        tables = [self.keep(features.table(stop, index_uri, met)) for stop in stops]
        channels = []
        for kind, prefix in ((TRAIN, "train/"), (TEST, "test/")):
            packed = decided.where(F.col("kind") == kind)
            for stop, table, route in zip(stops, tables, routes[1:], strict=True):
                packed = attach(stop.buckets.exchange(packed.unionAll(table)), stop, route)
            if stops and self.dataset.unknown == "drop":
                packed = self.keep(packed)
                tally.update(_tally(packed))
                packed = packed.where(F.col("kind") == kind)
            channels.append(self._write_channel(packed, order, kind, prefix, ranges))
        manifest = self._manifest(run, read, tally, ranges, channels)
        objectstore.write_bytes(self._output("manifest.json"), manifest.to_json().encode("utf-8"))
        return manifest

    def _output(self, name: str) -> str:
        return objectstore.join(self.output_uri, name)

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
            texts.where(F.col(NAMESPACE) < len(SIDES)).groupBy(NAMESPACE, NAME).agg(F.sum(COUNT).alias(COUNT))
        )
        return counted.where(F.col(COUNT) >= F.when(F.col(NAMESPACE) == 0, least.user).otherwise(least.item))

    def _order(self, rows: int, users: int, spread: Spread | None) -> Order:
        """Plan the parts from what can be expected: rows, negatives, and the share held out."""
        split, label = self.dataset.split, self.dataset.label
        held_out = rows
        if isinstance(split, LeaveFirstN | LeaveLastN):
            held_out = min(rows, users * split.n)
        elif isinstance(split, RandomSplit):
            held_out = math.ceil(rows * split.share)
        elif isinstance(split, NoSplit):
            held_out = 0
        factor, copies = 1, 1
        if isinstance(label, ImplicitLabel):
            factor, copies = 1 + label.negatives_per_positive, label.copies

        row_bytes = ROW_BYTES + FEATURE_BYTES * len(self.dataset.features)

        def buckets(expected: int, parts: int | None, spread: Spread | None) -> Buckets:
            parts = parts or max(1, math.ceil(expected * row_bytes / PART_BYTES))
            return Buckets(parts * max(1, math.ceil(expected / parts / BUCKET_ROWS)), parts, spread)

        return Order(
            self.dataset.seed,
            buckets(rows * factor * copies, self.dataset.parts, None),
            buckets(held_out * factor, None, spread),
            users,
        )

    def _write_channel(
        self,
        packed: DataFrame,
        order: Order,
        kind: int,
        prefix: str,
        ranges: dict[str, tuple[int, int]],
    ) -> tuple[Channel, int]:
        """Write train/ or test/; return what it holds and its number of non-zeros."""
        uri = self._output(prefix)
        buckets = order.train if kind == TRAIN else order.test
        feature_dim = max(end for _, end in ranges.values())
        written = Observation()
        to_records(buckets.exchange(packed), order, kind, feature_dim).observe(
            written, *(F.sum(name).alias(name) for name in ("rows", "positives", "nonzeros"))
        ).write.format(FORMAT).mode("overwrite").option("records", "records").save(uri)
        rows, positives, nonzeros = (
            int(written.get[name] or 0) for name in ("rows", "positives", "nonzeros")
        )
        stored = objectstore.list_objects(uri)
        binary = isinstance(self.dataset.label, BinaryLabel | ImplicitLabel)
        share = positives / rows if binary and rows else None
        return Channel(prefix, rows, len(stored), sum(part.size for part in stored), share), nonzeros

    def _manifest(
        self,
        run: str,
        read: Intake,
        tally: Counter[str],
        ranges: dict[str, tuple[int, int]],
        written: list[tuple[Channel, int]],
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
        (train, nonzeros), (test, _) = written
        for channel, name in zip((train, test), ("train", "test"), strict=True):
            expected = sum(tally[f"{kind} {name}"] for kind in ("encoded", "repeated", "negatives"))
            if channel.rows != expected:
                raise FormatError(
                    f"{channel.rows} rows were written to {name}/, but {expected} were expected"
                )
        return Manifest(
            run=run,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            dataset=self.dataset.to_document(),
            feature_dim=max(end for _, end in ranges.values()),
            nnz_per_row=round(nonzeros / max(train.rows, 1), 6),
            users=ranges["user"][1],
            items=ranges["item"][1] - ranges["item"][0],
            ranges=ranges,
            rows=rows,
            train=train,
            test=test,
            quarantine_reasons=dict(sorted(read.bad.items())),
            dropped_reasons=dropped,
            seconds=round(time.monotonic() - self.started, 3),
            details={
                "files": read.files,
                "negatives": {name: tally[f"negatives {name}"] for name in ("train", "test")},
                "repeated": {"train": tally["repeated train"]},
            },
        )


def _tally(packed: DataFrame) -> Counter[str]:
    """Add up what tasks counted."""
    tally: Counter[str] = Counter()
    for row in packed.where(F.col("kind") == TALLY).select("data").collect():
        tally.update(read_tally(row[0]))
    return tally
