"""Part files on S3: multipart uploads that the driver completes or aborts (``fmrec.storage.part_files``)."""

from __future__ import annotations

import contextlib
from typing import cast

from fmrec.errors import FmrecError
from fmrec.storage.multipart_upload import (
    MultipartUpload,
    UploadedParts,
    abort_upload,
    complete_upload,
    has_appeared,
)
from fmrec.storage.part_files import Output, PartFile, WrittenPart
from fmrec.storage.s3_client import naming_object, s3_client
from fmrec.storage.s3_objects import delete_keys, list_folder


class S3Output(Output):
    """A prefix of a bucket. Region, credentials and endpoint come from the environment."""

    def __init__(self, bucket: str, prefix: str) -> None:
        super().__init__()
        self._bucket = bucket
        self._prefix = prefix

    def names(self) -> list[str]:
        folder = f"s3://{self._bucket}/{self._prefix}"
        return [uri.removeprefix(folder) for uri, _ in list_folder(folder)]

    def open(self, name: str) -> PartFile:
        return S3Part(self._bucket, self._prefix, name)

    def _appear(self, part: WrittenPart) -> None:
        key, uploaded = self._prefix + part.name, cast(UploadedParts, part.token)
        try:
            complete_upload(self._bucket, key, uploaded)
        except FmrecError:
            # S3 may do it yet, or have done it without saying so: aborted, it can't appear any more.
            with contextlib.suppress(FmrecError):
                abort_upload(self._bucket, key, uploaded["upload_id"])
            if has_appeared(self._bucket, key, uploaded):
                self._appeared.append(part.name)
            raise
        self._appeared.append(part.name)

    def _remove(self, names: list[str]) -> None:
        delete_keys(self._bucket, [self._prefix + name for name in names])

    def _sweep(self) -> None:
        """Abort every upload of a part below the prefix: also those of tasks that died without a word."""
        with naming_object(f"s3://{self._bucket}/{self._prefix}"):
            pages = (
                s3_client()
                .get_paginator("list_multipart_uploads")
                .paginate(Bucket=self._bucket, Prefix=self._prefix)
            )
            for page in pages:
                for upload in page.get("Uploads", []):
                    if self.number(upload["Key"].removeprefix(self._prefix)) is not None:
                        abort_upload(self._bucket, upload["Key"], upload["UploadId"])


class S3Part(PartFile):
    """A multipart upload."""

    def __init__(self, bucket: str, prefix: str, name: str) -> None:
        self.name = name
        self._upload = MultipartUpload(bucket, prefix + name)

    def write(self, data: memoryview) -> None:
        self._upload.write(data)

    def finish(self) -> WrittenPart:
        uploaded = self._upload.finish()
        return WrittenPart(self.name, uploaded["bytes"], dict(uploaded))

    def discard(self) -> None:
        self._upload.abort()
