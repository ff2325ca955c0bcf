"""Spark's ``s3://`` paths in a local Glue run: a folder per bucket, kept in step with S3.

The driver maps the scheme to folders (Hadoop's ViewFileSystemOverloadScheme), since the S3
connector is not in the PySpark wheel. Before Spark reads a path its objects are fetched, after
Spark has written the new files are uploaded, always through the S3 API with the role's credentials:
so permissions count, versions are kept, and what boto3 sees is what Spark sees.

This runs in the Glue driver, without the local cloud's own code on the path.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_URI = re.compile(r"s3[an]?://([^/]+)/?(.*)", re.DOTALL)
_GLOB = re.compile(r"[*?\[{]")

_READERS = ("load", "csv", "json", "parquet", "text", "orc", "xml")
_WRITERS = ("save", "csv", "json", "parquet", "text", "orc", "xml", "insertInto", "saveAsTable")
_CONTEXT_READERS = ("textFile", "wholeTextFiles", "binaryFiles")

Signature = tuple[int, int, int]


class Mirror:
    """Folders that hold what Spark sees of S3.

    Parameters
    ----------
    root
        Holds one folder per bucket.
    make_client
        Makes a boto3 S3 client with the job role's credentials, at the first use of S3.
    """

    def __init__(self, root: Path, make_client: Callable[[], Any]) -> None:
        self._root = root
        self._make_client = make_client
        # Path → (entity tag, what the file was when it was in step with the object).
        self._known: dict[Path, tuple[str, Signature]] = {}

    @functools.cached_property
    def _client(self) -> Any:
        return self._make_client()

    def pull(self, uri: str) -> None:
        """Fetch the objects under a path that are not here yet or have changed; forget those deleted."""
        match = _URI.fullmatch(uri)
        if match is None:
            return
        bucket, key = match.groups()
        glob = _GLOB.search(key)
        prefix = key[: key.rfind("/", 0, glob.start()) + 1] if glob else key
        seen = set()
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for entry in itertools.chain.from_iterable(page.get("Contents", ()) for page in pages):
            path = self._root / bucket / entry["Key"]
            seen.add(path)
            if entry["Key"].endswith("/") or self._known.get(path, ("",))[0] == entry["ETag"]:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            self._client.download_file(bucket, entry["Key"], str(path))
            self._known[path] = (entry["ETag"], _signature(path))
        start = str(self._root / bucket / prefix)
        for path in [path for path in self._known if str(path).startswith(start) and path not in seen]:
            path.unlink(missing_ok=True)
            del self._known[path]

    def push(self) -> None:
        """Upload files that are new or changed; delete objects whose files are gone."""
        for path in self._files():
            signature = _signature(path)
            if path in self._known and self._known[path][1] == signature:
                continue
            bucket, key = self._address(path)
            self._client.upload_file(str(path), bucket, key)
            self._known[path] = (self._client.head_object(Bucket=bucket, Key=key)["ETag"], signature)
        for path in [path for path in self._known if not path.exists()]:
            bucket, key = self._address(path)
            self._client.delete_object(Bucket=bucket, Key=key)
            del self._known[path]

    def _files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._root):
            # What tasks are still writing; the committer moves it out when it is complete.
            folders[:] = sorted(name for name in folders if name != "_temporary")
            for name in sorted(names):
                if not (name.startswith(".") and name.endswith(".crc")):
                    yield Path(folder) / name

    def _address(self, path: Path) -> tuple[str, str]:
        bucket, _, key = path.relative_to(self._root).as_posix().partition("/")
        return bucket, key


def install(mirror: Mirror) -> None:
    """Keep the mirror in step with everything that PySpark reads and writes from here on."""
    from pyspark.core.context import SparkContext
    from pyspark.core.rdd import RDD
    from pyspark.sql.readwriter import DataFrameReader, DataFrameWriter

    for holder, names, before in (
        (DataFrameReader, _READERS, True),
        (SparkContext, _CONTEXT_READERS, True),
        (DataFrameWriter, _WRITERS, False),
        (RDD, ("saveAsTextFile",), False),
    ):
        for name in names:
            if hasattr(holder, name):
                setattr(holder, name, _in_step(getattr(holder, name), mirror, reads_only=before))


def _in_step(method: Callable[..., Any], mirror: Mirror, reads_only: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        # A writer, too, has to know what is there: it refuses, replaces or appends.
        for text in _texts([args, kwargs]):
            mirror.pull(text)
        result = method(self, *args, **kwargs)
        if not reads_only:
            mirror.push()
        return result

    return call


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))


def _signature(path: Path) -> Signature:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
