"""Files that can only be read from their beginning: one task reads a whole one, and cuts it into records.

Spark cuts files anywhere and looks for line breaks, which serves most. It doesn't serve encodings whose line
breaks are not one byte, archives, fields with line breaks inside, and JSON that doesn't keep to lines.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.ingest.delimited import Marks, find_escapes
from fmrec.encoding.ingest.encodings import MARK_UNDECODED, UTF8, keeps_ascii
from fmrec.encoding.ingest.files import InputFile
from fmrec.encoding.python_tasks import map_in_arrow
from fmrec.errors import InputError
from fmrec.storage import object_store

LINES, RECORDS, DOCUMENTS = "lines", "records", "documents"
"""What a file is cut into: lines; delimited records, whose quotes may hold line breaks; JSON objects."""
BLOCK = 1 << 22
RECORD_BYTES = 1 << 24
"""A record that is longer is none: a quote or bracket was left open."""
Readable = Any
"""A binary stream: of a file, an archive's member, or what unpacks one."""
_BOM = b"\xef\xbb\xbf"
_BEYOND = re.compile(r"[^\x00-\x7f]")
_BETWEEN = re.compile(r"[\s,\[\]]*")


@dataclass(frozen=True)
class Cut:
    """How to cut files into records."""

    into: str
    encoding: str
    marks: Marks


def read_streams(spark: SparkSession, files: list[InputFile], cut: Cut, path: str, line: str) -> DataFrame:
    """Read files from their beginnings, each in one task: its name as ``path``, its records as ``line``."""
    table = pa.table(
        {
            "at": range(len(files)),
            "name": [file.name for file in files],
            "uri": [file.uri for file in files],
            "packing": [file.packing for file in files],
        }
    )
    frame = spark.createDataFrame(table)
    apart = frame.repartitionById(len(files), F.col("at").cast("int"))

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                with _unpacked(row["uri"], row["packing"]) as stream:
                    for records in _records(stream, cut, row["uri"]):
                        names = pa.array([row["name"]]).take(pa.array(np.zeros(len(records), np.int64)))
                        yield pa.RecordBatch.from_pydict({line: records, path: names})

    return map_in_arrow(apart, run, f"{line} string, {path} string")


@contextlib.contextmanager
def _unpacked(uri: str, packing: str) -> Iterator[Readable]:
    with object_store.open_input(uri) as file:
        try:
            if packing == "gzip" or uri.endswith(".gz"):
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked
            elif packing.startswith("zip:"):
                with zipfile.ZipFile(file) as archive, archive.open(packing.removeprefix("zip:")) as member:
                    yield member
            elif uri.endswith((".bz2", ".zst")):
                yield pa.CompressedInputStream(file, "bz2" if uri.endswith(".bz2") else "zstd")
            else:
                yield file
        except (EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
            raise InputError(
                f"{uri} can't be read: it is cut off or damaged ({error}); upload it again"
            ) from error


def _records(stream: Readable, cut: Cut, uri: str) -> Iterator[pa.Array]:
    if cut.into == DOCUMENTS:
        documents = _documents(_texts(stream, cut.encoding))
        return documents if cut.encoding == UTF8 else _in_ascii(documents)
    # Others than those that keep ASCII leave here as UTF-8.
    blocks = _bytes(stream) if keeps_ascii(cut.encoding) else _encoded(_texts(stream, cut.encoding))
    return _lines(blocks, cut.marks if cut.into == RECORDS else Marks(""), uri)


def _in_ascii(documents: Iterator[pa.Array]) -> Iterator[pa.Array]:
    """Write JSON's letters so that they are the same in every encoding."""
    for texts in documents:
        ascii_texts = [
            _BEYOND.sub(lambda found: json.dumps(found[0])[1:-1], text) for text in texts.to_pylist()
        ]
        yield pa.array(ascii_texts, pa.string())


def _bytes(stream: Readable) -> Iterator[bytes]:
    block = stream.read(BLOCK).removeprefix(_BOM)
    while block:
        yield block
        block = stream.read(BLOCK)


def _texts(stream: Readable, encoding: str) -> Iterator[str]:
    buffered = io.BufferedReader(stream, BLOCK) if isinstance(stream, io.RawIOBase) else stream
    text = io.TextIOWrapper(buffered, encoding, MARK_UNDECODED)
    block = text.read(BLOCK).removeprefix("\ufeff")
    while block:
        yield block
        block = text.read(BLOCK)


def _encoded(texts: Iterator[str]) -> Iterator[bytes]:
    return (text.encode() for text in texts)


def _lines(blocks: Iterator[bytes], marks: Marks, uri: str) -> Iterator[pa.Array]:
    """Cut UTF-8 at line breaks outside of quotes."""
    rest = b""
    for block in blocks:
        data = np.frombuffer(rest + block, np.uint8)
        breaks = data == ord("\n")
        if marks.quote:
            _, escaped = find_escapes(data, np.array([0, len(data)]), marks.escape)
            breaks &= np.cumsum((data == ord(marks.quote)) & ~escaped) % 2 == 0
        ends = np.flatnonzero(breaks)
        end = int(ends[-1]) + 1 if len(ends) else 0
        rest = data[end:].tobytes()
        if len(rest) > RECORD_BYTES:
            raise InputError(
                f"{uri} has a record of more than {RECORD_BYTES >> 20} MiB that begins with "
                f"{rest[:60].decode('utf-8', 'replace')!r}: a quote is never closed"
            )
        if len(ends):
            yield _cut_at(data[:end], ends)
    if rest:
        data = np.frombuffer(rest + b"\n", np.uint8)
        yield _cut_at(data, np.array([len(data) - 1]))


def _cut_at(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> pa.Array:
    """Return what stands before each line break."""
    keep = np.ones(len(data), np.bool_)
    keep[ends] = False
    before = ends[ends > 0] - 1
    keep[before[data[before] == ord("\r")]] = False
    offsets = np.concatenate(([0], np.cumsum(keep)[ends])).astype(np.int32)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data[keep]))


def _documents(texts: Iterator[str]) -> Iterator[pa.Array]:
    """Cut JSON into the objects of an array, or into objects that follow each other however they are laid
    out.
    """
    decoder = json.JSONDecoder()
    text, at, ended = "", 0, False
    while not ended:
        block = next(texts, None)
        ended = block is None
        text, at = text[at:] + (block or ""), 0
        found: list[str] = []
        while True:
            at = _end(_BETWEEN, text, at)
            if at == len(text):
                break
            try:
                end = decoder.raw_decode(text, at)[1]
            except json.JSONDecodeError:
                if not ended and len(text) - at < RECORD_BYTES:
                    break
                line_break = text.find("\n", at)
                end = len(text) if line_break < 0 else line_break
            except RecursionError:
                end = len(text)
            found.append(text[at:end])
            at = end
        if found:
            yield pa.array(found, pa.string())


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
