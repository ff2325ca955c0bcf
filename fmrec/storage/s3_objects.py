"""S3 objects as raw byte streams: the part of ``fmrec.storage.object_store`` that needs boto3.

The client is made once per process and reads region, credentials and endpoint from the environment.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fmrec.errors import FmrecError, InputError, ServiceError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FIRST_PART = 8 << 20
"""Bytes of a multipart upload's first parts; S3 asks for at least 5 MiB."""
PARTS_PER_SIZE = 2000
"""Parts double after so many, since S3 takes 10,000: objects of up to 484 GiB, 128 MiB of memory at most."""
READ_ATTEMPTS = 4


def list_folder(uri: str) -> Iterator[tuple[str, int]]:
    """Yield URI and bytes of every object below a folder, as S3 sorts them, without folder markers."""
    bucket, key = split_s3(uri)
    prefix = f"{key.rstrip('/')}/" if key else ""
    with _naming_object(uri):
        for page in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):
                    yield f"s3://{bucket}/{entry['Key']}", entry["Size"]


def exists(uri: str) -> bool:
    bucket, key = split_s3(uri)
    try:
        with _naming_object(uri):
            _client().head_object(Bucket=bucket, Key=key)
    except InputError:
        return False
    return True


def delete(uri: str) -> None:
    bucket, key = split_s3(uri)
    with _naming_object(uri):
        _client().delete_object(Bucket=bucket, Key=key)


def split_s3(uri: str) -> tuple[str, str]:
    """Split ``s3://bucket/key`` into bucket and key; the key may be empty.

    Raises
    ------
    InputError
        Not an S3 URI, or one without a bucket.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise InputError(f"{uri!r} is not an S3 URI: expected s3://bucket/key")
    return bucket, key


def _client() -> Any:
    with _client_lock:
        return _client_of_process(os.getpid())


_client_lock = threading.Lock()


@functools.cache
def _client_of_process(process: int) -> Any:
    # Keyed by process because a forked worker must not share its parent's connections.
    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 5}))


def forget_client() -> None:
    """Make a new client at the next call, for when credentials, region or endpoint have changed."""
    with _client_lock:
        _client_of_process.cache_clear()


@contextlib.contextmanager
def _naming_object(uri: str) -> Iterator[None]:
    """Turn botocore's errors into ours, which name the object."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in {"NoSuchKey", "NoSuchBucket", "404"}:
            what = "its bucket" if code == "NoSuchBucket" else "it"
            raise InputError(f"{uri} can't be used: {what} doesn't exist ({code})") from error
        raise ServiceError(f"{uri}: S3 answered: {error}") from error
    except BotoCoreError as error:
        raise ServiceError(f"{uri}: S3 could not be asked: {error}") from error


class Reader(io.RawIOBase):
    """One GetObject, continued with a ranged one after a seek and when the connection breaks."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._bucket, self._key = split_s3(uri)
        with _naming_object(uri):
            answer = _client().get_object(Bucket=self._bucket, Key=self._key)
        self._body: Any = answer["Body"]
        self._etag = answer["ETag"]
        self._size, self._position = int(answer["ContentLength"]), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"{self._uri}: can't seek to byte {start + offset}")
        if start + offset != self._position:
            self._position = start + offset
            self._drop_body()
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size or len(buffer) == 0:
            return 0
        for attempt in range(READ_ATTEMPTS):
            try:
                if attempt or self._body is None:
                    self._continue()
                count = int(self._body.readinto(buffer))
                if count:
                    self._position += count
                    return count
                problem: object = "the connection ended early"
            except (BotoCoreError, OSError) as error:
                problem = error
        raise ServiceError(
            f"{self._uri}: reading broke off at byte {self._position} of {self._size} "
            f"after {READ_ATTEMPTS} attempts: {problem}"
        )

    def _continue(self) -> None:
        with _naming_object(self._uri):
            self._body = _client().get_object(
                Bucket=self._bucket,
                Key=self._key,
                IfMatch=self._etag,
                Range=f"bytes={self._position}-",
            )["Body"]

    def _drop_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        if not self.closed:
            self._drop_body()
        super().close()


class Writer(io.RawIOBase):
    """Collects what is written into parts: one part is put as it is, more are a multipart upload."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._bucket, self._key = split_s3(uri)
        if not self._key:
            raise InputError(f"{uri!r} names a bucket: expected s3://bucket/key")
        self._pending = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._ended = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        with memoryview(data).cast("B") as view:
            if self._ended:  # what a discarded buffer still flushes
                return len(view)
            part_size = FIRST_PART << len(self._parts) // PARTS_PER_SIZE
            count = min(len(view), part_size - len(self._pending))
            self._pending += view[:count]
        if len(self._pending) == part_size:
            self._upload_part()
        return count

    def _upload_part(self) -> None:
        target = {"Bucket": self._bucket, "Key": self._key}
        with _naming_object(self._uri):
            if self._upload_id is None:
                self._upload_id = _client().create_multipart_upload(**target)["UploadId"]
            number = len(self._parts) + 1
            answer = _client().upload_part(
                **target, UploadId=self._upload_id, PartNumber=number, Body=bytes(self._pending)
            )
        checksums = {key: value for key, value in answer.items() if key.startswith("Checksum")}
        checksums.pop("ChecksumType", None)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})
        self._pending.clear()

    def complete(self) -> None:
        """Make the object appear."""
        target = {"Bucket": self._bucket, "Key": self._key}
        if self._upload_id is None:
            with _naming_object(self._uri):
                _client().put_object(**target, Body=bytes(self._pending))
        else:
            if self._pending:
                self._upload_part()
            with _naming_object(self._uri):
                _client().complete_multipart_upload(
                    **target, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
                )
        self._ended = True

    def abort(self) -> None:
        """Leave nothing behind; what made us abort is already on its way to the caller."""
        self._ended = True
        self._pending.clear()
        if self._upload_id is not None:
            # A lifecycle rule clears uploads that could not be aborted.
            with contextlib.suppress(FmrecError), _naming_object(self._uri):
                _client().abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
