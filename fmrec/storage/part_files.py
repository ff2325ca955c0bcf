"""Part files that appear all at once: what the data source and the encoding job write to, on S3 or on disk.

Tasks write parts that nobody can see yet; ``Output.commit`` makes exactly those appear whose tasks
reported success, and removes everything that failed, killed or speculative attempts left:

- on S3 a part is a multipart upload that the driver completes; the others are aborted;
- on disk a part is a file in ``_temporary/<write>/`` that the driver renames; the rest is deleted.

Sources: the S3 API reference (multipart uploads), Spark's ``DataSourceWriter`` (tasks may run twice;
``commit`` and ``abort`` run once, on the driver).
"""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmrec.errors import FmrecError, InputError

SUFFIX = ".pbr"
TEMPORARY = "_temporary"


@dataclass(frozen=True)
class WrittenPart:
    """What a task reports to the driver about a part; ``token`` is what makes it appear."""

    name: str
    bytes: int
    token: dict[str, Any] = field(default_factory=dict)


class PartFile(ABC):
    """A part being written."""

    name: str

    @abstractmethod
    def write(self, data: memoryview) -> None: ...

    @abstractmethod
    def finish(self) -> WrittenPart:
        """Store what is left and return what the driver needs; the part stays invisible."""

    @abstractmethod
    def discard(self) -> None:
        """Leave nothing behind."""


class Output(ABC):
    """A folder being written by one Spark job. Picklable: it travels to the tasks, and to the commit."""

    first_part: int = 0
    """Number of the first part, above those that an append found."""
    suffix: str = SUFFIX

    def __init__(self) -> None:
        self._appeared: list[str] = []

    def number(self, name: str) -> int | None:
        """Return the number of the part with this name, or None if it isn't one."""
        found = re.fullmatch(rf"part-(\d{{5,}})[^/]*{re.escape(self.suffix)}", name)
        return int(found[1]) if found else None

    @abstractmethod
    def names(self) -> list[str]: ...

    @abstractmethod
    def open(self, name: str) -> PartFile: ...

    def commit(self, parts: list[WrittenPart], overwrite: bool) -> None:
        """Make these parts appear, all or none; ``overwrite`` removes all other parts."""
        try:
            for part in parts:
                self._appear(part)
            if overwrite:
                kept = {part.name for part in parts}
                self._remove(
                    [name for name in self.names() if self.number(name) is not None and name not in kept]
                )
        except BaseException:
            self.abort()
            raise
        # All parts are there; what lost attempts left is in nobody's way, and a lifecycle rule clears it.
        with contextlib.suppress(FmrecError):
            self._sweep()

    def abort(self) -> None:
        """Leave nothing of this write, nor of a commit of it.

        What can't be removed stays: the error that made us abort is on its way to the caller.
        """
        with contextlib.suppress(FmrecError):
            self._sweep()
        with contextlib.suppress(FmrecError, OSError):
            self._remove(self._appeared)
        self._appeared = []

    @abstractmethod
    def _appear(self, part: WrittenPart) -> None:
        """Make one part appear, and note it in ``_appeared``."""

    @abstractmethod
    def _remove(self, names: list[str]) -> None: ...

    @abstractmethod
    def _sweep(self) -> None:
        """Remove all that has not appeared."""


def open_output(path: str, overwrite: bool, suffix: str = SUFFIX) -> Output:
    """Prepare a folder for one write of parts whose names end with ``suffix``.

    Raises
    ------
    InputError
        The path has a scheme other than s3, s3a or file.
    """
    scheme, separator, rest = path.partition("://")
    output: Output
    if separator and scheme in ("s3", "s3a"):
        from fmrec.storage.s3_part_files import S3Output  # boto3 takes long to import, and may be missing

        bucket, _, key = rest.partition("/")
        output = S3Output(bucket, f"{key.strip('/')}/" if key.strip("/") else "")
    elif not separator or scheme == "file":
        local = rest if separator else path.removeprefix("file:")
        output = LocalOutput(str(Path(local).absolute()), uuid.uuid4().hex)
    else:
        raise InputError(f"path is {path!r}: expected s3://bucket/folder, file:///folder or a local folder")
    output.suffix = suffix
    if not overwrite:
        numbers = [number for name in output.names() if (number := output.number(name)) is not None]
        output.first_part = max(numbers, default=-1) + 1
    return output


class LocalOutput(Output):
    """A folder on a disk that driver and tasks share."""

    def __init__(self, folder: str, write_id: str) -> None:
        super().__init__()
        self._folder = folder
        self._temporary = str(Path(folder, TEMPORARY, write_id))
        # Made here once: a task that outlives the job then can't bring it back.
        Path(self._temporary).mkdir(parents=True)

    def names(self) -> list[str]:
        return [path.name for path in Path(self._folder).iterdir()]

    def open(self, name: str) -> PartFile:
        return LocalPart(name, Path(self._temporary, f"{name}.{uuid.uuid4().hex}"))

    def _appear(self, part: WrittenPart) -> None:
        Path(self._temporary, part.token["file"]).replace(Path(self._folder, part.name))
        self._appeared.append(part.name)

    def _remove(self, names: list[str]) -> None:
        for name in names:
            Path(self._folder, name).unlink(missing_ok=True)

    def _sweep(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        temporary = Path(self._temporary).parent
        if temporary.is_dir() and not any(temporary.iterdir()):
            temporary.rmdir()


class LocalPart(PartFile):
    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._bytes = 0
        self._file = path.open("xb")

    def write(self, data: memoryview) -> None:
        self._bytes += self._file.write(data)

    def finish(self) -> WrittenPart:
        self._file.close()
        return WrittenPart(self.name, self._bytes, {"file": self._path.name})

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
