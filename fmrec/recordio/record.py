"""One record at a time, whatever its fields and their order: for inference responses, irregular files and
error messages.

``Record`` has the shape of the SDK's protobuf message (``record.features["values"].float32_tensor.values``).
Batches of ordinary records are decoded by ``decode`` many times faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import FormatError
from fmrec.recordio import wire
from fmrec.recordio.wire import FLOAT32, FLOAT64, INT32, TENSOR_TYPES, TensorType

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIELD_NAMES = {1: "features", 2: "label", 3: "uid", 4: "metadata", 5: "configuration"}
_BYTES_FIELD = 9


@dataclass(frozen=True)
class Tensor:
    """Values, their keys where the tensor is sparse, and its shape where given."""

    values: NDArray[Any]
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Value:
    """A tensor, or a list of byte strings; as in protobuf, what isn't there reads as empty."""

    tensor: Tensor = field(default_factory=lambda: Tensor(np.empty(0, np.float32)))
    tensor_type: TensorType | None = None
    bytes: tuple[bytes, ...] = ()

    @property
    def float32_tensor(self) -> Tensor:
        return self._tensor_if(FLOAT32)

    @property
    def float64_tensor(self) -> Tensor:
        return self._tensor_if(FLOAT64)

    @property
    def int32_tensor(self) -> Tensor:
        return self._tensor_if(INT32)

    def _tensor_if(self, tensor_type: TensorType) -> Tensor:
        return self.tensor if self.tensor_type == tensor_type else Tensor(np.empty(0, tensor_type.dtype))


@dataclass(frozen=True)
class Record:
    """``aialgs.data.Record``."""

    features: dict[str, Value] = field(default_factory=dict)
    label: dict[str, Value] = field(default_factory=dict)
    uid: str = ""
    metadata: str = ""
    configuration: str = ""


def parse_record(payload: bytes, offset: int = 0) -> Record:
    """Parse a record's payload; ``offset`` is where it starts in the file, for messages.

    Raises
    ------
    FormatError
        Not a protobuf message of this schema; names the byte offset and the reason.
    """
    maps: dict[int, dict[str, Value]] = {1: {}, 2: {}}
    texts = {3: "", 4: "", 5: ""}
    for number, wire_type, content, at in _fields(payload, 0, len(payload), offset):
        if number in maps:
            start, end = _delimited(content, wire_type, _FIELD_NAMES[number], at)
            key, value = _map_entry(payload, start, end, offset)
            maps[number][key] = value
        elif number in texts:
            start, end = _delimited(content, wire_type, _FIELD_NAMES[number], at)
            texts[number] = _text(payload[start:end], offset + start)
    return Record(maps[1], maps[2], texts[3], texts[4], texts[5])


def _map_entry(data: bytes, start: int, end: int, offset: int) -> tuple[str, Value]:
    key, value = "", Value()
    for number, wire_type, content, at in _fields(data, start, end, offset):
        if number == 1:
            first, last = _delimited(content, wire_type, "a map entry's key", at)
            key = _text(data[first:last], offset + first)
        elif number == 2:
            first, last = _delimited(content, wire_type, "a map entry's value", at)
            value = _value(data, first, last, offset)
    return key, value


def _value(data: bytes, start: int, end: int, offset: int) -> Value:
    value = Value()
    for number, wire_type, content, at in _fields(data, start, end, offset):
        tensor_type = TENSOR_TYPES.get(number << 3 | _DELIMITED)
        if tensor_type is not None:
            first, last = _delimited(content, wire_type, f"a {tensor_type.name}Tensor", at)
            value = Value(_tensor(data, first, last, offset, tensor_type), tensor_type)
        elif number == _BYTES_FIELD:
            first, last = _delimited(content, wire_type, "Bytes", at)
            strings = [
                data[slice(*_delimited(piece, kind, "a byte string", where))]
                for inner, kind, piece, where in _fields(data, first, last, offset)
                if inner == 1
            ]
            value = Value(bytes=tuple(strings))
    return value


