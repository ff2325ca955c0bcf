"""The feature index made and stored by one task, where the chunks' distinct texts are few enough to hold.

Sorting, numbering and joining them takes Spark several queries, each of which costs more than a million
texts. Larger runs make the index so and the rest in stages; ``one_task`` goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from fmrec.dataset import Dataset, ImplicitLabel
from fmrec.encoding.facts_for_messages import most_frequent
from fmrec.encoding.feature_index import SIDES, check_sides
from fmrec.encoding.features.attribute_counts import FeatureReport
from fmrec.encoding.features.attribute_files import AttributeFiles, DescribedSide
from fmrec.encoding.features.features_in_memory import AttributeRows, FeatureIndex, Features, first_ids
from fmrec.encoding.features.reading import all_readings
from fmrec.encoding.index_in_memory import NOBODY, ChunkTexts, NamespaceIndex
from fmrec.encoding.ingest.chunks import EVENTS
from fmrec.encoding.ingest.files import are_small
from fmrec.encoding.ingest.read_interactions import Ingested
from fmrec.encoding.row_types import FeatureLookup, SparseRows
from fmrec.encoding.shuffle.buckets import Buckets, CountedInMemory
from fmrec.encoding.shuffle.messages import Kind, Message, pack_rows
from fmrec.encoding.shuffle_plan import Range, ShufflePlan
from fmrec.encoding.stored_parts import IndexPart, TaskSummary
from fmrec.encoding.task_input import TaskInput
from fmrec.encoding.write_records import RecordOrder
from fmrec.storage.part_files import Output

INDEX = "feature_index"
"""The output that the index is stored to."""
TEXT_BYTES = 128 << 20
"""Of the chunks' texts, at most, each counted in every chunk: a task holds some ten times that."""
ATTRIBUTE_BYTES = 16 << 20
"""Of the files that describe users, and of those that describe items, at most."""


@dataclass(frozen=True)
class IndexReport:
    """What the driver has to know of the index.

    ``trained`` are the ranges of those users and items that have interactions, ``most`` is how many the most
    active user has, ``events`` how often events occur, as ``facts_for_messages.count_events`` counts them.
    ``first_ids`` are by side the first ids that attributes and interactions have. ``groups`` are users'
    interactions by group, for each width of groups that a shuffle plan asks for.
    """

    ranges: dict[str, Range] = field(default_factory=dict)
    trained: dict[str, Range] = field(default_factory=dict)
    most: int = 0
    events: dict[str, int] = field(default_factory=dict)
    features: FeatureReport = field(default_factory=FeatureReport)
    first_ids: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    groups: dict[int, list[list[int]]] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> IndexReport:
        found = json.loads(bytes(data))
        for key in ("ranges", "trained"):
            found[key] = {name: (first, end) for name, (first, end) in found[key].items()}
        found["features"] = FeatureReport.from_json(found["features"])
        found["groups"] = {int(width): counts for width, counts in found["groups"].items()}
        return cls(**found)

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

    def count_groups(self, width: int) -> NDArray[np.int64]:
        """Return what ``CountedInMemory`` counted in the task."""
        return np.array(self.groups[width], np.int64).reshape(-1, 2)


def fits_index_task(read: Ingested, attributes: list[AttributeFiles]) -> bool:
    """Say whether one task can make the index: texts and attributes are few."""
    small = all(are_small(files.opened.files, ATTRIBUTE_BYTES) for files in attributes)
    return small and read.text_bytes <= TEXT_BYTES


