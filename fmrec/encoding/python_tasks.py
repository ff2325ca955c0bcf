"""Python functions in Spark's tasks, without the time that the start of each task and every array take.

At the start of every task PySpark's worker calls ``importlib.invalidate_caches`` (pyspark 4.1.1,
``worker_util.setup_spark_files``), and CPython up to 3.12 then reads the directory of every zip file on the
import path anew, in Python: those of pyspark.zip, of py4j and of Spark's core JAR. That is most of what a
worker does in a small job.

Of arrays of some megabytes glibc gives the memory back to the system as soon as they are freed, and each page
of the next one costs an interrupt: more than sorting what stands in it.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zipimport import zipimporter

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

HELD_BYTES = 256 << 20
"""Freed memory that a worker doesn't give back, at most."""
MAPPED_BYTES = 32 << 20
"""What is larger comes from the system by itself, and goes back at once."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
Function = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]

_FOUND: dict[str, tuple[int, int]] = {}
"""Time of the last change in nanoseconds, and size in bytes, of zip files whose directories were read."""


def map_in_arrow(frame: DataFrame, function: Function, schema: StructType | str) -> DataFrame:
    """``DataFrame.mapInArrow`` in workers that read zip files' directories once, and keep freed memory."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        keep_zip_directories()
        keep_freed_memory()
        yield from function(batches)

    return frame.mapInArrow(run, schema)


@functools.cache
def keep_freed_memory() -> None:
    """Use freed memory again, where malloc is glibc's."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, HELD_BYTES)


def keep_zip_directories() -> None:
    """From now on, read a zip file's directory anew only if the file has changed."""
    if zipimporter.invalidate_caches is _read_if_changed:
        return
    for finder in sys.path_importer_cache.values():
        if isinstance(finder, zipimporter):
            _FOUND[finder.archive] = _state(finder.archive)
    zipimporter.invalidate_caches = _read_if_changed  # type: ignore[method-assign]


_read_always = zipimporter.invalidate_caches


def _read_if_changed(self: zipimporter) -> None:
    found = _state(self.archive)
    if _FOUND.get(self.archive) != found:
        _read_always(self)
        _FOUND[self.archive] = found


def _state(archive: str) -> tuple[int, int]:
    try:
        stat = Path(archive).stat()
    except OSError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)
