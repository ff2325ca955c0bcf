"""A commit of an encoding while S3 fails at any of its steps: all parts are there or none, by the manifest.

The steps are those that tasks and driver take, without Spark: store parts in two folders, make them appear
over parts of an earlier run, write the manifest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from fmrec.encoding.run_outputs import RunOutputs
from fmrec.errors import FmrecError
from fmrec.storage import object_store, s3_client
from fmrec.storage.part_files import WrittenPart

BUCKET = "commits"
FOLDERS = {"train": ".pbr", "seen": ".parquet"}
PARTS = {
    "train/part-00000.pbr": b"first",
    "train/part-00001.pbr": b"second",
    "seen/part-00000.parquet": b"pairs",
}
STALE = "train/part-00002.pbr"
MANIFEST = "manifest.json"
FAULTS = {
    "lost-answer": "*",
    "slow-down": "*",
    "server-error": "*",
    "reset": "*",
    "latency": "*",
    "error-in-answer": "CompleteMultipartUpload",
    "key-errors": "DeleteObjects",
}
"""Fault → the operations that may fail so."""
DONE_AND_UNDONE = (
    "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload",
    "ListMultipartUploads", "ListObjectsV2", "DeleteObjects", "DeleteObject", "PutObject", "HeadObject",
)  # fmt: skip


@pytest.fixture
def s3(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client, and the product's own client pointed at the same cloud, with retries that don't wait."""
    client = cloud.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for name, value in {
        "AWS_ENDPOINT_URL": cloud.record["endpoint_url"], "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_REQUIRED",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_client, "ATTEMPTS", 3)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    s3_client.forget_client()
    yield client
    cloud.control("PUT", "faults", {})
    s3_client.forget_client()


def encode(run: str) -> None:
    """Store and commit as the encoding job does."""
    uri = f"s3://{BUCKET}/{run}"
    object_store.delete(f"{uri}/{MANIFEST}")
    with RunOutputs(uri, FOLDERS) as outputs:
        parts: dict[str, list[WrittenPart]] = {name: [] for name in FOLDERS}
        for key, data in PARTS.items():
            folder, name = key.split("/")
            part = outputs.folders[folder].open(name)
            part.write(memoryview(data))
            parts[folder].append(part.finish())
        died = outputs.folders["train"].open("part-00000.pbr")
        died.write(memoryview(b"of an attempt that reports nothing"))
        died.finish()
        outputs.commit(parts, "manifest")


def stored(s3: Any, run: str) -> dict[str, bytes]:
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{run}/").get("Contents", [])
    return {
        entry["Key"].removeprefix(f"{run}/"): s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        for entry in listed
    }


def attempt(cloud: Any, s3: Any, run: str, **rule: Any) -> tuple[bool, int, dict[str, bytes]]:
    """Encode over an earlier run under a fault: whether it succeeded, how often S3 failed, what is stored."""
    s3.put_object(Bucket=BUCKET, Key=f"{run}/{STALE}", Body=b"of an earlier run")
    s3.put_object(Bucket=BUCKET, Key=f"{run}/{MANIFEST}", Body=b"of an earlier run")
    cloud.control("PUT", "faults", {"s3": [{"prefix": run, "bucket": BUCKET, "seconds": 0.05, **rule}]})
    try:
        encode(run)
        succeeded = True
    except FmrecError:
        succeeded = False
    fired = cloud.control("GET", "faults")[1]["s3"][0]["fired"]
    cloud.control("PUT", "faults", {})
    return succeeded, fired, stored(s3, run)


def check(succeeded: bool, found: dict[str, bytes], rule: str) -> None:
    """The manifest says which: all parts and no other, or no part of this run."""
    complete = {**PARTS, MANIFEST: b"manifest"}
    if succeeded or MANIFEST in found:
        assert found == complete or (not succeeded and found.get(MANIFEST) == b"of an earlier run"), rule
    else:
        assert not set(PARTS) & set(found), rule


def test_one_fault_at_each_step_changes_nothing_in_what_is_stored(cloud: Any, s3: Any) -> None:
    """Steps are counted until a fault finds none any more; which fault comes at which step is drawn."""
    draw = random.Random(0)  # noqa: S311 - a seed is wanted
    hit = dict.fromkeys(FAULTS, 0)
    for number, (fault, operation) in enumerate(FAULTS.items()):
        after = 0
        while True:
            run = f"once-{number}-{after}"
            succeeded, fired, found = attempt(cloud, s3, run, fault=fault, operation=operation, after=after)
            assert succeeded, (fault, after)
            check(succeeded, found, f"{fault} after {after}")
            if not fired:
                break
            hit[fault] += fired
            after += 1 if fault == "lost-answer" or operation != "*" else draw.randint(2, 5)
    assert hit["lost-answer"] >= 18
    assert all(hit.values()), hit
    assert s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


@pytest.mark.parametrize("fault", ["lost-answer", "slow-down", "reset", "key-errors"])
def test_a_lasting_fault_leaves_all_parts_with_the_manifest_or_none_without(
    cloud: Any, s3: Any, fault: str
) -> None:
    """One operation fails from some request on, for good; the others work, so that a commit can be undone."""
    outcomes = []
    for operation in ("DeleteObjects",) if fault == "key-errors" else DONE_AND_UNDONE:
        for after in (0, 1, 3):
            run = f"lasting-{fault}-{operation}-{after}"
            succeeded, fired, found = attempt(
                cloud, s3, run, fault=fault, operation=operation, after=after, times=None
            )
            if not fired:
                assert succeeded
                break
            # Parts can't be removed where nothing can be deleted; without a manifest nobody reads them.
            if operation == "DeleteObjects" and not succeeded:
                assert found.get(MANIFEST) is None
            else:
                check(succeeded, found, f"{fault} of {operation} after {after}")
            if fault == "lost-answer" and operation == "CompleteMultipartUpload":
                assert succeeded, "S3 has done it, which a look at the object settles"
            outcomes.append(succeeded)
    assert not all(outcomes)
