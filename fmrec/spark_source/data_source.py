"""``df.write.format("recordio-protobuf")``: sparse tensors for SageMaker's built-in algorithms, from Spark.

Register once, ``spark.dataSource.register(RecordIOProtobuf)``, on Spark 4.0 or later. The options are
documented in docs/recordio-data-source.md. Rows are taken as Arrow batches and encoded whole by
``fmrec.recordio``. Parts appear when the job commits, never before (``fmrec.storage.part_files``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    ByteType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StructType,
)

from fmrec.errors import InputError, SettingsError
from fmrec.recordio import encode_csr
from fmrec.spark_source.part_reader import SCHEMA, RecordIOReader
from fmrec.spark_source.sparse_columns import SparseColumns
from fmrec.storage.part_files import Output, PartFile, WrittenPart, open_output

FORMAT = "recordio-protobuf"
INTEGERS = (ByteType, ShortType, IntegerType, LongType)
NUMBERS = (*INTEGERS, FloatType, DoubleType)
WRITE_OPTIONS = ("path", "indices", "values", "label", "feature_dim", "records", "max_part_bytes")


@dataclass(frozen=True)
class WriteOptions:
    """The writer's options, checked against the DataFrame's schema."""

    path: str
    encode: Callable[[pa.RecordBatch], Iterator[memoryview]]
    max_part_bytes: int | None

    @classmethod
    def check(cls, options: Mapping[str, str], schema: StructType) -> WriteOptions:
        """Read and check the options.

        Raises
        ------
        SettingsError
            Naming the option, what was found and what was expected.
        """
        _refuse_unknown(options, WRITE_OPTIONS)
        types = {column.name: column.dataType for column in schema.fields}
        limit = _whole(options, "max_part_bytes") if options.get("max_part_bytes") else None
        path = _required(options, "path", "a folder or s3://bucket/prefix")
        if options.get("records"):
            unused = sorted({"indices", "values", "label", "feature_dim"} & set(options))
            if unused:
                raise SettingsError(
                    f"option {unused[0]} has no use together with records: expected one of both"
                )
            _need_type("records", options["records"], types, (BinaryType,), "binary")
            return cls(path, EncodedRecords(options["records"]), limit)
        return cls(path, SparseRecords.check(options, types), limit)


@dataclass(frozen=True)
class EncodedRecords:
    """Takes a binary column of records that are encoded already, any number in a row."""

    column: str

    def __call__(self, batch: pa.RecordBatch) -> Iterator[memoryview]:
        for data in batch.column(batch.schema.get_field_index(self.column)):
            if data.is_valid:
                yield memoryview(data.as_buffer())


@dataclass(frozen=True)
class SparseRecords:
    """Encodes one sparse record per row."""

    columns: SparseColumns
    feature_dim: int
    label: str | None

    @classmethod
    def check(cls, options: Mapping[str, str], types: Mapping[str, DataType]) -> SparseRecords:
        label = options.get("label", "label" if "label" in types else "")
        if label:
            _need_type("label", label, types, NUMBERS, "a number")
        indices = _names(options.get("indices", "indices"))
        values = _names(options["values"]) if options.get("values") else ["1"] * len(indices)
        if len(indices) != len(values) or not indices:
            raise SettingsError(
                f"option values names {len(values)} columns or numbers and indices {len(indices)}: "
                "expected as many of one as of the other"
            )
        for index, value in zip(indices, values, strict=True):
            _check_pair(index, value, types)
        columns = SparseColumns(tuple(indices), tuple(_number(value) for value in values))
        return cls(columns, _whole(options, "feature_dim"), label or None)

    def __call__(self, batch: pa.RecordBatch) -> Iterator[memoryview]:
        if not batch.num_rows:
            return
        indptr, indices, values = self.columns.to_csr(batch, self.feature_dim)
        labels = None
        if self.label is not None:
            column = batch.column(batch.schema.get_field_index(self.label))
            if column.null_count:
                raise InputError(f"column {self.label} has {column.null_count} nulls: a label is required")
            labels = column.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        yield encode_csr(indptr, indices, values, self.feature_dim, labels).data


class RecordIOProtobuf(DataSource):
    """The data source. Options: see docs/recordio-data-source.md."""

    options: dict[str, str]

    @classmethod
    def name(cls) -> str:
        return FORMAT

    def schema(self) -> str:
        return SCHEMA

    def reader(self, schema: StructType) -> RecordIOReader:
        _refuse_unknown(self.options, ("path",))
        if schema.fieldNames() != ["label", "indices", "values"]:
            raise SettingsError(f"{FORMAT} is read as {SCHEMA}: expected no other schema")
        return RecordIOReader(_required(self.options, "path", "a file or folder, or s3://bucket/prefix"))

    def writer(self, schema: StructType, overwrite: bool) -> RecordIOWriter:
        options = WriteOptions.check(self.options, schema)
        return RecordIOWriter(options, open_output(options.path, overwrite), overwrite)


@dataclass(frozen=True)
class TaskParts(WriterCommitMessage):
    """What one task wrote."""

    parts: list[WrittenPart]


class RecordIOWriter(DataSourceArrowWriter):
    """Encodes a partition to a part, or to several of at most ``max_part_bytes`` each."""

    def __init__(self, options: WriteOptions, output: Output, overwrite: bool) -> None:
        self._options = options
        self._output = output
        self._overwrite = overwrite

    def write(self, iterator: Iterator[pa.RecordBatch]) -> TaskParts:
        context = TaskContext.get()
        if context is None:
            raise InputError("recordio-protobuf parts are written by Spark tasks only")
        parts = PartSeries(
            self._output, self._output.first_part + context.partitionId(), self._options.max_part_bytes
        )
        try:
            for batch in iterator:
                for data in self._options.encode(batch):
                    parts.write(data)
            return TaskParts(parts.finish())
        except BaseException:
            parts.discard()
            raise

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        parts = [part for message in messages if isinstance(message, TaskParts) for part in message.parts]
        self._output.commit(parts, self._overwrite)

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        self._output.abort()


class PartSeries:
    """The parts of one partition. Nothing is made for a partition without rows."""

    def __init__(self, output: Output, number: int, max_part_bytes: int | None) -> None:
        self._output = output
        self._number = number
        self._limit = max_part_bytes
        self._file: PartFile | None = None
        self._bytes = 0
        self._done: list[WrittenPart] = []

    def write(self, data: memoryview) -> None:
        if self._file is not None and self._limit is not None and self._bytes + len(data) > self._limit:
            self._close()
        if self._file is None:
            series = "" if self._limit is None else f"-{len(self._done):03d}"
            self._file = self._output.open(f"part-{self._number:05d}{series}.pbr")
        self._file.write(data)
        self._bytes += len(data)

    def finish(self) -> list[WrittenPart]:
        self._close()
        return self._done

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()

    def _close(self) -> None:
        if self._file is not None:
            self._done.append(self._file.finish())
        self._file = None
        self._bytes = 0


def _check_pair(index: str, value: str, types: Mapping[str, DataType]) -> None:
    _need_type("indices", index, types, (*INTEGERS, ArrayType), "integers or an array of them")
    index_type = types[index]
    if isinstance(index_type, ArrayType) and not isinstance(index_type.elementType, INTEGERS):
        raise SettingsError(f"column {index} is {index_type.simpleString()}: expected integers in it")
    if isinstance(_number(value), float):
        return
    wanted: tuple[type[DataType], ...] = (ArrayType,) if isinstance(index_type, ArrayType) else NUMBERS
    _need_type("values", value, types, wanted, f"of the same shape as {index}")


def _need_type(
    option: str, column: str, types: Mapping[str, DataType], wanted: tuple[type[DataType], ...], expected: str
) -> None:
    if column not in types:
        raise SettingsError(f"option {option} names {column!r}, but the columns are {', '.join(types)}")
    if not isinstance(types[column], wanted):
        raise SettingsError(
            f"option {option} names {column!r}, which is {types[column].simpleString()}: expected {expected}"
        )


def _refuse_unknown(options: Mapping[str, str], known: tuple[str, ...]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise SettingsError(f"option {unknown[0]!r} is unknown to {FORMAT}: expected {', '.join(known)}")


def _required(options: Mapping[str, str], key: str, expected: str) -> str:
    if not options.get(key):
        raise SettingsError(f"option {key} is missing: expected {expected}")
    return options[key]


def _whole(options: Mapping[str, str], key: str) -> int:
    text = _required(options, key, "an integer of at least 1")
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"option {key} is {text!r}: expected an integer of at least 1")
    return int(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
