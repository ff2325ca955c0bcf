"""S3 faults of the control API: which requests they hit, what a client sees, and what was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from localcloud.s3_faults import S3Request, parse_request, parse_rules

BUCKET = "unlucky"


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("PUT", "/b/k/x", "", ("PutObject", "b", "k/x")),
        ("PUT", "/b/k", "partNumber=1&uploadId=u", ("UploadPart", "b", "k")),
        ("POST", "/b/k", "uploads", ("CreateMultipartUpload", "b", "k")),
        ("POST", "/b/k", "uploadId=u", ("CompleteMultipartUpload", "b", "k")),
        ("DELETE", "/b/k", "uploadId=u", ("AbortMultipartUpload", "b", "k")),
        ("GET", "/b/k", "uploadId=u", ("ListParts", "b", "k")),
        ("GET", "/b/k", "", ("GetObject", "b", "k")),
        ("GET", "/b/k", "tagging", ("", "b", "k")),
        ("PUT", "/b/k", "tagging", ("", "b", "k")),
        ("HEAD", "/b/k", "", ("HeadObject", "b", "k")),
        ("DELETE", "/b/k", "", ("DeleteObject", "b", "k")),
        ("GET", "/b", "list-type=2&prefix=a%2Fb", ("ListObjectsV2", "b", "a/b")),
        ("GET", "/b", "uploads", ("ListMultipartUploads", "b", "")),
        ("GET", "/b/", "prefix=a", ("ListObjects", "b", "a")),
        ("POST", "/b", "delete", ("DeleteObjects", "b", "first")),
        ("PUT", "/b", "policy", ("", "b", "")),
        ("PUT", "/b", "", ("CreateBucket", "b", "")),
        ("HEAD", "/b", "", ("HeadBucket", "b", "")),
        ("GET", "/", "", ("", "", "")),
    ],
)
def test_a_request_is_named_by_its_operation_and_key(
    method: str, path: str, query: str, expected: tuple[str, str, str]
) -> None:
    body = (
        b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>first</Key></Object></Delete>'
    )
    assert parse_request(method, path, query, {"host": "localhost:1"}, body) == S3Request(*expected)


def test_copies_and_buckets_in_the_host_name_are_named_too() -> None:
    copy = {"host": "localhost:1", "x-amz-copy-source": "/b/k"}
    assert parse_request("PUT", "/b/k2", "", copy, b"").operation == "CopyObject"
    assert parse_request("PUT", "/b/k2", "partNumber=1&uploadId=u", copy, b"").operation == "UploadPartCopy"
    virtual = parse_request("GET", "/a/k", "", {"host": "b.s3.localhost:1"}, b"")
    assert virtual == S3Request("GetObject", "b", "a/k")


def test_a_rule_lets_some_pass_fires_its_times_and_lets_the_rest_pass() -> None:
    rules = parse_rules(
        [{"fault": "reset", "operation": "PutObject", "prefix": "a/", "after": 1, "times": 2}]
    )
    keys = ["a/1", "b/1", "a/2", "a/3", "a/4"]
    fired = [rules.fault(S3Request("PutObject", "b", key)) is not None for key in keys]
    assert fired == [False, False, True, True, False]
    assert rules.as_list()[0]["fired"] == 2
    lasting = parse_rules([{"fault": "reset", "times": None}])
    assert all(lasting.fault(S3Request("GetObject", "b", "k")) for _ in range(5))
    assert parse_rules(lasting.as_list()).as_list()[0]["fired"] == 0


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "must be a list of rules"),
        (["reset"], "rule 0 must be an object"),
        (
            [{"fault": "reset"}, {"fault": "flood"}],
            "s3 rule 1 has the fault 'flood', expected one of slow-down",
        ),
        ([{"fault": "reset", "operation": "Put"}], "has the operation 'Put', expected [*] or one of Abort"),
        ([{"fault": "reset", "times": -1}], "needs integers of at least 0"),
        ([{"fault": "reset", "after": True}], "needs integers of at least 0"),
        ([{"fault": "latency", "seconds": 1e9}], "needs seconds from 0 to 600"),
        ([{"fault": "reset", "prefix": None}], "needs text for bucket and prefix"),
        ([{"fault": "reset", "key": "a"}], "has the unknown key 'key'"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_a_sentence(rules: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_rules(rules)


@pytest.fixture
def s3(cloud: Any) -> Iterator[Any]:
    client = cloud.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    cloud.control("PUT", "faults", {})


@pytest.fixture
def order(cloud: Any) -> Callable[..., None]:
    def put(**rule: Any) -> None:
        status, document = cloud.control("PUT", "faults", {"s3": [rule]})
        assert status == 200, document

    return put


def fired(cloud: Any) -> int:
    return int(cloud.control("GET", "faults")[1]["s3"][0]["fired"])


def exists(s3: Any, key: str) -> bool:
    return any(entry["Key"] == key for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []))


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [("slow-down", "SlowDown", 503), ("server-error", "InternalError", 500)],
)
def test_an_error_is_answered_once_and_nothing_is_done(
    cloud: Any, s3: Any, order: Callable[..., None], fault: str, code: str, status: int
) -> None:
    order(fault=fault, operation="PutObject", prefix="a/")
    s3.put_object(Bucket=BUCKET, Key=f"b/{fault}", Body=b"1")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=BUCKET, Key=f"a/{fault}", Body=b"1" * 100_000)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert not exists(s3, f"a/{fault}")
    s3.put_object(Bucket=BUCKET, Key=f"a/{fault}", Body=b"1")
    assert (exists(s3, f"a/{fault}"), fired(cloud)) == (True, 1)


def test_a_lost_answer_is_a_request_that_was_done(cloud: Any, s3: Any, order: Callable[..., None]) -> None:
    order(fault="lost-answer", operation="PutObject")
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        s3.put_object(Bucket=BUCKET, Key="lost", Body=b"1")
    assert exists(s3, "lost")


def test_a_reset_is_a_request_that_was_not_done_and_may_last(
    cloud: Any, s3: Any, order: Callable[..., None]
) -> None:
    order(fault="reset", operation="PutObject", times=None)
    for _ in range(2):
        with pytest.raises((ConnectionClosedError, HTTPClientError)):
            s3.put_object(Bucket=BUCKET, Key="reset", Body=b"1")
    assert (exists(s3, "reset"), fired(cloud)) == (False, 2)


def test_a_completed_upload_whose_answer_is_lost_is_gone_for_the_client_that_tries_again(
    cloud: Any, s3: Any, order: Callable[..., None]
) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    named = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    part = s3.upload_part(**named, PartNumber=1, Body=b"part")["ETag"]
    order(fault="lost-answer", operation="CompleteMultipartUpload")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        s3.complete_multipart_upload(**named, MultipartUpload=parts)
    assert s3.get_object(Bucket=BUCKET, Key="parts")["Body"].read() == b"part"


def test_an_error_may_stand_in_an_answer_of_200(cloud: Any, s3: Any, order: Callable[..., None]) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="error")["UploadId"]
    named = {"Bucket": BUCKET, "Key": "error", "UploadId": upload}
    part = s3.upload_part(**named, PartNumber=1, Body=b"part")["ETag"]
    order(fault="error-in-answer", operation="CompleteMultipartUpload")
    with pytest.raises(ClientError, match="InternalError"):
        s3.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    assert not exists(s3, "error")


def test_keys_that_are_not_deleted_are_named_in_the_answer(
    cloud: Any, s3: Any, order: Callable[..., None]
) -> None:
    for key in ("kept&", "kept2"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    order(fault="key-errors", operation="DeleteObjects", prefix="kept")
    deletion = {"Objects": [{"Key": "kept&"}, {"Key": "kept2"}]}
    answer = s3.delete_objects(Bucket=BUCKET, Delete=deletion)
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [
        ("kept&", "InternalError"),
        ("kept2", "InternalError"),
    ]
    assert exists(s3, "kept&")
    assert "Errors" not in s3.delete_objects(Bucket=BUCKET, Delete=deletion)
    assert not exists(s3, "kept&")


def test_latency_delays_the_answer(cloud: Any, s3: Any, order: Callable[..., None]) -> None:
    order(fault="latency", operation="HeadBucket", seconds=0.7)
    began = time.monotonic()
    s3.head_bucket(Bucket=BUCKET)
    assert time.monotonic() - began >= 0.7


def test_a_rule_that_makes_no_sense_changes_nothing(cloud: Any, s3: Any, order: Callable[..., None]) -> None:
    order(fault="reset", prefix="never")
    status, document = cloud.control("PUT", "faults", {"s3": [{"fault": "flood"}]})
    assert status == 400
    assert "has the fault 'flood'" in document["message"]
    assert cloud.control("GET", "faults")[1]["s3"][0]["prefix"] == "never"


def test_other_services_are_left_alone(cloud: Any, s3: Any, order: Callable[..., None]) -> None:
    order(fault="reset", times=None)
    assert cloud.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
