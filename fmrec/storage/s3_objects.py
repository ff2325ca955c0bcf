"""S3 objects as raw byte streams: the part of ``fmrec.storage.object_store`` that needs boto3."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from fmrec.errors import FmrecError, InputError, ServiceError
from fmrec.storage.multipart_upload import MultipartUpload
from fmrec.storage.s3_client import naming_object, s3_client, split_s3

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READ_ATTEMPTS = 4
KEYS_PER_DELETION = 1000
"""S3 takes no more keys in one DeleteObjects."""
DELETE_ATTEMPTS = 4
FETCHED_WHOLE = 1 << 20
"""An object that is sought in is one request if it has no more bytes: of a Parquet file the footer is read,
and then each column.
"""


def list_folder(uri: str) -> Iterator[tuple[str, int]]:
    """Yield URI and bytes of every object below a folder, as S3 sorts them, without folder markers."""
    bucket, key = split_s3(uri)
    prefix = f"{key.rstrip('/')}/" if key else ""
    with naming_object(uri):
        for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):
                    yield f"s3://{bucket}/{entry['Key']}", entry["Size"]


def is_listed(uri: str) -> bool:
    bucket, key = split_s3(uri)
    with naming_object(uri):
        page = s3_client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return any(entry["Key"] == key for entry in page.get("Contents", []))


def exists(uri: str) -> bool:
    bucket, key = split_s3(uri)
    try:
        with naming_object(uri):
            s3_client().head_object(Bucket=bucket, Key=key)
    except InputError:
        return False
    return True


def delete(uri: str) -> None:
    bucket, key = split_s3(uri)
    with naming_object(uri):
        s3_client().delete_object(Bucket=bucket, Key=key)


def delete_keys(bucket: str, keys: Sequence[str]) -> None:
    """Delete objects; those that S3 could not delete, by its answer for each key, are tried again.

    Raises
    ------
    ServiceError
        S3 refused or failed, for all keys or for some.
    """
    for start in range(0, len(keys), KEYS_PER_DELETION):
        left = list(keys[start : start + KEYS_PER_DELETION])
        errors: list[dict[str, Any]] = []
        for _ in range(DELETE_ATTEMPTS):
            with naming_object(f"s3://{bucket}/{left[0]}"):
                answer = s3_client().delete_objects(
                    Bucket=bucket, Delete={"Objects": [{"Key": key} for key in left], "Quiet": True}
                )
            errors = answer.get("Errors", [])
            if not errors:
                break
            left = [error["Key"] for error in errors]
        if errors:
            raise ServiceError(
                f"s3://{bucket}/{left[0]} could not be deleted, nor {len(left) - 1} other objects: S3 answered "
                f"{errors[0].get('Code', '')}: {errors[0].get('Message', '')}"
            )


class Reader(io.RawIOBase):
    """One GetObject, continued with a ranged one when the connection breaks and, in a large object, after a
    seek.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._body: Any = None  # first, since a reader that can't be opened is closed, too
        self._whole: bytes | None = None
        self._bucket, self._key = split_s3(uri)
        with naming_object(uri):
            answer = s3_client().get_object(Bucket=self._bucket, Key=self._key)
        self._body = answer["Body"]
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
            if self._position == 0 and self._size <= FETCHED_WHOLE and self._whole is None:
                self._whole = self.readall()
            self._position = start + offset
            self._drop_body()
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size or len(buffer) == 0:
            return 0
        if self._whole is not None:
            count = min(len(buffer), self._size - self._position)
            buffer[:count] = self._whole[self._position : self._position + count]
            self._position += count
            return count
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
        with naming_object(self._uri):
            self._body = s3_client().get_object(
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
    """An object that appears when it is complete: a single put if it is small, else a multipart upload."""

    def __init__(self, uri: str) -> None:
        bucket, key = split_s3(uri)
        if not key:
            raise InputError(f"{uri!r} names a bucket: expected s3://bucket/key")
        self._uri = uri
        self._target = {"Bucket": bucket, "Key": key}
        self._upload = MultipartUpload(bucket, key)
        self._ended = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        with memoryview(data).cast("B") as view:
            if not self._ended:  # what a discarded buffer still flushes is dropped
                self._upload.write(view)
            return len(view)

    def complete(self) -> None:
        """Make the object appear."""
        if self._upload.started:
            self._upload.complete()
        else:
            with naming_object(self._uri):
                s3_client().put_object(**self._target, Body=self._upload.pending)
        self._ended = True

    def abort(self) -> None:
        """Leave nothing behind; what made us abort is already on its way to the caller."""
        self._ended = True
        # A lifecycle rule clears uploads that could not be aborted.
        with contextlib.suppress(FmrecError):
            self._upload.abort()
