"""Firehose: records are buffered and delivered together, with the stream's delimiter and compression.

The emulator writes an object for each record, as it came. Here the records of half a second are one object;
on AWS those of ``BufferingHints``, by size and time.
"""

from __future__ import annotations

import contextvars
import gzip
import threading
from collections.abc import Callable
from typing import Any

from localcloud.hooks.binding import FUNCTION, find, replace

_MODULE = "ministack.services.firehose"
_BUFFER_SECONDS = 0.5

Records = list[tuple[str, bytes]]


def install() -> None:
    """Buffer what is put."""
    replace(_MODULE, "_deliver_records_to_s3", ("stream", "dest", "records"), _buffered)


def _buffered(original: Callable[..., None]) -> Callable[..., None]:
    process = find(_MODULE, "_apply_lambda_processors", FUNCTION)
    deliver = find(_MODULE, "_deliver_to_s3", FUNCTION)
    buffers: dict[tuple[str, str], Records] = {}
    lock = threading.Lock()

    def flush(key: tuple[str, str], stream: dict[str, Any], dest: dict[str, Any]) -> None:
        with lock:
            records = buffers.pop(key)
        settings = dest["config"]
        delimiter = _delimiter(settings.get("ProcessingConfiguration") or {})
        body = b"".join(payload + delimiter for _, payload in process(stream, dest, records))
        if not body:
            return
        if settings.get("CompressionFormat", "UNCOMPRESSED").upper() == "GZIP":
            extension = settings.get("FileExtension") or ".gz"
            dest = {**dest, "config": {**settings, "FileExtension": extension}}
            body = gzip.compress(body)
        deliver(stream, dest, body)

    def deliver_records(stream: dict[str, Any], dest: dict[str, Any], records: Records) -> None:
        settings = dest["config"]
        partitioned = (settings.get("DynamicPartitioningConfiguration") or {}).get("Enabled")
        if partitioned or settings.get("DataFormatConversionConfiguration"):
            original(stream, dest, records)
            return
        key = (str(stream.get("arn") or stream["name"]), str(settings.get("BucketARN")))
        with lock:
            first = key not in buffers
            buffers.setdefault(key, []).extend(records)
        if first:
            # The emulator finds account and region in the context of the request.
            run = contextvars.copy_context().run
            timer = threading.Timer(_BUFFER_SECONDS, run, (flush, key, stream, dest))
            timer.daemon = True
            timer.start()

    return deliver_records


def _delimiter(processing: dict[str, Any]) -> bytes:
    """What AppendDelimiterToRecord puts behind each record; nothing without it."""
    if str(processing.get("Enabled", False)).lower() != "true":
        return b""
    for processor in processing.get("Processors", []):
        if processor.get("Type") == "AppendDelimiterToRecord":
            given = {
                entry["ParameterName"]: entry["ParameterValue"] for entry in processor.get("Parameters", [])
            }
            return str(given.get("Delimiter", "\n")).replace("\\n", "\n").encode()
    return b""
