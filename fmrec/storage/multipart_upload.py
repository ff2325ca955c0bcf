"""S3's multipart upload: bytes in parts of bounded memory, and an object that appears when they are
completed.

Who uploads and who completes may be two processes (a Spark task and its driver): ``finish`` returns what
``complete_upload`` needs. An answer to CompleteMultipartUpload may be lost after S3 has done it; the
client then asks again and gets NoSuchUpload, or no answer at all. Every upload therefore marks its object
with a tag of its own, and an error is settled by looking at the object.

Source: the S3 API reference (CreateMultipartUpload, UploadPart, CompleteMultipartUpload: "be prepared to
retry any failed requests").
"""

from __future__ import annotations

import uuid
from typing import Any, TypedDict

from botocore.exceptions import BotoCoreError, ClientError

from fmrec.errors import FmrecError
from fmrec.storage.s3_client import naming_object, s3_client

FIRST_PART = 8 << 20
"""Bytes of a multipart upload's first parts; S3 asks for at least 5 MiB."""
PARTS_PER_SIZE = 2000
"""Parts double after so many, since S3 takes 10,000: objects of up to 484 GiB, 128 MiB of memory at most."""
TAG = "upload"
"""Name of the object's metadata that says which upload made it."""


class UploadedParts(TypedDict):
    """What completes an upload: plain JSON, which a task can send to its driver."""

    upload_id: str
    tag: str
    bytes: int
    parts: list[dict[str, Any]]


class MultipartUpload:
    """An upload to one key; one part is held in memory, and nothing is sent before it is full."""

    def __init__(self, bucket: str, key: str) -> None:
        self._bucket, self._key = bucket, key
        self._tag = uuid.uuid4().hex
        self._upload_id = ""
        self._parts: list[dict[str, Any]] = []
        self._bytes = 0
        self.pending = bytearray()
        """What is not sent yet."""

    @property
    def started(self) -> bool:
        return bool(self._upload_id)

    def write(self, data: memoryview) -> None:
        """Add bytes, and send every part that they fill."""
        self._bytes += len(data)
        start = 0
        while start < len(data):
            size = FIRST_PART << len(self._parts) // PARTS_PER_SIZE
            end = start + size - len(self.pending)
            self.pending += data[start:end]
            start = end
            if len(self.pending) == size:
                self._send()

    def finish(self) -> UploadedParts:
        """Send what is left; the object stays invisible."""
        if self.pending or not self._parts:
            self._send()
        return {"upload_id": self._upload_id, "tag": self._tag, "bytes": self._bytes, "parts": self._parts}

    def complete(self) -> None:
        """Send what is left, and make the object appear."""
        complete_upload(self._bucket, self._key, self.finish())

    def abort(self) -> None:
        """Leave nothing behind."""
        self.pending.clear()
        if self.started:
            abort_upload(self._bucket, self._key, self._upload_id)

    def _send(self) -> None:
        target = {"Bucket": self._bucket, "Key": self._key}
        with naming_object(f"s3://{self._bucket}/{self._key}"):
            if not self.started:
                answer = s3_client().create_multipart_upload(**target, Metadata={TAG: self._tag})
                self._upload_id = answer["UploadId"]
            number = len(self._parts) + 1
            answer = s3_client().upload_part(
                **target, UploadId=self._upload_id, PartNumber=number, Body=self.pending
            )
        checksums = {
            key: value
            for key, value in answer.items()
            if key.startswith("Checksum") and key != "ChecksumType"
        }
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})
        self.pending = bytearray()


def complete_upload(bucket: str, key: str, uploaded: UploadedParts) -> None:
    """Make an upload's object appear.

    Raises
    ------
    ServiceError
        S3 refused or failed, and the object that this upload would make isn't there.
    """
    with naming_object(f"s3://{bucket}/{key}"):
        try:
            s3_client().complete_multipart_upload(
                Bucket=bucket,
                Key=key,
                UploadId=uploaded["upload_id"],
                MultipartUpload={"Parts": uploaded["parts"]},
            )
        except (ClientError, BotoCoreError):
            if not has_appeared(bucket, key, uploaded):
                raise


def has_appeared(bucket: str, key: str, uploaded: UploadedParts) -> bool:
    """Whether the object at the key is the one of this upload; False where S3 doesn't say."""
    try:
        with naming_object(f"s3://{bucket}/{key}"):
            found = s3_client().head_object(Bucket=bucket, Key=key)
    except FmrecError:
        return False
    tag: str | None = found.get("Metadata", {}).get(TAG)
    return tag == uploaded["tag"] and int(found["ContentLength"]) == uploaded["bytes"]


def abort_upload(bucket: str, key: str, upload_id: str) -> None:
    """Abort an upload; nothing happens if it is gone already."""
    try:
        with naming_object(f"s3://{bucket}/{key}"):
            s3_client().abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except FmrecError as error:
        cause = error.__cause__
        if not isinstance(cause, ClientError) or cause.response["Error"]["Code"] != "NoSuchUpload":
            raise
