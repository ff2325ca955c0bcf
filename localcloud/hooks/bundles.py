"""Functions' bundles on disk: a package that several have is extracted, and its modules compiled, once.

The emulator extracts a bundle for each worker that it starts, and the worker compiles what it imports: a
quarter of a second of a processor for a function of this project, whose bundles differ in one file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
import types
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from localcloud.bytecode import compiled_module
from localcloud.hooks.binding import find
from localcloud.kept import kept


def install(folder: Path) -> None:
    """Extract packages into links to those in a folder."""
    runtime = find("ministack.core", "lambda_runtime", types.ModuleType)
    find(runtime.__name__, "zipfile", types.ModuleType)
    runtime.zipfile = _Archives(SharedPackages(folder))


class SharedPackages:
    """Packages by what is in them, with their compiled modules; safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def extract(self, archive: zipfile.ZipFile, target: Path) -> None:
        """Extract an archive to a folder; nothing in its packages may be changed."""
        target.mkdir(parents=True, exist_ok=True)
        entries = defaultdict[str, list[zipfile.ZipInfo]](list)
        for entry in archive.infolist():
            entries[entry.filename.partition("/")[0]].append(entry)
        regular = all(".." not in PurePosixPath(name).parts for name in archive.namelist())
        for name, of_it in entries.items():
            if name and regular and any(entry.filename == f"{name}/__init__.py" for entry in of_it):
                (target / name).symlink_to(self._kept(archive, of_it) / name, target_is_directory=True)
            else:
                archive.extractall(target, of_it)

    def _kept(self, archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> Path:
        """The folder that has a package of which the archive says the same."""
        said = [(entry.filename, entry.file_size, entry.CRC) for entry in entries]

        def make(folder: Path) -> None:
            archive.extractall(folder, entries)
            for source in folder.rglob("*.py"):
                module = compiled_module(source.read_bytes(), str(source))  # its importer knows its place
                if module is not None:
                    compiled = Path(importlib.util.cache_from_source(source))
                    compiled.parent.mkdir(exist_ok=True)
                    compiled.write_bytes(module)

        with self._lock:  # several workers of a function start at the same time
            return kept(self._folder, hashlib.sha256(repr(said).encode()).hexdigest(), make)


class _Archives:
    """``zipfile`` for the emulator's start of workers."""

    def __init__(self, packages: SharedPackages) -> None:
        class Bundle(zipfile.ZipFile):
            def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
                if members is None:
                    packages.extract(self, Path(path))
                else:
                    super().extractall(path, members, pwd)

        self.ZipFile = Bundle

    def __getattr__(self, name: str) -> Any:
        return getattr(zipfile, name)
