"""Loops over ragged records for numba to compile; imported only where numba is (see ``compiled``).

They take whole checked arrays and do what ``encode_general`` and ``decode_general`` describe, record by
record. Words are read and written where they lie, aligned or not: buffers go on for ``wire.SPARE`` bytes, or
``framing.SLACK``, after their last record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
_ENTRY = 9
"""Bytes of a map entry's key ``values`` and the tag of what it holds."""
_TERMINATORS = np.uint32(0x80808080)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    return builder.gep(view.data, [index])


def _copy(_: Any, out: Any, to: Any, source: Any, at: Any, size: Any) -> Any:
    """``out[to : to + size] = source[at : at + size]``, of bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        origin = _pointer(context, builder, signature.args[2], arguments[2], arguments[3])
        memcpy: Any = cgutils.raw_memcpy
        memcpy(builder, target, origin, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(out, types.int64, source, types.int64, types.int64), generate


def _store_word(_: Any, out: Any, at: Any, word: Any) -> Any:
    """Write four bytes, the lowest first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], builder.bitcast(pointer, ir.IntType(32).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.uint32), generate


def _load_word(_: Any, source: Any, at: Any) -> Any:
    """Read four bytes, the lowest first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.load(builder.bitcast(pointer, ir.IntType(32).as_pointer()), align=1)

    return types.uint32(source, types.int64), generate


def _lowest_bit(_: Any, word: Any) -> Any:
    """Return the number of the lowest bit that is set, 32 if none is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.zext(place, ir.IntType(64))

    return types.int64(types.uint32), generate


copy: Any = intrinsic(_copy)
store_word: Any = intrinsic(_store_word)
load_word: Any = intrinsic(_load_word)
lowest_bit: Any = intrinsic(_lowest_bit)


def _compiled(function: Callable[..., Any]) -> Any:
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # there is no folder that a cache can be written to
        return numba.njit(nogil=True, error_model="numpy")(function)


def _varint_width(number: int) -> int:
    width = 1
    while number >= 0x80:
        number >>= 7
        width += 1
    return width


def _put_field(out: Bytes, at: int, tag: int, length: int) -> int:
    """Write a field's tag and length; return where its content starts."""
    out[at] = np.uint8(tag)
    at += 1
    while length >= 0x80:
        out[at] = np.uint8(length & 0x7F | 0x80)
        length >>= 7
        at += 1
    out[at] = np.uint8(length)
    return at + 1


