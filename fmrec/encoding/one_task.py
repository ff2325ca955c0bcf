"""All stages after reading in one task, where there are so few rows that one task would hold them anyway.

Each query costs the driver and the JVM more than a hundred thousand rows cost the stages. The stages are
those of larger runs, and so is what they write; messages are sorted here instead of by Spark's shuffle.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from fmrec.dataset import Dataset
from fmrec.encoding.attach_features import AttachFeatures
from fmrec.encoding.encode_ids import EncodeIds
from fmrec.encoding.feature_index import SIDES
from fmrec.encoding.features.attribute_files import AttributeFiles, DescribedSide
from fmrec.encoding.features.reading import context_readings
from fmrec.encoding.features.side_table import LoadedTable, store_side_table
from fmrec.encoding.index_task import (
    INDEX,
    IndexReport,
    IndexTask,
    MadeIndex,
    collect_reports,
    fits_index_task,
)
from fmrec.encoding.ingest.read_interactions import Ingested
from fmrec.encoding.pairs import unpack_ids
from fmrec.encoding.row_numbers import RowNumbers
from fmrec.encoding.row_types import FeatureLookup, Mask, SparseRows
from fmrec.encoding.shuffle.buckets import Buckets, Route, SideRoute
from fmrec.encoding.shuffle.messages import Kind, Message, pack_rows
from fmrec.encoding.shuffle.spark_shuffle import Stage, make_messages
from fmrec.encoding.shuffle_plan import (
    PARTITION_ROWS,
    ROW_BYTES,
    Range,
    records_per_row,
    row_bytes,
)
from fmrec.encoding.split_and_label import SplitAndLabel
from fmrec.encoding.stored_parts import TaskSummary
from fmrec.encoding.task_input import TaskInput, task_rows
from fmrec.encoding.unknown_ids import POLICIES
from fmrec.encoding.write_records import WriteRecords
from fmrec.storage.part_files import Output


def fits_one_task(dataset: Dataset, read: Ingested, attributes: list[AttributeFiles]) -> bool:
    """Say whether one task makes a run's records as soon as several would, and can hold them.

    It holds all records, about as many bytes as two-hot records of one partition have; the chunks' texts; and
    what attribute files say, whose bytes are counted as they are stored.
    """
    records = read.good_count * (1 + records_per_row(dataset))
    return (
        read.rows <= PARTITION_ROWS
        and records * row_bytes(dataset) <= PARTITION_ROWS * ROW_BYTES
        and fits_index_task(read, attributes)
    )


def encode_in_one_task(
    dataset: Dataset, read: Ingested, attributes: list[AttributeFiles], outputs: dict[str, Output]
) -> tuple[TaskSummary, IndexReport]:
    """Store the feature index, train, test, seen, heldout and side features; return what the task reports.

    Where no user or no item is frequent enough nothing is stored, and a range of the report is empty.
    """
    described = [files.described for files in attributes]
    task = OneTask(dataset, read.good_count, read.numbers, described, outputs)
    rows = task_rows(read, attributes, context_readings(dataset), with_rows=True)
    return collect_reports(make_messages(rows, task))


@dataclass(frozen=True)
class OneTask:
    """The task: chunks come in, what the driver needs goes out.

    Parameters
    ----------
    rows : int
        Interactions that can be used.
    described : list of DescribedSide
        The sides that features describe.
    """

    dataset: Dataset
    rows: int
    numbers: RowNumbers
    described: list[DescribedSide]
    outputs: dict[str, Output]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Message]:
        found = TaskInput.of(batches)
        task = IndexTask(self.dataset, self.rows, 1, self.described, self.outputs[INDEX])
        index = yield from task.make(found)
        if index is not None:
            yield from self._stages(index, [*found.messages, *index.code_tables()])

    def _stages(self, index: MadeIndex, messages: list[Message]) -> Iterator[Message]:
        dataset = self.dataset
        unknown = POLICIES[dataset.unknown]
        ranges, trained, features = index.ranges, index.trained, index.side_features()
        by_user, order = index.by_user, index.order
        by_item = Buckets.even(ranges["item"], by_user.count, by_user.partitions)
        stops = [SideRoute("user", by_user), SideRoute("item", by_item)] if unknown.needs_seen_ids else []
        routes: list[Route] = [*stops, order]
        to_ids = EncodeIds(index.features.contexts, self.numbers, by_user)
        messages = yield from _run(to_ids, messages, lambda bucket: 0)
        split = SplitAndLabel.of(dataset, trained, self.outputs, routes[0], unknown.needs_seen_ids)
        messages = yield from _run(split, messages, by_user.partition_of)
        seen = [message for message in messages if message.kind == Kind.SEEN_IDS]
        messages = [message for message in messages if message.kind != Kind.SEEN_IDS]
        known = {side: _known(ranges[side], side, seen) for side in SIDES}
        for side, rows in features.items():
            first, end = trained[side]
            written = np.arange(ranges[side][0], ranges[side][1]) < end
            if unknown.leaves_out_ids:
                written &= known[side]
            yield from store_side_table(side, self.outputs[f"{side}_features"], first, written, rows)
        for stop, route in zip(stops, routes[1:], strict=True):
            own = np.arange(*ranges[stop.side])
            lookup = FeatureLookup(own, known[stop.side], features.get(stop.side, SparseRows.empty(len(own))))
            messages += pack_rows(Kind.LOOKUP, lookup, stop.buckets.of(own))
            stage = AttachFeatures(stop.side, unknown, route)
            messages = yield from _run(stage, messages, stop.buckets.partition_of)
        tables = (
            [] if stops else [LoadedTable(side, ranges[side][0], rows) for side, rows in features.items()]
        )
        records = {name: self.outputs[name] for name in ("train", "test")}
        feature_dim = max(end for _, end in ranges.values())
        write = WriteRecords(order, records, tables, feature_dim)
        yield from _run(write, messages, order.partition_of)


def _run(
    stage: Stage, messages: list[Message], partition_of: Callable[[int], int]
) -> Generator[Message, None, list[Message]]:
    """Run a stage on each partition: yield reports, return the other messages."""
    messages.sort(key=lambda message: (message.bucket, message.kind))
    found = []
    for partition, mine in groupby(messages, key=lambda message: partition_of(message.bucket)):
        for message in stage(mine, partition):
            if message.is_report:
                yield message
            else:
                found.append(message)
    return found


def _known(ids: Range, side: str, seen: list[Message]) -> Mask:
    """Say of each user or item whether train has seen it."""
    known = np.zeros(ids[1] - ids[0], np.bool_)
    for message in seen:
        known[unpack_ids(message.payload)[side] - ids[0]] = True
    return known
