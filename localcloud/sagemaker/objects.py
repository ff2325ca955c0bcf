"""The edge to S3: list, read, download and upload objects.

SageMaker reads and writes through the emulator's own S3 API, as it does on AWS. ``ObjectStore`` is
the interface, so that tests can stand a folder in for it.
"""

from __future__ import annotations

import io
import pathlib
import re
import shutil
import threading
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, Protocol

_CHUNK = 1 << 20
_PATH_STYLE = re.compile(r"https://s3[.-](?:[a-z0-9-]+\.)?(?:amazonaws\.com(?:\.cn)?)/([^/]+)/?(.*)")
_HOST_STYLE = re.compile(r"https://([^/]+)\.s3[.-](?:[a-z0-9-]+\.)?(?:amazonaws\.com(?:\.cn)?)/?(.*)")
_S3_STYLE = re.compile(r"s3://([^/]+)/?(.*)")


class StorageError(Exception):
    """An object or bucket can't be read or written; the message is the store's own."""


class StoredObject(NamedTuple):
    """A key and its size in bytes."""

    key: str
    size: int


class ObjectStore(Protocol):
    """What SageMaker needs of S3. Every method raises ``StorageError``."""

    def listing(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key starts with the prefix, in key order."""

    def open(self, bucket: str, key: str) -> IO[bytes]:
        """The object as a stream to read and close."""

    def upload(self, path: pathlib.Path, bucket: str, key: str) -> None:
        """Write a file as an object."""


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` or ``https://s3.<region>.amazonaws.com/…`` address.

    CDK's ``S3Location.from_bucket`` makes the second form.

    Raises
    ------
    ValueError
        It is neither.
    """
    for form in (_S3_STYLE, _PATH_STYLE, _HOST_STYLE):
        match = form.fullmatch(uri)
        if match:
            return match[1], match[2]
    raise ValueError(f"{uri!r} is not an S3 address; expected s3://bucket/key")


def join_key(prefix: str, name: str) -> str:
    """A key below a prefix, whether or not that ends with a slash."""
    return f"{prefix.rstrip('/')}/{name}".lstrip("/")


def download(objects: ObjectStore, bucket: str, key: str, path: pathlib.Path) -> None:
    """Copy an object to a file in chunks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with objects.open(bucket, key) as body, path.open("wb") as file:
        shutil.copyfileobj(body, file, _CHUNK)


class S3Access:
    """S3 at the emulator's endpoint, reached with the role that a job or model was given.

    The role is checked by the emulator's IAM, so that a grant that is missing is missed here as well.
    """

    def __init__(self, endpoint_url: str, region: str) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._lock = threading.Lock()
        self._session: Any = None
        self._stores: dict[str, S3Objects] = {}

    def __call__(self, role: str) -> ObjectStore:
        """The store, as the role sees it."""
        import boto3  # the server starts faster without it
        import botocore.config

        from localcloud import roles

        with self._lock:  # making a client is not thread-safe, using one is
            if role not in self._stores:
                self._session = self._session or boto3.session.Session()
                keys = roles.credentials(role, "SageMaker")
                client = self._session.client(
                    "s3",
                    endpoint_url=self._endpoint_url,
                    region_name=self._region,
                    aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
                    aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
                    aws_session_token=keys["AWS_SESSION_TOKEN"],
                    config=botocore.config.Config(
                        s3={"addressing_style": "path"},
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                        proxies={},
                    ),
                )
                self._stores[role] = S3Objects(client)
            return self._stores[role]


class S3Objects:
    """S3 through a boto3 client."""

    def __init__(self, client: Any) -> None:
        import botocore.exceptions
        from boto3.exceptions import Boto3Error

        self._client = client
        self._errors = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, Boto3Error)

    def listing(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key starts with the prefix, in key order."""
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", []):
                    yield StoredObject(entry["Key"], entry["Size"])
        except self._errors as error:
            raise StorageError(str(error)) from error

    def open(self, bucket: str, key: str) -> IO[bytes]:
        """The object as a stream to read and close."""
        try:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
        except self._errors as error:
            raise StorageError(str(error)) from error
        return io.BufferedReader(body, _CHUNK)

    def upload(self, path: pathlib.Path, bucket: str, key: str) -> None:
        """Write a file as an object, in parts when it is large."""
        from boto3.s3.transfer import TransferConfig

        parts = TransferConfig(
            multipart_threshold=16 * _CHUNK, multipart_chunksize=16 * _CHUNK, max_concurrency=2
        )
        try:
            self._client.upload_file(str(path), bucket, key, Config=parts)
        except self._errors as error:
            raise StorageError(str(error)) from error
