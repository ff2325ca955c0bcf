"""What moves between tasks: a few packed messages instead of millions of small rows.

A message belongs to a bucket, and Spark's shuffle brings each partition its buckets in order, so that memory
depends on the size of a bucket, which the job chooses, and not on the size of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmrec.encoding.row_types import Rows
from fmrec.encoding.sorting import grouped
from fmrec.encoding.tally import Tally

SCHEMA = "bucket bigint, kind int, data binary"
ARROW_SCHEMA = pa.schema([("bucket", pa.int64()), ("kind", pa.int32()), ("data", pa.binary())])
MESSAGE_ROWS = 65_536
"""Rows of one message at most: Spark copies messages whole, in the JVM and on their way."""
GATHERED_ROWS = 500_000
"""Rows to gather before they are packed by bucket: more rows per bucket make fewer messages."""
FLUSH_BYTES = 4 << 20
"""Messages that go to the JVM at once, about."""

AnyRows = TypeVar("AnyRows", bound=Rows)


class Kind(IntEnum):
    """What a payload is. Within a bucket messages come in this order: lookups before rows."""

    TALLY = 0
    STORED_PART = 1
    SEEN_IDS = 2
    LOOKUP = 3
    ROWS = 4
    """On the way to their users' bucket, where they are split and labelled."""
    TRAIN = 5
    TEST = 6
    INDEX = 7
    """What the driver has to know of an index that a task has made (``index_task``)."""
    SIDE_FEATURES = 8
    """Those of users or items, which the bucket says, by the same task."""


CHANNELS = {Kind.TRAIN: "train", Kind.TEST: "test"}
KIND_OF_CHANNEL = {channel: kind for kind, channel in CHANNELS.items()}


class Message(NamedTuple):
    """One packed payload for a bucket."""

    kind: Kind
    bucket: int
    payload: bytes | memoryview

    @classmethod
    def of_tally(cls, tally: Tally) -> Message:
        return cls(Kind.TALLY, 0, tally.to_json())

    @property
    def is_report(self) -> bool:
        """Whether it is for the driver, and only passes by the other stages."""
        return self.kind in (Kind.TALLY, Kind.STORED_PART, Kind.INDEX)


def pack_rows(kind: Kind, rows: Rows, buckets: NDArray[np.int64]) -> Iterator[Message]:
    """Pack rows by bucket, ascending, in order, at most ``MESSAGE_ROWS`` in one message."""
    order, found, starts = grouped(buckets)
    rows = rows.take(order)
    bounds, bucket_of = [], []
    for bucket, start, end in zip(found.tolist(), starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        for first in range(start, end, MESSAGE_ROWS):
            bounds.append((first, min(first + MESSAGE_ROWS, end)))
            bucket_of.append(bucket)
    for bucket, part in zip(bucket_of, rows.cut_at(bounds), strict=True):
        yield Message(kind, bucket, part.to_bytes())


def each_bucket(messages: Iterable[Message]) -> Iterator[tuple[int, Iterator[Message]]]:
    """Yield each bucket with its messages; use one up before the next."""
    yield from groupby(messages, key=lambda message: message.bucket)


def gathered(batches: Iterable[AnyRows], rows: int = GATHERED_ROWS) -> Iterator[AnyRows]:
    """Join small batches into larger ones of about ``rows`` rows."""
    pending: list[AnyRows] = []
    count = 0
    for batch in batches:
        pending.append(batch)
        count += len(batch)
        if count >= rows:
            yield type(batch).concatenate(pending)
            pending, count = [], 0
    if pending and count:
        yield type(pending[0]).concatenate(pending)


def from_arrow(batches: Iterable[pa.RecordBatch]) -> Iterator[Message]:
    """Unpack Arrow batches with the fields of ``SCHEMA``, without copying payloads."""
    for batch in batches:
        buckets, kinds = batch.column(0).to_pylist(), batch.column(1).to_pylist()
        for bucket, kind, data in zip(buckets, kinds, batch.column(2), strict=True):
            yield Message(Kind(kind), bucket, memoryview(data.as_buffer()))


def to_arrow(messages: Iterable[Message]) -> Iterator[pa.RecordBatch]:
    """Pack messages into Arrow batches of some ``FLUSH_BYTES``."""
    waiting: list[Message] = []
    size = 0
    for message in messages:
        waiting.append(message)
        size += len(message.payload)
        if size >= FLUSH_BYTES:
            yield _to_arrow(waiting)
            waiting, size = [], 0
    if waiting:
        yield _to_arrow(waiting)


def _to_arrow(messages: list[Message]) -> pa.RecordBatch:
    payloads = [bytes(message.payload) for message in messages]
    arrays = [
        pa.array([message.bucket for message in messages], pa.int64()),
        pa.array([int(message.kind) for message in messages], pa.int32()),
        pa.array(payloads, pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ARROW_SCHEMA)
