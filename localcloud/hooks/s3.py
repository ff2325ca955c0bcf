"""S3: a ranged read maps the file instead of reading all of it."""

from __future__ import annotations

import contextvars
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud.hooks.binding import find, replace

_MODULE = "ministack.services.s3"
_ranged: contextvars.ContextVar[bool] = contextvars.ContextVar("localcloud_ranged", default=False)


def install() -> None:
    """Map files for GETs with a Range header."""
    replace(_MODULE, "_get_object", ("bucket_name", "key", "headers", "query_params"), _note_range)
    replace(_MODULE, "_read_body", ("bucket_name", "key", "obj"), _mapped)


def _note_range(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_object(
        bucket_name: str, key: str, headers: dict[str, str], query_params: dict[str, Any] | None = None
    ) -> Any:
        token = _ranged.set("range" in headers)
        try:
            return original(bucket_name, key, headers, query_params)
        finally:
            _ranged.reset(token)

    return get_object


def _mapped(original: Callable[..., Any]) -> Callable[..., Any]:
    path_of = find(_MODULE, "_object_disk_path", type(replace))

    def read_body(bucket_name: str, key: str, obj: dict[str, Any]) -> Any:
        if not _ranged.get() or obj.get("body") is not None or not obj.get("size"):
            return original(bucket_name, key, obj)
        path = path_of(bucket_name, key)
        if path is None or not Path(path).is_file():
            return original(bucket_name, key, obj)
        with Path(path).open("rb") as file:
            # A slice of it is bytes, which is all that the caller does with it.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    return read_body