def _read_length(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read a varint of up to four bytes; return it and where it ends, or -1 where it is cut off or longer."""
    number = 0
    for place in range(4):
        if at + place >= end:
            return -1, at
        byte = int(buffer[at + place])
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    return -1, at


varint_width = _compiled(_varint_width)
put_field = _compiled(_put_field)
read_length = _compiled(_read_length)


def _measure(
    counts: NDArray[np.int64], keys: NDArray[Any], unit: int, shape_bytes: int, label_bytes: int
) -> NDArray[np.int64]:
    """Return each record's bytes of keys, tensor, value, entry and payload; shape (rows, 5)."""
    lengths = np.empty((len(counts), 5), np.int64)
    first = 0
    for row in range(len(counts)):
        count = counts[row]
        key_bytes = count
        for key in keys[first : first + count]:
            key_bytes += (key >= 1 << 7) + (key >= 1 << 14) + (key >= 1 << 21)
        first += count
        tensor = shape_bytes
        if count:
            tensor += 2 + varint_width(count * unit) + count * unit + varint_width(key_bytes) + key_bytes
        value = 1 + varint_width(tensor) + tensor
        entry = _ENTRY + varint_width(value) + value
        lengths[row, 0], lengths[row, 1], lengths[row, 2] = key_bytes, tensor, value
        lengths[row, 3], lengths[row, 4] = entry, 1 + varint_width(entry) + entry + label_bytes
    return lengths


def _write(
    lengths: NDArray[np.int64],
    counts: NDArray[np.int64],
    keys: NDArray[Any],
    values: Bytes,
    labels: Bytes,
    unit: int,
    head: Bytes,
    value_tag: int,
    tail: Bytes,
    out: Bytes,
) -> None:
    """Write all records. ``head`` is the magic number and the entry's key, ``tail`` shape and
    label's head.
    """
    label_unit = len(labels) // len(counts)
    at = first = 0
    for row in range(len(counts)):
        count = counts[row]
        key_bytes, tensor, value, entry, payload = lengths[row]
        copy(out, at, head, 0, 4)
        store_word(out, at + 4, np.uint32(payload))
        start = at + 8
        at = put_field(out, start, 0x0A, entry)
        copy(out, at, head, 4, _ENTRY - 1)
        at = put_field(out, at + _ENTRY - 1, 0x12, value)
        at = put_field(out, at, value_tag, tensor)
        if count:
            at = put_field(out, at, 0x0A, count * unit)
            copy(out, at, values, first * unit, count * unit)
            at = put_field(out, at + count * unit, 0x12, key_bytes)
            for own in keys[first : first + count]:
                # Four bytes at once, of which the next key overwrites what isn't the key's.
                key = np.uint32(own)
                word = key & np.uint32(0x7F) | (key & np.uint32(0x3F80)) << np.uint32(1)
                word |= (key & np.uint32(0x1FC000)) << np.uint32(2)
                word |= (key & np.uint32(0xFE00000)) << np.uint32(3)
                more_1, more_2, more_3 = key >= 1 << 7, key >= 1 << 14, key >= 1 << 21
                word |= np.uint32(more_1) << np.uint32(7) | np.uint32(more_2) << np.uint32(15)
                word |= np.uint32(more_3) << np.uint32(23)
                store_word(out, at, word)
                at += 1 + more_1 + more_2 + more_3
            first += count
        copy(out, at, tail, 0, len(tail))
        at += len(tail)
        copy(out, at, labels, row * label_unit, label_unit)
        at += label_unit
        store_word(out, at, np.uint32(0))  # the padding, and what the next record overwrites
        at += (start - at) & 3


def _locate(
    buffer: Bytes,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    unit: int,
    head: Bytes,
    value_tag: int,
    tail: Bytes,
    shape_bytes: int,
    label_bytes: int,
    counts: NDArray[np.int64],
    values_at: NDArray[np.int64],
    keys_at: NDArray[np.int64],
    regular: NDArray[np.bool_],
) -> None:
    """Say of each record whether its fields are laid out as usual, and where its values and keys are."""
    for row in range(len(starts)):
        regular[row] = False
        counts[row] = 0
        at, end = starts[row], starts[row] + lengths[row]
        entry_end = end - label_bytes
        tensor_end = entry_end - shape_bytes
        if lengths[row] < label_bytes + shape_bytes + _ENTRY + 5 or buffer[at] != 0x0A:
            continue
        number, at = read_length(buffer, at + 1, tensor_end)
        if number < _ENTRY or at + number != entry_end:
            continue
        same = buffer[at + _ENTRY - 1] == 0x12
        for place in range(_ENTRY - 1):
            same &= buffer[at + place] == head[4 + place]
        for place in range(len(tail)):
            same &= buffer[tensor_end + place] == tail[place]
        number, at = read_length(buffer, at + _ENTRY, tensor_end)
        if not same or number < 1 or at + number != entry_end or buffer[at] != value_tag:
            continue
        number, at = read_length(buffer, at + 1, entry_end)
        if number < 0 or at + number != entry_end or at > tensor_end:
            continue
        values_at[row] = keys_at[row] = at
        count = 0
        if at < tensor_end:
            number, values = read_length(buffer, at + 1, tensor_end)
            if buffer[at] != 0x0A or number < 0 or number % unit:
                continue
            at = values + number
            if at >= tensor_end or buffer[at] != 0x12:
                continue
            count = number // unit
            number, at = read_length(buffer, at + 1, tensor_end)
            if number < count or at + number != tensor_end:
                continue
            values_at[row], keys_at[row] = values, at
        counts[row] = count
        regular[row] = True


def _take(
    buffer: Bytes,
    counts: NDArray[np.int64],
    values_at: NDArray[np.int64],
    keys_at: NDArray[np.int64],
    key_ends: NDArray[np.int64],
    unit: int,
    feature_dim: int,
    values: Bytes,
    keys: NDArray[Any],
    valid: NDArray[np.bool_],
) -> None:
    """Copy each record's values and decode its keys; say where keys are not as many, or not below the
    dimension.
    """
    done = 0
    for row in range(len(counts)):
        count, at, largest, bits = counts[row], keys_at[row], np.uint32(0), np.uint32(0)
        copy(values, done * unit, buffer, values_at[row], count * unit)
        own = keys[done : done + count]
        for element in range(count):
            word = load_word(buffer, at)
            ends = ~word & _TERMINATORS
            bits |= np.uint32(ends == 0)
            at += (lowest_bit(ends) >> 3) + 1
            word &= (ends ^ (ends - np.uint32(1))) & np.uint32(0x7F7F7F7F)
            key = word & np.uint32(0x7F) | (word & np.uint32(0x7F00)) >> np.uint32(1)
            key |= (word & np.uint32(0x7F0000)) >> np.uint32(2) | (word & np.uint32(0x7F000000)) >> np.uint32(
                3
            )
            own[element] = key
            largest = max(largest, key)
            if at > key_ends[row]:
                break
        valid[row] = at == key_ends[row] and not bits and (count == 0 or largest < feature_dim)
        done += count


measure = _compiled(_measure)
write = _compiled(_write)
locate = _compiled(_locate)
take = _compiled(_take)
