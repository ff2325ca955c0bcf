"""What is uploaded to run: Lambda code, Lambda dependencies, and the library for Glue, made without Docker.

Bundles hold sources only, so their bytes, and the asset hashes that deployments go by, depend on the
sources alone.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable
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
    """Stage ``lambda/<function>/`` and fmrec side by side, and return the folder."""
    source = ROOT / "lambda" / function
    contents = {path.relative_to(source): path for path in source.rglob("*.py")}
    contents |= {path.relative_to(ROOT): path for path in library(SPARK_ROOM)}
    if function == PAGE_FUNCTION:
        contents |= {path.relative_to(ROOT): path for path in sorted(PAGE.iterdir())}
    folder = BUILD / "functions" / function
    for path in list(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder) not in contents:
            path.unlink(missing_ok=True)
    for name, path in contents.items():
        _copy(path, folder / name)
    return folder


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
    fresh = archive.with_suffix(f".{os.getpid()}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), EARLIEST)
            entry.external_attr = 0o644 << 16
            zipped.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    fresh.replace(archive)


def _copy(source: Path, target: Path) -> None:
    """Copy unless the target holds the same, so that two synths at once don't disturb each other."""
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    fresh = BUILD / "staging" / str(os.getpid())
    fresh.parent.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, fresh)
    fresh.replace(target)
