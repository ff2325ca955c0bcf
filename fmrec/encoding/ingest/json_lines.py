"""JSON Lines to rows of text: every object of a line is one."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

NOT_AN_OBJECT = "not a JSON object"
_END = "_end_of_line"
_TO_THE_END = r'(?:[^"\\]++|"(?:[^"\\]++|\\.)*+")*+\z'
"""Texts in quotes, and between them what JSON has outside of texts."""
_NEXT_OBJECT = rf'\}}\s*(?=\{{\s*(?:"[^,:}}\]\s]|\}}{_TO_THE_END}))'
"""Between two objects. Inside a text these letters can't stand so: after ``{`` its ending quote would be
followed by a comma, colon, bracket or blank, and after ``{}`` one quote too many would follow."""


def objects(line: Column, columns: Iterable[str]) -> Column:
    """Parse a line for ``whole``: an array of its objects with ``columns`` as text, and one that ends it.

    Null stands for lines that hold anything else. Objects may follow each other with nothing, blanks or a
    comma between. Column names with dots also stand for fields of objects: what they begin with is parsed,
    too. The parser ignores what comes after the array, so only if it found the end it has read the line.
    """
    names = dict.fromkeys(name for column in columns for name in (column, column.partition(".")[0]))
    names[_END] = None
    schema = ", ".join(f"`{name.replace('`', '``')}` STRING" for name in names)
    several = F.when(F.rlike(line, F.lit(r"\}\s*\{")), F.regexp_replace(line, _NEXT_OBJECT, "},")).otherwise(
        line
    )
    text = F.concat(F.lit("["), several, F.lit(f',{{"{_END}":"1"}}]'))
    return F.from_json(text, f"array<struct<{schema}>>")


def whole(parsed: Column) -> Column:
    """Return the objects that ``objects`` found, null if something on the line came after them."""
    return F.when(
        F.element_at(parsed, -1).getField(_END).isNotNull(), F.slice(parsed, F.lit(1), F.size(parsed) - 1)
    )


def field_of(parsed: Column, column: str) -> Column:
    """Return an object's field; where there is none of that name, ``a.b`` is the field b of the object a."""
    found = parsed.getField(column)
    first, dot, rest = column.partition(".")
    if not dot:
        return found
    path = "$" + "".join(f"['{name}']" for name in rest.split("."))
    return F.coalesce(found, F.get_json_object(parsed.getField(first), path))


def keys(texts: Iterable[str]) -> list[str]:
    """Return the keys that occur in some objects, those of objects inside with dots before."""
    found: dict[str, None] = {}

    def add(document: Mapping[str, object], before: str) -> None:
        for key, value in document.items():
            found[before + key] = None
            if isinstance(value, dict):
                add(value, f"{before}{key}.")

    for text in texts:
        document = parse(text)
        if isinstance(document, dict):
            add(document, "")
    return list(found)


def parse(text: str) -> object:
    """Return a text's first JSON value, or None."""
    try:
        return json.JSONDecoder().raw_decode(text.strip())[0]
    except (ValueError, RecursionError):
        return None


def is_python(text: str) -> bool:
    """Say whether a line is a Python dict as ``repr`` writes it, and no JSON."""
    return parse(text) is None and isinstance(_literal(text), dict)


def from_python(line: str, frame_batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Replace Python dicts by JSON, in the column ``line``; what isn't one stays as it is."""
    for batch in frame_batches:
        lines = batch.column(line)
        texts = [_to_json(text) for text in pc.cast(lines, pa.binary()).to_pylist()]
        yield batch.set_column(batch.schema.get_field_index(line), line, pa.array(texts, pa.string()))


def _to_json(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    found = _literal(text)
    return json.dumps(found, ensure_ascii=False, default=str) if isinstance(found, dict) else text


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
