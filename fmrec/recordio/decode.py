"""recordIO-protobuf to whole arrays, streamed in memory that doesn't grow with the file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import FormatError, InputError
from fmrec.recordio import compiled, decode_general, decode_uniform, wire
from fmrec.recordio.read_frames import Frames, read_frames
from fmrec.recordio.record import Record, parse_record
from fmrec.recordio.row_arrays import Collected, Rows, concatenate_rows, merge_rows
from fmrec.recordio.schema import Room, Schema

Matrix: TypeAlias = Any
"""``scipy.sparse.csr_matrix`` or ``numpy.ndarray``."""


def read_records(file: BinaryIO) -> list[Record]:
    """Read a file's records one by one; SDK v2's function of that name.

    Convenient for inference responses and small files; ``read_matrix`` and ``read_batches`` are much faster.

    Raises
    ------
    FormatError
        The file isn't recordIO-protobuf; names the byte offset and the reason.
    """
    return [
        parse_record(frames.payload(row), frames.payload_offset(row))
        for frames in read_frames(file)
        for row in range(len(frames.starts))
    ]


def read_matrix(file: BinaryIO) -> tuple[Matrix, NDArray[Any] | None]:
    """Read a whole file.

    Returns
    -------
    matrix
        ``scipy.sparse.csr_matrix`` (rows, feature_dim) of sparse records, with stored zeros and the order of
        keys as written; ``numpy.ndarray`` (rows, features) of dense ones. float32, float64 or int32.
    labels
        Shape (rows,), float32, float64 or int32; None where records have none.

    Raises
    ------
    FormatError
        Not recordIO-protobuf, no record at all, or records of which one is sparse and the other dense, of
        different dimension or type, with other features than one tensor under ``values``, or with and
        without label. Names the byte offset and the reason.
    """
    start, size = _extent(file)
    collected: Collected | None = None

    most = 0

    def room(schema: Schema, rows: int, elements: int) -> Rows:
        nonlocal most
        most = max(most, elements)
        return schema.empty(rows, elements) if collected is None else collected.room(rows, elements)

    for piece in _read_rows(file, room):
        if collected is None:
            # If the others are as the first block's, with a little to spare.
            share = size / max(1, file.tell() - start) if size else 1
            collected = Collected(piece, int(len(piece) * max(1, share * 1.01)), most)
        collected.add(piece)
    if collected is None:
        raise FormatError("byte 0: there is no record in the file: expected at least one")
    rows = collected.rows()
    return _to_matrix(rows), rows.labels


def decode(data: bytes | bytearray | memoryview) -> tuple[Matrix, NDArray[Any] | None]:
    """Decode bytes as ``read_matrix`` decodes a file."""
    return read_matrix(io.BytesIO(data))


def read_batches(file: BinaryIO, batch_rows: int) -> Iterator[tuple[Matrix, NDArray[Any] | None]]:
    """Yield a file's rows in batches of ``batch_rows``, the last one smaller, as ``read_matrix`` returns
    them.

    Memory holds one batch and one block of the file.

    Raises
    ------
    InputError
        ``batch_rows`` is below 1.
    FormatError
        As ``read_matrix``, when reading gets there; a file without records has no batch.
    """
    if batch_rows < 1:
        raise InputError(f"batch_rows is {batch_rows}: expected at least 1")
    waiting: list[Rows] = []
    count = 0
    for piece in read_rows(file):
        waiting.append(piece)
        count += len(piece)
        if count < batch_rows:
            continue
        rows = concatenate_rows(waiting)
        for start in range(0, count - batch_rows + 1, batch_rows):
            batch = rows[start : start + batch_rows]
            yield _to_matrix(batch), batch.labels
        waiting = [rows[count - count % batch_rows :]] if count % batch_rows else []
        count %= batch_rows
    if count:
        rows = concatenate_rows(waiting)
        yield _to_matrix(rows), rows.labels


def _extent(file: BinaryIO) -> tuple[int, int]:
    """Return a file's position and the bytes after it, or zeros for a stream."""
    if not file.seekable():
        return 0, 0
    start = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(start)
    return start, end - start


def read_rows(file: BinaryIO) -> Iterator[Rows]:
    """Yield a file's rows as plain arrays, a block of the file at a time; SciPy isn't needed.

    Raises
    ------
    FormatError
        As ``read_matrix``, when reading gets there.
    """
    yield from _read_rows(file, Schema.empty)


def _read_rows(file: BinaryIO, room: Room) -> Iterator[Rows]:
    schema: Schema | None = None
    for frames in read_frames(file, _split):
        if schema is None:
            at = frames.payload_offset(0)
            schema = Schema.of(parse_record(frames.payload(0), at), at)
            decoder = decode_uniform.Decoder(schema)
        yield _decode(frames, schema, decoder, room)


def _split(buffer: wire.Bytes, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int] | None:
    return compiled.split(buffer, size) if compiled.is_ready(0) else None


