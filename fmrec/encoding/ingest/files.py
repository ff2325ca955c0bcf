"""A source's files before they are read: their names, how they are packed, and how they begin."""

from __future__ import annotations

import bz2
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from fmrec.encoding.ingest.encodings import keeps_ascii
from fmrec.encoding.ingest.spark_errors import first_sentence
from fmrec.errors import InputError
from fmrec.inspection.encodings import detect_encoding
from fmrec.storage import object_store
from fmrec.storage.archives import data_members

HEAD_BYTES = 1 << 16
GZIP, ZIP, ZSTD, BZIP2, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"PAR1"
_ENDINGS = {".gz": GZIP, ".bz2": BZIP2, ".zst": ZSTD}
"""Endings by which Spark decompresses, and how such files begin."""
_OTHER_ENDINGS = (".deflate", ".snappy", ".lz4")
_HIDDEN = ("_", ".")
_READERS = 16


@dataclass(frozen=True)
class InputFile:
    """A file of a source.

    ``name`` is what Spark calls it, ``uri`` what people do; ``head`` are its first bytes, unpacked, or None
    if only Spark can unpack it. ``packing`` says how it is packed where Spark can't know by its name:
    ``gzip``, the name of a ZIP archive's only member after ``zip:``, or nothing. ``size`` is in bytes, None
    if only Spark can open it.
    """

    name: str
    uri: str
    head: bytes | None
    packing: str = ""
    size: int | None = None

    def text(self, encoding: str) -> str:
        """Return how the file begins."""
        return (self.head or b"").decode(encoding, "replace").removeprefix("\ufeff")


def resolve(raw_uri: str, path: str) -> str:
    """Return a data set document's path as Spark takes it; one that exists as it stands is no pattern."""
    whole = path if "://" in path or path.startswith("/") else object_store.join(raw_uri, path)
    if re.search(r"[\\{}\[\]*?]", whole) and _exists(whole):
        return literal(whole)
    return whole


def literal(path: str) -> str:
    """Return a path so that Spark takes no character of it for a pattern."""
    return re.sub(r"([\\{}\[\]*?])", r"\\\1", path)


def list_files(spark: SparkSession, path: str) -> tuple[DataFrame, list[str]]:
    """List a path's files, once: return their lines, and their names as Spark's rows name them.

    Raises
    ------
    InputError
        There is none, or Spark can't take the path.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        raise InputError(f"{path!a} is not valid UTF-8, which Spark needs: rename the file or folder")
    try:
        lines = spark.read.text(path)
        found = sorted(lines.inputFiles())
    except AnalysisException as error:
        if error.getCondition() == "PATH_NOT_FOUND":
            raise InputError(f"{path} holds no file: check the path and what was uploaded") from error
        raise InputError(f"{path} can't be listed: {first_sentence(error)}") from error
    except Exception as error:  # Hadoop's own, for schemes and patterns that it doesn't know
        raise InputError(f"{path} can't be listed: {first_sentence(error)}") from error
    _check_names(path, found)
    if not found:
        raise InputError(f"{path} is empty: expected rows")
    return lines, found


def _check_names(path: str, found: list[str]) -> None:
    """Refuse local files whose names Java can't write: Spark passes over them without a word."""
    if "://" in path and not path.startswith("file://"):
        return
    seen = {uri_of(name).rpartition("/")[2] for name in found}
    for name in _local_names(object_store.local_path(path)):
        if not name.isascii() and name not in seen:
            raise InputError(
                f"Spark can't see the file {name!a} of {path}, because its name is not valid UTF-8 or Java "
                "was started without a UTF-8 locale: rename the file, or set LC_ALL=C.UTF-8"
            )


def _local_names(path: Path) -> Iterator[str]:
    """Yield the names of a folder's files, or of a file; none for a pattern that names several."""
    if path.is_file():
        yield path.name
    for _, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
        yield from (name for name in names if not name.startswith(_HIDDEN))