@dataclass(frozen=True)
class MadeIndex:
    """The index as the task has it."""

    sides: dict[str, NamespaceIndex]
    features: Features
    by_user: Buckets
    order: RecordOrder

    @property
    def ranges(self) -> dict[str, Range]:
        return {side: index.range for side, index in self.sides.items()} | self.features.ranges

    @property
    def trained(self) -> dict[str, Range]:
        return {side: index.trained for side, index in self.sides.items()}

    def code_tables(self) -> Iterator[Message]:
        """Yield what the codes of each chunk stand for."""
        of_ids = chain.from_iterable(index.code_tables() for index in self.sides.values())
        for chunk, table in chain(of_ids, self.features.code_tables()):
            yield Message(Kind.LOOKUP, chunk, table.to_bytes())

    def side_features(self) -> dict[str, SparseRows]:
        """Return those of each user or item of a described side, in the order of the index."""
        return {
            side: owned.rows(self.features.indexes, len(self.sides[side].names))
            for side, owned in self.features.sides.items()
        }

    def packed_side_features(self) -> Iterator[Message]:
        """Yield ``side_features`` by the sides' ordinals."""
        for side, rows in self.side_features().items():
            own = np.arange(*self.sides[side].range)
            lookup = FeatureLookup(own, np.ones(len(own), np.bool_), rows)
            yield from pack_rows(Kind.SIDE_FEATURES, lookup, np.full(len(own), SIDES.index(side)))


@dataclass(frozen=True)
class IndexTask:
    """The task: rows of ``task_input`` come in; a report, the stored index, code tables and side features go
    out.

    Parameters
    ----------
    rows : int
        Interactions that can be used.
    partitions : int
        Of everything that is not cut by parts.
    described : list of DescribedSide
        The sides that features describe.
    """

    dataset: Dataset
    rows: int
    partitions: int
    described: list[DescribedSide]
    output: Output

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Message]:
        index = yield from self.make(TaskInput.of(batches))
        if index is not None:
            yield from index.code_tables()
            yield from index.packed_side_features()

    def make(self, found: TaskInput) -> Generator[Message, None, MadeIndex | None]:
        """Yield what the driver needs, and return the index.

        Where no user or no item is frequent enough nothing is stored or returned, and a range is empty.
        """
        attributes = {side.side: AttributeRows.of(found.attributes[side.side]) for side in self.described}
        sides = self._sides(found.texts, attributes)
        features = Features.of(self.dataset, self.rows, sides, self.described, attributes, found.contexts)
        indexes: dict[str, NamespaceIndex | FeatureIndex] = {**sides, **features.indexes_by_name}
        counts = _RememberedCounts(sides["user"].counts)
        index = None
        if all(len(names.trained_names) for names in sides.values()):
            plan = ShufflePlan(self.dataset, self.rows, self.partitions, sides["user"].range, counts)
            index = MadeIndex(sides, features, plan.by_user(), plan.record_order())
        report = IndexReport(
            {name: names.range for name, names in indexes.items()},
            {side: names.trained for side, names in sides.items()},
            int(counts.interactions.max(initial=0)),
            self._events(found.texts),
            features.report,
            {
                side: (first_ids(rows.owners), first_ids(sides[side].trained_names))
                for side, rows in attributes.items()
            },
            counts.groups,
        )
        yield Message(Kind.INDEX, 0, report.to_json())
        if index is not None:
            yield from self._store(indexes)
        return index

    def _store(self, indexes: dict[str, NamespaceIndex | FeatureIndex]) -> Iterator[Message]:
        with IndexPart(INDEX, self.output, 0) as part:
            for name, index in indexes.items():
                feature_ids, namespace = np.arange(*index.range), pa.repeat(name, len(index.names))
                part.write_arrays([feature_ids, namespace, index.names, index.counts])
            for stored in part.finish():
                yield Message(Kind.STORED_PART, 0, stored.to_bytes())

    def _sides(
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


@dataclass(frozen=True)
class _RememberedCounts(CountedInMemory):
    """Counts that the driver needs, too: ``groups`` has those that a plan asked for, by width."""

    groups: dict[int, list[list[int]]] = field(default_factory=dict)

    def __call__(self, width: int) -> NDArray[np.int64]:
        found = super().__call__(width)
        self.groups[width] = found.tolist()
        return found


def collect_reports(messages: DataFrame) -> tuple[TaskSummary, IndexReport]:
    """Run the task and return what it reports."""
    summary, index = TaskSummary(), IndexReport()
    for kind, data in messages.select("kind", "data").collect():
        if kind == Kind.INDEX:
            index = IndexReport.from_json(data)
        else:
            summary.add(Kind(kind), data)
    return summary, index
