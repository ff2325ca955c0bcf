"""Lambda layers' archives as files next to the state, which the emulator has for functions' code only.

In the state an archive is base64 text: 68 MB for the dependencies of the deployed functions, which any change
of a function would write again, and each start would parse.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from localcloud.home import write_whole
from localcloud.hooks.binding import find, replace

_MODULE = "ministack.services.lambda_svc"
_ARCHIVE, _FILE = "_zip_data", "file"


def install() -> None:
    """Write archives into files of their own, and read them from there."""
    folder = Path(find("ministack.core.persistence", "STATE_DIR", str)) / "layers"
    replace(_MODULE, "get_state", (), lambda original: lambda: _without_archives(original(), folder))
    replace(_MODULE, "load_persisted_state", ("data",), lambda original: _with_archives(original, folder))


def _without_archives(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write archives that are new, name them in the state, and remove those that no layer has any more."""
    names = set()
    for version in _versions(state):
        archive = version.get(_ARCHIVE)
        if archive:
            name = f"{base64.b64decode(version['Content']['CodeSha256']).hex()}.zip"
            names.add(name)
            if not (folder / name).exists():
                folder.mkdir(exist_ok=True)
                write_whole(folder / name, archive)
            version[_ARCHIVE] = {_FILE: name}
    for file in folder.glob("*.zip"):
        if file.name not in names:
            file.unlink(missing_ok=True)
    return state


def _with_archives(original: Callable[[Any], None], folder: Path) -> Callable[[Any], None]:
    def load(data: Any) -> None:
        read: dict[str, bytes] = {}
        for version in _versions(data):
            archive = version.get(_ARCHIVE)
            if isinstance(archive, dict):
                name = archive[_FILE]
                if name not in read:
                    read[name] = (folder / name).read_bytes()
                version[_ARCHIVE] = read[name]
        original(data)

    return load


def _versions(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every version of every layer, of all accounts and Regions, in a state."""
    for layer in state["layers"]._data.values():
        yield from layer["versions"]
