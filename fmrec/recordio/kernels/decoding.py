"""Records to ragged rows, one after the other; what ``decode_general`` describes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmrec.recordio.kernels.machine_words import (
    ENTRY,
    ENTRY_WORD,
    Bytes,
    compiled,
    copy,
    copy_short,
    leading_zeros,
    load_double,
    load_word,
    lowest_bit,
    store_double,
    store_word,
)

_TERMINATORS = np.uint64(0x8080808080808080)


def _read_length(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read a varint of up to four bytes; return it and where it ends, or -1 where it is cut off or longer."""
    word = int(load_word(buffer, at))
    if word & 0x8080 != 0x8080:
        # One or two bytes, without asking which: payloads are about as often shorter as longer than 128.
        more = word >> 7 & 1
        number = word & 0x7F | (word >> 1 & 0x3F80) & -more
        after = at + 1 + more
    else:
        number = word & 0x7F | word >> 1 & 0x3F80 | word >> 2 & 0x1FC000
        after = at + 3
        if word & 0x800000:
            number |= word >> 3 & 0xFE00000
            after += 1
            if word & 0x80000000:
                return -1, at
    return (number, after) if after <= end else (-1, at)


def _differs(buffer: Bytes, at: int, tail: NDArray[np.uint64]) -> np.uint64:
    """Return what differs from three words in those of their bits that the next three set."""
    found = np.uint64(0)
    for word in range(3):
        found |= (load_double(buffer, at + 8 * word) ^ tail[word]) & tail[3 + word]
    return found


def _septets_to_numbers(words: NDArray[np.uint32]) -> np.uint32:
    """Turn varints of up to four bytes, zero behind their ends, into numbers; return the largest."""
    largest = np.uint32(0)
    for element in range(len(words)):
        word = words[element] & np.uint32(0x7F7F7F7F)
        word = word & np.uint32(0x007F007F) | (word & np.uint32(0x7F007F00)) >> np.uint32(1)
        word = word & np.uint32(0x3FFF) | (word & np.uint32(0x3FFF0000)) >> np.uint32(2)
        words[element] = word
        largest = max(largest, word)
    return largest


def _take_keys(buffer: Bytes, at: int, end: int, count: int, keys: Bytes, to: int) -> bool:
    """Copy each packed key before ``end`` to a word of its own; say whether they are as many, and of at most
    four bytes.

    Two keys at a time, as the halves of a word, and from both ends: what takes time is to know where the next
    two start.
    """
    widths, cut = np.int64(0), np.uint64(0)
    last = to + 4 * count
    while last - to >= 16 and at < end:
        word = load_double(buffer, at)
        ends = ~word & _TERMINATORS
        rest = ends & (ends - np.uint64(1))
        first, second = lowest_bit(ends) + 1, lowest_bit(rest) + 1
        widths |= (first - 8) | (second - first - 8)
        low = word & (ends ^ (ends - np.uint64(1))) & np.uint64(0x7F7F7F7F)
        high = (word & (rest ^ (rest - np.uint64(1)))) >> np.uint64(first & 63)
        store_double(keys, to, low | high << np.uint64(32))
        at += second >> 3
        to += 8
        word = load_double(buffer, end - 8)
        cut |= word
        ends = ~word & np.uint64(0x0080808080808080)
        second = leading_zeros(ends)
        first = leading_zeros(ends & ~(np.uint64(0x8000000000000000) >> np.uint64(second & 63)))
        widths |= (second - 8) | (first - second - 8)
        high = word >> np.uint64(-second & 63)
        low = word << np.uint64(second & 63) >> np.uint64(second - first & 63)
        last -= 8
        store_double(keys, last, low & np.uint64(0x7F7F7F7F) | high << np.uint64(32))
        end -= first >> 3
    while to < last and at < end:
        word = load_double(buffer, at)
        ends = ~word & _TERMINATORS
        first = lowest_bit(ends) + 1
        widths |= first - 8
        store_word(keys, to, np.uint32(word & (ends ^ (ends - np.uint64(1)))))
        at += first >> 3
        to += 4
    return to == last and at == end and not widths & ~24 and not cut & np.uint64(0x8000000000000000)


