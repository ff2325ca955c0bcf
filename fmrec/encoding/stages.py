"""The stages that run as NumPy in Spark's tasks, between the JVM's joins and the parts.

``to_rows`` replaces texts by columns; ``decide_by_user`` runs ``by_user`` on each
bucket of users and stores its pairs; ``attach`` gives rows side features from tables in the same bucket;
``to_parts`` orders a bucket's rows, encodes and stores them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset
from fmrec.encoding.batches import UNKNOWN, Batch, Ragged
from fmrec.encoding.by_user import decide
from fmrec.encoding.chunks import Columns
from fmrec.encoding.exchange import (
    MET,
    ROWS,
    STORED,
    TABLE,
    TALLY,
    TEST,
    TRAIN,
    Packed,
    each_bucket,
    gathered,
    map_packed,
    pack,
    pack_tally,
    read_tally,
)
from fmrec.encoding.negatives import ItemRange
from fmrec.encoding.routes import Buckets, Order, Stop
from fmrec.encoding.side_tables import SideTable
from fmrec.encoding.storing import PairsSeries, RecordsSeries
from fmrec.recordio import encode_csr
from fmrec.storage.part_files import Output

ENCODE_ROWS = 65_536
BELOW_MINIMUM = {"user": "user below the minimum", "item": "item below the minimum"}


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
            yield from pack(batch, buckets.of(batch.user), ROWS)
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
    packed: DataFrame,
    dataset: Dataset,
    items: ItemRange,
    outputs: tuple[Output, Output],
    route: Callable[[Batch, int], Iterator[Packed]],
    *,
    tell_met: bool,
) -> DataFrame:
    """Decide about each bucket of users, store its pairs, and send what is encoded where ``route`` says.

    Parameters
    ----------
    outputs : tuple of Output
        Where pairs met in train, and pairs held out, are stored: one part a partition.
    tell_met : bool
        Whether to send on which users and items train met, too.
    """

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        tally: Counter[str] = Counter()
        number = _partition()
        with (
            PairsSeries("seen", outputs[0], number) as seen,
            PairsSeries("heldout", outputs[1], number) as heldout,
        ):
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
                seen.write(decided.seen)
                heldout.write(decided.heldout)
                if tell_met:
                    yield bucket, MET, pack_met(decided.seen.user, decided.seen.item)
            for stored in (*seen.finish(), *heldout.finish()):
                yield 0, STORED, stored.to_bytes()
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
                elif kind == STORED:
                    yield 0, STORED, bytes(data)
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


def to_parts(
    packed: DataFrame,
    order: Order,
    outputs: dict[str, Output],
    tables: list[SideTable],
    feature_dim: int,
) -> DataFrame:
    """Order each bucket's rows, give them the features of ``tables``, encode and store them.

    Returns
    -------
    DataFrame
        Packed rows that are for the driver: counts, and what parts were stored.
    """

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        channel, number = order.part(_partition())
        loaded = [table.load() for table in tables]
        with RecordsSeries(channel, outputs[channel], number) as series:
            for _, rows in each_bucket(batches):
                found: list[Batch] = []
                for kind, data in rows:
                    if kind in (TALLY, STORED):
                        yield 0, kind, bytes(data)
                    else:
                        found.append(Batch.from_bytes(data))
                batch = order.sort(Batch.concatenate(found), channel)
                for plain in batch.cut(ENCODE_ROWS):
                    chunk = reduce(lambda batch, table: table.beside(batch), loaded, plain)
                    series.write(
                        _encode(chunk, feature_dim),
                        len(chunk),
                        _nonzeros(chunk),
                        int((chunk.value == 1).sum()),
                    )
            for stored in series.finish():
                yield 0, STORED, stored.to_bytes()

    return map_packed(packed, run)


def trained_columns(packed: DataFrame, side: str) -> DataFrame:
    """Return the columns of the users or items that train met, each once: ``column`` (bigint)."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in each_bucket(batches):
            for kind, data in rows:
                if kind == MET:
                    users, items = unpack_met(data)
                    yield pa.RecordBatch.from_pydict({"column": users if side == "user" else items})

    return packed.mapInArrow(run, "column bigint").distinct()


def pack_met(users: NDArray[np.int64], items: NDArray[np.int64]) -> bytes:
    users, items = np.unique(users), np.unique(items)
    return np.concatenate(([len(users)], users, items)).astype(np.int64).tobytes()


def unpack_met(data: bytes | memoryview) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    numbers = np.frombuffer(data, np.int64)
    return numbers[1 : 1 + numbers[0]], numbers[1 + numbers[0] :]


def _partition() -> int:
    context = TaskContext.get()
    if context is None:
        raise RuntimeError("parts are stored by Spark's tasks only")
    return context.partitionId()


def _nonzeros(batch: Batch) -> int:
    ids = (batch.user != UNKNOWN).sum() + (batch.item != UNKNOWN).sum()
    return int(ids) + len(batch.extra.columns)


def _encode(batch: Batch, feature_dim: int) -> memoryview:
    ids = np.stack([batch.user, batch.item], axis=1)
    known = ids != UNKNOWN
    columns = ids[known]
    rows = Ragged(known.sum(axis=1), columns, np.ones(len(columns), np.float32))
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
