"""Moving batches of rows between tasks: Spark shuffles a few packed rows instead of millions of small ones.

A packed row has a bucket, a kind and bytes. ``exchange`` brings each partition its range of buckets,
sorted; ``each_bucket`` hands them on one bucket at a time, so that memory depends on the size of a
bucket, which the job chooses, and not on the size of the data.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame

from fmrec.encoding.batches import Batch, by_bucket

SCHEMA = "bucket bigint, kind int, data binary"
ARROW_SCHEMA = pa.schema([("bucket", pa.int64()), ("kind", pa.int32()), ("data", pa.binary())])
TALLY, STORED, MET, TABLE, ROWS, TRAIN, TEST = range(7)
"""Kinds: counts, and parts that were written, both as JSON; what train met of users and items, and their side
features; interactions; and what they become."""
FLUSH_ROWS = 500_000
"""Rows to gather before they are packed by bucket: more rows a bucket make fewer packed rows."""
FLUSH_BYTES = 4 << 20
"""Packed rows that go to the JVM at once, about."""

Packed = tuple[int, int, bytes]
Bucket = Iterator[tuple[int, memoryview]]


def exchange(packed: DataFrame, partition: Column, partitions: int) -> DataFrame:
    """Bring buckets to partitions, each gets its own in order, tables before rows."""
    return packed.repartitionById(partitions, partition).sortWithinPartitions("bucket", "kind")


def map_packed(
    frame: DataFrame, function: Callable[[Iterable[pa.RecordBatch]], Iterable[Packed]]
) -> DataFrame:
    """Apply a function to each partition's Arrow batches; it yields packed rows."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        waiting: list[Packed] = []
        size = 0
        for row in function(batches):
            waiting.append(row)
            size += len(row[2])
            if size >= FLUSH_BYTES:
                yield _to_arrow(waiting)
                waiting, size = [], 0
        if waiting:
            yield _to_arrow(waiting)

    return frame.mapInArrow(run, SCHEMA)


def each_bucket(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, Bucket]]:
    """Yield each bucket with its packed rows (kind, bytes); use one up before the next."""
    for bucket, rows in groupby(_packed(batches), key=lambda row: row[0]):
        yield bucket, ((kind, data) for _, kind, data in rows)


def pack(batch: Batch, buckets: NDArray[np.int64], kind: int) -> Iterator[Packed]:
    """Pack a batch's rows by bucket."""
    for bucket, rows in by_bucket(batch, buckets):
        yield bucket, kind, rows.to_bytes()


def pack_tally(tally: Counter[str]) -> Iterator[Packed]:
    if tally:
        yield 0, TALLY, json.dumps(tally).encode()


def read_tally(data: bytes | memoryview) -> Counter[str]:
    return Counter(json.loads(bytes(data)))


def gathered(batches: Iterable[Batch], rows: int = FLUSH_ROWS) -> Iterator[Batch]:
    """Join small batches into larger ones of about ``rows`` rows."""
    pending: list[Batch] = []
    count = 0
    for batch in batches:
        pending.append(batch)
        count += len(batch)
        if count >= rows:
            yield Batch.concatenate(pending)
            pending, count = [], 0
    if count:
        yield Batch.concatenate(pending)


def _to_arrow(rows: list[Packed]) -> pa.RecordBatch:
    arrays = [
        pa.array(column, field.type)
        for column, field in zip(zip(*rows, strict=True), ARROW_SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ARROW_SCHEMA)


def _packed(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, int, memoryview]]:
    for batch in batches:
        buckets, kinds = batch.column(0).to_pylist(), batch.column(1).to_pylist()
        for bucket, kind, data in zip(buckets, kinds, batch.column(2), strict=True):
            yield bucket, kind, memoryview(data.as_buffer())
