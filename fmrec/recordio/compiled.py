"""Sparse rows by compiled loops, where numba is installed: the same bytes and rows as NumPy's ways, several
times faster.

numba is optional. Loading it takes half a second, and compiling some seconds more where its cache can't be
written, so that it is loaded only by a process that has ``ROWS_BEFORE_LOADING`` ragged rows behind it, or has
numba already. ``FMREC_RECORDIO_COMPILED=0`` turns it off, ``1`` loads it at once.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio import wire
from fmrec.recordio.read_frames import Frames
from fmrec.recordio.row_arrays import Rows
from fmrec.recordio.schema import Room, Schema
from fmrec.recordio.wire import Bytes, TensorType

ROWS_BEFORE_LOADING = 1_000_000
MAX_FEATURE_DIM = 1 << 28
"""Keys below it take four bytes or fewer."""
HEAD_BYTES, KEY_BYTES = 48, 4
"""What a record has before its values and around its keys, and a key's varint, at most."""
MIN_RECORD = 28
"""Bytes; none that holds a sparse tensor is smaller."""
TAIL_BYTES = 24
"""Shape and label's head take 22 or fewer."""
SETTING = "FMREC_RECORDIO_COMPILED"

_rows_done = 0


def is_ready(rows: int) -> bool:
    """Say whether so many more rows should be left to the compiled loops; counts them."""
    global _rows_done  # noqa: PLW0603 - what a process has done is the process's
    setting = os.environ.get(SETTING, "")
    if setting == "0" or not _is_installed():
        return False
    _rows_done += rows
    return setting == "1" or _rows_done >= ROWS_BEFORE_LOADING or "numba" in sys.modules


@functools.cache
def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("numba") is not None
    except (ImportError, ValueError):  # an import hook, or sys.modules, keeps it out
        return False


def encodes(rows: Rows) -> bool:
    """Say whether this way is made for such rows."""
    return rows.keys is not None and _fits(rows.value_type, rows.label_type, rows.feature_dim)


def encode(rows: Rows) -> Bytes | None:
    """Return the rows' records, or None for rows that this way isn't made for."""
    keys = rows.keys
    if keys is None or not encodes(rows):
        return None
    from fmrec.recordio import kernels

    counts = rows.counts.astype(np.int64)
    unit = rows.value_type.itemsize
    label, label_head = _label(rows.label_type)
    labels = np.empty(0, np.uint8) if rows.labels is None else _as_bytes(rows.labels)
    # Memory that isn't written takes none, and is given back.
    out = np.empty(
        len(rows) * (HEAD_BYTES + TAIL_BYTES + 8) + len(keys) * (unit + KEY_BYTES) + wire.SPARE, np.uint8
    )
    size = kernels.encode(
        counts,
        # The loops are compiled for each type that they are given, which takes a second.
        np.ascontiguousarray(keys if keys.dtype in (np.int32, np.int64) else keys.astype(np.int64)),
        _as_bytes(rows.values),
        labels,
        unit,
        wire.MAGIC,
        rows.value_type.tag,
        _tail(rows.shape + label_head),
        len(rows.shape),
        len(label),
        wire.MAX_PAYLOAD,
        out,
    )
    if size < 0:  # a row is too long: the careful way names it
        return None
    out.resize(size, refcheck=False)
    return out


def split(buffer: Bytes, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int] | None:
    """Return starts and lengths of the payloads of all complete records among the first ``size`` bytes, and
    how many bytes these take; None if one isn't framed as it should be, or they can't hold a sparse tensor.
    """
    from fmrec.recordio import kernels

    starts, lengths = (np.empty(size // MIN_RECORD + 1, np.int64) for _ in range(2))
    count, used = kernels.split(buffer, size, wire.MAGIC, wire.MAX_PAYLOAD, starts, lengths)
    return None if count < 0 else (starts[:count], lengths[:count], used)


def decode(frames: Frames, schema: Schema, room: Room) -> tuple[Rows, NDArray[np.int64]] | None:
    """Return the rows of all valid records that are laid out as usual, and the places of the others.

    None for a schema that this way isn't made for, or where a key isn't below the dimension: the careful way
    names it.
    """
    if not schema.is_sparse or not _fits(schema.value_type, schema.label_type, schema.feature_dim):
        return None
    from fmrec.recordio import kernels

    unit = schema.value_type.itemsize
    shape = wire.length_delimited(wire.SHAPE, wire.varint(schema.feature_dim))
    label, label_head = _label(schema.label_type)
    # A value takes its own bytes and one or more of its key.
    elements = int(frames.lengths.sum()) // (unit + 1) + wire.SPARE // unit
    rows = room(schema, len(frames.starts), elements)
    regular = np.empty(len(rows), np.bool_)
    done, elements = kernels.decode(
        frames.buffer,
        frames.starts,
        frames.lengths,
        unit.bit_length() - 1,
        schema.value_type.tag,
        _tail(shape + label_head),
        len(shape),
        len(label),
        len(label) - len(label_head),
        schema.feature_dim,
        rows.counts,
        *(np.empty(0, np.uint8) if own is None else own.view(np.uint8) for own in (rows.values, rows.keys)),
        np.empty(0, np.uint8) if rows.labels is None else rows.labels.view(np.uint8),
        regular,
    )
    if done < 0:
        return None
    return rows.first(done, elements), np.flatnonzero(~regular)


def _tail(expected: bytes) -> NDArray[np.uint64]:
    """Return what is expected after a record's keys in words, and which of their bits it takes."""
    content = expected.ljust(TAIL_BYTES, b"\0") + (b"\xff" * len(expected)).ljust(TAIL_BYTES, b"\0")
    return np.frombuffer(content, "<u8")


def _fits(value_type: TensorType, label_type: TensorType | None, feature_dim: int) -> bool:
    floats = value_type.itemsize and (label_type is None or label_type.itemsize)
    return bool(floats) and 0 < feature_dim <= MAX_FEATURE_DIM


def _label(label_type: TensorType | None) -> tuple[bytes, bytes]:
    """Return a label's entry with zeros for its value, and what stands before the value."""
    if label_type is None:
        return b"", b""
    value = wire.length_delimited(wire.VALUES, bytes(label_type.itemsize))
    entry = wire.map_entry(wire.LABEL, label_type, value)
    return entry, entry[: -label_type.itemsize]


def _as_bytes(array: NDArray[Any]) -> Bytes:
    return np.ascontiguousarray(array).view(np.uint8)
