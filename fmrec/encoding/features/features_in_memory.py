"""Side features whose texts are all at hand: what ``attributes`` and ``side_features`` make, in Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmrec.dataset import Dataset
from fmrec.encoding.feature_index import NAMESPACE
from fmrec.encoding.features.attribute_counts import (
    EXAMPLES,
    AttributeCounts,
    FeatureReport,
    FeatureValues,
)
from fmrec.encoding.features.attribute_files import (
    EXAMPLE,
    OWNER,
    PLACE,
    READS,
    REASON,
    DescribedSide,
)
from fmrec.encoding.features.kinds import Entries, Measured, numbers_of, of_feature
from fmrec.encoding.features.reading import FIRST_ORDINAL, Reading, context_readings
from fmrec.encoding.index_in_memory import NamespaceIndex, in_order_of_names
from fmrec.encoding.ingest.chunks import CHUNK
from fmrec.encoding.row_types import CodeTable, SparseRows

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FeatureIndex:
    """The names of one feature.

    Parameters
    ----------
    names : StringArray
        In the order of their feature ids, from ``first`` on.
    counts : int64 array
        How often each occurs.
    """

    first: int
    names: pa.Array
    counts: Ints

    @classmethod
    def of(cls, entries: Entries, times: Ints, first: int) -> FeatureIndex:
        """Index the names of entries whose owners occur so many times; not those of owners who don't."""
        weights = times[entries.owners]
        met = weights > 0
        encoded = entries.names.filter(pa.array(met)).dictionary_encode()
        counts = np.zeros(len(encoded.dictionary), np.int64)
        np.add.at(counts, np.asarray(encoded.indices).astype(np.int64), weights[met])
        order = in_order_of_names(encoded.dictionary)
        return cls(first, encoded.dictionary.take(pa.array(order)), counts[order])

    @property
    def range(self) -> tuple[int, int]:
        return self.first, self.first + len(self.names)

    def rows(self, entries: Entries) -> SparseRows:
        """Return entries by feature id, without names that are not indexed."""
        found = pc.index_in(entries.names, value_set=self.names)
        known = np.asarray(found.is_valid())
        lengths = np.bincount(entries.owners[known], minlength=len(entries.lengths)).astype(np.int64)
        feature_ids = self.first + np.asarray(found.drop_null()).astype(np.int64)
        return SparseRows(lengths, feature_ids, entries.weights[known])


@dataclass(frozen=True)
class AttributeRows:
    """Users' or items' attributes: one row per id, and counts of all rows.

    Parameters
    ----------
    owners : StringArray
        Distinct ids.
    reads : ListArray
        Of each owner what the last of its rows says, one read per feature.
    says : bool array
        Whether one of the owner's rows says something.
    bad : dict of str to (int, str)
        How many rows can't be used by reason, and the first of them.
    """

    owners: pa.Array
    reads: pa.ListArray
    says: Mask
    usable: int
    bad: dict[str, tuple[int, str]]

    @classmethod
    def of(cls, rows: pa.Table) -> AttributeRows:
        """Group rows as ``AttributeFiles.rows`` has them."""
        rows = rows.take(pc.sort_indices(rows, [(name, "ascending") for name in PLACE])).combine_chunks()
        is_good = pc.is_null(rows.column(REASON))
        bad: dict[str, tuple[int, str]] = {}
        wrong = rows.filter(pc.invert(is_good)).select([REASON, EXAMPLE]).to_pylist()
        for row in wrong:
            count, example = bad.get(row[REASON], (0, row[EXAMPLE]))
            bad[row[REASON]] = (count + 1, example)
        good = rows.filter(is_good).combine_chunks()
        encoded = _array(good.column(OWNER), pa.string()).dictionary_encode()
        codes = np.asarray(encoded.indices).astype(np.int64)
        last = np.zeros(len(encoded.dictionary), np.int64)
        np.maximum.at(last, codes, np.arange(len(codes)))
        reads = _array(good.column(READS), rows.schema.field(READS).type)
        says = np.zeros(len(last), np.bool_)
        present = np.asarray(pc.fill_null(reads.flatten().field("present"), False))
        if len(codes):
            np.logical_or.at(says, codes, present.reshape(len(codes), -1).any(axis=1))
        return cls(encoded.dictionary, reads.take(pa.array(last)), says, len(good), bad)

    def described(self, longest: int) -> pa.Array:
        """Return the ids of at most so many characters of which a row says something."""
        fits = np.asarray(pc.less_equal(pc.utf8_length(self.owners), longest)).astype(np.bool_)
        return self.owners.filter(pa.array(self.says & fits))

    def of_ids(self, index: NamespaceIndex, side: DescribedSide) -> OwnedFeatures:
        """Return the attributes of ids that are indexed."""
        ordinals = pc.index_in(self.owners, value_set=index.names)
        matched = np.asarray(ordinals.is_valid())
        places = np.asarray(ordinals.drop_null()).astype(np.int64)
        ids = index.trained[1] - index.first
        met = (places < ids).astype(np.int64)
        counts = AttributeCounts.of_rows(
            side.path,
            {reason: count for reason, (count, _) in self.bad.items()} | {None: self.usable},
            {reason: example for reason, (_, example) in self.bad.items()},
            distinct=len(self.owners),
            matched=int(met.sum()),
            ids=ids,
        )
        reads = self.reads.filter(pa.array(matched))
        features = {}
        for at, (ordinal, reading) in enumerate(side.readings.items()):
            mine = of_feature(reads, at, len(side.readings))
            features[ordinal] = FeatureOfOwners.of(reading, mine, met, ids)
        return OwnedFeatures(places, features, counts)


