"""Blocks of delimited lines split by Arrow's CSV parser, where it means the same as ``delimited``."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pyarrow import csv

from fmrec.encoding.ingest.encodings import UTF8
from fmrec.encoding.ingest.layouts import Layout, Layouts
from fmrec.encoding.ingest.streams import Block

_BOM = b"\xef\xbb\xbf"


def split_block(
    block: Block, layouts: Layouts, layout: Layout, types: Mapping[str, pa.DataType]
) -> dict[str, pa.Array] | None:
    """Split a block's lines into fields.

    Parameters
    ----------
    types : mapping of str to DataType
        Of each role in ``layout.taken``: string, a dictionary of strings, or float64.

    Returns
    -------
    dict of str to Array, optional
        The fields by role; of a blank line they are empty. None where a line is special: it has quotes or
        escapes, is the header or a comment, has another number of fields or a letter that isn't decoded, or
        Arrow can't read a number.
    """
    data = block.data.tobytes()
    if _is_special(data, layouts, layout, len(block)):
        return None
    names = [str(place) for place in range(layout.fields)]
    by_place = {str(place): types[role] for role, place in layout.taken.items()}
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            csv.ParseOptions(delimiter=layouts.marks.delimiter, quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types=by_place,
                include_columns=list(by_place),
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if len(table) != len(block):
        return None
    return {role: table.column(str(place)).combine_chunks() for role, place in layout.taken.items()}


def _is_special(data: bytes, layouts: Layouts, layout: Layout, lines: int) -> bool:
    marks = layouts.marks
    if len(marks.delimiter) > 1 or not marks.delimiter.isascii() or data.startswith(_BOM):
        return True
    if any(mark and mark.encode() in data for mark in (marks.quote, marks.escape)):
        return True
    if layouts.encoding != UTF8 and not data.isascii():
        return True
    if layout.header is not None and layout.header.encode() in data:
        return True
    comment = layouts.comment.encode()
    if comment and (data.startswith(comment) or b"\n" + comment in data or b"\r" + comment in data):
        return True
    return b"\r" in data and not data.count(b"\r") == data.count(b"\r\n") == lines
