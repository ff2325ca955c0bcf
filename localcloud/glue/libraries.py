"""Libraries of Glue runs: archives whose modules are compiled once, and not by each process of each run.

Python keeps no compiled modules of an archive, but takes those that lie in it next to their sources
(``zipimport``).
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from localcloud.bytecode import compiled_module


def compiled(archive: Path, folder: Path) -> Path:
    """Return a copy of an archive, in a folder for such copies, that has the compiled modules as well."""
    copy = folder / hashlib.sha256(archive.read_bytes()).hexdigest() / archive.name
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        part = copy.with_suffix(f".{os.getpid()}.{id(archive)}.part")
        with zipfile.ZipFile(archive) as source, zipfile.ZipFile(part, "w") as target:
            for entry in source.infolist():
                content = source.read(entry)
                target.writestr(entry, content)
                if not entry.filename.endswith(".py"):
                    continue
                module = compiled_module(content, str(copy / entry.filename))
                if module is not None:
                    target.writestr(f"{entry.filename}c", module)
        part.replace(copy)
    return copy
