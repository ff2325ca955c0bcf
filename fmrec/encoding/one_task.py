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

from fmrec.dataset import Dataset, ImplicitLabel
from fmrec.encoding.attach_features import AttachFeatures
from fmrec.encoding.encode_ids import EncodeIds
from fmrec.encoding.facts_for_messages import most_frequent
from fmrec.encoding.feature_index import SIDES, check_sides
from fmrec.encoding.features.attribute_counts import FeatureReport
from fmrec.encoding.features.attribute_files import AttributeFiles, DescribedSide
from fmrec.encoding.features.features_in_memory import AttributeRows, Features, first_ids
from fmrec.encoding.features.reading import all_readings, context_readings
from fmrec.encoding.features.side_table import LoadedTable, store_side_table
from fmrec.encoding.index_in_memory import NOBODY, ChunkTexts, NamespaceIndex
from fmrec.encoding.ingest.chunks import EVENTS
from fmrec.encoding.ingest.files import are_small
from fmrec.encoding.ingest.read_interactions import Ingested
from fmrec.encoding.one_task_input import TaskInput, task_rows
from fmrec.encoding.pairs import unpack_ids
from fmrec.encoding.row_numbers import RowNumbers
from fmrec.encoding.row_types import FeatureLookup, Mask, SparseRows
from fmrec.encoding.shuffle.buckets import Buckets, CountedInMemory, Route, SideRoute
from fmrec.encoding.shuffle.messages import Kind, Message, pack_rows
from fmrec.encoding.shuffle.spark_shuffle import Stage, make_messages
from fmrec.encoding.shuffle_plan import (
    PARTITION_ROWS,
    ROW_BYTES,
    Range,
    ShufflePlan,
    records_per_row,
    row_bytes,
)
from fmrec.encoding.split_and_label import SplitAndLabel
from fmrec.encoding.stored_parts import IndexPart, TaskSummary
from fmrec.encoding.unknown_ids import POLICIES
from fmrec.encoding.write_records import WriteRecords
from fmrec.storage.part_files import Output

INDEX = "feature_index"
"""The output that the index is stored to."""
TEXT_CHARACTERS = 256_000_000
"""Of the ids of users, and of those of items, at most: Arrow's strings hold 2 GiB, four bytes a character."""
ATTRIBUTE_BYTES = 16 << 20
"""Of the files that describe users, and of those that describe items, at most."""


@dataclass(frozen=True)
class IndexReport:
    """What the driver has to know of the index.

    ``trained`` are the ranges of those users and items that have interactions, ``most`` is how many the most
    active user has, ``events`` how often events occur, as ``facts_for_messages.count_events`` counts them.
    ``first_ids`` are by side the first ids that attributes and interactions have.
    """

    ranges: dict[str, Range]
    trained: dict[str, Range]
    most: int
    events: dict[str, int]
    features: FeatureReport
    first_ids: dict[str, tuple[list[str], list[str]]]

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> IndexReport:
        found = json.loads(bytes(data))
        ranges, trained = (
            {name: (first, end) for name, (first, end) in found[key].items()} for key in ("ranges", "trained")
        )
        features = FeatureReport.from_json(found["features"])
        return cls(ranges, trained, found["most"], found["events"], features, found["first_ids"])

    def check(self, dataset: Dataset, attributes: list[AttributeFiles]) -> list[str]:
        """Return what is to be said of side features.

        Raises
        ------
        InputError
            Attributes or features can't be used, or no user or no item is frequent enough.
        """
        for files in attributes:
            counts = self.features.attributes[files.side]
            files.check(counts, dataset.quarantine.max_share)
            counts.check_matched(files.attributes.id, *self.first_ids[files.side])
        warnings = self.features.warnings(all_readings(dataset))
        check_sides(dataset, self.trained)
        return warnings


def fits_one_task(dataset: Dataset, read: Ingested, attributes: list[AttributeFiles]) -> bool:
    """Say whether one task makes a run's records as soon as several would, and can hold them.

    It holds all records, about as many bytes as two-hot records of one partition have; all ids; and what
    attribute files say, whose bytes are counted as they are stored.
    """
    records = read.good_count * (1 + records_per_row(dataset))
    characters = read.good_count * dataset.quarantine.max_id_length
    return (
        read.rows <= PARTITION_ROWS
        and records * row_bytes(dataset) <= PARTITION_ROWS * ROW_BYTES
        and characters <= TEXT_CHARACTERS
        and all(are_small(files.opened.files, ATTRIBUTE_BYTES) for files in attributes)
    )


