r"""Delimited lines to fields, whole batches at a time, by RFC 4180 to the letter.

A quote opens at the beginning of a field and closes at its end; inside, a doubled quote stands for one. What
has quotes anywhere else is refused, since nobody can tell what was meant. Beyond the RFC, a delimiter may
have several characters, and an escape takes away the meaning of the character after it, unless the field is
``\N``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SPLIT, UNBALANCED, MISPLACED = 0, 1, 2
REASONS = {UNBALANCED: "unbalanced quotes", MISPLACED: "quotes inside a field"}
"""Why a line can't be split."""
NULL = "\\N"
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Marks:
    """What separates fields and encloses them: ``quote`` and ``escape`` are one ASCII character, or empty."""

    delimiter: str
    quote: str = ""
    escape: str = ""

    def are_in(self, data: NDArray[np.uint8]) -> Mask:
        """Say which bytes are quotes or escapes."""
        marks = [ord(mark) for mark in (self.quote, self.escape) if mark]
        found: Mask = data == marks[0] if marks else np.zeros(len(data), np.bool_)
        for mark in marks[1:]:
            found |= data == mark
        return found


def split_lines(lines: pa.Array, marks: Marks) -> tuple[pa.Array, NDArray[np.int8]]:
    """Split lines into fields.

    Parameters
    ----------
    lines : StringArray
        Without line breaks at their ends, and without nulls.

    Returns
    -------
    fields : ListArray
        Each line's fields. Those of a line that can't be split mean nothing.
    faults : array of int8
        ``SPLIT``, or the number of a reason of ``REASONS``.
    """
    faults = np.zeros(len(lines), np.int8)
    special = lines_with(lines, marks)
    if not special.any():
        return pc.split_pattern(lines, marks.delimiter), faults
    plain = pc.split_pattern(lines.filter(pa.array(~special)), marks.delimiter)
    marked, faults[special] = _split_marked(lines.filter(pa.array(special)), marks)
    if special.all():
        return marked, faults
    together = pa.concat_arrays([plain, marked])
    places = np.empty(len(lines), np.int64)
    places[~special] = np.arange(len(plain))
    places[special] = len(plain) + np.arange(len(marked))
    return together.take(pa.array(places)), faults


def lines_with(lines: pa.Array, marks: Marks) -> Mask:
    """Say which lines have quotes or escapes."""
    offsets, data = buffers(lines)
    found = marks.are_in(data)
    if not found.any():
        return np.zeros(len(lines), np.bool_)
    return counted(found, offsets) > 0


