"""Labelled rows to stored records: each bucket's rows in the order of train or test, encoded and written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset.hashing import hashes, units
from fmrec.encoding.features.side_table import LoadedTable, SideTable
from fmrec.encoding.row_types import COPY, UNKNOWN, LabelledRows, SparseRows
from fmrec.encoding.shuffle.buckets import Buckets
from fmrec.encoding.shuffle.messages import Kind, Message, each_bucket, pack_rows
from fmrec.encoding.shuffle.spark_shuffle import shuffle
from fmrec.encoding.sorting import in_order, in_order_of_hashes
from fmrec.encoding.stored_parts import RecordsPart
from fmrec.recordio import encode_csr
from fmrec.storage.part_files import Output

ENCODED_ROWS = 65_536
"""Rows that are encoded at once."""


@dataclass(frozen=True)
class RecordOrder:
    """Where each record ends: training rows at random, test rows by user, in buckets after train's.

    Parameters
    ----------
    models, copies : int
        Training rows are for so many models, each with so many copies; a model's parts come after the
        parts of the one before it.
    """

    seed: int
    train: Buckets
    test: Buckets
    models: int = 1
    copies: int = 1

    def __call__(self, rows: LabelledRows, kind: Kind) -> Iterator[Message]:
        """Pack rows for the buckets of ``WriteRecords``."""
        if kind == Kind.TRAIN:
            of_one = self.train.count // self.models
            buckets = (units(self._key(rows)) * of_one).astype(np.int64)
            if self.models > 1:
                buckets += rows.sort_key // (COPY * self.copies) * of_one
        else:
            buckets = self.train.count + self.test.of(rows.user)
        return pack_rows(kind, rows, buckets)

    def shuffle(self, messages: DataFrame) -> DataFrame:
        bucket = F.col("bucket")
        of_test = self.train.partitions + self.test.partition(bucket - self.train.count)
        partition = F.when(bucket < self.train.count, self.train.partition(bucket)).otherwise(of_test)
        return shuffle(messages, partition, self.train.partitions + self.test.partitions)

    def partition_of(self, bucket: int) -> int:
        """Return the partition of ``shuffle`` that a bucket comes to."""
        if bucket < self.train.count:
            return self.train.partition_of(bucket)
        return self.train.partitions + self.test.partition_of(bucket - self.train.count)

    def part(self, partition: int) -> tuple[str, str]:
        """Return the channel and the number of the part that a partition of ``shuffle`` becomes.

        With several models a number begins with the model's own, from 01: so ``train/part-02`` is the prefix
        of the second one's parts.
        """
        if partition >= self.train.partitions:
            return "test", f"{partition - self.train.partitions:05d}"
        model, number = divmod(partition, self.train.partitions // self.models)
        return "train", f"{number:05d}" if self.models == 1 else f"{model + 1:02d}{number:05d}"

    def sorted(self, rows: LabelledRows, channel: str) -> LabelledRows:
        if channel == "test":
            return rows.take(in_order(rows.user, rows.sort_key, rows.item))
        key = self._key(rows)
        order = in_order_of_hashes(key)
        ordered = key[order]
        if (ordered[1:] == ordered[:-1]).any():
            order = np.lexsort((rows.item, rows.user, rows.sort_key, key))
        return rows.take(order)

    def _key(self, rows: LabelledRows) -> NDArray[np.uint64]:
        return hashes(self.seed, rows.user, rows.item, rows.sort_key)


def to_sparse(rows: LabelledRows) -> SparseRows:
    """Return all non-zeros of rows in the order of their feature ids; unknown ids are left out."""
    ids = np.stack([rows.user, rows.item], axis=1)
    known = ids != UNKNOWN
    found = ids[known]
    sparse = SparseRows(known.sum(axis=1), found, np.ones(len(found), np.float32))
    return sparse.hstack(rows.features).sorted() if len(rows.features.feature_ids) else sparse


@dataclass(frozen=True)
class WriteRecords:
    """The stage: buckets of train or of test; what comes out is for the driver.

    Parameters
    ----------
    tables : sequence of SideTable or LoadedTable
        Small tables of side features, which every task reads whole.
    """

    order: RecordOrder
    outputs: dict[str, Output]
    tables: Sequence[SideTable | LoadedTable]
    feature_dim: int

    def __call__(self, messages: Iterable[Message], partition: int) -> Iterator[Message]:
        channel, number = self.order.part(partition)
        loaded = [table.load() for table in self.tables]
        with RecordsPart(channel, self.outputs[channel], number) as part:
            for _, found in each_bucket(messages):
                batches: list[LabelledRows] = []
                for message in found:
                    if message.is_report:
                        yield message
                    else:
                        batches.append(LabelledRows.from_bytes(message.payload))
                rows = self.order.sorted(LabelledRows.concatenate(batches), channel)
                for chunk in rows.cut(ENCODED_ROWS):
                    described = chunk
                    for table in loaded:
                        described = table.attach(described)
                    sparse = to_sparse(described)
                    indptr = np.concatenate(([0], np.cumsum(sparse.lengths)))
                    labels = described.label.astype(np.float32)
                    records = encode_csr(indptr, sparse.feature_ids, sparse.values, self.feature_dim, labels)
                    part.write(
                        records.data, len(chunk), len(sparse.feature_ids), int((described.label == 1).sum())
                    )
            for stored in part.finish():
                yield Message(Kind.STORED_PART, 0, stored.to_bytes())
