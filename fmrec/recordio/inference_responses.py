"""Inference responses as recordIO-protobuf: records without features whose label holds named tensors.

FM answers ``score`` and ``predicted_label``, k-NN ``predicted_label`` and, verbose, ``distances`` and
``labels``.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import FormatError, InputError
from fmrec.recordio import wire
from fmrec.recordio.read_frames import read_frames
from fmrec.recordio.record import parse_record


def encode_label_tensors(tensors: dict[str, NDArray[Any]]) -> bytes:
    """Encode one record per row, its label holding a Float32 tensor under every name.

    Parameters
    ----------
    tensors
        Name → (rows, values), all with as many rows; converted to float32.

    Raises
    ------
    InputError
        No tensor, one that isn't a matrix, or different numbers of rows.
    """
    tensors = {name: np.asarray(array, np.float32) for name, array in tensors.items()}
    shapes = {name: array.shape for name, array in tensors.items()}
    if len({shape[:1] for shape in shapes.values()}) != 1 or any(
        len(shape) != 2 for shape in shapes.values()
    ):
        raise InputError(f"tensors have the shapes {shapes}: expected matrices with as many rows each")
    payload = b"".join(_entry(name, array.shape[1]) for name, array in tensors.items())
    template = np.frombuffer(wire.frame(payload), np.uint8)
    block = np.tile(template, (next(iter(shapes.values()))[0], 1))
    at = wire.FRAME
    for name, array in tensors.items():
        at += len(_entry(name, array.shape[1]))
        size = array.shape[1] * wire.FLOAT32.itemsize
        block[:, at - size : at] = np.ascontiguousarray(array, "<f4").view(np.uint8).reshape(-1, size)
    return block.tobytes()


def decode_label_tensors(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Decode what ``encode_label_tensors`` encodes: name → float32 array (records, values).

    Raises
    ------
    FormatError
        Not recordIO-protobuf, or labels that don't have the same names and sizes in every record; names
        the byte offset.
    """
    rows: dict[str, list[NDArray[Any]]] = {}
    for frames in read_frames(io.BytesIO(data)):
        for row in range(len(frames.starts)):
            at = frames.payload_offset(row)
            label = parse_record(frames.payload(row), at).label
            found = {name: value.tensor.values for name, value in label.items()}
            if not rows:
                rows = {name: [] for name in found}
            sizes = {name: len(values) for name, values in found.items()}
            expected = {name: len(values[0]) if values else sizes.get(name) for name, values in rows.items()}
            if sizes != expected:
                raise FormatError(f"byte {at}: a record's label has the sizes {sizes}: expected {expected}")
            for name, values in found.items():
                rows[name].append(values)
    return {name: np.array(values, np.float32) for name, values in rows.items()}


def _entry(name: str, count: int) -> bytes:
    """Return a label entry with zeros for values, which are its last bytes."""
    tensor = wire.length_delimited(wire.VALUES, bytes(count * wire.FLOAT32.itemsize)) if count else b""
    value = wire.length_delimited(bytes([wire.FLOAT32.tag]), tensor)
    key = wire.length_delimited(b"\x0a", name.encode())
    return wire.length_delimited(wire.LABEL, key + wire.length_delimited(b"\x12", value))
