"""Objects as byte streams, on S3 (``s3://bucket/key``) or on disk (a path or a ``file://`` URI).

The same code then serves a Lambda, a Glue job and a laptop. Objects are streamed: reading holds one
buffer, writing to S3 holds one part of a multipart upload. An object appears whole or not at all: an
exception while writing aborts the upload, or removes the unfinished file. Objects written to S3 are
visible when the ``with`` block ends, like files here.

boto3 is imported when the first S3 object is touched (``fmrec.storage.s3_objects``).
"""

from __future__ import annotations

import contextlib
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

from fmrec.errors import InputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READ_BUFFER = 1 << 20
UNFINISHED_SUFFIX = ".unfinished"


@dataclass(frozen=True)
class StoredObject:
    """An object in a listing; ``size`` in bytes."""

    uri: str
    size: int


def open_input(uri: str) -> BinaryIO:
    """Open an object for reading, as a context manager; it can be sought, as Parquet's footers need.

    A connection that breaks is opened again where it broke, on the same version of the object.

    Raises
    ------
    InputError
        There is no such object, or it can't be read.
    ServiceError
        S3 refused or failed; reading raises it too.
    """
    if _is_s3(uri):
        return io.BufferedReader(_s3().Reader(uri), READ_BUFFER)
    with _naming_path(uri):
        return local_path(uri).open("rb", READ_BUFFER)


@contextlib.contextmanager
def open_output(uri: str) -> Iterator[BinaryIO]:
    """Open an object for writing; it exists when the block ends without an exception, else not.

    Missing folders are made. On S3 less than 8 MiB is a single put, more is a multipart upload.

    Raises
    ------
    InputError
        The place can't be written to.
    ServiceError
        S3 refused or failed; writing raises it too.
    """
    if _is_s3(uri):
        upload = _s3().Writer(uri)
        stream = io.BufferedWriter(upload, READ_BUFFER)
        try:
            yield stream
            stream.flush()
            upload.complete()
        except BaseException:
            upload.abort()
            raise
        finally:
            stream.close()
        return
    path = local_path(uri)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED_SUFFIX}")
    with _naming_path(uri):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = unfinished.open("wb", READ_BUFFER)
    try:
        with file:
            yield file
        with _naming_path(uri):
            unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_bytes(uri: str) -> bytes:
    """Return a whole object. Raises as ``open_input``."""
    with open_input(uri) as file:
        return file.read()


def read_text(uri: str) -> str:
    """Return a whole UTF-8 object as text. Raises as ``open_input``, and InputError if not UTF-8."""
    try:
        return read_bytes(uri).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{uri} is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from error


def read_json_object(uri: str) -> dict[str, Any]:
    """Return a JSON object. Raises as ``read_text``, and InputError if it is none."""
    text = read_text(uri)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{uri} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{uri} holds a {type(found).__name__}: expected a JSON object")
    return found


def write_bytes(uri: str, data: ReadableBuffer) -> None:
    """Write a whole object. Raises as ``open_output``."""
    with open_output(uri) as file:
        file.write(data)


def list_objects(prefix_uri: str) -> list[StoredObject]:
    """List every object in a folder and below it, sorted by key.

    ``prefix_uri`` names a folder whether or not it ends in ``/``, so that ``train`` never catches
    ``train-old/``. Empty folder markers and unfinished files are left out. A folder that doesn't
    exist has no objects.

    Raises
    ------
    ServiceError
        S3 refused or failed.
    """
    if _is_s3(prefix_uri):
        found = [StoredObject(uri, size) for uri, size in _s3().list_folder(prefix_uri)]
    else:
        with _naming_path(prefix_uri):
            files = (path for path in local_path(prefix_uri).rglob("*") if path.is_file())
            found = [
                StoredObject(str(path), path.stat().st_size)
                for path in files
                if not path.name.endswith(UNFINISHED_SUFFIX)
            ]
    return sorted(found, key=lambda stored: stored.uri)


def join(uri: str, *parts: str) -> str:
    """Join a URI or path and relative keys with single slashes; a last ``/`` is kept."""
    joined = uri
    for part in parts:
        joined = f"{joined.rstrip('/')}/{part.lstrip('/')}"
    return joined


def exists(uri: str) -> bool:
    """Say whether there is an object (not a folder) of that name.

    Raises
    ------
    ServiceError
        S3 refused or failed. Without the right to list the bucket S3 answers 403 for a missing object.
    """
    if _is_s3(uri):
        return bool(_s3().exists(uri))
    with _naming_path(uri):
        return local_path(uri).is_file()


def is_listed(uri: str) -> bool:
    """Say whether there is an object, by a list of what begins like it.

    For roles that may list prefixes of a bucket but not the whole: S3 answers them "denied" where `exists`
    asks for an object that is missing.

    Raises
    ------
    ServiceError
        S3 refused or failed.
    """
    return bool(_s3().is_listed(uri)) if _is_s3(uri) else exists(uri)


def delete(uri: str) -> None:
    """Delete an object; nothing happens if there is none.

    Raises
    ------
    InputError
        The bucket doesn't exist, or the file can't be deleted.
    ServiceError
        S3 refused or failed.
    """
    if _is_s3(uri):
        _s3().delete(uri)
        return
    with _naming_path(uri):
        local_path(uri).unlink(missing_ok=True)


def delete_folder(prefix_uri: str) -> None:
    """Delete every object in a folder and below it. Raises as ``list_objects`` and ``delete``."""
    stored = list_objects(prefix_uri)
    if _is_s3(prefix_uri):
        bucket = prefix_uri.removeprefix("s3://").partition("/")[0]
        _s3().delete_keys(bucket, [found.uri.removeprefix(f"s3://{bucket}/") for found in stored])
        return
    for found in stored:
        delete(found.uri)


def local_path(uri: str) -> Path:
    """Return the path of a local URI.

    Raises
    ------
    InputError
        The URI has another scheme than ``file``.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Path(uri)
    if scheme != "file":
        raise InputError(
            f"{uri!r} has the scheme {scheme!r}: expected s3://bucket/key, file:///path or a path"
        )
    return Path(rest)


def _s3() -> ModuleType:
    # boto3 takes 0.3 s to import, and laptops may go without it.
    from fmrec.storage import s3_objects

    return s3_objects


def _is_s3(uri: str) -> bool:
    return uri.startswith("s3://")


@contextlib.contextmanager
def _naming_path(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{uri[:500]} can't be used: {error.strerror or error}") from error
    except ValueError as error:
        # A zero byte, or half of a surrogate pair.
        raise InputError(f"{uri[:500]!r} is no path: {error}") from error
