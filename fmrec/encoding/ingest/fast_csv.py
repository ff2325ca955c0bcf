"""Delimited lines, split and checked as whole columns instead of one at a time.

What a line means is defined by ``source_rows`` and ``validation``, which run in the JVM. Here only lines are
classified that those would surely find good, which are nearly all, in a fraction of the time; each other line
is left to them. Blocks of bytes without anything special go through Arrow's CSV parser, other lines through
``delimited``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmrec.dataset import Dataset, ImplicitLabel
from fmrec.dataset.sources import ROLES
from fmrec.dataset.timestamps import UNITS
from fmrec.encoding.ingest.chunks import UNDECIDED
from fmrec.encoding.ingest.csv_blocks import split_block
from fmrec.encoding.ingest.delimited import Mask, buffers
from fmrec.encoding.ingest.encodings import UNDECODED, UTF8, mark_undecoded
from fmrec.encoding.ingest.layouts import Layout, Layouts
from fmrec.encoding.ingest.line_fields import SplitLines, by_layout, in_places
from fmrec.encoding.ingest.number_text import LARGEST_FLOAT32, to_doubles
from fmrec.encoding.ingest.source_rows import FILE, LINE, POSITION, RAW, START
from fmrec.encoding.ingest.streams import Block
from fmrec.encoding.ingest.validation import GOOD, NO_ROW, NOT_RATED, STATE, epoch, not_rated_numbers

SMALL_BLOCK = 1 << 16
"""Bytes of a block that is not halved further in search of lines that are special."""
NUMBERS, IDS = ("value", "timestamp"), ("user", "item", "event")


@dataclass(frozen=True)
class PlainLines:
    """Takes blocks and batches of lines for ``chunks.make_chunks``.

    Parameters
    ----------
    texts : mapping of str to str
        Roles of the fields of text that are kept, by the column that they become.
    """

    layouts: Layouts
    dataset: Dataset
    texts: Mapping[str, str]

    @classmethod
    def of(cls, layouts: Layouts | None, dataset: Dataset, texts: Mapping[str, str]) -> PlainLines | None:
        """Return how to take a source's lines, or None if only the JVM can."""
        interactions = dataset.interactions
        if layouts is None or interactions.item_separator or interactions.item_value_separator:
            return None
        if interactions.timestamp is not None and interactions.timestamp_format not in UNITS:
            return None
        taken = [set(layout.taken) for layout in layouts.layouts]
        return cls(layouts, dataset, texts) if all(set(texts.values()) <= roles for roles in taken) else None

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.layouts.of_file:
            return self._take(batch, self.layouts.layouts[0])
        parts, places = [], []
        for layout, rows in by_layout(batch, FILE, self.layouts):
            parts.append(self._take(batch.take(pa.array(rows)), layout))
            places.append(rows)
        return in_places(parts, places) if parts else self._take(batch, self.layouts.layouts[0])

    def of_block(self, block: Block) -> Iterator[pa.RecordBatch]:
        """Take a block; parts with lines that are special are taken line by line."""
        layout = self.layouts.of_number(block.piece.file)
        found = split_block(block, self.layouts, layout, self._types(layout))
        if found is not None:
            columns, states = self._checked(found, len(block))
            raw = pa.nulls(len(block), pa.string())
            if (states == UNDECIDED).any():
                lines = block.lines()
                states[np.asarray(pc.equal(lines, ""))] = NO_ROW
                raw = pc.if_else(pa.array(states == UNDECIDED), lines, pa.scalar(None, pa.string()))
            columns |= block.provenance() | {STATE: pa.array(states), RAW: raw}
            yield pa.RecordBatch.from_pydict(columns)
        elif len(block) > 1 and len(block.data) > SMALL_BLOCK:
            for half in block.halves():
                yield from self.of_block(half)
        else:
            yield self._take(block.batch(), layout)

    def _types(self, layout: Layout) -> dict[str, pa.DataType]:
        """Return what Arrow is to make of each field, by its role."""
        source = self.dataset.interactions.source
        places = list(layout.taken.values())
        types: dict[str, pa.DataType] = {}
        for role, place in layout.taken.items():
            types[role] = pa.string()
            if places.count(place) > 1:
                continue
            if role in IDS:
                types[role] = pa.dictionary(pa.int32(), pa.string())
            elif role in NUMBERS and source.decimal == "." and not source.missing:
                types[role] = pa.float64()
        return types

    def _take(self, batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
        split = SplitLines.of(batch.column(LINE), self.layouts, layout)
        lines, fields = split.lines, split.fields
        fine = split.whole & self._decoded(lines)
        states = np.full(len(lines), UNDECIDED, np.int32)
        if not fine.all():
            states[split.blank()] = NO_ROW
        for passed_over in split.not_rows(self.layouts, layout):
            if passed_over.any():
                states[passed_over] = NO_ROW
                fine &= ~passed_over
        if not fine.all():
            fields = fields.filter(pa.array(fine))
        values, width = fields.flatten(), layout.fields
        columns, found = self._checked(
            {
                role: values.take(pa.array(np.arange(at, len(fields) * width, width)))
                for role, at in layout.taken.items()
            },
            len(fields),
        )
        places = np.flatnonzero(fine)
        states[places] = np.where(found == UNDECIDED, states[places], found)
        if len(places) < len(lines):  # give the others' rows nulls
            at = pa.array(np.cumsum(fine) - 1, mask=~fine)
            columns = {name: column.take(at) for name, column in columns.items()}
        undecided = states == UNDECIDED
        raw = pa.nulls(len(lines), pa.string())
        if undecided.any():
            raw = pc.if_else(pa.array(undecided), batch.column(LINE), pa.scalar(None, pa.string()))
        columns |= {name: batch.column(name) for name in (FILE, START, POSITION)}
        columns |= {STATE: pa.array(states), RAW: raw}
        return pa.RecordBatch.from_pydict(columns)

    def _decoded(self, lines: pa.Array) -> Mask:
        """Say which lines are valid in the source's encoding."""
        fine = np.ones(len(lines), np.bool_)
        _, data = buffers(lines)
        if not (data >= 0x80).any():
            return fine
        if self.layouts.encoding == UTF8:
            try:
                lines.validate(full=True)
            except pa.ArrowInvalid:
                lines = mark_undecoded(lines, UTF8)
            else:
                return fine
        undecoded: Mask = np.asarray(pc.match_substring(lines, UNDECODED))
        return ~undecoded

    def _checked(self, found: dict[str, pa.Array], rows: int) -> tuple[dict[str, Any], NDArray[np.int32]]:
        """Return the columns of lines with the right number of fields, and states where those are sure.

        Parameters
        ----------
        found : dict of str to Array
            The fields by role: texts, dictionaries of texts, or doubles.
        """
        limits, decimal = self.dataset.quarantine, self.dataset.interactions.source.decimal
        good = np.ones(rows, np.bool_)
        missing = pa.array(self.dataset.interactions.source.missing, pa.string())
        absent: dict[str, Any] = {}
        if len(missing):
            for role, text in found.items():
                absent[role] = _each(text, lambda text: pc.is_in(pc.ascii_trim(text, " "), value_set=missing))
            for role in set(absent) & set(ROLES):
                good &= ~absent[role]
        for role in IDS:
            if role in found:
                good &= _each(found[role], lambda text: pc.binary_length(pc.ascii_trim(text, " "))) > 0
        for role in ("user", "item"):
            good &= _each(found[role], pc.binary_length) <= limits.max_id_length
        value, time, not_rated = np.zeros(rows), np.zeros(rows), np.zeros(rows, np.bool_)
        if "value" in found:
            value, numeric = _doubles(found["value"], decimal)
            good &= numeric & (np.abs(value) <= LARGEST_FLOAT32)
            if self.dataset.interactions.not_rated:
                not_rated = good & np.isin(value, not_rated_numbers(self.dataset.interactions))
        if "timestamp" in found:
            time, numeric = _doubles(found["timestamp"], decimal)
            time = time / UNITS[self.dataset.interactions.timestamp_format]
            good &= numeric & (time >= epoch(limits.earliest)) & (time < epoch(limits.latest))
        columns = {"value": pa.array(self._value(value, found)), "timestamp": pa.array(time)}
        for name, role in self.texts.items():
            text = found[role]
            if role not in IDS:  # context: nothing is a null there
                text = pc.ascii_trim(text, " ")
                none = pc.equal(text, "")
                none = pc.or_(none, pa.array(absent[role])) if absent else none
                text = pc.if_else(none, pa.scalar(None, pa.string()), text)
            columns[name] = text
        return columns, np.where(good, np.where(not_rated, NOT_RATED, GOOD), UNDECIDED).astype(np.int32)

    def _value(self, value: NDArray[np.float64], found: Mapping[str, pa.Array]) -> NDArray[np.float64]:
        """Return the value that a label is made of, as the ingested says it."""
        label = self.dataset.label
        if not isinstance(label, ImplicitLabel):
            return value
        weight = np.ones(len(value))
        if label.event_weights:
            events = found["event"].dictionary_encode()
            weights = [label.event_weights.get(event, 0.0) for event in events.dictionary.to_pylist()]
            weight = np.array([*weights, 0.0])[np.asarray(events.indices)]
        return weight if label.threshold is None else np.where(value >= label.threshold, weight, 0.0)


def _each(text: pa.Array, function: Callable[[pa.Array], pa.Array]) -> NDArray[Any]:
    """Apply a function to each text, once to each of a dictionary."""
    if isinstance(text, pa.DictionaryArray):
        found: NDArray[Any] = np.asarray(function(text.dictionary))
        return np.asarray(found[np.asarray(text.indices)])
    return np.asarray(function(text))


def _doubles(found: pa.Array, decimal: str) -> tuple[NDArray[np.float64], Mask]:
    """Return numbers as doubles, and which are finite."""
    if not pa.types.is_floating(found.type):
        return to_doubles(found, decimal)
    numbers = np.asarray(found)
    finite = np.isfinite(numbers)
    return np.where(finite, numbers, 0.0), finite
