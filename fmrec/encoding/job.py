"""The encoding job: raw interactions to recordIO-protobuf parts, a feature index and a manifest.

The files are parsed once; from then on only numbers move. Rows are gathered by user (which the
split and the list of seen pairs need) and then spread over the training parts by a seeded hash of
their pair, so that the order of training rows is random, yet the same whatever the cluster does.
The driver holds counts by file, partition and reason, never rows, users or items.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec import objectstore
from fmrec.dataset import BinaryLabel, Dataset
from fmrec.encoding.checks import COLUMN, REASON, check_rows
from fmrec.encoding.datasource import FORMAT, RecordIOProtobuf
from fmrec.encoding.feature_space import check_contiguous, number_names
from fmrec.encoding.rows import BLOCK, PATH, POSITION, RAW, SKIP, START, number_blocks, read_rows
from fmrec.encoding.splits import gather_by_user, mark_test
from fmrec.errors import FormatError, InputError
from fmrec.manifest import Channel, Manifest, Rows

PART_BYTES = 32 << 20
ROW_BYTES = 64
"""A two-hot row with a label in recordIO-protobuf, about."""
ROWS_PER_PARTITION = 2_000_000
Progress = Callable[[str, int | None], None]
"""Told about each step that begins, and the number of rows that it works on, once known."""


@dataclass(frozen=True)
class _Counts:
    """What was read, as the driver knows it."""

    read: int
    bad: Counter[str]
    files: dict[str, dict[str, int]]


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
    started = time.monotonic()
    tell = progress or (lambda step, rows: None)
    spark.dataSource.register(RecordIOProtobuf)
    with _settings(spark), contextlib.ExitStack() as caches:

        def keep(frame: DataFrame) -> DataFrame:
            kept = frame.persist(StorageLevel.DISK_ONLY)
            caches.callback(kept.unpersist)
            return kept

        interactions = dataset.interactions
        path = _resolve(raw_uri, interactions.source.path)
        _withdraw(output_uri)

        tell("reading", None)
        checked = keep(check_rows(read_rows(spark, interactions.source, path, interactions.columns), dataset))
        counts, blocks = _count(spark, checked)
        _check_usable(counts, path, dataset)
        _write_quarantine(checked, blocks, objectstore.join(output_uri, "quarantine/"))

        tell("indexing", counts.read)
        good = checked.where(F.col(REASON).isNull() & ~F.col(SKIP))
        index_uri = objectstore.join(output_uri, "feature_index/")
        partitions = max(1, math.ceil(counts.read / ROWS_PER_PARTITION))
        ranges = _write_index(spark, good, index_uri, partitions, keep)
        users, items = ranges["user"][1], ranges["item"][1] - ranges["item"][0]
        feature_dim = ranges["item"][1]

        tell("splitting", counts.read)
        columns = _to_columns(spark, good, blocks, index_uri, dataset)
        split = keep(mark_test(gather_by_user(columns, partitions, users), dataset.split))
        sizes = {bool(row["test"]): int(row["count"]) for row in split.groupBy("test").count().collect()}

        tell("writing", counts.read)
        train, test = split.where(~F.col("test")), split.where("test")
        _write_seen(train, objectstore.join(output_uri, "seen/"))
        row_bytes = ROW_BYTES
        train_parts = dataset.parts or max(1, math.ceil(sizes.get(False, 0) * row_bytes / PART_BYTES))
        test_parts = max(1, math.ceil(sizes.get(True, 0) * row_bytes / PART_BYTES))
        channels = {
            "train": _write_channel(
                _shuffled(train, train_parts, dataset.seed), output_uri, "train/", feature_dim, dataset
            ),
            "test": _write_channel(
                _by_user(test, test_parts, users), output_uri, "test/", feature_dim, dataset
            ),
        }
        rows = Rows(
            read=counts.read,
            encoded=channels["train"].rows + channels["test"].rows,
            train=channels["train"].rows,
            test=channels["test"].rows,
            quarantined=sum(counts.bad.values()),
        )
        rows.reconcile()
        manifest = Manifest(
            run=run,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            dataset=dataset.to_document(),
            feature_dim=feature_dim,
            nnz_per_row=2.0,
            users=users,
            items=items,
            ranges=ranges,
            rows=rows,
            train=channels["train"],
            test=channels["test"],
            quarantine_reasons=dict(sorted(counts.bad.items())),
            seconds=round(time.monotonic() - started, 3),
            details={"files": counts.files},
        )
        objectstore.write_bytes(
            objectstore.join(output_uri, "manifest.json"), manifest.to_json().encode("utf-8")
        )
        return manifest


@contextlib.contextmanager
def _settings(spark: SparkSession) -> Iterator[None]:
    """What the job relies on, whatever the session was started with; put back afterwards."""
    wanted = {"spark.sql.session.timeZone": "UTC", "spark.sql.execution.arrow.maxRecordsPerBatch": "65536"}
    before = {key: spark.conf.get(key) for key in wanted}
    for key, value in wanted.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, earlier in before.items():
            spark.conf.set(key, str(earlier))


def _resolve(raw_uri: str, path: str) -> str:
    return path if "://" in path or path.startswith("/") else objectstore.join(raw_uri, path)


def _withdraw(output_uri: str) -> None:
    """Take an earlier manifest away first: its presence means that the encoding is complete."""
    objectstore.delete(objectstore.join(output_uri, "manifest.json"))


def _count(spark: SparkSession, checked: DataFrame) -> tuple[_Counts, DataFrame]:
    """Count rows by piece, file and reason; and make the table that numbers the pieces' rows."""
    found = (
        checked.groupBy(BLOCK, REASON)
        .agg(
            F.first(PATH), F.first(START), F.min(POSITION), F.count(F.lit(1)), F.sum(F.col(SKIP).cast("int"))
        )
        .collect()
    )
    pieces: dict[int, tuple[int, str, int, int, int]] = {}
    files: dict[str, dict[str, int]] = {}
    bad: Counter[str] = Counter()
    for block, reason, file, start, first, lines, skipped in found:
        earlier = pieces.get(block, (block, file, start, first, 0))
        pieces[block] = (block, file, start, min(first, earlier[3]), earlier[4] + lines)
        tally = files.setdefault(file, {"read": 0, "quarantined": 0, "skipped": 0})
        tally["read"] += lines - skipped
        tally["skipped"] += skipped
        if reason is not None:
            bad[reason] += lines
            tally["quarantined"] += lines
    schema = f"{BLOCK} bigint, file_number int, to_row bigint, to_line bigint"
    blocks = spark.createDataFrame(number_blocks(list(pieces.values())), schema)
    return _Counts(sum(file["read"] for file in files.values()), bad, files), F.broadcast(blocks)