def buffers(lines: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return where lines begin and end in their bytes, and the bytes."""
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][: len(lines) + 1]
    content = lines.buffers()[2]
    if content is None or not len(lines):
        return np.zeros(len(lines) + 1, np.int64), np.zeros(0, np.uint8)
    first, end = int(offsets[0]), int(offsets[-1])
    return (offsets - first).astype(np.int64), np.frombuffer(content, np.uint8)[first:end]


def counted(found: Mask, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count what was found by line."""
    before = np.concatenate(([0], np.cumsum(found)))[offsets]
    return np.asarray(np.diff(before))


def _split_marked(lines: pa.Array, marks: Marks) -> tuple[pa.Array, NDArray[np.int8]]:
    offsets, data = buffers(lines)
    size, starts, ends = len(data), offsets[:-1], offsets[1:]
    escape, escaped = find_escapes(data, offsets, marks.escape)
    quote = (data == ord(marks.quote)) & ~escaped if marks.quote else np.zeros(size, np.bool_)
    ordinal = np.cumsum(quote)
    before = np.concatenate(([0], ordinal))[starts]
    ordinal -= np.repeat(before, np.diff(offsets))
    faults = np.where(counted(quote, offsets) % 2 == 1, UNBALANCED, SPLIT).astype(np.int8)

    outside = (ordinal % 2 == 0) & ~quote & ~escaped & ~escape
    length = len(marks.delimiter.encode())
    found = _delimiters(data, outside, offsets, marks.delimiter.encode())
    widths = np.diff(np.searchsorted(found, offsets)) + 1
    last = np.cumsum(widths) - 1
    field_starts, field_ends = (np.empty(len(found) + len(lines), np.int64) for _ in range(2))
    first = np.zeros(len(field_starts), np.bool_)
    first[last - widths + 1] = True
    field_starts[first], field_starts[~first] = starts, found + length
    final = np.zeros(len(field_ends), np.bool_)
    final[last] = True
    field_ends[final], field_ends[~final] = ends, found

    if marks.escape:
        # What MySQL and PostgreSQL write for NULL: left as it is, so that ``missing`` can name it.
        pairs = field_starts[field_ends - field_starts == len(NULL)]
        escape[pairs[(data[pairs] == ord(marks.escape)) & (data[pairs + 1] == ord(NULL[1]))]] = False

    places = np.flatnonzero(quote)
    opens = ordinal[places] % 2 == 1
    doubled = np.zeros(len(places), np.bool_)  # the second of two that stand for one
    line = np.searchsorted(ends, places, side="right")
    doubled[1:] = opens[1:] & (np.diff(places) == 1) & (np.diff(line) == 0)
    goes_on = np.append(doubled[1:], False) if len(places) else doubled
    at_start, at_end = np.zeros(size + 1, np.bool_), np.zeros(size + 1, np.bool_)
    at_start[field_starts], at_end[field_ends] = True, True
    right = np.where(opens, at_start[places] | doubled, at_end[places + 1] | goes_on)
    wrong = np.unique(line[~right])
    faults[wrong[faults[wrong] == SPLIT]] = MISPLACED

    keep = ~escape
    keep[places[~doubled]] = False
    for at in range(length):
        keep[found + at] = False
    kept = np.concatenate(([0], np.cumsum(keep)))
    values = np.append(kept[field_starts], kept[-1]).astype(np.int32)
    text = pa.StringArray.from_buffers(len(field_starts), pa.py_buffer(values), pa.py_buffer(data[keep]))
    lists = np.append(last - widths + 1, len(field_starts)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(lists), text), faults


def find_escapes(data: NDArray[np.uint8], offsets: NDArray[np.int64], escape: str) -> tuple[Mask, Mask]:
    """Return which bytes are escapes that act, and which ones they act on."""
    acts, acted_on = np.zeros(len(data), np.bool_), np.zeros(len(data) + 1, np.bool_)
    if escape:
        places = np.flatnonzero(data == ord(escape))
        line = np.searchsorted(offsets[1:], places, side="right")
        begins = np.append(True, (np.diff(places) != 1) | (np.diff(line) != 0))[: len(places)]
        run = np.maximum.accumulate(np.where(begins, np.arange(len(places)), 0)) if len(places) else places
        acting = places[((np.arange(len(places)) - run) % 2 == 0) & (places + 1 < offsets[1:][line])]
        acts[acting], acted_on[acting + 1] = True, True
    return acts, acted_on[:-1]


def _delimiters(
    data: NDArray[np.uint8], outside: Mask, offsets: NDArray[np.int64], delimiter: bytes
) -> NDArray[np.int64]:
    """Return where delimiters begin, outside of quotes; of two that overlap the first counts."""
    length = len(delimiter)
    if len(data) < length:
        return np.zeros(0, np.int64)
    found = outside[: len(data) - length + 1].copy()
    for at, byte in enumerate(delimiter):
        end = len(data) - length + 1 + at
        found &= (data[at:end] == byte) & outside[at:end]
    places = np.flatnonzero(found)
    if length == 1 or not len(places):
        return places
    line = np.searchsorted(offsets[1:], places, side="right")
    within = places + length <= offsets[1:][line]
    places, line = places[within], line[within]
    if not (np.diff(places) < length).any():
        return places
    chosen: list[int] = []
    taken = -1
    for place in places.tolist():
        if place >= taken:
            chosen.append(place)
            taken = place + length
    return np.array(chosen, np.int64)
