"""What is in a ZIP archive besides what tools and systems add to it."""

from __future__ import annotations

from zipfile import ZipFile


def data_members(archive: ZipFile) -> list[str]:
    """Names of the files, without folders, hidden files and those that macOS adds."""
    return [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    ]