def encode_in_one_task(
    dataset: Dataset, read: Ingested, attributes: list[AttributeFiles], outputs: dict[str, Output]
) -> tuple[TaskSummary, IndexReport]:
    """Store the feature index, train, test, seen, heldout and side features; return what the task reports.

    Where no user or no item is frequent enough nothing is stored, and a range of the report is empty.
    """
    described = [files.described for files in attributes]
    task = OneTask(dataset, read.good_count, read.numbers, described, outputs)
    return collect_reports(make_messages(task_rows(read, attributes, context_readings(dataset)), task))


def collect_reports(messages: DataFrame) -> tuple[TaskSummary, IndexReport]:
    """Run the task and return what it reports."""
    summary, index = TaskSummary(), IndexReport({}, {}, 0, {}, FeatureReport(), {})
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
        attributes = {side.side: AttributeRows.of(found.attributes[side.side]) for side in self.described}
        sides = self._index(found.texts, attributes)
        features = Features.of(self.dataset, self.rows, sides, self.described, attributes, found.contexts)
        ranges = {side: index.range for side, index in sides.items()} | features.ranges
        trained = {side: index.trained for side, index in sides.items()}
        first = {
            side: (first_ids(rows.owners), first_ids(sides[side].trained_names))
            for side, rows in attributes.items()
        }
        events, counts = self._events(found.texts), sides["user"].counts
        most = int(counts.max()) if len(counts) else 0
        report = IndexReport(ranges, trained, most, events, features.report, first)
        yield Message(Kind.INDEX, 0, report.to_json())
        if any(start == end for start, end in trained.values()):
            return
        with IndexPart(INDEX, self.outputs[INDEX], 0) as part:
            for name, index in (sides | features.indexes_by_name).items():
                feature_ids, namespace = np.arange(*index.range), pa.repeat(name, len(index.names))
                part.write_arrays([feature_ids, namespace, index.names, index.counts])
            for stored in part.finish():
                yield Message(Kind.STORED_PART, 0, stored.to_bytes())
        messages = found.messages
        for tables in (sides["user"].code_tables(), sides["item"].code_tables(), features.code_tables()):
            messages += [Message(Kind.LOOKUP, chunk, table.to_bytes()) for chunk, table in tables]
        rows = {
            side: features.sides[side].rows(features.indexes, len(sides[side].names)) for side in attributes
        }
        yield from self._stages(ranges, trained, CountedInMemory(counts), messages, features.contexts, rows)

    def _index(
        self, texts: list[ChunkTexts], attributes: dict[str, AttributeRows]
    ) -> dict[str, NamespaceIndex]:
        minimum, longest = self.dataset.minimum_interactions, self.dataset.quarantine.max_id_length
        others = {
            side.side: attributes[side.side].described(longest)
            for side in self.described
            if side.attributes.without_interactions
        }
        users = NamespaceIndex.of(texts, 0, 0, minimum.user, others.get("user", NOBODY))
        items = NamespaceIndex.of(texts, 1, users.range[1], minimum.item, others.get("item", NOBODY))
        return {"user": users, "item": items}

    def _events(self, texts: list[ChunkTexts]) -> dict[str, int]:
        events: Counter[str] = Counter()
        for found in texts:
            if found.namespace == EVENTS:
                events.update(dict(zip(found.texts.to_pylist(), found.counts.tolist(), strict=True)))
        label = self.dataset.label
        return most_frequent(events, label.event_weights if isinstance(label, ImplicitLabel) else ())

    def _stages(
        self,
        ranges: dict[str, Range],
        trained: dict[str, Range],
        counted: CountedInMemory,
        messages: list[Message],
        contexts: list[int],
        features: dict[str, SparseRows],
    ) -> Iterator[Message]:
        """Run the stages.

        Parameters
        ----------
        contexts : list of int
            The namespaces that texts of context are in.
        features : dict of str to SparseRows
            Of each user or item of a described side, in the order of the index.
        """
        dataset = self.dataset
        unknown = POLICIES[dataset.unknown]
        plan = ShufflePlan(dataset, self.rows, 1, ranges["user"], counted)
        by_user, order = plan.by_user(), plan.record_order()
        by_item = Buckets.even(ranges["item"], by_user.count, by_user.partitions)
        stops = [SideRoute("user", by_user), SideRoute("item", by_item)] if unknown.needs_seen_ids else []
        routes: list[Route] = [*stops, order]
        messages = yield from _run(EncodeIds(contexts, self.numbers, by_user), messages, lambda bucket: 0)
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
