"""A source's lines, wherever they are read: in Python workers, or by Spark what only Spark can open.

Delimited lines are split in Python, so workers read them, too. Lines that the JVM takes apart, as JSON, are
read there, unless they can only be found from a file's beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from urllib.parse import unquote

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.ingest.encodings import keeps_ascii
from fmrec.encoding.ingest.files import InputFile, literal
from fmrec.encoding.ingest.line_fields import LINE
from fmrec.encoding.ingest.pieces import (
    FILE,
    LINES,
    PATH,
    POSITION,
    POSITION_BITS,
    START,
    Cut,
    FilePiece,
    cut_files,
    map_pieces,
)
from fmrec.encoding.ingest.streams import read_batches
from fmrec.encoding.python_tasks import map_in_arrow

_PACKED = (".gz", ".bz2", ".zst")
_SCHEMA = f"{LINE} string, {PATH} string, {FILE} bigint, {START} bigint, {POSITION} bigint"


@dataclass(frozen=True)
class TextLines:
    """The lines of a source.

    Parameters
    ----------
    tasks : list of list of FilePiece
        What each task of workers reads.
    by_spark : DataFrame, optional
        The lines that Spark reads: ``LINE`` as bytes of the source's encoding, and their provenance.
    counted : mapping of str to int
        The names of the files that workers read, and what stands for each in ``FILE``.
    others : list of str
        The names of the files that Spark reads.
    """

    spark: SparkSession
    tasks: list[list[FilePiece]]
    by_spark: DataFrame | None
    counted: Mapping[str, int]
    others: list[str]

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """What stands for each file's name in ``FILE``."""
        return {**self.counted, **(hashes_of(self.spark, self.others) if self.others else {})}

    def map(
        self,
        of_pieces: Callable[[Iterable[FilePiece]], Iterator[pa.RecordBatch]],
        of_batches: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]],
        schema: str,
    ) -> DataFrame:
        """Run a function on pieces that workers read, another on batches of lines that Spark read."""
        frames = []
        if self.tasks:
            frames.append(map_pieces(self.spark, self.tasks, of_pieces, schema))
        if self.by_spark is not None:
            frames.append(map_in_arrow(self.by_spark, of_batches, schema))
        return reduce(DataFrame.unionAll, frames)

    def frame(self) -> DataFrame:
        """Return all lines with their provenance."""
        if not self.tasks and self.by_spark is not None:
            return self.by_spark
        of_workers = map_pieces(self.spark, self.tasks, read_batches, _SCHEMA)
        return of_workers if self.by_spark is None else of_workers.unionAll(self.by_spark)


def open_lines(
    spark: SparkSession,
    listed: DataFrame,
    files: list[InputFile],
    cuts: Mapping[str, Cut],
    *,
    delimited: bool,
) -> TextLines:
    """Say who reads which file.

    Parameters
    ----------
    listed : DataFrame
        The lines of all files, as Spark reads them.
    cuts : mapping of str to Cut
        How to cut each file, by its name.
    """
    mine = [
        file
        for file in files
        if (_spark_cannot(file, cuts[file.name]) or (delimited and not file.uri.endswith(".bz2")))
        and file.size is not None
    ]
    minimum = int(
        spark.conf.get("spark.sql.files.minPartitionNum", None) or spark.sparkContext.defaultParallelism
    )
    named = [
        (number, file, cuts[file.name], _has_ranges(file, cuts[file.name]))
        for number, file in enumerate(mine)
    ]
    tasks = cut_files(named, minimum)
    numbers = {file.name: number for number, file in enumerate(mine)}
    others = [file.name for file in files if file.name not in numbers]
    if not others:
        return TextLines(spark, tasks, None, numbers, [])
    lines = spark.read.text([literal(unquote(name)) for name in others]) if mine else listed
    pieces = sum(map(len, tasks))
    position = F.monotonically_increasing_id() + (pieces << POSITION_BITS)
    by_spark = lines.select(F.col("value").alias(LINE), *place()).select(
        LINE, PATH, F.xxhash64(PATH).alias(FILE), START, position.alias(POSITION)
    )
    return TextLines(spark, tasks, by_spark, numbers, others)


def place() -> list[Column]:
    """Return the file and the first byte of the piece that Spark reads."""
    # Unlike the same in _metadata, these are not copied into every row that is read.
    return [F.input_file_name().alias(PATH), F.input_file_block_start().alias(START)]


def hashes_of(spark: SparkSession, names: list[str]) -> dict[str, int]:
    """Return what stands for names of files that Spark reads: names in every row would cost more."""
    listed = spark.createDataFrame(pa.table({PATH: names}))
    return dict(listed.select(PATH, F.xxhash64(PATH)).collect())


def _spark_cannot(file: InputFile, cut: Cut) -> bool:
    """Say whether a file has to be read from its beginning, and not by Spark."""
    return bool(file.packing) or not keeps_ascii(cut.encoding) or cut.into != LINES


def _has_ranges(file: InputFile, cut: Cut) -> bool:
    return not _spark_cannot(file, cut) and not file.uri.endswith(_PACKED)
