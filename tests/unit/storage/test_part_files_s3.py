"""Parts on S3, against an emulator: multipart uploads that appear together or not at all."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from fmrec.errors import ServiceError
from fmrec.storage import s3_objects
from fmrec.storage.multipart_upload import FIRST_PART, MultipartUpload, abort_upload, complete_upload
from fmrec.storage.part_files import open_output


@pytest.fixture
def s3(bucket: str) -> Iterator[Any]:
    client = boto3.client("s3")
    client.create_bucket(Bucket="data")
    yield client
    client.close()


def keys(s3: Any) -> dict[str, int]:
    return {entry["Key"]: entry["Size"] for entry in s3.list_objects_v2(Bucket="data").get("Contents", [])}


def uploads(s3: Any) -> list[str]:
    return [upload["Key"] for upload in s3.list_multipart_uploads(Bucket="data").get("Uploads", [])]


def test_committed_parts_appear_and_lost_attempts_are_aborted(s3: Any) -> None:
    s3.put_object(Bucket="data", Key="out/part-00009.pbr", Body=b"of an earlier write")
    s3.put_object(Bucket="data", Key="out-two/part-00000.pbr", Body=b"another folder")
    output = open_output("s3://data/out", overwrite=True)
    large = bytes(range(256)) * (FIRST_PART // 256) + b"the rest"
    kept, twin, small = (output.open(f"part-0000{number}.pbr") for number in (0, 0, 1))
    kept.write(memoryview(large))
    twin.write(memoryview(large))
    small.write(memoryview(b"small"))
    messages = [kept.finish(), small.finish()]
    assert messages[0].bytes == len(large)
    assert sorted(keys(s3)) == ["out-two/part-00000.pbr", "out/part-00009.pbr"]
    assert len(uploads(s3)) == 3

    output.commit(messages, overwrite=True)
    assert keys(s3) == {
        "out-two/part-00000.pbr": 14, "out/part-00000.pbr": len(large), "out/part-00001.pbr": 5,
    }  # fmt: skip
    assert s3.get_object(Bucket="data", Key="out/part-00000.pbr")["Body"].read() == large
    assert uploads(s3) == []


def test_an_aborted_write_leaves_what_was_there(s3: Any) -> None:
    s3.put_object(Bucket="data", Key="kept/part-00004.pbr", Body=b"earlier")
    output = open_output("s3a://data/kept/", overwrite=False)
    assert output.first_part == 5
    part = output.open("part-00005.pbr")
    part.write(memoryview(b"half"))
    part.finish()
    output.open("part-00006.pbr").discard()
    output.abort()
    assert uploads(s3) == []
    assert [key for key in keys(s3) if key.startswith("kept/")] == ["kept/part-00004.pbr"]


def test_an_upload_that_was_completed_before_is_complete_and_anothers_object_is_not(s3: Any) -> None:
    """As after an answer that was lost: the upload is gone, and only the object can say why."""
    upload, other = MultipartUpload("data", "settled/a"), MultipartUpload("data", "settled/a")
    for each in (upload, other):
        each.write(memoryview(b"the same bytes"))
    uploaded, others = upload.finish(), other.finish()
    complete_upload("data", "settled/a", uploaded)
    for done in (uploaded, others):
        abort_upload("data", "settled/a", done["upload_id"])
    complete_upload("data", "settled/a", uploaded)
    with pytest.raises(ServiceError, match=r"s3://data/settled/a: S3 answered: .*NoSuchUpload"):
        complete_upload("data", "settled/a", others)


def test_keys_that_s3_could_not_delete_are_tried_again_and_then_named(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answers:
        def __init__(self, failures: int) -> None:
            self.failures, self.asked = failures, []  # type: int, list[list[str]]

        def delete_objects(self, *, Bucket: str, Delete: Any) -> Any:
            keys = [entry["Key"] for entry in Delete["Objects"]]
            self.asked.append(keys)
            if len(self.asked) > self.failures:
                return {}
            return {"Errors": [{"Key": keys[-1], "Code": "InternalError", "Message": "try again"}]}

    lucky, unlucky = Answers(2), Answers(99)
    monkeypatch.setattr(s3_objects, "s3_client", lambda: lucky)
    s3_objects.delete_keys("data", ["a", "b"])
    assert lucky.asked == [["a", "b"], ["b"], ["b"]]
    monkeypatch.setattr(s3_objects, "s3_client", lambda: unlucky)
    with pytest.raises(ServiceError, match=r"s3://data/b could not be deleted.*InternalError: try again"):
        s3_objects.delete_keys("data", ["a", "b"])
