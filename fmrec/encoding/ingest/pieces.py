"""Pieces of text files, each of which one task reads: ranges of bytes, or whole files.

A range has the lines that begin in it, wherever it is cut. Files that have to be read from their beginning
are one piece: packed ones, and those whose line breaks can't be told apart without what stands before them.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from fmrec.encoding.ingest.delimited import Marks
from fmrec.encoding.ingest.files import InputFile
from fmrec.encoding.python_tasks import map_in_arrow

PATH, FILE, START, POSITION = "_path", "_file", "_start", "_position"
"""Provenance: the file and its number, the first byte of the piece, a number that grows in it."""
LINES, RECORDS, DOCUMENTS = "lines", "records", "documents"
"""What a file is cut into: lines; delimited records, whose quotes may hold line breaks; JSON objects."""
BLOCK = 1 << 22
OPENING_BYTES = 1 << 22
"""What opening a file costs, as bytes that could be read in that time: Spark's own estimate."""
TASK_BYTES = 1 << 27
"""What one task reads at most, where files can be cut; also Spark's."""
UNPACKED = 5
"""How much larger a packed file becomes, about."""
POSITION_BITS = 33
"""Of a position: the line's number in its piece; the piece's number stands above them."""
_LINE_END = re.compile(rb"[\r\n]")


@dataclass(frozen=True)
class Cut:
    """How to cut files into records."""

    into: str
    encoding: str
    marks: Marks


@dataclass(frozen=True)
class FilePiece:
    """What one task reads of a file: the lines that begin in its bytes ``[start, end)``, or all.

    ``number`` counts the pieces of a source, ``file`` its files; ``size`` is in bytes, unpacked, about;
    ``end`` is None for a whole file.
    """

    number: int
    file: int
    name: str
    uri: str
    packing: str
    cut: Cut
    size: int
    start: int = 0
    end: int | None = None

    @property
    def first_position(self) -> int:
        return self.number << POSITION_BITS


def cut_files(files: Iterable[tuple[int, InputFile, Cut, bool]], minimum: int) -> list[list[FilePiece]]:
    """Cut files into pieces, and say which pieces a task reads, one after the other.

    Parameters
    ----------
    files : iterable of (int, InputFile, Cut, bool)
        The number of each, and whether ranges of it can be read.
    minimum : int
        How many tasks to make, if files are large enough.
    """
    whole = []
    for number, file, cut, ranges in files:
        if file.size:
            size, end = (file.size, file.size) if ranges else (UNPACKED * file.size, None)
            whole.append(FilePiece(0, number, file.name, file.uri, file.packing, cut, size, 0, end))
    total = sum(piece.size + OPENING_BYTES for piece in whole)
    task_bytes = min(TASK_BYTES, max(OPENING_BYTES, -(-total // max(minimum, 1))))
    tasks: list[list[FilePiece]] = []
    room = 0
    numbers = itertools.count()
    for file_piece in whole:
        for piece in _ranges(file_piece, task_bytes):
            if not tasks or piece.size > room:
                tasks.append([])
                room = task_bytes
            tasks[-1].append(replace(piece, number=next(numbers)))
            room -= piece.size + OPENING_BYTES
    return tasks


def _ranges(piece: FilePiece, size: int) -> Iterator[FilePiece]:
    if piece.end is None:
        yield piece
        return
    for start in range(0, piece.end, size):
        end = min(start + size, piece.end)
        yield replace(piece, start=start, end=end, size=end - start)


def map_pieces(
    spark: SparkSession,
    tasks: list[list[FilePiece]],
    function: Callable[[Iterable[FilePiece]], Iterator[pa.RecordBatch]],
    schema: str,
) -> DataFrame:
    """Run a function on each task's pieces."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for task in batch.column(0).to_pylist():
                yield from function(tasks[task])

    return map_in_arrow(spark.range(0, len(tasks), 1, len(tasks)), run, schema)


def lines_in_range(stream: io.BufferedReader, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of the lines that begin in ``[start, end)``, some at a time.

    A line ends with LF, CR, CR LF, or the file.
    """
    at = start
    if start:
        stream.seek(start - 1)
        at += len(_to_line_end(stream)) - 1
    if at >= end:
        return
    while (left := end - 1 - at) > BLOCK:
        block = stream.read(BLOCK)
        if not block:  # the file has become shorter
            return
        yield block
        at += len(block)
    yield stream.read(left) + _to_line_end(stream)


def _to_line_end(stream: io.BufferedReader) -> bytes:
    found = []
    while ahead := stream.peek():
        ended = _LINE_END.search(ahead)
        found.append(stream.read(ended.end() if ended else len(ahead)))
        if ended:
            if ended[0] == b"\r" and stream.peek()[:1] == b"\n":
                found.append(stream.read(1))
            break
    return b"".join(found)
