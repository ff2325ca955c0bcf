"""``spark.read.format("recordio-protobuf")``: recordIO-protobuf parts as rows of indices and values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql.datasource import DataSourceReader, InputPartition
from scipy.sparse import csr_matrix

from fmrec.errors import InputError
from fmrec.recordio import read_batches
from fmrec.storage import object_store

SCHEMA = "label float, indices array<bigint>, values array<float>"
READ_ROWS = 65_536


@dataclass(frozen=True)
class PartPartition(InputPartition):
    """One file: records have no marks to cut it at."""

    uri: str


class RecordIOReader(DataSourceReader):
    """Reads a file, or all files below a folder whose names don't begin with ``_`` or a dot.

    Parameters
    ----------
    path : str
        A local path or an ``s3://`` URI.
    """

    def __init__(self, path: str) -> None:
        self._path = re.sub("^s3a://", "s3://", path)

    def partitions(self) -> list[PartPartition]:
        if object_store.exists(self._path):
            return [PartPartition(self._path)]
        found = [stored.uri for stored in object_store.list_objects(self._path) if stored.size]
        parts = [uri for uri in found if not uri.rsplit("/", 1)[-1].startswith(("_", "."))]
        if not parts:
            raise InputError(f"{self._path} holds no file: expected recordIO-protobuf parts")
        return [PartPartition(uri) for uri in parts]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        if not isinstance(partition, PartPartition):
            raise TypeError(f"expected a PartPartition, not {partition!r}")
        with object_store.open_input(partition.uri) as file:
            for matrix, labels in read_batches(file, READ_ROWS):
                yield _to_arrow(matrix, labels)


def _to_arrow(matrix: Any, labels: Any) -> pa.RecordBatch:
    rows = csr_matrix(matrix) if isinstance(matrix, np.ndarray) else matrix
    count = rows.shape[0]
    offsets = pa.array(rows.indptr.astype(np.int32))
    return pa.RecordBatch.from_arrays(
        [
            pa.nulls(count, pa.float32()) if labels is None else pa.array(labels.astype(np.float32)),
            pa.ListArray.from_arrays(offsets, pa.array(rows.indices.astype(np.int64))),
            pa.ListArray.from_arrays(offsets, pa.array(rows.data.astype(np.float32))),
        ],
        names=["label", "indices", "values"],
    )
