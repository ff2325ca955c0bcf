"""Ragged rows by compiled loops, where numba is installed: the same bytes and rows as NumPy's ways, several
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
from fmrec.recordio.row_arrays import Rows, check_payload
from fmrec.recordio.schema import Schema
from fmrec.recordio.wire import Bytes, TensorType

ROWS_BEFORE_LOADING = 1_000_000
MAX_FEATURE_DIM = 1 << 28
"""Keys below it take four bytes or fewer."""
_HEAD = np.frombuffer(wire.MAGIC.to_bytes(4, "little") + wire.VALUES_ENTRY[:-1], np.uint8)
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


def encode(rows: Rows) -> Bytes | None:
    """Return the rows' records, or None for rows that this way isn't made for."""
    keys = rows.keys
    if keys is None or not _fits(rows.value_type, rows.label_type, rows.feature_dim):
        return None
    from fmrec.recordio import kernels

    counts = rows.counts.astype(np.int64)
    unit = rows.value_type.itemsize
    label, label_head = _label(rows.label_type)
    keys = np.ascontiguousarray(keys)
    lengths = kernels.measure(counts, keys, unit, len(rows.shape), len(label))
    payloads = lengths[:, -1]
    check_payload(int(payloads.max()))
    size = int((wire.FRAME + (payloads + 3 & -4)).sum())
    out = np.empty(size + wire.SPARE, np.uint8)
    labels = np.empty(0, np.uint8) if rows.labels is None else _as_bytes(rows.labels)
    tail = np.frombuffer(rows.shape + label_head, np.uint8)
    values = _as_bytes(rows.values)
    kernels.write(lengths, counts, keys, values, labels, unit, _HEAD, rows.value_type.tag, tail, out)
    return out[:size]


def decode(frames: Frames, schema: Schema) -> tuple[Rows, NDArray[np.int64]] | None:
    """Return the rows of all valid records that are laid out as usual, and the places of the others.

    None for a schema that this way isn't made for.
    """
    if not schema.is_sparse or not _fits(schema.value_type, schema.label_type, schema.feature_dim):
        return None
    from fmrec.recordio import kernels

    unit = schema.value_type.itemsize
    shape = wire.length_delimited(wire.SHAPE, wire.varint(schema.feature_dim))
    label, label_head = _label(schema.label_type)
    tail = np.frombuffer(shape + label_head, np.uint8)
    count = len(frames.starts)
    found = [np.empty(count, np.int64) for _ in range(3)]
    regular = np.empty(count, np.bool_)
    records = (frames.buffer, frames.starts, frames.lengths)
    sizes = (len(shape), len(label))
    kernels.locate(*records, unit, _HEAD, schema.value_type.tag, tail, *sizes, *found, regular)
    while True:
        places = np.flatnonzero(regular)
        own = slice(None) if len(places) == count else places
        counts, values_at, keys_at = (column[own] for column in found)
        ends = (frames.starts + frames.lengths)[own] - len(label)
        total = int(counts.sum())
        values, keys = np.empty(total * unit, np.uint8), np.empty(total, schema.key_dtype)
        valid = np.empty(len(counts), np.bool_)
        located = (frames.buffer, counts, values_at, keys_at, ends - len(shape))
        kernels.take(*located, unit, schema.feature_dim, values, keys, valid)
        if valid.all():
            break
        regular[places[~valid]] = False
    labels = None
    if schema.label_type is not None:
        at = ends + len(label_head)
        labels = wire.windows(frames.buffer, schema.label_type.itemsize)[at].view(schema.label_type.dtype)
    rows = Rows(
        counts,
        values.view(schema.value_type.dtype),
        schema.value_type,
        keys,
        schema.feature_dim,
        labels,
        schema.label_type,
    )
    return rows, np.flatnonzero(~regular)


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
