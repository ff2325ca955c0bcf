"""Output of SageMaker's batch transform: one JSON object per line, read in blocks of whole lines."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.json

_NEWLINE, _OBJECT = ord("\n"), ord("{")


def whole_lines(stream: BinaryIO, block_bytes: int) -> Iterator[bytes]:
    """Yield a text in blocks of whole lines; the last line may go without an end."""
    rest = b""
    while chunk := stream.read(block_bytes):
        end = chunk.rfind(b"\n") + 1
        if end == 0:
            rest += chunk
            continue
        yield rest + chunk[:end]
        rest = chunk[end:]
    if rest:
        yield rest


def read_objects(text: bytes, schema: pa.Schema) -> pa.Table:
    """Return the schema's columns of a block of lines; what else objects hold is passed over.

    Several objects on a line become several rows: the caller compares their number with the lines'.

    Raises
    ------
    pyarrow.ArrowInvalid
        A line is not blank and no object, or a value isn't of its column's type.
    """
    data = np.frombuffer(text, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(data == _NEWLINE) + 1])
    starts = starts[starts < len(data)]
    first = data[starts]
    for start in starts[(first != _OBJECT) & (first != _NEWLINE)].tolist():
        end = text.find(b"\n", start)
        if text[start : end if end >= 0 else None].lstrip()[:1] not in (b"", b"{"):
            # Arrow's own reader takes null for an object, and not always well (pyarrow 26).
            raise pa.ArrowInvalid("a line is no object")
    return pyarrow.json.read_json(
        io.BytesIO(text),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