def open_heads(names: list[str], encoding: str) -> list[InputFile]:
    """Look at the beginning of each file.

    Raises
    ------
    InputError
        A file is packed in a way that nobody can read, or plainly no text in this encoding.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        files = list(pool.map(_open_head, names))
    for file in files:
        _check_text(file, encoding)
    return files


def uri_of(name: str) -> str:
    """Return the URI that ``object_store`` opens for a file that Spark names."""
    uri = unquote(name)
    scheme, separator, rest = uri.partition(":")
    if scheme == "file" and separator:
        return "/" + rest.lstrip("/")
    return f"s3:{rest}" if scheme in ("s3a", "s3n") else uri


def are_small(names: list[str], limit: int) -> bool:
    """Say whether files that Spark names have at most so many bytes together, packed as they are."""
    left = limit
    for name in names:
        uri = uri_of(name)
        if "://" in uri and not uri.startswith("s3://"):
            return False
        with object_store.open_input(uri) as file:
            left -= file.seek(0, os.SEEK_END)
        if left < 0:
            return False
    return True


def _open_head(name: str) -> InputFile:
    uri = uri_of(name)
    if uri.endswith(_OTHER_ENDINGS) or ("://" in uri and not uri.startswith("s3://")):
        return InputFile(name, uri, None)
    with object_store.open_input(uri) as file:
        raw = file.read(HEAD_BYTES)
        size = file.seek(0, os.SEEK_END)
    for ending, magic in _ENDINGS.items():
        if uri.endswith(ending) and raw and not raw.startswith(magic):
            raise InputError(f"{uri} ends in {ending}, but is not compressed so: rename it")
    if raw.startswith(ZIP):
        return _open_archive(name, uri, size)
    if raw.startswith(GZIP):
        packing = "" if uri.endswith(".gz") else "gzip"
        return InputFile(name, uri, _inflate(raw, uri), packing, size)
    for ending, magic in ((".bz2", BZIP2), (".zst", ZSTD)):
        if raw.startswith(magic):
            if not uri.endswith(ending):
                raise InputError(
                    f"{uri} is compressed, but does not end in {ending}: rename it to {uri}{ending}"
                )
            return InputFile(name, uri, _unpack(raw, magic), size=size)
    return InputFile(name, uri, raw, size=size)


def _inflate(raw: bytes, uri: str) -> bytes:
    inflater = zlib.decompressobj(31)
    try:
        head = inflater.decompress(raw, HEAD_BYTES)
    except zlib.error as error:
        raise InputError(f"{uri} can't be read: it is damaged ({error})") from error
    if len(raw) < HEAD_BYTES and not inflater.eof and not inflater.unconsumed_tail:
        raise InputError(f"{uri} can't be read: it is cut off; upload it again")
    return head


def _unpack(raw: bytes, magic: bytes) -> bytes | None:
    try:
        if magic == BZIP2:
            return bz2.BZ2Decompressor().decompress(raw, HEAD_BYTES) or None
        head: bytes = pa.CompressedInputStream(pa.BufferReader(raw), "zstd").read(HEAD_BYTES)
        return head
    except (OSError, pa.ArrowException):  # its first block is larger than what was read
        return None


def _open_archive(name: str, uri: str, size: int) -> InputFile:
    with object_store.open_input(uri) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = data_members(archive)
                if "[Content_Types].xml" in members:
                    raise InputError(f"{uri} is an office document: save its sheet as CSV")
                if len(members) != 1:
                    shown = ", ".join(members[:5]) + (", …" if len(members) > 5 else "")
                    raise InputError(
                        f"{uri} is a ZIP archive of {len(members)} files ({shown}): unpack it, and name one of them"
                    )
                with archive.open(members[0]) as member:
                    return InputFile(name, uri, member.read(HEAD_BYTES), f"zip:{members[0]}", size)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
            raise InputError(f"{uri} is a ZIP archive that can't be read ({error}): unpack it") from error


def _check_text(file: InputFile, encoding: str) -> None:
    head = file.head or b""
    if head.startswith(PARQUET):
        raise InputError(f"{file.uri} is Parquet: set format to 'parquet'")
    meant = detect_encoding([head], whole=False).name
    wide = meant.startswith(("utf-16", "utf-32"))
    if keeps_ascii(encoding) and wide:
        raise InputError(f"{file.uri} is not {encoding}, but looks like {meant}: set encoding to {meant!r}")
    if keeps_ascii(encoding) and head.count(0) > len(head) / 10:
        raise InputError(f"{file.uri} is no text: many of its first bytes are 0; check path and format")
    if encoding.startswith(("utf-16", "utf-32")) and head and not wide and "\n" not in file.text(encoding):
        raise InputError(f"{file.uri} is not {encoding}: set encoding to {meant!r}")


def _exists(path: str) -> bool:
    if "://" in path and not path.startswith(("s3://", "file://")):
        return False
    try:
        if not path.startswith("s3://"):
            return object_store.local_path(path).exists()
        return object_store.exists(path) or bool(object_store.list_objects(path))
    except (InputError, OSError, ValueError):
        return False
