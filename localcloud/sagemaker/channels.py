"""What lies under an S3 data source, and how a training channel's objects become files.

Follows the API texts of ``S3DataSource`` and ``Channel``: a prefix is a plain string prefix, a manifest is
a JSON list whose first entry may hold a common prefix.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from localcloud.sagemaker.objects import ObjectStore, StorageError, parse_s3_uri
from localcloud.sagemaker.platform import JobError


class SourceObject(NamedTuple):
    """One object of a data source: where it lies, and its path relative to the source."""

    bucket: str
    key: str
    relative: str


def source_objects(
    objects: ObjectStore, source: dict[str, Any], region: str, role: str
) -> Iterator[SourceObject]:
    """Every object of an ``S3DataSource``, in key order; folder markers are left out.

    Raises
    ------
    JobError
        Nothing lies there, or it can't be read.
    """
    uri = source["S3Uri"]
    bucket, prefix = parse_s3_uri(uri)
    found = False
    try:
        if source.get("S3DataType", "S3Prefix") == "ManifestFile":
            entries = _manifest_entries(objects, bucket, prefix, uri)
        else:
            entries = (
                SourceObject(bucket, entry.key, _relative(entry.key, prefix))
                for entry in objects.listing(bucket, prefix)
                if not entry.key.endswith("/")
            )
        for entry in entries:
            found = True
            yield entry
    except StorageError as error:
        raise JobError(_nothing_found(uri, bucket, region, role, str(error))) from error
    if not found:
        raise JobError(_nothing_found(uri, bucket, region, role, None))


def deliver_channel(
    objects: ObjectStore,
    channel: dict[str, Any],
    folder: pathlib.Path,
    *,
    region: str,
    role: str,
    check: Callable[[], None],
) -> None:
    """Write a channel's objects as files below ``folder``.

    Every input mode is delivered as files, since the stand-ins read files. A job's single program gets the
    shards of all its hosts (``ShardedByS3Key``), so that it sees the data that they would see together.

    Parameters
    ----------
    check
        Called before every object; raises to stop.

    Raises
    ------
    JobError
        The channel is empty, can't be read, or has a key that leaves the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = channel["DataSource"]["S3DataSource"]
    for bucket, key, relative in source_objects(objects, source, region, role):
        check()
        path = (folder / relative).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise JobError(f"ClientError: Data download failed: key {key!r} leaves the channel's folder")
        try:
            with contextlib.ExitStack() as stack:
                body: Any = stack.enter_context(objects.open(bucket, key))
                if channel.get("CompressionType") == "Gzip":
                    body = stack.enter_context(gzip.GzipFile(fileobj=body))
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfileobj(body, stack.enter_context(path.open("wb")), 1 << 20)
        except (StorageError, OSError, EOFError) as error:
            raise JobError(f"ClientError: Data download failed: s3://{bucket}/{key}: {error}") from error


def _manifest_entries(objects: ObjectStore, bucket: str, key: str, uri: str) -> Iterator[SourceObject]:
    with objects.open(bucket, key) as body:
        try:
            document = json.loads(body.read())
        except ValueError as error:
            raise JobError(
                f"ClientError: Data download failed: manifest {uri} is not JSON: {error}"
            ) from error
    if not isinstance(document, list):
        raise JobError(f"ClientError: Data download failed: manifest {uri} must be a JSON list")
    common = document.pop(0)["prefix"] if document and isinstance(document[0], dict) else ""
    for name in document:
        entry_bucket, entry_key = parse_s3_uri(common + name)
        yield SourceObject(entry_bucket, entry_key, name if common else pathlib.PurePosixPath(entry_key).name)


def _relative(key: str, prefix: str) -> str:
    rest = key[len(prefix) :]
    if prefix.endswith("/") or rest.startswith("/"):
        return rest.lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def _nothing_found(uri: str, bucket: str, region: str, role: str, cause: str | None) -> str:
    text = (
        f'ClientError: Data download failed: No S3 objects found under S3 URL "{uri}" given in input data source. '
        f"Please ensure that the bucket exists in the selected region ({region}), that objects exist under that "
        f'S3 prefix, and that the role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
    )
    return text if cause is None else f"{text} Error message from S3: {cause}"