@dataclass(frozen=True)
class FeatureOfOwners:
    """A feature of users, items or texts of context, each of which occurs so many times in training."""

    entries: Entries
    times: Ints
    values: FeatureValues

    @classmethod
    def of(cls, reading: Reading, reads: pa.StructArray, times: Ints, owners: int) -> FeatureOfOwners:
        numbers, there = numbers_of(reads)
        counted = times[there] > 0
        measured = Measured.of_numbers(reading, numbers[counted], times[there][counted])
        present = np.asarray(reads.field("present")).astype(np.bool_)
        unusable = reads.field("unusable")
        is_unusable = np.asarray(unusable.is_valid())
        shown = pc.unique(unusable.filter(pa.array(is_unusable & (times > 0))))
        found, useless = int(times[present].sum()), int(times[is_unusable].sum())
        values = FeatureValues(found - useless, useless, owners - found, tuple(first_ids(shown)))
        return cls(measured.entries(reads), times, values)


@dataclass(frozen=True)
class OwnedFeatures:
    """One side's features.

    Parameters
    ----------
    ordinals : int64 array
        Which user or item of the index each owner is.
    """

    ordinals: Ints
    features: dict[int, FeatureOfOwners]
    counts: AttributeCounts

    def rows(self, indexes: Mapping[int, FeatureIndex], ids: int) -> SparseRows:
        """Return the features of all users or items of the index, in its order."""
        found = SparseRows.empty(len(self.ordinals))
        for ordinal, feature in self.features.items():
            found = found.hstack(indexes[ordinal].rows(feature.entries))
        padded = SparseRows(np.append(found.lengths, 0), found.feature_ids, found.values)
        place = np.full(ids, len(self.ordinals))
        place[self.ordinals] = np.arange(len(self.ordinals))
        return padded.take(place).sorted()


@dataclass(frozen=True)
class ContextTexts:
    """All chunks' texts of a feature of context.

    Parameters
    ----------
    chunk, code : int64 arrays
        Of each text.
    """

    reading: Reading
    namespace: int
    chunk: Ints
    code: Ints
    feature: FeatureOfOwners

    @classmethod
    def of(cls, reading: Reading, namespace: int, rows: pa.Table, interactions: int) -> ContextTexts:
        """Take texts: ``bucket``, ``first`` (the code), ``counts`` and ``READS``, of which there is one."""
        mine = rows.filter(pc.equal(rows.column(NAMESPACE), namespace)).combine_chunks()
        chunk, code = (np.asarray(mine.column(name)).astype(np.int64) for name in (CHUNK, "first"))
        times = np.asarray(_array(mine.column("counts"), pa.list_(pa.int64())).flatten()).astype(np.int64)
        reads = of_feature(_array(mine.column(READS), rows.schema.field(READS).type), 0, 1)
        return cls(reading, namespace, chunk, code, FeatureOfOwners.of(reading, reads, times, interactions))

    def code_tables(self, index: FeatureIndex) -> Iterator[tuple[int, CodeTable]]:
        """Yield what the codes of each chunk stand for."""
        entries = index.rows(self.feature.entries)
        namespace = np.full(len(self.code), self.namespace)
        table = CodeTable(self.code, namespace, entries)
        for chunk in np.unique(self.chunk).tolist():
            yield chunk, table.take(self.chunk == chunk)


def first_ids(texts: pa.Array) -> list[str]:
    """Return the first texts in the order of their UTF-8."""
    found: list[str] = texts.take(pc.bottom_k_unstable(texts, EXAMPLES)).to_pylist()
    return found


def _array(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays([pa.array([], kind), *column.chunks])


@dataclass(frozen=True)
class Features:
    """All side features of a run.

    Parameters
    ----------
    indexes : dict of int to FeatureIndex
        By the ordinals of the features' namespaces.
    names : dict of int to str
        The namespaces' names.
    """

    sides: dict[str, OwnedFeatures]
    texts: dict[int, ContextTexts]
    indexes: dict[int, FeatureIndex]
    names: dict[int, str]
    report: FeatureReport

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        interactions: int,
        indexes: Mapping[str, NamespaceIndex],
        described: list[DescribedSide],
        attributes: Mapping[str, AttributeRows],
        contexts: pa.Table,
    ) -> Features:
        """Read what is at hand, and index its names after users and items."""
        sides = {side.side: attributes[side.side].of_ids(indexes[side.side], side) for side in described}
        texts = {
            ordinal: ContextTexts.of(reading, ordinal, contexts, interactions)
            for ordinal, reading in context_readings(dataset).items()
        }
        features = {at: found for side in sides.values() for at, found in side.features.items()}
        features |= {ordinal: found.feature for ordinal, found in texts.items()}
        names = {at: feature.name for at, feature in enumerate(dataset.features, start=FIRST_ORDINAL)}
        values = {
            names[at]: feature.values
            for at, feature in features.items()
            if at not in texts or texts[at].reading.is_checked
        }
        found: dict[int, FeatureIndex] = {}
        first = indexes["item"].range[1]
        for at in names:
            found[at] = FeatureIndex.of(features[at].entries, features[at].times, first)
            first = found[at].range[1]
        report = FeatureReport({side: owned.counts for side, owned in sides.items()}, values)
        return cls(sides, texts, found, names, report)

    @property
    def contexts(self) -> list[int]:
        """The ordinals of the namespaces that texts of context are in."""
        return list(self.texts)

    @property
    def indexes_by_name(self) -> dict[str, FeatureIndex]:
        return {self.names[at]: index for at, index in self.indexes.items()}

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        return {name: index.range for name, index in self.indexes_by_name.items()}

    def code_tables(self) -> Iterator[tuple[int, CodeTable]]:
        """Yield what the codes of each chunk's texts of context stand for."""
        for at, texts in self.texts.items():
            yield from texts.code_tables(self.indexes[at])
