"""Archives of modules that are compiled once for all processes of Glue runs."""

import importlib
import sys
import traceback
import zipfile
from pathlib import Path

import pytest

from localcloud.glue.libraries import compiled

FAILS = "def fail():\n    raise ValueError('of the library')\n"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "fetched" / "library.zip"
    made.parent.mkdir()
    with zipfile.ZipFile(made, "w") as library:
        library.writestr("of_an_archive/__init__.py", FAILS)
        library.writestr("of_an_archive/broken.py", "def")
        library.writestr("of_an_archive/table.csv", "a,b")
    copy = compiled(made, tmp_path / "copies")
    monkeypatch.syspath_prepend(str(copy))
    monkeypatch.delitem(sys.modules, "of_an_archive", raising=False)
    return copy


def test_modules_are_taken_compiled_and_their_errors_show_the_source(archive: Path) -> None:
    of_an_archive = importlib.import_module("of_an_archive")
    assert of_an_archive.__file__ == f"{archive}/of_an_archive/__init__.pyc"
    with pytest.raises(ValueError, match="of the library") as caught:
        of_an_archive.fail()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.line) == (
        f"{archive}/of_an_archive/__init__.py",
        "raise ValueError('of the library')",
    )


def test_everything_else_is_as_it_was_and_a_module_that_is_no_python_says_so(archive: Path) -> None:
    with zipfile.ZipFile(archive) as library:
        assert library.read("of_an_archive/table.csv") == b"a,b"
        assert library.read("of_an_archive/__init__.py") == FAILS.encode()
    with pytest.raises(SyntaxError):
        importlib.import_module("of_an_archive.broken")


def test_the_same_archive_is_compiled_once_and_another_one_again(archive: Path, tmp_path: Path) -> None:
    made = archive.stat().st_mtime_ns
    assert compiled(tmp_path / "fetched/library.zip", tmp_path / "copies") == archive
    assert archive.stat().st_mtime_ns == made
    other = tmp_path / "library.zip"
    with zipfile.ZipFile(other, "w") as library:
        library.writestr("of_an_archive/__init__.py", "")
    assert compiled(other, tmp_path / "copies") != archive
