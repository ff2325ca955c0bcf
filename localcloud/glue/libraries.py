"""Libraries of Glue runs: archives whose modules are compiled once, and not by each process of each run.

Python keeps no compiled modules of an archive, but takes those that lie in it next to their sources
(``zipimport``).
"""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from pathlib import Path

from localcloud.bytecode import compiled_module
from localcloud.kept import kept


def compiled(archive: Path, folder: Path) -> Path:
    """Return a copy of an archive, in a folder for such copies, that has the compiled modules as well."""
    digest = hashlib.sha256(archive.read_bytes() + importlib.util.MAGIC_NUMBER).hexdigest()

    def make(place: Path) -> None:
        place.mkdir()
        with zipfile.ZipFile(archive) as source, zipfile.ZipFile(place / archive.name, "w") as target:
            for entry in source.infolist():
                content = source.read(entry)
                target.writestr(entry, content)
                if not entry.filename.endswith(".py"):
                    continue
                module = compiled_module(content, str(folder / digest / archive.name / entry.filename))
                if module is not None:
                    target.writestr(f"{entry.filename}c", module)

    return kept(folder, digest, make) / archive.name
