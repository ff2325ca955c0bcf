"""Parts that tasks store themselves, unseen, and report to the driver, which then makes them appear.

Rows that went back to the JVM to be written would be copied four times on their way.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.pairs import Pairs
from fmrec.encoding.row_types import SparseRows
from fmrec.encoding.shuffle.messages import Kind
from fmrec.encoding.tally import Tally
from fmrec.storage.part_files import Output, PartFile, WrittenPart

PAIRS_SCHEMA = pa.schema(
    [
        ("user_column", pa.int64()),
        ("item_column", pa.int64()),
        ("value", pa.float32()),
        ("relevant", pa.bool_()),
    ]
)
INDEX_SCHEMA = pa.schema(
    [
        ("column", pa.int64()),
        ("namespace", pa.string()),
        ("name", pa.string()),
        ("interactions", pa.int64()),
    ]
)


SIDE_TABLE_SCHEMA = pa.schema(
    [
        ("column", pa.int64()),
        ("columns", pa.list_(pa.int64())),
        ("values", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class StoredPart:
    """A part that a task stored, and what it holds."""

    output: str
    part: WrittenPart
    rows: int = 0
    nonzeros: int = 0
    positives: int = 0

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> StoredPart:
        found = json.loads(bytes(data))
        return cls(**(found | {"part": WrittenPart(**found["part"])}))


@dataclass
class TaskSummary:
    """What tasks report: their counts, and their parts by output."""

    tally: Tally = field(default_factory=Tally)
    parts: dict[str, list[StoredPart]] = field(default_factory=dict)

    def of(self, output: str) -> list[StoredPart]:
        return self.parts.get(output, [])

    def add(self, kind: Kind, data: bytes) -> None:
        """Add what one message says."""
        if kind == Kind.TALLY:
            self.tally.add(Tally.from_json(data))
        else:
            stored = StoredPart.from_bytes(data)
            self.parts.setdefault(stored.output, []).append(stored)


def collect_summaries(messages: DataFrame) -> TaskSummary:
    """Run the tasks and add up what they report."""
    summary = TaskSummary()
    reports = messages.where(F.col("kind").isin(int(Kind.TALLY), int(Kind.STORED_PART)))
    for kind, data in reports.select("kind", "data").collect():
        summary.add(Kind(kind), data)
    return summary


class _Part:
    """One partition's part, made when there is something to write; left by an exception, it is discarded."""

    suffix = ""

    def __init__(self, name: str, output: Output, number: str) -> None:
        self._name = name
        self._output = output
        self._number = number
        self._file: PartFile | None = None
        self._rows = 0

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.discard()

    def _opened(self) -> PartFile:
        if self._file is None:
            self._file = self._output.open(f"part-{self._number}{self._output.suffix}")
        return self._file

    def _stored(self, **counts: int) -> Iterator[StoredPart]:
        if self._file is not None:
            part = self._file.finish()
            self._file = None
            yield StoredPart(self._name, part, self._rows, **counts)


class RecordsPart(_Part):
    """A part of records."""

    def __init__(self, name: str, output: Output, number: str) -> None:
        super().__init__(name, output, number)
        self._nonzeros = self._positives = 0

    def write(self, data: memoryview, rows: int, nonzeros: int, positives: int) -> None:
        self._opened().write(data)
        self._rows += rows
        self._nonzeros += nonzeros
        self._positives += positives

    def finish(self) -> Iterator[StoredPart]:
        return self._stored(nonzeros=self._nonzeros, positives=self._positives)


class ParquetPart(_Part):
    """A part as Parquet, one row group per table."""

    schema = PAIRS_SCHEMA

    def __init__(self, name: str, output: Output, number: int) -> None:
        super().__init__(name, output, f"{number:05d}")
        self._writer: Any = None

    def write_arrays(self, arrays: list[Any]) -> None:
        """Write arrays in the order of the schema's fields, unless they are empty."""
        if not len(arrays[0]):
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(pa.PythonFile(_Stream(self._opened()), mode="w"), self.schema)
        self._writer.write_table(
            pa.Table.from_arrays([pa.array(array) for array in arrays], schema=self.schema)
        )
        self._rows += len(arrays[0])

    def finish(self) -> Iterator[StoredPart]:
        if self._writer is not None:
            self._writer.close()
        return self._stored()


class PairsPart(ParquetPart):
    """A part of pairs, one row group per bucket."""

    def write(self, pairs: Pairs) -> None:
        value = pa.array(pairs.value.astype(np.float32), from_pandas=True)
        self.write_arrays([pairs.user, pairs.item, value, pairs.relevant])


class IndexPart(ParquetPart):
    """A part of the feature index."""

    schema = INDEX_SCHEMA


class SideTablePart(ParquetPart):
    """A part of a table of side features, one row group per call."""

    schema = SIDE_TABLE_SCHEMA

    def write(self, own: NDArray[np.int64], rows: SparseRows) -> None:
        """Write rows of the users or items with these feature ids."""
        self.write_arrays([own, *rows.to_arrow()])


class _Stream(io.RawIOBase):
    """A part as Arrow writes to it."""

    def __init__(self, file: PartFile) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._file.write(view)
        return view.nbytes


def store_no_pairs(output: Output) -> WrittenPart:
    """Store a part without pairs: a reader finds the schema there, when nothing else was stored."""
    part = output.open(f"part-00000{output.suffix}")
    pq.write_table(PAIRS_SCHEMA.empty_table(), pa.PythonFile(_Stream(part), mode="w"))
    return part.finish()
