"""Functions' bundles on disk: files that several have are extracted, and modules compiled, once for all.

The emulator extracts a bundle for each worker that it starts, and the worker compiles what it imports: a
quarter of a second of a processor for a function of this project, whose bundles differ in one file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
import types
import zipfile
from pathlib import Path
from typing import Any

from localcloud.bytecode import compiled_module
from localcloud.home import write_whole
from localcloud.hooks.binding import find


def install(folder: Path) -> None:
    """Extract into hard links to files in a folder."""
    runtime = find("ministack.core", "lambda_runtime", types.ModuleType)
    find(runtime.__name__, "zipfile", types.ModuleType)
    runtime.zipfile = _Archives(SharedFiles(folder))


class SharedFiles:
    """Files by their content, with the compiled ones of modules; safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._compiled: dict[str, bool] = {}
        """Digest of each file that is kept → whether its compiled module is."""

    def extract(self, archive: zipfile.ZipFile, target: Path) -> None:
        """Extract an archive to a folder; nothing there may be changed, only replaced."""
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            made = set[Path]()
            for entry in archive.infolist():
                place = Path(entry.filename)
                if entry.is_dir() or place.is_absolute() or ".." in place.parts:
                    archive.extract(entry, target)
                else:
                    self._link(archive.read(entry), target / place, made)

    def _link(self, content: bytes, file: Path, made: set[Path]) -> None:
        digest = hashlib.sha256(content).hexdigest()
        kept, kept_compiled = self._folder / digest, self._folder / f"{digest}.pyc"
        if digest not in self._compiled:
            module = compiled_module(content, str(file)) if file.suffix == ".py" else None
            if module is not None:
                write_whole(kept_compiled, module)
            write_whole(kept, content)
            self._compiled[digest] = module is not None
        links = {file: kept}
        if file.suffix == ".py" and self._compiled[digest]:
            links[Path(importlib.util.cache_from_source(file))] = kept_compiled
        for link, linked in links.items():
            if link.parent not in made:
                link.parent.mkdir(parents=True, exist_ok=True)
                made.add(link.parent)
            os.link(linked, link)


class _Archives:
    """``zipfile`` for the emulator's start of workers."""

    def __init__(self, files: SharedFiles) -> None:
        class Bundle(zipfile.ZipFile):
            def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
                files.extract(self, Path(path))

        self.ZipFile = Bundle

    def __getattr__(self, name: str) -> Any:
        return getattr(zipfile, name)
