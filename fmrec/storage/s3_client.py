"""The S3 client of this process, and botocore's errors as ours.

The client is made once per process and reads region, credentials and endpoint from the environment.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fmrec.errors import InputError, ServiceError

ATTEMPTS = 8
"""Of each request, with pauses that double up to 20 seconds: S3 may ask to slow down for a while."""


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


def s3_client() -> Any:
    with _client_lock:
        return _client_of_process(os.getpid())


_client_lock = threading.Lock()


@functools.cache
def _client_of_process(process: int) -> Any:
    # Keyed by process because a forked worker must not share its parent's connections.
    return boto3.client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": ATTEMPTS}))


def forget_client() -> None:
    """Make a new client at the next call, for when credentials, region or endpoint have changed."""
    with _client_lock:
        _client_of_process.cache_clear()


@contextlib.contextmanager
def naming_object(uri: str) -> Iterator[None]:
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
