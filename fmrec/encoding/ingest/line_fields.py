"""Batches of delimited lines to columns of fields, each file's lines by its own layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmrec.encoding.ingest.delimited import REASONS, SPLIT, Mask, split_lines
from fmrec.encoding.ingest.encodings import decode_lines, keeps_ascii
from fmrec.encoding.ingest.layouts import Layout, Layouts

LINE = "value"
SKIP, BROKEN = "_skip", "_broken"
"""Whether a line is no row at all (a header, a comment or a blank line); why it can't be split."""
WRONG_NUMBER = "wrong number of fields"


@dataclass(frozen=True)
class SplitLines:
    """Lines of one layout: their text, their fields, and what they are."""

    lines: pa.Array
    fields: pa.Array
    faults: NDArray[np.int8]
    whole: Mask
    """Lines that could be split into as many fields as the layout has."""

    @classmethod
    def of(cls, lines: pa.Array, layouts: Layouts, layout: Layout) -> SplitLines:
        if keeps_ascii(layouts.encoding):
            lines = decode_lines(lines, layouts.encoding)
        fields, faults = split_lines(lines, layouts.marks)
        widths = np.asarray(fields.value_lengths())
        return cls(lines, fields, faults, (faults == SPLIT) & (widths == layout.fields))

    def blank(self) -> Mask:
        return np.asarray(pc.equal(pc.ascii_trim(self.lines, " "), ""))

    def not_rows(self, layouts: Layouts, layout: Layout) -> Iterator[Mask]:
        """Yield which lines are the header, and which are comments, as far as the files have any."""
        if layout.header is not None:
            yield np.asarray(pc.equal(self.lines, layout.header))
        if layouts.comment:
            yield np.asarray(pc.starts_with(self.lines, layouts.comment))


def by_layout(
    batch: pa.RecordBatch, file: str, layouts: Layouts
) -> Iterator[tuple[Layout, NDArray[np.int64]]]:
    """Yield a batch's layouts, each with the places of its rows."""
    numbers = layouts.of(np.asarray(batch.column(file)))
    for number in np.unique(numbers).tolist():
        yield layouts.layouts[number], np.flatnonzero(numbers == number)


@dataclass(frozen=True)
class FieldsOfLines:
    """Makes columns of lines for the JVM: one for each name, and what is wrong with a line.

    Parameters
    ----------
    names : tuple of str
        What fields are called in layouts and in what comes out.
    provenance : tuple of str
        The path, the file's hash, and two more columns that are passed on.
    raw : str
        What the line is called.
    """

    layouts: Layouts
    names: tuple[str, ...]
    provenance: tuple[str, ...]
    raw: str

    @property
    def schema(self) -> str:
        path, *numbers = self.provenance
        texts = [*self.names, path, self.raw, BROKEN]
        columns = [f"`{name}` string" for name in texts] + [f"`{name}` bigint" for name in numbers]
        return ", ".join([*columns, f"{SKIP} boolean"])

    def run(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if len(batch):
                yield self._taken(batch)

    def _taken(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.layouts.of_file:
            return self._of_layout(batch, self.layouts.layouts[0])
        parts, places = [], []
        for layout, rows in by_layout(batch, self.provenance[1], self.layouts):
            parts.append(self._of_layout(batch.take(pa.array(rows)), layout))
            places.append(rows)
        return in_places(parts, places)

    def _of_layout(self, batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
        split = SplitLines.of(batch.column(LINE), self.layouts, layout)
        skip = split.blank()
        for passed_over in split.not_rows(self.layouts, layout):
            skip |= passed_over
        offsets = np.asarray(split.fields.offsets)[:-1]
        values = split.fields.values
        columns: dict[str, pa.Array] = {}
        for name in self.names:
            if name not in layout.taken:
                columns[name] = pa.nulls(len(batch), pa.string())
                continue
            at = pa.array(np.where(split.whole, offsets + layout.taken[name], 0), mask=~split.whole)
            columns[name] = values.take(at)
        columns |= {name: batch.column(name) for name in self.provenance[:1]}
        columns[self.raw] = split.lines
        names = pa.array([None, *(REASONS.get(code, WRONG_NUMBER) for code in (1, 2, 3))])
        codes = np.where(split.whole | skip, 0, np.where(split.faults == SPLIT, 3, split.faults))
        columns[BROKEN] = names.take(pa.array(codes.astype(np.int64)))
        columns |= {name: batch.column(name) for name in self.provenance[1:]}
        columns[SKIP] = pa.array(skip)
        return pa.RecordBatch.from_pydict(columns)


def in_places(parts: list[pa.RecordBatch], places: list[NDArray[np.int64]]) -> pa.RecordBatch:
    """Put rows back where they were before they were taken apart."""
    order = np.argsort(np.concatenate(places), kind="stable")
    table = pa.Table.from_batches(parts).combine_chunks()
    (batch,) = table.to_batches()
    return batch.take(pa.array(order))
