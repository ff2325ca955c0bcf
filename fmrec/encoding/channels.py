"""What SageMaker reads, ``train/`` and ``test/``: all parts of both are written by one Spark job.

The parts are those of the data source (``fmrec.encoding.part_files``): tasks write what nobody can see
yet, and the driver makes appear what successful tasks report. Encoding where the part is written spares
the finished records two ways through the JVM, and the processes that plan and commit a DataFrame's write.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.batches import UNKNOWN, Batch, Ragged
from fmrec.encoding.exchange import TRAIN, each_bucket
from fmrec.encoding.part_files import Output, PartSeries, WrittenPart, open_output
from fmrec.encoding.stages import Order
from fmrec.recordio import encode_csr

ENCODE_ROWS = 65_536


def write_channels(
    packed: DataFrame, order: Order, feature_dim: int, uris: Mapping[int, str]
) -> dict[int, Counter[str]]:
    """Order each bucket's rows, encode them and write them; what the folders held before is replaced.

    Parameters
    ----------
    packed : DataFrame
        Rows as ``order.route`` packs them.
    uris : mapping of int to str
        The folder of each kind of row.

    Returns
    -------
    dict of int to Counter
        How many ``rows`` were written of each kind, with how many ``nonzeros``, and how many of
        them have label 1 (``positives``).
    """
    outputs = {kind: open_output(uri, overwrite=True) for kind, uri in uris.items()}
    counts: dict[int, Counter[str]] = {kind: Counter() for kind in uris}
    parts: dict[int, list[WrittenPart]] = {kind: [] for kind in uris}
    try:
        for row in _write(packed, order, feature_dim, outputs).collect():
            found = json.loads(row[0])
            counts[found["kind"]].update(found["counts"])
            parts[found["kind"]] += [WrittenPart(**part) for part in found["parts"]]
        for kind, output in outputs.items():
            output.commit(parts[kind], overwrite=True)
    except BaseException:
        for output in outputs.values():
            output.abort()
        raise
    return counts


def _write(packed: DataFrame, order: Order, feature_dim: int, outputs: Mapping[int, Output]) -> DataFrame:
    """Write one part a partition; what each task yields is its message to the driver."""
    train, test = order.train, order.test
    partition = F.when(F.col("kind") == TRAIN, train.partition()).otherwise(
        test.partition() + train.partitions
    )
    exchanged = packed.repartitionById(train.partitions + test.partitions, partition)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        series: PartSeries | None = None
        counts: Counter[str] = Counter()
        channel = TRAIN
        try:
            for bucket, rows in each_bucket(batches):
                found: list[Batch] = []
                for kind, data in rows:
                    channel = kind
                    found.append(Batch.from_bytes(data))
                if series is None:
                    buckets = train if channel == TRAIN else test
                    part = bucket * buckets.partitions // buckets.count
                    series = PartSeries(outputs[channel], part, None)
                _write_bucket(order.sort(Batch.concatenate(found), channel), feature_dim, series, counts)
            if series is not None:
                parts = [asdict(part) for part in series.finish()]
                message = json.dumps({"kind": channel, "counts": counts, "parts": parts})
                yield pa.RecordBatch.from_pydict({"message": [message]})
        except BaseException:
            if series is not None:
                series.discard()
            raise

    return exchanged.sortWithinPartitions("kind", "bucket").mapInArrow(run, "message string")


def _write_bucket(batch: Batch, feature_dim: int, series: PartSeries, counts: Counter[str]) -> None:
    entries: Any = np.concatenate(([0], np.cumsum(batch.extra.lengths)))
    for start in range(0, len(batch), ENCODE_ROWS):
        end = min(start + ENCODE_ROWS, len(batch))
        chunk = batch.slice(start, end, slice(int(entries[start]), int(entries[end])))
        rows = _sparse(chunk)
        indptr = np.concatenate(([0], np.cumsum(rows.lengths)))
        labels = chunk.value.astype(np.float32)
        series.write(encode_csr(indptr, rows.columns, rows.values, feature_dim, labels).data)
        counts.update(
            rows=len(chunk), nonzeros=len(rows.columns), positives=int(np.count_nonzero(chunk.value == 1))
        )


def _sparse(batch: Batch) -> Ragged:
    """Return each row's non-zeros in the order of their columns."""
    columns = np.stack([batch.user, batch.item], axis=1).reshape(-1)
    lengths = np.full(len(batch), 2, np.int64)
    known = columns != UNKNOWN
    if not known.all():
        columns, lengths = columns[known], known.reshape(-1, 2).sum(axis=1)
    rows = Ragged(lengths, columns, np.ones(len(columns), np.float32))
    return rows.beside(batch.extra).sorted() if len(batch.extra.columns) else rows