def _check_usable(counts: _Counts, path: str, dataset: Dataset) -> None:
    if not counts.read:
        raise InputError(f"{path} holds no rows, only headers or blank lines: expected interactions")
    bad = sum(counts.bad.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.bad.most_common())
    if bad == counts.read:
        raise InputError(
            f"none of the {bad} rows of {path} can be used: {reasons}; check the data set document"
        )
    if bad > dataset.quarantine.max_share * counts.read:
        raise InputError(
            f"{bad} of {counts.read} rows of {path} are bad ({bad / counts.read:.2%}: {reasons}), more than "
            f"quarantine.max_share allows ({dataset.quarantine.max_share:.2%}); they are listed in quarantine/"
        )


def _write_quarantine(checked: DataFrame, blocks: DataFrame, uri: str) -> None:
    checked.where(F.col(REASON).isNotNull()).join(blocks, BLOCK).select(
        F.col(PATH).alias("file"),
        (F.col(POSITION) + F.col("to_line")).alias("row"),
        F.col(RAW).alias("raw"),
        F.col(COLUMN).alias("column"),
        F.col(REASON).alias("reason"),
    ).write.mode("overwrite").parquet(uri)


def _write_index(
    spark: SparkSession, good: DataFrame, uri: str, partitions: int, keep: Callable[[DataFrame], DataFrame]
) -> dict[str, tuple[int, int]]:
    """Write the feature index and return the column range of each namespace."""
    numbered: list[DataFrame] = []
    ranges: dict[str, tuple[int, int]] = {}
    first = 0
    for namespace in ("user", "item"):
        names = good.groupBy(F.col(namespace).alias("name")).agg(F.count(F.lit(1)).alias("interactions"))
        index, count = number_names(names, first, namespace, partitions, keep)
        numbered.append(index)
        ranges[namespace] = (first, first + count)
        first += count
    reduce(DataFrame.unionAll, numbered).write.mode("overwrite").parquet(uri)
    check_contiguous(spark.read.parquet(uri), first)
    return ranges


