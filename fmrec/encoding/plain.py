"""Delimited lines without quotes, taken apart and checked as whole columns instead of one at a time.

What a line means is said by ``rows`` and ``checks``, which run in the JVM. Here only lines are decided
about that those would surely find good, which are nearly all, in a fraction of the time; each other
line is left to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmrec.dataset import Dataset, ImplicitLabel
from fmrec.dataset.timestamps import UNITS
from fmrec.encoding.checks import GOOD, NO_ROW, STATE, epoch
from fmrec.encoding.chunks import UNDECIDED
from fmrec.encoding.number_text import LARGEST_FLOAT32, to_doubles
from fmrec.encoding.rows import FILE, LINE, POSITION, RAW, START, Layout

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PlainLines:
    """Takes batches of lines for ``chunks.to_chunks``.

    Parameters
    ----------
    texts : mapping of str to str
        Roles of the fields of text that are kept, by the column that they become.
    """

    layout: Layout
    dataset: Dataset
    texts: Mapping[str, str]

    @classmethod
    def of(cls, layout: Layout | None, dataset: Dataset, texts: Mapping[str, str]) -> PlainLines | None:
        """Return how to take a source's lines, or None if only the JVM can."""
        if layout is None or len(layout.quote.encode()) != 1:
            return None
        if "timestamp" in layout.taken and dataset.interactions.timestamp_format not in UNITS:
            return None
        return cls(layout, dataset, texts) if set(texts.values()) <= set(layout.taken) else None

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        lines = batch.column(LINE)
        fields = pc.split_pattern(lines, self.layout.delimiter)
        fine = (np.asarray(fields.value_lengths()) == self.layout.fields) & self._simple(lines)
        states = np.full(len(lines), UNDECIDED, np.int32)
        if not fine.all():
            states[np.asarray(pc.equal(pc.ascii_trim(lines, " "), ""))] = NO_ROW
        if self.layout.header is not None:
            header = np.asarray(pc.equal(lines, self.layout.header))
            if header.any():
                states[header] = NO_ROW
                fine &= ~header
        if not fine.all():
            fields = fields.filter(pa.array(fine))
        columns, good = self._checked(fields)
        places = np.flatnonzero(fine)
        states[places[good]] = GOOD
        if len(places) < len(lines):  # give the others' rows nulls
            at = pa.array(np.cumsum(fine) - 1, mask=~fine)
            columns = {name: column.take(at) for name, column in columns.items()}
        undecided = states == UNDECIDED
        raw = pa.nulls(len(lines), pa.string())
        if undecided.any():
            raw = pc.if_else(pa.array(undecided), lines, pa.scalar(None, pa.string()))
        columns |= {name: batch.column(name) for name in (FILE, START, POSITION)}
        columns |= {STATE: pa.array(states), RAW: raw}
        return pa.RecordBatch.from_pydict(columns)

    def _simple(self, lines: pa.Array) -> Mask:
        """Say which lines have no quotes and are valid UTF-8."""
        offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][: len(lines) + 1]
        content = lines.buffers()[2]
        first, end = int(offsets[0]), int(offsets[-1])
        if content is None or first == end:
            return np.ones(len(lines), np.bool_)
        data = np.frombuffer(content, np.uint8)[first:end]
        odd = data == ord(self.layout.quote)
        if (data >= 0x80).any():
            try:
                lines.validate(full=True)
            except pa.ArrowInvalid:
                odd |= data >= 0x80
        if not odd.any():
            return np.ones(len(lines), np.bool_)
        before = np.concatenate(([0], np.cumsum(odd)))[offsets - first]
        return np.asarray(before[1:] == before[:-1])

    def _checked(self, fields: pa.Array) -> tuple[dict[str, Any], Mask]:
        """Return the columns of lines with the right number of fields, and which are surely good."""
        limits, decimal = self.dataset.quarantine, self.dataset.interactions.source.decimal
        rows, width = len(fields), self.layout.fields
        values = fields.flatten()
        found = {
            role: values.take(pa.array(np.arange(at, rows * width, width)))
            for role, at in self.layout.taken.items()
        }
        good = np.ones(rows, np.bool_)
        for role in ("user", "item", "event"):
            if role in found:
                good &= np.asarray(pc.binary_length(pc.ascii_trim(found[role], " "))) > 0
        for role in ("user", "item"):
            good &= np.asarray(pc.binary_length(found[role])) <= limits.max_id_length
        value, time = np.zeros(rows), np.zeros(rows)
        if "value" in found:
            value, numeric = to_doubles(found["value"], decimal)
            good &= numeric & (np.abs(value) <= LARGEST_FLOAT32)
        if "timestamp" in found:
            time, numeric = to_doubles(found["timestamp"], decimal)
            time = time / UNITS[self.dataset.interactions.timestamp_format]
            good &= numeric & (time >= epoch(limits.earliest)) & (time < epoch(limits.latest))
        columns = {"value": pa.array(self._value(value, found)), "timestamp": pa.array(time)}
        for name, role in self.texts.items():
            text = found[role]
            if role not in ("user", "item", "event"):  # context: nothing is a null there
                text = pc.ascii_trim(text, " ")
                text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
            columns[name] = text
        return columns, good

    def _value(self, value: NDArray[np.float64], found: Mapping[str, pa.Array]) -> NDArray[np.float64]:
        """Return the value that a label is made of, as the intake says it."""
        label = self.dataset.label
        if not isinstance(label, ImplicitLabel):
            return value
        weight = np.ones(len(value))
        if label.event_weights:
            events = found["event"].dictionary_encode()
            weights = [label.event_weights.get(event, 0.0) for event in events.dictionary.to_pylist()]
            weight = np.array([*weights, 0.0])[np.asarray(events.indices)]
        return weight if label.threshold is None else np.where(value >= label.threshold, weight, 0.0)
