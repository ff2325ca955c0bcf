"""The table of public data sets in docs/datasets.md, made from what inspect finds in their layouts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fmrec.inspection.inspection import Inspection, inspect
from fmrec.inspection.recipes import TITLES
from tests.unit.inspection.layouts.layout import Layout

TITLE = "## Public data sets"


def table(layouts: Iterable[Layout]) -> str:
    """Return the table's rows, one per layout."""
    rows = ["| data set | document | users, items |", "| --- | --- | --- |"]
    for layout in layouts:
        with tempfile.TemporaryDirectory() as folder:
            layout.write(Path(folder))
            found = inspect(folder if layout.inspect == "." else f"{folder}/{layout.inspect}")
        rows.append(f"| {layout.name} | {_document(found)} | {_sides(found)} |")
    return "\n".join(rows)


def _document(found: Inspection) -> str:
    if found.recipe is not None:
        title = TITLES[found.recipe.name]
        return f"none: apply [{title.lower()}](recipes.md#{title.lower().replace(' ', '-')}) first"
    document = found.document or {}
    left = {key: value for key, value in document.items() if key not in ("users", "items", "features")}
    return _code(left)


def _sides(found: Inspection) -> str:
    document = found.document or {}
    shown = []
    for section, of in (("users", "user"), ("items", "item")):
        if section in document:
            settings = {key: value for key, value in document[section].items() if key != "fields"}
            features = [feature["name"] for feature in document["features"] if feature["of"] == of]
            names = ", ".join(features[:6]) + (f" and {len(features) - 6} more" if len(features) > 6 else "")
            shown.append(f"{_code({section: settings})}: {names}")
    return "<br>".join(shown) or "–"


def _code(document: dict[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False)[1:-1]
    # A vertical bar ends a cell of the table, in code as well.
    return f"`{text}`".replace("|", "\\|")