def _to_columns(
    spark: SparkSession, good: DataFrame, blocks: DataFrame, index_uri: str, dataset: Dataset
) -> DataFrame:
    """Replace ids by columns, and provenance by the row's number over all files."""
    rows = good.join(blocks, BLOCK).withColumn("row", F.col(POSITION) + F.col("to_row"))
    index = spark.read.parquet(index_uri)
    for namespace in ("user", "item"):
        columns = index.where(F.col("namespace") == namespace).select(
            F.col("name").alias(namespace), F.col("column").alias(f"{namespace}_column")
        )
        rows = rows.join(columns, namespace)
    timestamp = [F.col("timestamp")] if "timestamp" in dataset.interactions.columns else []
    return rows.select("user_column", "item_column", "row", _label(dataset).alias("label"), *timestamp)


def _label(dataset: Dataset) -> Column:
    value = F.col("value")
    if isinstance(dataset.label, BinaryLabel):
        return (value >= dataset.label.threshold).cast("float")
    return value.cast("float")


def _shuffled(rows: DataFrame, parts: int, seed: int) -> DataFrame:
    """Spread rows over parts and order them, at random but reproducibly."""
    key = F.xxhash64(F.lit(seed), "user_column", "item_column")
    spread = rows.withColumn("_key", key).repartitionById(parts, F.pmod("_key", F.lit(parts)).cast("int"))
    return spread.sortWithinPartitions("_key", "row")


def _by_user(rows: DataFrame, parts: int, users: int) -> DataFrame:
    part = F.floor(F.col("user_column") * parts / users).cast("int")
    return rows.repartitionById(parts, part).sortWithinPartitions("user_column", "row")


def _write_seen(train: DataFrame, uri: str) -> None:
    pairs = train.select("user_column", "item_column").distinct()
    pairs.sort("user_column", "item_column").write.mode("overwrite").parquet(uri)


def _write_channel(
    rows: DataFrame, output_uri: str, prefix: str, feature_dim: int, dataset: Dataset
) -> Channel:
    uri = objectstore.join(output_uri, prefix)
    seen = Observation()
    measured = rows.select("user_column", "item_column", "label").observe(
        seen, F.count(F.lit(1)).alias("rows"), F.sum("label").alias("positives")
    )
    options: dict[str, Any] = {"indices": "user_column,item_column", "feature_dim": feature_dim}
    measured.write.format(FORMAT).mode("overwrite").options(**options).save(uri)
    stored = objectstore.list_objects(uri)
    count = int(seen.get["rows"])
    share = None
    if isinstance(dataset.label, BinaryLabel) and count:
        share = float(seen.get["positives"]) / count
    if count and not stored:
        raise FormatError(f"{count} rows were written to {uri}, but nothing is there")
    return Channel(prefix, count, len(stored), sum(part.size for part in stored), share)
