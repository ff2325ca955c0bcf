"""Libraries of Glue runs: archives whose modules are compiled once, and not by each process of each run.

Python keeps no compiled modules of an archive, but takes those that lie in it next to their sources
(``zipimport``).
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import zipfile
from pathlib import Path

_UNCHECKED_HASH = (1).to_bytes(4, "little")
"""Of a compiled module: it goes by its source's hash, which nobody compares (PEP 552)."""


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
                if entry.filename.endswith(".py"):
                    _add_compiled(target, copy, entry.filename, content)
        part.replace(copy)
    return copy


def _add_compiled(target: zipfile.ZipFile, archive: Path, name: str, source: bytes) -> None:
    try:
        code = compile(source, str(archive / name), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return  # who imports it is told
    header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source)
    target.writestr(f"{name}c", header + marshal.dumps(code))
