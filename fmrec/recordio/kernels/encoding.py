"""Ragged rows to records, one after the other; what ``encode_general`` describes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio.kernels.machine_words import (
    ENTRY,
    ENTRY_WORD,
    WINDOW,
    Bytes,
    bits_set,
    compiled,
    copy_short,
    load_double,
    load_word,
    store_double,
    store_word,
)

_GOES_ON = np.uint32(0x808080)
_KEYS_AT_ONCE = 4096
"""Keys packed at a time: few enough to stay in a processor's cache."""


def _varint_width(number: int) -> int:
    return int(1 + (number > 0x7F) + (number > 0x3FFF) + (number > 0x1FFFFF) + (number > 0xFFFFFFF))


def _put_field(out: Bytes, at: int, tag: int, length: int) -> int:
    """Write a field's tag and length; return where its content starts. Up to six bytes are overwritten."""
    if length < 1 << 14:
        # One or two bytes, without asking which, as ``_read_length``.
        more = int(length >= 0x80)
        store_word(out, at, np.uint32(tag | (length & 0x7F | more << 7) << 8 | length >> 7 << 16))
        return at + 2 + more
    out[at] = np.uint8(tag)
    at += 1
    while length >= 0x80:
        out[at] = np.uint8(length & 0x7F | 0x80)
        length >>= 7
        at += 1
    out[at] = np.uint8(length)
    return at + 1


def _number_to_septets(key: np.uint32) -> np.uint32:
    """Return the varint of a number below 2**28."""
    word = (key & np.uint32(0x0FFFC000)) << np.uint32(2) | key & np.uint32(0x3FFF)
    word = (word & np.uint32(0x3F803F80)) << np.uint32(1) | word & np.uint32(0x007F007F)
    # A byte goes on if one above it isn't zero.
    more = (word >> np.uint32(8)) + np.uint32(0x7F7F7F7F) & np.uint32(0x00808080)
    more |= more >> np.uint32(8)
    return np.uint32(word | more | more >> np.uint32(16))


varint_width = compiled(_varint_width)
put_field = compiled(_put_field)
number_to_septets = compiled(_number_to_septets)


def _pack_rows(
    counts: NDArray[np.int64],
    keys: NDArray[Any],
    words: NDArray[np.uint32],
    stream: Bytes,
    at: NDArray[np.int64],
) -> int:
    """Write the first rows' keys, which are below 2**28, to ``stream``; return how many keys these are.

    Two at a time, each pair over what the last one left behind its end. ``words`` and ``at`` get each key as
    a word, and where each pair starts.
    """
    size = row = 0
    while row < len(counts) and size < _KEYS_AT_ONCE:
        size += counts[row]
        row += 1
    for element in range(size):
        words[element] = number_to_septets(np.uint32(keys[element]))
    words[size] = words[size + 1] = 0
    done = 0
    for pair in range((size + 1) // 2 + 1):
        at[pair] = done
        low, high = words[2 * pair], words[2 * pair + 1]
        width = 1 + bits_set(np.uint64(low & _GOES_ON))
        store_double(stream, done, np.uint64(low) | np.uint64(high) << np.uint64(8 * width))
        done += width + 1 + bits_set(np.uint64(high & _GOES_ON))
    return size


def _key_start(words: NDArray[np.uint32], pairs_at: NDArray[np.int64], element: int) -> int:
    """Return where a packed key starts."""
    odd = element & 1
    return int(pairs_at[element >> 1] + ((1 + bits_set(np.uint64(words[element - odd] & _GOES_ON))) & -odd))


pack_rows = compiled(_pack_rows)
key_start = compiled(_key_start)


def _encode(
    counts: NDArray[np.int64],
    keys: NDArray[Any],
    values: Bytes,
    labels: Bytes,
    unit: int,
    magic: int,
    value_tag: int,
    tail: NDArray[np.uint64],
    shape_bytes: int,
    label_bytes: int,
    longest: int,
    out: Bytes,
) -> int:
    """Write all records; return their bytes, or -1 if a payload is longer than ``longest``.

    ``tail`` is shape and label's head in words.
    """
    label_unit = len(labels) // len(counts)
    tail_bytes = shape_bytes + label_bytes - label_unit
    room = _KEYS_AT_ONCE + counts.max() + 2
    words, pairs_at = np.empty(room, np.uint32), np.empty(room // 2 + 1, np.int64)
    stream = np.empty(4 * room + WINDOW, np.uint8)
    at = first = packed = packed_until = 0
    for row in range(len(counts)):
        count = counts[row]
        if first + count > packed_until:
            packed = first
            packed_until = pack_rows(counts[row:], keys[first:], words, stream, pairs_at) + first
        keys_at = key_start(words, pairs_at, first - packed)
        key_bytes, value_bytes = key_start(words, pairs_at, first - packed + count) - keys_at, count * unit
        tensor = shape_bytes
        if count:
            tensor += 2 + varint_width(value_bytes) + value_bytes + varint_width(key_bytes) + key_bytes
        value = 1 + varint_width(tensor) + tensor
        entry = ENTRY + varint_width(value) + value
        payload = 1 + varint_width(entry) + entry + label_bytes
        if payload > longest:
            return -1
        store_double(out, at, np.uint64(magic) | np.uint64(payload) << np.uint64(32))
        start = at + 8
        at = put_field(out, start, 0x0A, entry)
        store_double(out, at, ENTRY_WORD)
        at = put_field(out, at + ENTRY - 1, 0x12, value)
        at = put_field(out, at, value_tag, tensor)
        if count:
            at = put_field(out, at, 0x0A, value_bytes)
            copy_short(out, at, values, first * unit, value_bytes)
            at = put_field(out, at + value_bytes, 0x12, key_bytes)
            copy_short(out, at, stream, keys_at, key_bytes)
            at += key_bytes
            first += count
        for word in range(3):
            store_double(out, at + 8 * word, tail[word])
        at += tail_bytes
        if label_unit == 4:
            store_word(out, at, load_word(labels, 4 * row))
        elif label_unit:
            store_double(out, at, load_double(labels, 8 * row))
        at += label_unit
        store_word(out, at, np.uint32(0))  # the padding, and what the next record overwrites
        at += (start - at) & 3
    return at


encode = compiled(_encode)
