"""JSON Lines as rows of text, and what only looks like them: arrays, Python dicts, objects over several
lines.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fmrec.inspection.profiles import Cell

MOST_DOCUMENTS = 20_000
"""Objects that are read where they don't keep to lines, or are Python's."""
BETWEEN = " \t\r\n,[]"
DEEPEST = 4
"""Nested names such as a.b.c.d."""
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


@dataclass
class JsonRows:
    """Sampled objects by field, in the order of their first appearance.

    ``structure``: ``lines``, ``array``, ``python``, or ``spread`` (an object over several lines).
    """

    structure: str = "lines"
    columns: dict[str, list[Cell]] = field(default_factory=dict)
    rows: int = 0
    bad: list[str] = field(default_factory=list)
    several: int = 0
    """Lines that hold more than one object."""
    nested_lists: set[str] = field(default_factory=set)
    """Fields that hold lists of objects or of lists."""

    def add(self, document: dict[str, Any]) -> None:
        for name, cell in self._flat(document, "", 1):
            if name not in self.columns:
                self.columns[name] = [None] * self.rows
            self.columns[name].append(cell)
        self.rows += 1
        for cells in self.columns.values():
            if len(cells) < self.rows:
                cells.append(None)
            elif len(cells) > self.rows:
                del cells[self.rows :]

    def _flat(self, document: dict[str, Any], prefix: str, depth: int) -> list[tuple[str, Cell]]:
        flat: list[tuple[str, Cell]] = []
        for key, value in document.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict) and depth < DEEPEST:
                flat += self._flat(value, f"{name}.", depth + 1)
            else:
                flat.append((name, self._cell(name, value)))
        return flat

    def _cell(self, name: str, value: Any) -> Cell:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            if any(isinstance(entry, list | dict) for entry in value):
                self.nested_lists.add(name)
                return json.dumps(value, ensure_ascii=False)
            return [str(entry) for entry in value if entry is not None]
        return str(value) if not isinstance(value, dict) else json.dumps(value, ensure_ascii=False)


def is_json(text: str) -> bool:
    """Say whether a text begins like JSON, or like a Python dict."""
    return text.lstrip()[:1] in ("{", "[") and not text.lstrip().startswith("[]")


def read_json(lines: Sequence[str]) -> JsonRows:
    """Read whole lines of a file that begins with a brace or a bracket."""
    found = JsonRows()
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("["):
        return _documents(lines, "array")
    if _is_spread(lines):
        return _documents(lines, "spread")
    for line in lines:
        text = line.strip()
        if not text:
            continue
        documents = _objects(text)
        if documents is None:
            if found.rows == 0 and (python := _python(text)) is not None:
                return _python_lines(lines, python)
            found.bad.append(line)
            continue
        found.several += len(documents) > 1
        for document in documents:
            found.add(document)
    return found


def _objects(text: str) -> list[dict[str, Any]] | None:
    """Return all objects of a line, or None if it holds anything else."""
    at, documents = 0, []
    while at < len(text):
        try:
            document, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None
        documents.append(document)
        while at < len(text) and text[at] in " \t,":
            at += 1
    return documents


def _documents(lines: Sequence[str], structure: str) -> JsonRows:
    """Read objects that don't keep to lines, as far as they are whole."""
    found = JsonRows(structure)
    text, at = "\n".join(lines), 0
    while found.rows < MOST_DOCUMENTS:
        while at < len(text) and text[at] in BETWEEN:
            at += 1
        try:
            document, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if isinstance(document, dict):
            found.add(document)
        else:
            found.bad.append(json.dumps(document)[:200])
    return found


def _is_spread(lines: Sequence[str]) -> bool:
    shown = [line.strip() for line in lines[:50] if line.strip()]
    return bool(shown) and shown[0] in ("{", "[") and len(shown) > 1 and _objects(shown[1]) is None


def _python(text: str) -> dict[str, Any] | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, dict) else None


def _python_lines(lines: Sequence[str], first: dict[str, Any]) -> JsonRows:
    found = JsonRows("python")
    for line in lines[:MOST_DOCUMENTS]:
        document = _python(line.strip())
        if document is not None:
            found.add(document)
        elif line.strip():
            found.bad.append(line)
    return found