def _decode(frames: Frames, schema: Schema, decoder: decode_uniform.Decoder, room: Room) -> Rows:
    total = len(frames.starts)
    pieces: list[tuple[NDArray[np.int64], Rows]] = []
    found = compiled.decode(frames, schema, room) if compiled.is_ready(total) else None
    if found is not None:
        rows, rest = found
        if not len(rest):
            return rows
        pieces.append((np.delete(np.arange(total), rest), rows))
    else:
        parts, rest = decoder.decode(frames)
        if not len(rest) and len({part.count for part in parts}) == 1:
            return decoder.rows(parts, total)
        pieces += [(part.places, decoder.rows([part], len(part.places))) for part in parts]
    left, irregular = _decode_general(frames[rest], schema)
    while left is None:
        # A record can hide another's fault, whose bytes are read next to its own; each round has fewer.
        pieces += [(rest[[row]], _decode_irregular(frames, int(rest[row]), schema)) for row in irregular]
        rest = np.delete(rest, irregular)
        left, irregular = _decode_general(frames[rest], schema)
    return merge_rows([*pieces, (rest, left)], total)


def _decode_irregular(frames: Frames, row: int, schema: Schema) -> Rows:
    """Decode a record that isn't laid out as usual, or raise FormatError for one that isn't valid."""
    at = frames.payload_offset(row)
    return schema.row(parse_record(frames.payload(row), at), at)


def _decode_general(frames: Frames, schema: Schema) -> tuple[Rows | None, NDArray[np.int64]]:
    """Return the rows; or None and which records are not laid out as usual, or not valid."""
    buffer = frames.buffer
    fields = decode_general.locate(buffer, frames.starts, frames.lengths, schema)
    irregular = fields.irregular
    if schema.value_type.itemsize:
        counts = fields.value_bytes // schema.value_type.itemsize
        irregular |= counts * schema.value_type.itemsize != fields.value_bytes
    if irregular.any():
        return None, np.flatnonzero(irregular)
    values, counts = _elements(buffer, fields.values_at, fields.value_bytes, schema.value_type, irregular)
    keys = None
    if schema.is_sparse:
        short = None
        if not irregular.any():
            short = decode_general.packed_keys(buffer, fields.keys_at, fields.key_bytes, counts)
        if short is None or (len(short) and short.max() >= schema.feature_dim):
            keys = _careful_keys(buffer, fields, counts, schema)
        else:
            keys = short.view(np.int32).astype(schema.key_dtype, copy=False)
    elif not irregular.any():
        irregular |= counts != schema.feature_dim
    labels = None
    if schema.label_type is not None:
        labels, label_counts = _elements(
            buffer, fields.label_at, fields.label_bytes, schema.label_type, irregular
        )
        irregular |= label_counts != 1
    found = np.flatnonzero(irregular)
    if len(found):
        return None, found
    return Rows(counts, values, schema.value_type, keys, schema.feature_dim, labels, schema.label_type), found


def _careful_keys(
    buffer: wire.Bytes, fields: decode_general.Fields, counts: NDArray[np.int64], schema: Schema
) -> NDArray[Any]:
    """Return all keys; mark records irregular whose keys are not as many as values, or not valid."""
    irregular = fields.irregular
    numbers, key_counts = decode_general.packed_varints(buffer, fields.keys_at, fields.key_bytes, irregular)
    irregular |= key_counts != counts
    if not irregular.any() and len(numbers) and numbers.max() >= schema.feature_dim:
        irregular[np.repeat(np.arange(len(counts)), counts)[numbers >= schema.feature_dim]] = True
    return numbers.astype(schema.key_dtype)


def _elements(
    buffer: wire.Bytes,
    at: NDArray[np.int64],
    sizes: NDArray[np.int64],
    value_type: wire.TensorType,
    irregular: NDArray[np.bool_],
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    if value_type.itemsize:
        return decode_general.floats(buffer, at, sizes, value_type.dtype), sizes // value_type.itemsize
    numbers, counts = decode_general.packed_varints(buffer, at, sizes, irregular)
    integers = numbers.astype(np.uint64, copy=False).view(np.int64)
    narrow = integers.astype(np.int32)
    if not irregular.any() and (wide := integers != narrow).any():
        irregular[np.repeat(np.arange(len(counts)), counts)[wide]] = True
    return narrow, counts


def _to_matrix(rows: Rows) -> Matrix:
    if rows.keys is None:
        return rows.values.reshape(len(rows), rows.feature_dim)
    # The Lambdas do without SciPy, and read sparse rows by read_rows.
    from scipy import sparse

    small = len(rows.values) < 1 << 31 and rows.keys.dtype == np.int32
    indptr = np.zeros(len(rows) + 1, np.int32 if small else np.int64)
    np.cumsum(rows.counts, out=indptr[1:])
    matrix: Matrix = sparse.csr_matrix((rows.values, rows.keys, indptr), shape=(len(rows), rows.feature_dim))
    return matrix
