"""Pieces of files as blocks of lines: unpacked, decoded where lines can't be found in bytes, and cut.

One block of bytes is held at a time, and what belongs to a line that goes on.
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

from fmrec.encoding.ingest.delimited import find_escapes
from fmrec.encoding.ingest.encodings import MARK_UNDECODED, UTF8, keeps_ascii
from fmrec.encoding.ingest.line_fields import LINE
from fmrec.encoding.ingest.pieces import (
    BLOCK,
    DOCUMENTS,
    FILE,
    PATH,
    POSITION,
    RECORDS,
    START,
    Cut,
    FilePiece,
    lines_in_range,
)
from fmrec.errors import InputError
from fmrec.storage import object_store

RECORD_BYTES = 1 << 24
"""A record that is longer is none: a quote or bracket was left open."""
LINE_BYTES = 1 << 30
"""A line that is longer does not fit into Arrow's strings with others."""
Readable = Any
"""A binary stream: of a file, an archive's member, or what unpacks one."""
_BOM = b"\xef\xbb\xbf"
_BEYOND = re.compile(r"[^\x00-\x7f]")
_BETWEEN = re.compile(r"[\s,\[\]]*")
_LF, _CR = ord("\n"), ord("\r")


@dataclass(frozen=True)
class Block:
    """Lines that follow each other in a piece of a file.

    Parameters
    ----------
    position : int
        Of the first line.
    data : uint8 array
        The lines with the bytes that end them.
    ends : int64 array
        Where each line's last byte is.
    """

    piece: FilePiece
    position: int
    data: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def lines(self) -> pa.Array:
        """Return what stands before each line break."""
        keep = np.ones(len(self.data), np.bool_)
        keep[self.ends] = False
        before = self.ends[self.ends > 0] - 1
        before = before[self.data[before + 1] == _LF]
        keep[before[self.data[before] == _CR]] = False
        offsets = np.concatenate(([0], np.cumsum(keep)[self.ends])).astype(np.int32)
        return pa.StringArray.from_buffers(
            len(self.ends), pa.py_buffer(offsets), pa.py_buffer(self.data[keep])
        )

    def batch(self) -> pa.RecordBatch:
        return _batch(self.lines(), self.piece, self.position)

    def provenance(self) -> dict[str, pa.Array]:
        return _provenance(self.piece, self.position, len(self))

    def halves(self) -> tuple[Block, Block]:
        """Return two blocks, of as many lines each."""
        half = len(self) // 2
        cut = int(self.ends[half - 1]) + 1
        return (
            Block(self.piece, self.position, self.data[:cut], self.ends[:half]),
            Block(self.piece, self.position + half, self.data[cut:], self.ends[half:] - cut),
        )


def read_blocks(piece: FilePiece) -> Iterator[Block]:
    """Read the lines or records of a piece."""
    position = piece.first_position
    with _unpacked(piece.uri, piece.packing) as stream:
        for data, ends in _cut(_blocks(stream, piece), piece.cut, piece.uri):
            yield Block(piece, position, data, ends)
            position += len(ends)


def read_batches(pieces: Iterable[FilePiece]) -> Iterator[pa.RecordBatch]:
    """Read pieces, whatever they are cut into: batches of ``LINE`` and its provenance."""
    for piece in pieces:
        if piece.cut.into != DOCUMENTS:
            for block in read_blocks(piece):
                yield block.batch()
            continue
        position = piece.first_position
        with _unpacked(piece.uri, piece.packing) as stream:
            documents = _documents(_texts(stream, piece.cut.encoding))
            for records in documents if piece.cut.encoding == UTF8 else _in_ascii(documents):
                yield _batch(records, piece, position)
                position += len(records)


def _batch(lines: pa.Array, piece: FilePiece, position: int) -> pa.RecordBatch:
    path = pa.array([piece.name]).take(pa.array(np.zeros(len(lines), np.int64)))
    return pa.RecordBatch.from_pydict({LINE: lines, PATH: path} | _provenance(piece, position, len(lines)))


def _provenance(piece: FilePiece, position: int, count: int) -> dict[str, pa.Array]:
    return {
        FILE: pa.array(np.full(count, piece.file)),
        START: pa.array(np.full(count, piece.start)),
        POSITION: pa.array(np.arange(position, position + count)),
    }


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


def _in_ascii(documents: Iterator[pa.Array]) -> Iterator[pa.Array]:
    """Write JSON's letters so that they are the same in every encoding."""
    for texts in documents:
        ascii_texts = [
            _BEYOND.sub(lambda found: json.dumps(found[0])[1:-1], text) for text in texts.to_pylist()
        ]
        yield pa.array(ascii_texts, pa.string())


def _blocks(stream: Readable, piece: FilePiece) -> Iterator[bytes]:
    """Yield a piece's bytes, without a byte order mark; what isn't written in bytes of ASCII as UTF-8."""
    if not keeps_ascii(piece.cut.encoding):
        yield from (text.encode() for text in _texts(stream, piece.cut.encoding))
        return
    blocks = _to_end(stream) if piece.end is None else lines_in_range(stream, piece.start, piece.end)
    yield from blocks if piece.start else _without_mark(blocks)


def _without_mark(blocks: Iterator[bytes]) -> Iterator[bytes]:
    beginning = b""
    for block in blocks:
        beginning += block
        if len(beginning) >= len(_BOM):
            break
    yield beginning.removeprefix(_BOM)
    yield from blocks


def _to_end(stream: Readable) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _texts(stream: Readable, encoding: str) -> Iterator[str]:
    buffered = io.BufferedReader(stream, BLOCK) if isinstance(stream, io.RawIOBase) else stream
    text = io.TextIOWrapper(buffered, encoding, MARK_UNDECODED)
    block = text.read(BLOCK).removeprefix("\ufeff")
    while block:
        yield block
        block = text.read(BLOCK)


def _cut(
    blocks: Iterator[bytes], cut: Cut, uri: str
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Cut bytes at line breaks, of records at those outside of quotes: yield whole lines and their ends."""
    find, longest, why = _line_ends, LINE_BYTES, "it has no line breaks"
    if cut.into == RECORDS:
        find, longest, why = _record_ends, RECORD_BYTES, "a quote is never closed"
    rest = b""
    for block in blocks:
        data = np.frombuffer(rest + block, np.uint8)
        ends = find(data, cut)
        end = int(ends[-1]) + 1 if len(ends) else 0
        rest = data[end:].tobytes()
        if len(rest) > longest:
            raise InputError(
                f"{uri} has a record of more than {longest >> 20} MiB that begins with "
                f"{rest[:60].decode('utf-8', 'replace')!r}: {why}"
            )
        if len(ends):
            yield data[:end], ends
    if rest:
        data = np.frombuffer(rest + b"\n", np.uint8)
        yield data, np.array([len(data) - 1])


def _line_ends(data: NDArray[np.uint8], cut: Cut) -> NDArray[np.int64]:
    """Return where LF, CR and CR LF end; a last CR is left, since LF may follow."""
    breaks = data == _LF
    returns = data[:-1] == _CR
    if returns.any():
        breaks[:-1] |= returns & ~breaks[1:]
    return np.flatnonzero(breaks)


def _record_ends(data: NDArray[np.uint8], cut: Cut) -> NDArray[np.int64]:
    breaks = data == _LF
    _, escaped = find_escapes(data, np.array([0, len(data)]), cut.marks.escape)
    breaks &= np.cumsum((data == ord(cut.marks.quote)) & ~escaped) % 2 == 0
    return np.flatnonzero(breaks)


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
