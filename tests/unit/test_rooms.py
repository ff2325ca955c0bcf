"""Who may import whom: the rooms' borders, and no circle between modules or rooms."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FORBIDDEN = {
    "stacks": {"pyspark", "boto3", "localcloud", "algorithms", "demo"},
    "lambda": {"aws_cdk", "pyspark", "stacks", "localcloud", "algorithms", "demo"},
    "glue_jobs": {"aws_cdk", "stacks", "localcloud", "algorithms", "demo"},
    "fmrec": {"aws_cdk", "stacks", "localcloud", "algorithms", "demo"},
    "algorithms": {"aws_cdk", "stacks", "localcloud", "demo"},
    "localcloud": {"aws_cdk", "stacks", "fmrec", "demo"},
    "demo": {"aws_cdk", "stacks", "algorithms"},
}
"""Top-level packages that a room must not import, anywhere in a file."""

SPARK_ROOMS = ("fmrec/encoding/", "fmrec/spark_source/")
"""All of fmrec that may import Spark."""

CODEC = {"numpy", "fmrec"}
"""What importing `fmrec.recordio` may import outside the standard library."""

CODEC_OPTIONAL = {"scipy", "numba", "llvmlite"}
"""What it uses where it is installed: inside functions, or in `kernels`, which only functions import."""


KERNELS = frozenset({"fmrec.recordio.kernels"})


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def anywhere(path: Path) -> list[ast.AST]:
    """All imports of a file, also those inside functions."""
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.Import | ast.ImportFrom)]


def imported(nodes: Iterable[ast.AST], known: frozenset[str]) -> Iterator[str]:
    """Full names of imported modules; of ``from package import name`` the module ``package.name`` if there is
    one.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module


def at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements that run when the module is imported; not those for type checkers alone."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from at_import([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from at_import([*node.body, *node.orelse, *node.finalbody])


def graph(folder: str) -> dict[str, set[str]]:
    """Module → the modules of the same folder that importing it imports."""
    paths = {module_name(path): path for path in sources(folder)}
    known = frozenset(paths)
    return {
        name: {other for other in imported(at_import(tree(path).body), known) if other in known} - {name}
        for name, path in paths.items()
    }


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_room_imports_what_is_none_of_its_business(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in imported(anywhere(path), frozenset())
        if name.split(".")[0] in FORBIDDEN[room]
    ]
    assert found == []


def test_spark_is_imported_in_its_rooms_only() -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sources("fmrec")
        if any(name.split(".")[0] == "pyspark" for name in imported(anywhere(path), frozenset()))
    ]
    assert [path for path in found if not path.startswith(SPARK_ROOMS)] == []


def test_the_codec_needs_numpy_alone() -> None:
    import sys

    for path in sources("fmrec/recordio"):
        everywhere = {name.split(".")[0] for name in imported(anywhere(path), frozenset())}
        at_once = {name.split(".")[0] for name in imported(at_import(tree(path).body), frozenset())}
        assert everywhere - set(sys.stdlib_module_names) <= CODEC | CODEC_OPTIONAL, path
        if path.parent.name != "kernels":
            assert not at_once & CODEC_OPTIONAL, path
            names = imported(at_import(tree(path).body), KERNELS)
            assert not any(name.startswith("fmrec.recordio.kernels") for name in names), path


@pytest.mark.parametrize("folder", ["fmrec", "stacks", "algorithms", "localcloud", "demo"])
def test_no_module_imports_itself_by_a_detour(folder: str) -> None:
    try:
        TopologicalSorter(graph(folder)).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(reversed(error.args[1]))}")


def test_no_room_of_fmrec_imports_itself_by_a_detour() -> None:
    rooms: dict[str, set[str]] = {}
    for name, others in graph("fmrec").items():
        room = ".".join(name.split(".")[:2])
        rooms.setdefault(room, set()).update(".".join(other.split(".")[:2]) for other in others)
    for room, others in rooms.items():
        others.discard(room)
        others.discard("fmrec")
    try:
        TopologicalSorter(rooms).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of rooms: {' → '.join(reversed(error.args[1]))}")


def test_no_room_of_the_encoding_imports_itself_by_a_detour() -> None:
    """Ingest, features and shuffle; what lies in the encoding's own folder counts module by module."""
    packages = {module_name(path) for path in sources("fmrec/encoding") if path.name == "__init__.py"}
    packages.discard("fmrec.encoding")

    def room_of(module: str) -> str:
        return next((name for name in packages if module.startswith(f"{name}.")), module)

    rooms: dict[str, set[str]] = {}
    for name, others in graph("fmrec/encoding").items():
        rooms.setdefault(room_of(name), set()).update(map(room_of, others))
    for room, others in rooms.items():
        others.discard(room)
    assert {"fmrec.encoding.ingest", "fmrec.encoding.features", "fmrec.encoding.shuffle"} <= set(rooms)
    try:
        TopologicalSorter(rooms).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of rooms: {' → '.join(reversed(error.args[1]))}")


def test_what_a_package_says_of_its_modules_names_such_as_are_there() -> None:
    found = []
    for path in [path for room in FORBIDDEN for path in sources(room) if path.name == "__init__.py"]:
        here = {other.stem for other in path.parent.iterdir()} | {
            node.name for node in tree(path).body if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        named = re.findall(r"(?<!`)`(\w+)`(?!`)", ast.get_docstring(tree(path)) or "")
        found += [f"{path.relative_to(ROOT)} names {name}" for name in named if name not in here]
    assert found == []
