"""What takes a while to make and is the same each time, kept for all local clouds of a checkout."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "build" / "localcloud"
_UNUSED_SECONDS = 7 * 24 * 3600.0
"""What nobody has asked for this long is removed."""


def kept(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of this name in another, which ``make`` has made for this process or an earlier one."""
    found = folder / name
    try:
        os.utime(found)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as part:
            make(Path(part) / name)
            with contextlib.suppress(OSError):  # another process was faster
                (Path(part) / name).rename(found)
        for other in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
                    shutil.rmtree(other, ignore_errors=True)
    return found