read_length = compiled(_read_length)
differs = compiled(_differs)
septets_to_numbers = compiled(_septets_to_numbers)
take_keys = compiled(_take_keys)


def _split(
    buffer: Bytes, size: int, magic: int, longest: int, starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[int, int]:
    """Find the complete records among the first ``size`` bytes; return how many there are, and their bytes.

    -1 records where one isn't framed as it should be, or ``starts`` has no room.
    """
    at = count = 0
    while at + 8 <= size:
        length = int(load_word(buffer, at + 4))
        following = at + 8 + ((length + 3) & -4)
        if load_word(buffer, at) != magic or length > longest or count == len(starts):
            return -1, at
        if following > size:
            break
        padding = following - at - 8 - length
        if padding and load_word(buffer, following - 4) >> np.uint32(32 - 8 * padding):
            return -1, at
        starts[count], lengths[count] = at + 8, length
        count += 1
        at = following
    return count, at


def _decode(
    buffer: Bytes,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    unit_bits: int,
    value_tag: int,
    tail: NDArray[np.uint64],
    shape_bytes: int,
    label_bytes: int,
    label_unit: int,
    feature_dim: int,
    counts: NDArray[np.int64],
    values: Bytes,
    keys: Bytes,
    labels: Bytes,
    regular: NDArray[np.bool_],
) -> tuple[int, int]:
    """Decode the records that are laid out as usual, one after the other, and say which they are; return how
    many records and elements, or -1 where a key isn't below the dimension.

    What is behind the elements in ``values`` and ``keys`` is overwritten, up to ``WINDOW`` bytes.

    ``tail`` has three words of shape and label's head, and three of which of their bits count.
    """
    done = elements = 0
    for row in range(len(starts)):
        regular[row] = False
        at, end = starts[row], starts[row] + lengths[row]
        entry_end = end - label_bytes
        tensor_end = entry_end - shape_bytes
        if lengths[row] < label_bytes + shape_bytes + ENTRY + 5 or buffer[at] != 0x0A:
            continue
        number, at = read_length(buffer, at + 1, tensor_end)
        if number < ENTRY or at + number != entry_end:
            continue
        if (
            load_double(buffer, at) != ENTRY_WORD
            or differs(buffer, tensor_end, tail)
            or buffer[at + ENTRY - 1] != 0x12
        ):
            continue
        number, at = read_length(buffer, at + ENTRY, tensor_end)
        if number < 1 or at + number != entry_end or buffer[at] != value_tag:
            continue
        number, at = read_length(buffer, at + 1, entry_end)
        if number < 0 or at + number != entry_end or at > tensor_end:
            continue
        count = 0
        if at < tensor_end:
            number, values_at = read_length(buffer, at + 1, tensor_end)
            count = number >> unit_bits
            if buffer[at] != 0x0A or number < 0 or count << unit_bits != number:
                continue
            keys_at = values_at + number
            if keys_at >= tensor_end:
                continue
            key_bytes, at = read_length(buffer, keys_at + 1, tensor_end)
            if buffer[keys_at] != 0x12 or key_bytes < count or at + key_bytes != tensor_end:
                continue
            copy_short(values, elements << unit_bits, buffer, values_at, number)
            if not take_keys(buffer, at, tensor_end, count, keys, elements * 4):
                continue
        counts[done] = count
        copy(labels, done * label_unit, buffer, end - label_unit, label_unit)
        regular[row] = True
        done += 1
        elements += count
    if septets_to_numbers(keys.view(np.uint32)[:elements]) >= feature_dim:
        return -1, 0
    return done, elements


split = compiled(_split)
decode = compiled(_decode)
