"""Parquet files to rows of text: each file is read by the types that it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows
from pyspark.sql import types as T  # noqa: N812 - as everybody calls it, too
from pyspark.sql.pandas.types import from_arrow_type

from fmrec.dataset.timestamps import UTC
from fmrec.encoding.ingest.files import literal, uri_of
from fmrec.encoding.ingest.layouts import REQUIRED, check_columns, check_found
from fmrec.errors import InputError
from fmrec.storage import object_store

RAW_TEXT = "_raw_text"
IDS = ("user", "item", "_owner")
NANOSECONDS = 1000
"""In a microsecond."""
DECIMAL_DIGITS = 38
"""Of Spark's decimals."""
_READERS = 16
_FLOATS = ("FLOAT", "DOUBLE")
_INTEGERS = ("INT32", "INT64")
_UNSIGNED = {
    pa.uint8(): T.ShortType(), pa.uint16(): T.IntegerType(), pa.uint32(): T.LongType(),
    pa.uint64(): T.DecimalType(20, 0),
}  # fmt: skip
Kinds = Mapping[str, tuple[str, str]]
"""A file's physical and logical types, by the path of the column."""


def read_parquet(
    spark: SparkSession, path: str, names: list[str], fields: Mapping[str, str], timezone: str
) -> DataFrame:
    """Read ``fields`` as text, and ``RAW_TEXT``, the columns that were read as JSON.

    Lists and objects become JSON. Ids that are integers in one file and floating-point numbers in another
    are integers.

    Parameters
    ----------
    names : list of str
        The path's files, as Spark calls them.

    Raises
    ------
    InputError
        A file lacks a column, or is no Parquet.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        kinds = list(pool.map(_kinds, names))
    groups: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for name, found in zip(names, kinds, strict=True):
        key = tuple(
            (column, *kind) for column, kind in sorted(found.items()) if _is_taken(column, fields.values())
        )
        groups.setdefault(key, []).append(name)
    if len(groups) == 1:
        frames = [_open(spark.read, [path], names[0], fields.values())]
    else:
        reader = spark.read
        if any("=" in name.rpartition("/")[0] for name in names) and not path.endswith(".parquet"):
            reader = reader.option("basePath", path)
        frames = [
            _open(reader, [literal(unquote(name)) for name in members], members[0], fields.values())
            for members in groups.values()
        ]
    for frame, members in zip(frames, groups.values(), strict=True):
        required = {name: column for name, column in fields.items() if name in REQUIRED}
        check_columns(required, _columns(frame, required), uri_of(members[0]), "")
    check_found(fields, [_columns(frame, fields) for frame in frames], path)
    mixed = {
        name for name in IDS if name in fields and _is_mixed([found.get(fields[name]) for found in kinds])
    }
    texts = [
        _as_text(frame, fields, timezone, mixed, nanoseconds)
        for frame, nanoseconds in zip(frames, [_nanoseconds(key) for key in groups], strict=True)
    ]
    return reduce(DataFrame.unionAll, texts)


def _open(reader: DataFrameReader, paths: list[str], name: str, wanted: Iterable[str]) -> DataFrame:
    """Open files, some of whose columns may have types that Spark doesn't know: those can't be wanted."""
    try:
        return reader.parquet(*paths)
    except AnalysisException as error:
        if "PARQUET_TYPE" not in str(error.getCondition()):
            raise
    uri = uri_of(name)
    with object_store.open_input(uri) as file:
        schema = pq.read_schema(file)
    wanted = {column if column in schema.names else column.partition(".")[0] for column in wanted}
    taken = T.StructType()
    for field in schema:
        if field.name in wanted:
            taken.add(field.name, _spark_type(field, uri))
    return reader.schema(taken).parquet(*paths)


def _spark_type(field: pa.Field, uri: str) -> T.DataType:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return T.LongType()
    if kind in _UNSIGNED:
        return _UNSIGNED[kind]
    refused = InputError(
        f"{uri} has the column {field.name!r} of the type {field.type}, which Spark can't read: write it as another "
        "type, e.g. as text"
    )
    if pa.types.is_null(kind):
        return T.IntegerType()
    nested_nanoseconds = pa.types.is_nested(kind) and "[ns" in str(kind)
    if (
        pa.types.is_time(kind)
        or pa.types.is_duration(kind)
        or pa.types.is_float16(kind)
        or nested_nanoseconds
    ):
        raise refused
    if pa.types.is_decimal(kind) and kind.precision > DECIMAL_DIGITS:
        raise refused
    try:
        return from_arrow_type(kind, prefer_timestamp_ntz=True)
    except PySparkException as error:
        raise refused from error


def _nanoseconds(key: Iterable[tuple[str, str, str]]) -> dict[str, bool]:
    """Return the columns that are nanoseconds since 1970, and whether they are moments or a zone's times."""
    found = {}
    for column, _, logical in key:
        if logical.startswith("Timestamp") and "timeUnit=nanoseconds" in logical:
            found[column] = "isAdjustedToUTC=true" in logical
    return found


