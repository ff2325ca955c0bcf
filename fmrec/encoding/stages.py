"""The stages that run as NumPy in Spark's tasks, between the JVM's joins and the data source.

``to_rows`` replaces texts by columns; ``decide_by_user`` runs ``by_user`` on each bucket of users; ``to_records`` orders a bucket's rows and encodes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset
from fmrec.encoding.batches import UNKNOWN, Batch, Ragged, hashes, in_order, units
from fmrec.encoding.by_user import Pairs, decide
from fmrec.encoding.chunks import Columns
from fmrec.encoding.exchange import (
    HELDOUT,
    ROWS,
    SEEN,
    TABLE,
    TALLY,
    TEST,
    TRAIN,
    Packed,
    each_bucket,
    exchange,
    gathered,
    map_packed,
    pack,
    pack_tally,
    read_tally,
)
from fmrec.encoding.feature_space import Spread
from fmrec.encoding.negatives import ItemRange
from fmrec.recordio import encode_csr

ENCODE_ROWS = 65_536
BELOW_MINIMUM = {"user": "user below the minimum", "item": "item below the minimum"}


@dataclass(frozen=True)
class Buckets:
    """How finely a stage cuts its rows, and how many tasks take the buckets."""

    count: int
    partitions: int
    spread: Spread | None = None
    """How rows spread over the columns that are cut; evenly, if not known."""

    def of(self, columns: NDArray[np.int64], first: int, end: int) -> NDArray[np.int64]:
        """Bucket of each column in ``[first, end)``, ascending; the first one's if unknown."""
        place = np.maximum(columns - first, 0)
        if self.spread is not None:
            buckets = (self.spread.shares * self.count).astype(np.int64)
            return np.asarray(buckets[place // self.spread.width])
        return np.asarray(place * self.count // max(end - first, 1), dtype=np.int64)

    def exchange(self, packed: DataFrame) -> DataFrame:
        return exchange(packed, self.count, self.partitions)


@dataclass(frozen=True)
class Stop:
    """Where rows are gathered by user or by item to be given side features."""

    side: str
    buckets: Buckets
    columns: tuple[int, int]
    unknown: str = "index"
    """What becomes of rows whose user or item train never met: a policy of the data set document."""

    def route(self, batch: Batch, kind: int) -> Iterator[Packed]:
        where = batch.user if self.side == "user" else batch.item
        yield from pack(batch, self.buckets.of(where, *self.columns), kind)


@dataclass(frozen=True)
class Order:
    """Where each encoded row goes: training rows at random, test rows by user."""

    seed: int
    train: Buckets
    test: Buckets
    users: int

    def route(self, batch: Batch, kind: int) -> Iterator[Packed]:
        if kind == TRAIN:
            bucket = (units(self._key(batch)) * self.train.count).astype(np.int64)
        else:
            bucket = self.test.of(batch.user, 0, self.users)
        yield from pack(batch, bucket, kind)

    def sort(self, batch: Batch, kind: int) -> Batch:
        if kind == TEST:
            return batch.take(in_order(batch.user, batch.row, batch.item))
        key = self._key(batch)
        order = np.argsort(key)
        ordered = key[order]
        if (ordered[1:] == ordered[:-1]).any():
            order = np.lexsort((batch.item, batch.user, batch.row, key))
        return batch.take(order)

    def _key(self, batch: Batch) -> NDArray[np.uint64]:
        return hashes(self.seed, batch.user, batch.item, batch.row)


@dataclass(frozen=True)
class RowNumbers:
    """Turns positions, which depend on how Spark cut the files, into numbers over all files."""

    first_positions: NDArray[np.int64]
    to_row: NDArray[np.int64]

    def of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        piece = np.searchsorted(self.first_positions, positions, side="right") - 1
        return np.asarray(positions + self.to_row[piece])


def to_rows(
    chunks: DataFrame,
    columns: DataFrame,
    contexts: list[int],
    numbers: RowNumbers,
    buckets: Buckets,
    users: int,
    partitions: int,
) -> DataFrame:
    """Replace texts by columns and pack rows by bucket of users; rows without a column are dropped and counted.

    Parameters
    ----------
    chunks : DataFrame
        As ``chunks.to_chunks`` makes them.
    columns : DataFrame
        What stands for their texts, as ``chunks.pack_columns`` packs it.
    contexts : list of int
        Namespaces of the texts after user and item.
    """
    rows = chunks.where(F.col("kind") == ROWS).select("bucket", "kind", "data")
    together = rows.unionAll(columns).repartition(partitions, "bucket")

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        tally: Counter[str] = Counter()
        for batch in gathered(_replaced(batches, contexts, numbers, tally)):
            yield from pack(batch, buckets.of(batch.user, 0, users), ROWS)
        yield from pack_tally(tally)

    return map_packed(together.sortWithinPartitions("bucket", "kind"), run)


def _replaced(
    batches: Iterable[pa.RecordBatch], contexts: list[int], numbers: RowNumbers, tally: Counter[str]
) -> Iterator[Batch]:
    for _, chunk in each_bucket(batches):
        tables: list[Batch] = []
        columns: Columns | None = None
        for kind, data in chunk:
            batch = Batch.from_bytes(data)
            if kind == TABLE:  # they come before rows
                tables.append(batch)
                continue
            if columns is None:
                columns = Columns(tables)
            extra = Ragged.empty(len(batch))
            places = batch.extra.columns.reshape(len(batch), -1)
            for at, namespace in enumerate(contexts):
                extra = extra.beside(columns.several(namespace, places[:, at]))
            user, item = columns.one_each(0, batch.user), columns.one_each(1, batch.item)
            yield _kept(batch.with_(user=user, item=item, row=numbers.of(batch.row), extra=extra), tally)


def decide_by_user(
    packed: DataFrame, dataset: Dataset, items: ItemRange, route: Callable[[Batch, int], Iterator[Packed]]
) -> DataFrame:
    """Decide about each bucket of users, and send what is encoded where ``route`` says."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        tally: Counter[str] = Counter()
        for bucket, rows in each_bucket(batches):
            found: list[Batch] = []
            for kind, data in rows:
                if kind == TALLY:
                    tally.update(read_tally(data))
                else:
                    found.append(Batch.from_bytes(data))
            decided = decide(Batch.concatenate(found), dataset, items)
            tally.update(decided.tally)
            yield from route(decided.train, TRAIN)
            yield from route(decided.test, TEST)
            for kind, pairs in ((SEEN, decided.seen), (HELDOUT, decided.heldout)):
                if len(pairs):
                    yield bucket, kind, pairs.to_bytes()
        yield from pack_tally(tally)

    return map_packed(packed, run)


def attach(packed: DataFrame, stop: Stop, route: Callable[[Batch, int], Iterator[Packed]]) -> DataFrame:
    """Give rows their user's or item's side features, from the table in the same bucket.

    A table has the side's columns as ``user``, 1 as ``value`` of those that train met, and their
    features. Rows that the stop's policy drops are counted.
    """

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        tally: Counter[str] = Counter()
        for _, rows in each_bucket(batches):
            tables: list[Batch] = []
            table: Batch | None = None
            for kind, data in rows:
                if kind == TALLY:
                    tally.update(read_tally(data))
                elif kind == TABLE:  # they come before rows
                    tables.append(Batch.from_bytes(data))
                else:
                    if table is None:
                        table = Batch.concatenate(tables)
                        table = table.take(np.argsort(table.user))
                    yield from route(_described(Batch.from_bytes(data), kind, table, stop, tally), kind)
        yield from pack_tally(tally)

    return map_packed(packed, run)


def _described(batch: Batch, kind: int, table: Batch, stop: Stop, tally: Counter[str]) -> Batch:
    columns = batch.user if stop.side == "user" else batch.item
    places = np.searchsorted(table.user, columns)
    known = table.value[places] == 1
    batch = batch.with_(extra=batch.extra.beside(table.extra.take(places)))
    if stop.unknown == "index" or known.all():
        return batch
    if stop.unknown == "features-only":
        return batch.with_(**{stop.side: np.where(known, columns, UNKNOWN)})
    channel = "train" if kind == TRAIN else "test"
    rows, negatives = int((~known & ~batch.negative).sum()), int((~known & batch.negative).sum())
    tally.update(
        {
            f"dropped {stop.side} met in test only": rows,
            f"encoded {channel}": -rows,
            f"negatives {channel}": -negatives,
        }
    )
    return batch.take(known)


def to_records(packed: DataFrame, order: Order, kind: int, feature_dim: int) -> DataFrame:
    """Order each bucket's rows and encode them.

    Returns
    -------
    DataFrame
        ``records`` (binary), and how many they are (``rows``), hold (``nonzeros``)
        and have label 1 (``positives``).
    """

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in each_bucket(batches):
            batch = order.sort(Batch.concatenate(Batch.from_bytes(data) for _, data in rows), kind)
            for start in range(0, len(batch), ENCODE_ROWS):
                chunk = batch.take(np.arange(start, min(start + ENCODE_ROWS, len(batch))))
                yield pa.RecordBatch.from_pydict(
                    {
                        "records": pa.array([_encode(chunk, feature_dim)], pa.binary()),
                        "rows": pa.array([len(chunk)], pa.int64()),
                        "nonzeros": pa.array([_nonzeros(chunk)], pa.int64()),
                        "positives": pa.array([int((chunk.value == 1).sum())], pa.int64()),
                    }
                )

    return packed.mapInArrow(run, "records binary, rows bigint, nonzeros bigint, positives bigint")


def to_pairs(packed: DataFrame) -> DataFrame:
    """Unpack pairs, in the order of both columns.

    Returns
    -------
    DataFrame
        ``user_column`` and ``item_column`` (bigint), ``value`` (float, as read, null if it isn't known)
        and ``relevant`` (boolean).
    """

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in each_bucket(batches):
            for _, data in rows:
                pairs = Pairs.from_bytes(data)
                yield pa.RecordBatch.from_pydict(
                    {
                        "user_column": pairs.user,
                        "item_column": pairs.item,
                        "value": pa.array(pairs.value.astype(np.float32), from_pandas=True),
                        "relevant": pairs.relevant,
                    }
                )

    return packed.mapInArrow(run, "user_column bigint, item_column bigint, value float, relevant boolean")


def _nonzeros(batch: Batch) -> int:
    ids = (batch.user != UNKNOWN).sum() + (batch.item != UNKNOWN).sum()
    return int(ids) + len(batch.extra.columns)


def _encode(batch: Batch, feature_dim: int) -> memoryview:
    columns = np.stack([batch.user, batch.item], axis=1).reshape(-1)
    lengths = np.full(len(batch), 2, np.int64)
    known = columns != UNKNOWN
    if not known.all():
        columns, lengths = columns[known], known.reshape(-1, 2).sum(axis=1)
    rows = Ragged(lengths, columns, np.ones(len(columns), np.float32))
    if len(batch.extra.columns):
        rows = rows.beside(batch.extra).sorted()
    indptr = np.concatenate(([0], np.cumsum(rows.lengths)))
    return encode_csr(indptr, rows.columns, rows.values, feature_dim, batch.value.astype(np.float32)).data


def _kept(batch: Batch, tally: Counter[str]) -> Batch:
    no_user, no_item = batch.user == UNKNOWN, batch.item == UNKNOWN
    if not (no_user.any() or no_item.any()):
        return batch
    tally[f"dropped {BELOW_MINIMUM['user']}"] += int(no_user.sum())
    tally[f"dropped {BELOW_MINIMUM['item']}"] += int((no_item & ~no_user).sum())
    return batch.take(~(no_user | no_item))
