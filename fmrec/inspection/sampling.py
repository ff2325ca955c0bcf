"""A bounded look at files: each file's beginning, parts of its middle, and its end.

A file of up to ``WHOLE_FILE`` bytes is read whole. Of a larger one the sample takes the first ``HEAD`` bytes,
``PIECES`` pieces at equal distances and the last ``PIECE`` bytes, so that 10 GB take as long as 10 MB.
Compressed files can only be read from their beginning.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from fmrec.errors import InputError
from fmrec.storage import object_store
from fmrec.storage.archives import data_members

WHOLE_FILE = 4 << 20
HEAD = 1 << 20
PIECE = 128 << 10
PIECES = 6
OFFICE = (".xlsx", ".xlsm", ".ods")
COMPRESSED_HEAD = 4 << 20
"""Bytes after decompression."""
MAGIC = (
    (b"PAR1", "parquet"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"Rar!", "RAR"),
    (b"ORC", "ORC"),
    (b"Obj\x01", "Avro"),
    (b"\xd0\xcf\x11\xe0", "Excel 97 (.xls)"),
    (b"\x89HDF", "HDF5"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"%PDF", "PDF"),
    (b"\x93NUMPY", "NumPy"),
    (b"\x80\x04\x95", "pickle"),
)
ENDINGS = {"gzip": (".gz",), "bzip2": (".bz2",)}
"""What is decompressed. Gzip is recognised by content, too; all else by the name's ending."""


@dataclass(frozen=True)
class Sample:
    """What was read of one file, after decompression.

    ``head`` begins with the file's first byte; ``pieces`` follow in the file's order and begin and end
    anywhere, but at multiples of four bytes. ``whole``: ``head`` is the entire file.
    """

    uri: str
    size: int
    head: bytes
    pieces: tuple[bytes, ...] = ()
    whole: bool = True
    content: str = "text"
    """``text``, ``parquet``, or a container that has to be unpacked first."""
    trouble: str | None = None
    """Why the file can't be read as it is, and what to do."""


def take_sample(stored: object_store.StoredObject) -> Sample:
    """Read parts of a file.

    Raises
    ------
    InputError, ServiceError
        The file can't be read.
    """
    uri, size = stored.uri, stored.size
    with object_store.open_input(uri) as file:
        start = file.read(16)
        content = next((name for magic, name in MAGIC if start.startswith(magic)), "text")
        if content == "parquet":
            return Sample(uri, size, start, whole=False, content=content)
        trouble = _trouble(uri, content)
        if content in ("gzip", "bzip2"):
            head, whole = _decompress(file, content, uri)
            return Sample(uri, size, head, (), whole, "text", trouble)
        if content == "zip" and not uri.endswith(OFFICE):
            head, whole, members = _only_member(file, uri)
            if len(members) == 1:
                return Sample(uri, size, head, (), whole)
        if trouble:
            return Sample(uri, size, start, (), False, content, trouble)
        if size <= WHOLE_FILE:
            file.seek(0)
            return Sample(uri, size, file.read())
        file.seek(0)
        head = file.read(HEAD)
        pieces = []
        step = (size - HEAD - PIECE) // (PIECES + 1)
        for at in [*(HEAD + step * (number + 1) for number in range(PIECES)), size - PIECE]:
            file.seek(at - at % 4)
            pieces.append(file.read(PIECE + at % 4))
    return Sample(uri, size, head, tuple(pieces), whole=False)


def take_start(stored: object_store.StoredObject, length: int = 64 << 10) -> bytes:
    """Return a file's first bytes, after decompression."""
    with object_store.open_input(stored.uri) as file:
        start = file.read(4)
        file.seek(0)
        if start.startswith(b"\x1f\x8b"):
            return _decompress(file, "gzip", stored.uri, length)[0]
        if start.startswith(b"BZh"):
            return _decompress(file, "bzip2", stored.uri, length)[0]
        return file.read(length)


def _only_member(file: BinaryIO, uri: str) -> tuple[bytes, bool, list[str]]:
    """Return how a ZIP archive's only file begins, whether that is all, and the names of all its files."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = data_members(archive)
            if len(members) != 1:
                return b"", False, members
            with archive.open(members[0]) as member:
                return member.read(COMPRESSED_HEAD), not member.read(1), members
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{uri} is a ZIP archive that can't be read ({error}): unpack it") from error


def _trouble(uri: str, content: str) -> str | None:
    name = uri.rsplit("/", 1)[-1]
    if content == "bzip2" and not name.endswith(ENDINGS[content]):
        ending = ENDINGS[content][0]
        return f"{uri} is compressed with {content}, which its name must say: rename it to {name}{ending}"
    wrong = [other for other, endings in ENDINGS.items() if other != content and name.endswith(endings)]
    if wrong:
        return f"{uri} is named as if compressed with {wrong[0]}, but is not: rename it"
    if content in ("text", *ENDINGS):
        return None
    if content == "zip" and name.endswith(OFFICE):
        return f"{uri} is an Excel workbook: save the sheet as CSV"
    if content == "zip":
        return f"{uri} is a ZIP archive: unpack it and upload the files in it (`unzip {name}`)"
    return f"{uri} is {content} data: expected CSV, TSV, JSON Lines or Parquet, plain or in gzip or bzip2"


def _decompress(
    file: BinaryIO, compression: str, uri: str, length: int = COMPRESSED_HEAD
) -> tuple[bytes, bool]:
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file) if compression == "gzip" else bz2.BZ2File(file) as stream:
            head = stream.read(length)
            return head, not stream.read(1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"{uri} can't be decompressed ({error}): it is cut short or damaged; upload it again"
        ) from error