def _kinds(name: str) -> Kinds:
    uri = uri_of(name)
    try:
        with object_store.open_input(uri) as file:
            schema = pq.read_metadata(file).schema
            columns = [schema.column(at) for at in range(len(schema))]
            return {column.path: (column.physical_type, str(column.logical_type)) for column in columns}
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{uri} can't be read: it is cut off, damaged, or not Parquet, as the document's format says"
        ) from error


def _is_taken(column: str, wanted: Iterable[str]) -> bool:
    return any(column == name or column.startswith(f"{name.partition('.')[0]}.") for name in wanted)


def _is_mixed(kinds: list[tuple[str, str] | None]) -> bool:
    physical = {kind[0] for kind in kinds if kind is not None}
    return bool(physical & set(_FLOATS)) and bool(physical & set(_INTEGERS))


def _columns(frame: DataFrame, fields: Mapping[str, str]) -> list[str]:
    """Return a frame's columns, with those inside of objects that ``fields`` name."""
    inside = [column for column in fields.values() if column not in frame.columns]
    return frame.columns + [column for column in dict.fromkeys(inside) if _type(frame, column) is not None]


def _type(frame: DataFrame, column: str) -> T.DataType | None:
    """Return a column's type, or that of ``a.b``, the field b of the object a."""
    schema: T.DataType = frame.schema
    for name in [column] if column in frame.columns else column.split("."):
        if not isinstance(schema, T.StructType) or name not in schema.names:
            return None
        schema = schema[name].dataType
    return schema


def _as_text(
    frame: DataFrame,
    fields: Mapping[str, str],
    timezone: str,
    mixed: set[str],
    nanoseconds: Mapping[str, bool],
) -> DataFrame:
    texts = []
    for name, column in fields.items():
        kind = _type(frame, column)
        if kind is None:
            texts.append(F.lit(None).cast("string").alias(name))
            continue
        found = F.col(_quoted(frame, column))
        if column in nanoseconds:  # Spark has no such type, and reads them as integers
            found = F.timestamp_micros(F.call_function("div", found, F.lit(NANOSECONDS)))
            kind = T.TimestampType() if nanoseconds[column] else T.TimestampNTZType()
        texts.append(_text(found, kind, name in mixed, name == "timestamp" and timezone != UTC).alias(name))
    present = [column for column in dict.fromkeys(fields.values()) if _type(frame, column) is not None]
    raw = F.to_json(F.struct(*[F.col(_quoted(frame, column)).alias(column) for column in present]))
    return frame.select(*texts, raw.alias(RAW_TEXT))


def _quoted(frame: DataFrame, column: str) -> str:
    names = [column] if column in frame.columns else column.split(".")
    return ".".join(f"`{name.replace('`', '``')}`" for name in names)


def _text(found: Column, kind: T.DataType, whole: bool, named_zone: bool) -> Column:
    if isinstance(kind, T.ArrayType | T.StructType | T.MapType):
        return F.to_json(found)
    text = found.cast("string")
    if whole and isinstance(kind, T.FloatType | T.DoubleType):
        return F.when(found == F.floor(found), found.cast("bigint").cast("string")).otherwise(text)
    if named_zone and isinstance(kind, T.TimestampType):
        return F.concat(text, F.lit("Z"))
    return text
