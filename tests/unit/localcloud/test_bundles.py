"""Functions' bundles: extracted as they are, their modules compiled once for all functions that have them."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from localcloud.hooks.bundles import SharedPackages

SHARED = {
    "package/__init__.py": "def fail():\n    raise ValueError('of the package')\n",
    "package/table.csv": "a,b",
    "package/broken.py": "def",
}


@pytest.fixture
def functions(tmp_path: Path) -> list[Path]:
    """The folders of two functions, whose bundles have the same package."""
    packages, folders = SharedPackages(tmp_path / "shared"), []
    for number in range(2):
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as bundle:
            for name, content in {**SHARED, "handler.py": f"NUMBER = {number}\n"}.items():
                bundle.writestr(name, content)
        folders.append(tmp_path / str(number))
        with zipfile.ZipFile(tmp_path / f"{number}.zip") as bundle:
            packages.extract(bundle, folders[-1])
    return folders


def python(folder: Path, code: str) -> str:
    command = [sys.executable, "-v", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_each_function_has_all_of_its_own_files(functions: list[Path]) -> None:
    for number, folder in enumerate(functions):
        names = {
            str((Path(found) / name).relative_to(folder))
            for found, _, inside in os.walk(folder, followlinks=True)
            for name in inside
            if name.endswith((".py", ".csv"))
        }
        assert names == {*SHARED, "handler.py"}
        for name, content in SHARED.items():
            assert (folder / name).read_text() == content
        assert f"number {number}" in python(folder, "import handler; print('number', handler.NUMBER)")


def test_a_module_that_both_have_is_compiled_once(functions: list[Path]) -> None:
    first, second = (next((folder / "package/__pycache__").glob("__init__.*")) for folder in functions)
    assert first.samefile(second)
    assert f"code object from '{second}'" in python(functions[1], "import package")


def test_errors_show_the_functions_own_files(functions: list[Path]) -> None:
    for folder in functions:
        printed = python(folder, "import package; package.fail()")
        assert f'File "{folder}/package/__init__.py", line 2' in printed
        assert "SyntaxError" in python(folder, "import package.broken")
