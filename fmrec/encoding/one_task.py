"""All stages after reading in one task, where there are so few rows that one task would hold them anyway.

Each query costs the driver and the JVM more than a hundred thousand rows cost the stages. The stages are
those of larger runs, and so is what they write; messages are sorted here instead of by Spark's shuffle.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset, ImplicitLabel
from fmrec.encoding.attach_features import AttachFeatures
from fmrec.encoding.encode_ids import EncodeIds
from fmrec.encoding.facts_for_messages import most_frequent
from fmrec.encoding.feature_index import NAMESPACE, SIDES
from fmrec.encoding.index_in_memory import ChunkTexts, NamespaceIndex
from fmrec.encoding.ingest.chunks import CHUNK, EVENTS, TEXTS
from fmrec.encoding.ingest.read_interactions import Ingested
from fmrec.encoding.pairs import unpack_ids
from fmrec.encoding.row_numbers import RowNumbers
from fmrec.encoding.row_types import FeatureLookup, SparseRows
from fmrec.encoding.shuffle.buckets import Buckets, CountedInMemory, Route, SideRoute
from fmrec.encoding.shuffle.messages import Kind, Message, pack_rows
from fmrec.encoding.shuffle.spark_shuffle import Stage, make_messages
from fmrec.encoding.shuffle_plan import PARTITION_ROWS, Range, ShufflePlan, records_per_row
from fmrec.encoding.split_and_label import SplitAndLabel
from fmrec.encoding.stored_parts import IndexPart, TaskSummary
from fmrec.encoding.unknown_ids import POLICIES
from fmrec.encoding.write_records import WriteRecords
from fmrec.storage.part_files import Output

INDEX = "feature_index"
"""The output that the index is stored to."""
TEXT_CHARACTERS = 256_000_000
"""Of the ids of users, and of those of items, at most: Arrow's strings hold 2 GiB, four bytes a character."""


@dataclass(frozen=True)
class IndexReport:
    """What the driver has to know of the index.

    ``most`` is how many interactions the most active user has, ``events`` how often events occur, as
    ``facts_for_messages.count_events`` counts them.
    """

    ranges: dict[str, Range]
    most: int
    events: dict[str, int]

    @classmethod
    def from_json(cls, data: bytes) -> IndexReport:
        found = json.loads(bytes(data))
        ranges: dict[str, Range] = {side: (first, end) for side, (first, end) in found["ranges"].items()}
        return cls(ranges, found["most"], found["events"])


def fits_one_task(dataset: Dataset, read: Ingested) -> bool:
    """Say whether one task makes a run's records as soon as several would.

    Side features are measured and joined by Spark, and texts that could be too many to hold are sorted by it.
    """
    described = any(side is not None and side.without_interactions for side in (dataset.users, dataset.items))
    if dataset.features or described:
        return False
    records = read.good_count * (1 + records_per_row(dataset))
    characters = read.good_count * dataset.quarantine.max_id_length
    return max(records, read.rows) <= PARTITION_ROWS and characters <= TEXT_CHARACTERS


def encode_in_one_task(
    dataset: Dataset, read: Ingested, outputs: dict[str, Output]
) -> tuple[TaskSummary, IndexReport]:
    """Store the feature index, train, test, seen and heldout, and return what the task reports.

    Where no user or no item is frequent enough nothing is stored, and a range of the report is empty.
    """
    task = OneTask(dataset, read.good_count, read.numbers, outputs)
    columns = (CHUNK, "kind", "data", NAMESPACE, "first", "texts", "counts")
    chunks = read.chunks.where(F.col("kind").isin(int(Kind.ROWS), TEXTS)).select(*columns)
    return collect_reports(make_messages(chunks.coalesce(1), task))


def collect_reports(messages: DataFrame) -> tuple[TaskSummary, IndexReport]:
    """Run the task and return what it reports."""
    summary, index = TaskSummary(), IndexReport({}, 0, {})
    for kind, data in messages.select("kind", "data").collect():
        if kind == Kind.INDEX:
            index = IndexReport.from_json(data)
        else:
            summary.add(Kind(kind), data)
    return summary, index


