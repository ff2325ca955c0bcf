"""Coded rows to indexed rows: the codes of a chunk's texts are replaced by feature ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.artifacts.manifest import Dropped
from fmrec.encoding.feature_index import NAME, NAMESPACE
from fmrec.encoding.ingest.chunks import CHUNK, PLACE
from fmrec.encoding.row_numbers import RowNumbers
from fmrec.encoding.row_types import UNKNOWN, CodedRows, CodeTable, IndexedRows, SparseRows
from fmrec.encoding.shuffle.buckets import Buckets
from fmrec.encoding.shuffle.messages import Kind, Message, each_bucket, gathered, pack_rows
from fmrec.encoding.shuffle.spark_shuffle import make_messages, run_stage
from fmrec.encoding.tally import Tally


class CodeLookup:
    """What stands for the codes of one chunk."""

    def __init__(self, tables: Iterable[CodeTable]) -> None:
        table = CodeTable.concatenate(tables)
        self._found: dict[int, SparseRows] = {}
        for namespace in np.unique(table.namespace).tolist():
            mine = table.take(table.namespace == namespace)
            mine = mine.take(np.argsort(mine.code))
            lengths = np.zeros(mine.code[-1] + 2, np.int64)  # one more, for codes that nothing stands for
            lengths[mine.code] = mine.entries.lengths
            self._found[namespace] = SparseRows(lengths, mine.entries.feature_ids, mine.entries.values)

    def feature_ids(self, namespace: int, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the feature id that stands for each code, or ``UNKNOWN``."""
        if namespace not in self._found:
            return np.full(len(codes), UNKNOWN)
        found = self._found[namespace]
        feature_ids = np.full(len(found), UNKNOWN)
        feature_ids[found.lengths == 1] = found.feature_ids
        return np.asarray(feature_ids[self._inside(found, codes)])

    def entries(self, namespace: int, codes: NDArray[np.int64]) -> SparseRows:
        """Return the non-zeros that stand for each code; none for ``UNKNOWN``."""
        if namespace not in self._found:
            return SparseRows.empty(len(codes))
        return self._found[namespace].take(self._inside(self._found[namespace], codes))

    @staticmethod
    def _inside(found: SparseRows, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        last = len(found) - 1
        return np.where((codes >= 0) & (codes < last), codes, last)


def index_rows(
    rows: CodedRows, lookup: CodeLookup, contexts: list[int], numbers: RowNumbers, tally: Tally
) -> IndexedRows:
    """Replace codes by feature ids; rows whose user or item has none are dropped and counted.

    Parameters
    ----------
    contexts : list of int
        The namespaces of ``rows.context``.
    """
    context = SparseRows.empty(len(rows))
    for at, namespace in enumerate(contexts):
        context = context.hstack(lookup.entries(namespace, rows.context[:, at]))
    user, item = lookup.feature_ids(0, rows.user), lookup.feature_ids(1, rows.item)
    indexed = IndexedRows(user, item, rows.value, rows.time, numbers.of(rows.position), context)
    no_user, no_item = user == UNKNOWN, item == UNKNOWN
    if not (no_user.any() or no_item.any()):
        return indexed
    tally.drop(Dropped.USER_BELOW_MINIMUM, int(no_user.sum()))
    tally.drop(Dropped.ITEM_BELOW_MINIMUM, int((no_item & ~no_user).sum()))
    return indexed.take(~(no_user | no_item))


@dataclass(frozen=True)
class EncodeIds:
    """The stage: buckets are chunks; what comes out goes to its users' buckets."""

    contexts: list[int]
    numbers: RowNumbers
    by_user: Buckets

    def __call__(self, messages: Iterable[Message], partition: int) -> Iterator[Message]:
        tally = Tally()
        for rows in gathered(self._indexed(messages, tally)):
            yield from pack_rows(Kind.ROWS, rows, self.by_user.of(rows.user))
        yield Message.of_tally(tally)

    def _indexed(self, messages: Iterable[Message], tally: Tally) -> Iterator[IndexedRows]:
        for _, chunk in each_bucket(messages):
            tables: list[CodeTable] = []
            lookup: CodeLookup | None = None
            for message in chunk:
                if message.kind == Kind.LOOKUP:  # they come before rows
                    tables.append(CodeTable.from_bytes(message.payload))
                    continue
                if lookup is None:
                    lookup = CodeLookup(tables)
                rows = CodedRows.from_bytes(message.payload)
                yield index_rows(rows, lookup, self.contexts, self.numbers, tally)


def encode_ids(chunks: DataFrame, tables: DataFrame, stage: EncodeIds, partitions: int) -> DataFrame:
    """Run the stage on chunks as ``chunks.to_chunks`` makes them, and tables of ``pack_code_tables``."""
    rows = chunks.where(F.col("kind") == int(Kind.ROWS)).select("bucket", "kind", "data")
    together = rows.unionAll(tables).repartition(partitions, "bucket")
    return run_stage(together.sortWithinPartitions("bucket", "kind"), stage)


def pack_code_tables(texts: DataFrame, entries: DataFrame) -> DataFrame:
    """Pack what stands for each chunk's texts.

    Parameters
    ----------
    texts : DataFrame
        As ``chunks.distinct_texts`` returns them.
    entries : DataFrame
        ``NAMESPACE``, ``NAME``, ``columns`` (array of bigint) and ``values`` (array of float): the
        non-zeros that stand for a text. A text that is missing here has none.
    """
    found = texts.join(entries, [NAMESPACE, NAME]).select(CHUNK, NAMESPACE, PLACE, "columns", "values")

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Message]:
        for batch in batches:
            chunk, namespace, code = (np.asarray(batch.column(at)).astype(np.int64) for at in range(3))
            entries_of = SparseRows.from_arrow(batch.column(3), batch.column(4))
            yield from pack_rows(Kind.LOOKUP, CodeTable(code, namespace, entries_of), chunk)

    return make_messages(found, run)