def _tensor(data: bytes, start: int, end: int, offset: int, tensor_type: TensorType) -> Tensor:
    values: list[NDArray[Any]] = []
    whole: dict[int, list[int]] = {2: [], 3: []}
    for number, wire_type, content, at in _fields(data, start, end, offset):
        if number == 1:
            values.append(_values(data, wire_type, content, tensor_type, offset, at))
        elif number in whole:
            whole[number] += _varints(data, wire_type, content, offset, at)
    return Tensor(
        np.concatenate([np.empty(0, tensor_type.dtype), *values]),
        np.array(whole[2], np.uint64),
        tuple(whole[3]),
    )


def _values(data: bytes, wire_type: int, content: Any, tensor_type: TensorType, *where: int) -> NDArray[Any]:
    """Return a piece of ``values``: packed, or one element, as protobuf allows both."""
    offset, at = where
    if not tensor_type.itemsize:
        numbers = np.array(_varints(data, wire_type, content, offset, at), np.uint64).view(np.int64)
        if (numbers != numbers.astype(np.int32)).any():
            raise FormatError(f"byte {at}: an Int32 value doesn't fit 32 bits: {numbers.tolist()[:3]}")
        return numbers.astype(np.int32)
    if wire_type in {_FIXED32, _FIXED64}:
        if len(content) != tensor_type.itemsize:
            raise FormatError(f"byte {at}: a {tensor_type.name} value of {len(content)} bytes")
        return np.frombuffer(content, tensor_type.dtype)
    start, end = _delimited(content, wire_type, "values", at)
    if (end - start) % tensor_type.itemsize:
        raise FormatError(
            f"byte {at}: {tensor_type.name} values take {end - start} bytes: expected a multiple of "
            f"{tensor_type.itemsize}"
        )
    return np.frombuffer(data[start:end], tensor_type.dtype)


def _varints(data: bytes, wire_type: int, content: Any, offset: int, at: int) -> list[int]:
    if wire_type == _VARINT:
        return [content]
    position, end = _delimited(content, wire_type, "integers", at)
    numbers = []
    while position < end:
        number, position = _varint(data, position, end, offset)
        numbers.append(number)
    return numbers


def _fields(data: bytes, start: int, end: int, offset: int) -> Iterator[tuple[int, int, Any, int]]:
    """Yield a message's fields: number, wire type, content, offset in the file.

    The content is a number, the bytes of a fixed one, or a delimited field's (start, end) in ``data``.
    """
    position = start
    while position < end:
        at = offset + position
        tag, position = _varint(data, position, end, offset)
        number, wire_type = tag >> 3, tag & 7
        content: Any
        if number == 0:
            raise FormatError(f"byte {at}: tag {tag} has field number 0")
        if wire_type == _VARINT:
            content, position = _varint(data, position, end, offset)
        elif wire_type == _DELIMITED:
            size, position = _varint(data, position, end, offset)
            content, position = (position, position + size), position + size
        elif wire_type in {_FIXED32, _FIXED64}:
            size = 4 if wire_type == _FIXED32 else 8
            content, position = data[position : position + size], position + size
        else:
            raise FormatError(f"byte {at}: field {number} has wire type {wire_type}, which isn't known")
        if position > end:
            raise FormatError(f"byte {at}: field {number} ends {position - end} bytes after what it lies in")
        yield number, wire_type, content, at


def _varint(data: bytes, position: int, end: int, offset: int) -> tuple[int, int]:
    number, start = 0, position
    for place in range(wire.MAX_VARINT):
        if position >= end:
            raise FormatError(f"byte {offset + start}: a varint is cut off")
        number |= (data[position] & 0x7F) << 7 * place
        position += 1
        if data[position - 1] < 0x80:
            return number & (1 << 64) - 1, position
    raise FormatError(f"byte {offset + start}: a varint has more than {wire.MAX_VARINT} bytes")


def _delimited(content: Any, wire_type: int, what: str, at: int) -> tuple[int, int]:
    if wire_type != _DELIMITED:
        raise FormatError(f"byte {at}: {what} has wire type {wire_type}: expected {_DELIMITED}")
    start, end = content
    return start, end


def _text(data: bytes, at: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"byte {at + error.start}: text is not UTF-8") from error