@dataclass(frozen=True)
class OneTask:
    """The task: chunks come in, what the driver needs goes out.

    Parameters
    ----------
    rows : int
        Interactions that can be used.
    """

    dataset: Dataset
    rows: int
    numbers: RowNumbers
    outputs: dict[str, Output]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Message]:
        texts, messages = _unpacked(batches)
        users, items = self._index(texts)
        ranges = {"user": users.range, "item": items.range}
        yield Message(Kind.INDEX, 0, self._report(ranges, users, texts))
        if not (len(users.names) and len(items.names)):
            return
        with IndexPart(INDEX, self.outputs[INDEX], 0) as part:
            for side, index in zip(SIDES, (users, items), strict=True):
                feature_ids, namespace = np.arange(*index.range), pa.repeat(side, len(index.names))
                part.write_arrays([feature_ids, namespace, index.names, index.counts])
            for stored in part.finish():
                yield Message(Kind.STORED_PART, 0, stored.to_bytes())
        for index in (users, items):
            for chunk, table in index.code_tables():
                messages.append(Message(Kind.LOOKUP, chunk, table.to_bytes()))
        yield from self._stages(ranges, CountedInMemory(users.counts), messages)

    def _index(self, texts: list[ChunkTexts]) -> tuple[NamespaceIndex, NamespaceIndex]:
        minimum = self.dataset.minimum_interactions
        users = NamespaceIndex.of(texts, 0, 0, minimum.user)
        return users, NamespaceIndex.of(texts, 1, users.range[1], minimum.item)

    def _report(self, ranges: dict[str, Range], users: NamespaceIndex, texts: list[ChunkTexts]) -> bytes:
        events: Counter[str] = Counter()
        for found in texts:
            if found.namespace == EVENTS:
                events.update(dict(zip(found.texts.to_pylist(), found.counts.tolist(), strict=True)))
        label = self.dataset.label
        named = label.event_weights if isinstance(label, ImplicitLabel) else ()
        most = int(users.counts.max()) if len(users.counts) else 0
        return json.dumps(asdict(IndexReport(ranges, most, most_frequent(events, named)))).encode()

    def _stages(
        self, ranges: dict[str, Range], counted: CountedInMemory, messages: list[Message]
    ) -> Iterator[Message]:
        dataset = self.dataset
        unknown = POLICIES[dataset.unknown]
        plan = ShufflePlan(dataset, self.rows, 1, ranges["user"], counted)
        by_user, order = plan.by_user(), plan.record_order()
        by_item = Buckets.even(ranges["item"], by_user.count, by_user.partitions)
        stops = [SideRoute("user", by_user), SideRoute("item", by_item)] if unknown.needs_seen_ids else []
        routes: list[Route] = [*stops, order]
        messages = yield from _run(EncodeIds([], self.numbers, by_user), messages, lambda bucket: 0)
        split = SplitAndLabel.of(dataset, ranges, self.outputs, routes[0], unknown.needs_seen_ids)
        messages = yield from _run(split, messages, by_user.partition_of)
        seen = [message for message in messages if message.kind == Kind.SEEN_IDS]
        messages = [message for message in messages if message.kind != Kind.SEEN_IDS]
        for stop, route in zip(stops, routes[1:], strict=True):
            messages += _known_ids(stop, ranges[stop.side], seen)
            stage = AttachFeatures(stop.side, unknown, route)
            messages = yield from _run(stage, messages, stop.buckets.partition_of)
        feature_dim = ranges["item"][1]
        write = WriteRecords(order, {name: self.outputs[name] for name in ("train", "test")}, [], feature_dim)
        yield from _run(write, messages, order.partition_of)


def _unpacked(batches: Iterable[pa.RecordBatch]) -> tuple[list[ChunkTexts], list[Message]]:
    """Take chunks apart: their texts, and their rows for ``EncodeIds``."""
    texts, rows = [], []
    for batch in batches:
        for at, kind in enumerate(batch.column(1).to_pylist()):
            chunk = batch.column(0)[at].as_py()
            if kind == Kind.ROWS:
                rows.append(Message(Kind.ROWS, chunk, memoryview(batch.column(2)[at].as_buffer())))
                continue
            namespace, first = batch.column(3)[at].as_py(), batch.column(4)[at].as_py()
            found, counts = batch.column(5)[at].values, batch.column(6)[at].values
            texts.append(ChunkTexts(chunk, namespace, first, found, np.asarray(counts).astype(np.int64)))
    return texts, rows


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


def _known_ids(stop: SideRoute, ids: Range, seen: list[Message]) -> list[Message]:
    """Return for each bucket of users or items which of them train has seen."""
    own = np.arange(*ids)
    known = np.zeros(len(own), np.bool_)
    for message in seen:
        known[unpack_ids(message.payload)[stop.side] - ids[0]] = True
    lookup = FeatureLookup(own, known, SparseRows.empty(len(own)))
    return list(pack_rows(Kind.LOOKUP, lookup, stop.buckets.of(own)))
