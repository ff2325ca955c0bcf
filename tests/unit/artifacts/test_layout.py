"""S3 prefixes and file names are spelled in one module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmrec.artifacts import layout

ROOT = Path(__file__).resolve().parents[3]
OWNER = ROOT / "fmrec/artifacts/layout.py"
OTHERS_OF_THE_NAME = {
    "demo/report.py": ("report.json", "report.html"),
    "fmrec/client.py": ("items/",),
    "fmrec/explore/routes.py": ("items/",),
    "fmrec/live/api/catalogue_routes.py": ("items/",),
    "fmrec/live/api/routes.py": ("items/",),
    "fmrec/verification/deployment.py": ("manifest.json",),
    "stacks/api.py": ("items/",),
    "stacks/api_settings.py": ("items/",),
}
"""Files that are not in the data bucket, the CDK's cloud assembly among them, and routes of the HTTP API."""
ENCODING = ROOT / "fmrec/encoding"
"""Has its own names for what it writes."""
FOLDERS = ("fmrec", "stacks", "lambda", "glue_jobs", "demo")
NAMES = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
PREFIX = re.compile(
    r"(?<![\w.-])(?:" + "|".join(re.escape(value) for value in NAMES.values() if value.endswith("/")) + ")"
)
FILES = {value.rsplit("/", 1)[-1] for value in NAMES.values() if not value.endswith("/")}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a module but its docstrings, those of attributes included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def spelled(path: Path) -> list[str]:
    """Where a module spells a prefix, or a file name that is no part of a sentence."""
    found = []
    for line, text in texts(path):
        in_a_path = (
            {part for part in re.split(r"[/'\"]", text) if part in FILES} if " " not in text else set()
        )
        found += [f"line {line}: {name}" for name in [*PREFIX.findall(text), *in_a_path]]
    return sorted(found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_other_module_spells_a_prefix_or_a_file(folder: str) -> None:
    found = {
        path.relative_to(ROOT).as_posix(): spelled(path)
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != OWNER and ENCODING not in path.parents
    }
    for path, names in OTHERS_OF_THE_NAME.items():
        found[path] = [line for line in found.get(path, []) if not line.endswith(names)]
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_spelled_prefix_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Reads encoded/ and manifest.json."""\n'
        'key = f"encoded/{1}/x"\nname = "manifest.json"\nexpression = f"s3://b/runs/\' & $run"\n'
        'sentence = "manifest.json counts otherwise"\n'
    )
    assert spelled(module) == ["line 2: encoded/", "line 3: manifest.json", "line 4: runs/"]
