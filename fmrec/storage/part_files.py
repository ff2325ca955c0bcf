"""Part files that appear all at once: what the data source and the encoding job write to, on S3 or on disk.

Tasks write parts that nobody can see yet; ``Output.commit`` makes exactly those appear whose tasks
reported success, and removes everything that failed, killed or speculative attempts left:

- on S3 a part is a multipart upload that the driver completes; the others are aborted;
- on disk a part is a file in ``_temporary/<write>/`` that the driver renames; the rest is deleted.

Sources: the S3 API reference (multipart uploads), Spark's ``DataSourceWriter`` (tasks may run twice;
``commit`` and ``abort`` run once, on the driver).
"""

from __future__ import annotations

import re
import shutil
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmrec.errors import InputError

SUFFIX = ".pbr"
TEMPORARY = "_temporary"
UPLOAD_PART_BYTES = 8 << 20
"""Bytes of a multipart upload's first parts (S3 asks for at least 5 MiB)."""
PARTS_PER_SIZE = 2000
"""S3 takes 10,000 parts, so their size doubles after so many: files of up to 484 GiB."""


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
    """A folder being written by one Spark job. Picklable: it travels to the tasks."""

    first_part: int = 0
    """Number of the first part, above those that an append found."""
    suffix: str = SUFFIX

    def number(self, name: str) -> int | None:
        """Return the number of the part with this name, or None if it isn't one."""
        found = re.fullmatch(rf"part-(\d{{5,}})[^/]*{re.escape(self.suffix)}", name)
        return int(found[1]) if found else None

    @abstractmethod
    def names(self) -> list[str]: ...

    @abstractmethod
    def open(self, name: str) -> PartFile: ...

    @abstractmethod
    def commit(self, parts: list[WrittenPart], overwrite: bool) -> None: ...

    @abstractmethod
    def abort(self) -> None: ...


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
        self._folder = folder
        self._temporary = str(Path(folder, TEMPORARY, write_id))
        # Made here once: a task that outlives the job then can't bring it back.
        Path(self._temporary).mkdir(parents=True)

    def names(self) -> list[str]:
        return [path.name for path in Path(self._folder).iterdir()]

    def open(self, name: str) -> PartFile:
        return LocalPart(name, Path(self._temporary, f"{name}.{uuid.uuid4().hex}"))

    def commit(self, parts: list[WrittenPart], overwrite: bool) -> None:
        for part in parts:
            Path(self._temporary, part.token["file"]).replace(Path(self._folder, part.name))
        if overwrite:
            kept = {part.name for part in parts}
            for name in self.names():
                if self.number(name) is not None and name not in kept:
                    Path(self._folder, name).unlink()
        self.abort()

    def abort(self) -> None:
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


class S3Output(Output):
    """A prefix of a bucket. Region, credentials and endpoint come from the environment."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    def names(self) -> list[str]:
        return [key.removeprefix(self._prefix) for key in self._keys()]

    def open(self, name: str) -> PartFile:
        return S3Part(self._bucket, self._prefix, name)

    def commit(self, parts: list[WrittenPart], overwrite: bool) -> None:
        client = _s3_client()
        for part in parts:
            client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._prefix + part.name,
                UploadId=part.token["upload_id"],
                MultipartUpload={"Parts": part.token["parts"]},
            )
        if overwrite:
            kept = {self._prefix + part.name for part in parts}
            stale = [
                {"Key": key}
                for key in self._keys()
                if key not in kept and self.number(key.removeprefix(self._prefix)) is not None
            ]
            for start in range(0, len(stale), 1000):
                client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": stale[start : start + 1000], "Quiet": True}
                )
        self.abort()

    def abort(self) -> None:
        """Abort every upload of a part below the prefix: also those of tasks that died without a word."""
        client = _s3_client()
        pages = client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        for page in pages:
            for upload in page.get("Uploads", []):
                if self.number(upload["Key"].removeprefix(self._prefix)) is not None:
                    client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )

    def _keys(self) -> list[str]:
        pages = (
            _s3_client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


class S3Part(PartFile):
    """A multipart upload; one upload part is held in memory."""

    def __init__(self, bucket: str, prefix: str, name: str) -> None:
        self.name = name
        self._client = _s3_client()
        self._target = {"Bucket": bucket, "Key": prefix + name}
        self._pending = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._bytes = 0
        self._upload_id: str = self._client.create_multipart_upload(**self._target)["UploadId"]

    def write(self, data: memoryview) -> None:
        self._bytes += len(data)
        self._pending += data
        while len(self._pending) >= (size := UPLOAD_PART_BYTES << len(self._parts) // PARTS_PER_SIZE):
            with memoryview(self._pending) as pending:
                body = bytes(pending[:size])
            self._upload(body)
            del self._pending[:size]

    def finish(self) -> WrittenPart:
        if self._pending or not self._parts:
            self._upload(bytes(self._pending))
            self._pending.clear()
        token = {"upload_id": self._upload_id, "parts": self._parts}
        return WrittenPart(self.name, self._bytes, token)

    def discard(self) -> None:
        self._client.abort_multipart_upload(**self._target, UploadId=self._upload_id)

    def _upload(self, body: bytes) -> None:
        number = len(self._parts) + 1
        answer = self._client.upload_part(
            **self._target, UploadId=self._upload_id, PartNumber=number, Body=body
        )
        checksums = {
            key: value
            for key, value in answer.items()
            if key.startswith("Checksum") and key != "ChecksumType"
        }
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})


def _s3_client() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 8}))
