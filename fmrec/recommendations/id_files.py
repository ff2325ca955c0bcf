"""Lists of ids and CSV side files of business rules, read as the encoding reads interactions.

UTF-8 with or without a byte order mark; an id is exactly what stands there, blanks and U+2028 included. Lines
end with a line feed, a carriage return, or both; nothing else ends one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from fmrec.errors import InputError
from fmrec.storage import object_store

MAXIMUM_BYTES = 512 << 20
"""Such a file is held in memory."""
BLOCK_BYTES = 8 << 20
MARK = b"\xef\xbb\xbf"


def read_ids(uri: str) -> pa.Array:
    """Read a text with one id per line; empty lines are left out.

    Raises
    ------
    InputError
        The file is missing, too large or not UTF-8.
    """
    content = _read(uri)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{uri} is not UTF-8 text: byte {error.start} is no part of a character") from error
    lines = pc.split_pattern_regex(pa.array([text], pa.large_string()), r"\r\n|\n|\r").values
    return lines.filter(pc.not_equal(lines, "")).cast(pa.string())


def read_columns(uri: str, names: Sequence[str]) -> list[pa.Array]:
    """Read columns of a CSV file with a header as texts.

    Raises
    ------
    InputError
        The file is missing, too large, not UTF-8, lacks a column, or a row has more or fewer fields than the
        header.
    """
    content = _read(uri)
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=True),
            convert_options=pa_csv.ConvertOptions(
                include_columns=list(names), column_types=dict.fromkeys(names, pa.string())
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise InputError(
            f"{uri} can't be read: expected CSV in UTF-8 with the header {','.join(names)} and as many fields in "
            f"every row{_row_of(error)}"
        ) from error
    return [table.column(name).combine_chunks() for name in names]


def _row_of(error: pa.ArrowException) -> str:
    """Where the parser stopped, without what stands there."""
    found = re.search(r"Row #(\d+)", str(error))
    return f"; row {found[1]} is not" if found else ""


def _read(uri: str) -> bytes:
    with object_store.open_input(uri) as file:
        file.seek(0, io.SEEK_END)
        if file.tell() > MAXIMUM_BYTES:
            raise InputError(
                f"{uri} has {file.tell():,} bytes: expected at most {MAXIMUM_BYTES:,}, because it is held in memory"
            )
        file.seek(0)
        return file.read().removeprefix(MARK)
