"""What is uploaded to run: Lambda code, Lambda dependencies, and the library for Glue, made without Docker.

Bundles hold sources only, so their bytes, and the asset hashes that deployments go by, depend on the
sources alone.
"""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LAYER = BUILD / "lambda-layer.zip"
SUFFIXES = (".py", ".csv", ".json")
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can state."""

SPARK_ROOM = ROOT / "fmrec" / "encoding"
"""Left out of Lambdas, which have no Spark; a change there redeploys the Glue job alone."""

PAGE_FUNCTION, PAGE = "write_page", ROOT / "fmrec" / "explore" / "static"
"""The one function that has the page's files, to write them."""


def library(*excluded: Path) -> list[Path]:
    """Return fmrec's files in a fixed order."""
    found: list[Path] = []
    for name, folders, files in os.walk(ROOT / "fmrec"):
        folder = Path(name)
        folders[:] = [each for each in folders if each != "__pycache__" and folder / each not in excluded]
        found += [folder / file for file in files if file.endswith(SUFFIXES)]
    return sorted(found)


def function_code(function: str) -> Path:
    """Zip ``lambda/<function>/`` and fmrec side by side, and return the archive.

    The CDK would copy and zip a folder's files one by one: 250 for each function.
    """
    source = ROOT / "lambda" / function
    entries = _entries(sorted(source.rglob("*.py")), source)
    if function == PAGE_FUNCTION:
        entries |= _entries(sorted(PAGE.iterdir()), ROOT)
    archive = BUILD / "functions" / f"{function}.zip"
    _write(archive, entries, after=_zipped_library())
    return archive


def function_layer() -> Path:
    """Return the archive of the layer that scripts/build_lambda_layer.py makes.

    Raises
    ------
    FileNotFoundError
        It hasn't been built.
    """
    if not LAYER.is_file():
        raise FileNotFoundError(
            f"{LAYER.relative_to(ROOT)} is missing: run `make setup`, which builds the Lambda layer"
        )
    return LAYER


def glue_library() -> Path:
    """Zip fmrec for Glue's ``--extra-py-files`` and return the archive."""
    archive = BUILD / "glue" / "fmrec.zip"
    write_archive(archive, library(), ROOT)
    return archive


def write_archive(archive: Path, files: Iterable[Path], root: Path) -> None:
    """Zip files under their names below ``root``, so that the archive's bytes depend on theirs alone."""
    _write(archive, _entries(files, root))


@functools.cache
def _zipped_library() -> bytes:
    """The library for functions, compressed once for all of a synthesis."""
    archive = BUILD / "functions" / "fmrec.zip"
    write_archive(archive, library(SPARK_ROOM), ROOT)
    return archive.read_bytes()


def _entries(files: Iterable[Path], root: Path) -> dict[str, Path]:
    return {path.relative_to(root).as_posix(): path for path in files}


def _write(archive: Path, entries: Mapping[str, Path], after: bytes = b"") -> None:
    """Zip files by their names ``after`` the entries of another archive; replace the archive at once."""
    fresh = archive.with_suffix(f".{os.getpid()}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_bytes(after)
    with zipfile.ZipFile(fresh, "a") as zipped:
        for name, path in entries.items():
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.external_attr = 0o644 << 16
            zipped.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    fresh.replace(archive)
