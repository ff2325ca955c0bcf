"""Stages in Spark's tasks, and the shuffles between them. Nothing else of a stage knows Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame

from fmrec.encoding.python_tasks import map_in_arrow
from fmrec.encoding.shuffle.messages import SCHEMA, Message, from_arrow, to_arrow


class Stage(Protocol):
    """Takes a partition's messages, in the order of their buckets, and returns messages."""

    def __call__(self, messages: Iterable[Message], partition: int) -> Iterator[Message]: ...


def shuffle(messages: DataFrame, partition: Column, partitions: int) -> DataFrame:
    """Bring buckets to partitions; each gets its own in order, lookups before rows."""
    return messages.repartitionById(partitions, partition).sortWithinPartitions("bucket", "kind")


def run_stage(messages: DataFrame, stage: Stage) -> DataFrame:
    """Run a stage on each partition."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return to_arrow(stage(from_arrow(batches), _partition()))

    return map_in_arrow(messages, run, SCHEMA)


def make_messages(
    frame: DataFrame, function: Callable[[Iterable[pa.RecordBatch]], Iterable[Message]]
) -> DataFrame:
    """Make messages of each partition's rows."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return to_arrow(function(batches))

    return map_in_arrow(frame, run, SCHEMA)


def _partition() -> int:
    context = TaskContext.get()
    if context is None:
        raise RuntimeError("stages run in Spark's tasks only")
    return int(context.partitionId())
