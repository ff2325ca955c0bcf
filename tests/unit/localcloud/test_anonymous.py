"""Requests to S3 that nobody has signed: AccessDenied, unless the bucket's policy allows everybody."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

BUCKET = "for-nobody"


@pytest.fixture(scope="module")
def s3(cloud: Any) -> Any:
    client = cloud.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="there", Body=b"content")
    return client


def ask(
    cloud: Any, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.record["port"], timeout=30)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


@pytest.mark.parametrize("authorization", [None, "nonsense", "Bearer token", "Basic dGVzdDp0ZXN0"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "there", None),
        ("HEAD", "there", None),
        ("PUT", "there", b"changed"),
        ("DELETE", "there", None),
        ("POST", "there?uploads", b""),
        ("POST", "?delete", b"<Delete><Object><Key>there</Key></Object></Delete>"),
        ("GET", "?list-type=2", None),
        ("GET", "?policy", None),
    ],
)
def test_a_request_without_a_signature_is_denied(
    cloud: Any, s3: Any, authorization: str | None, method: str, path: str, body: bytes | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    status, answer = ask(cloud, method, f"/{BUCKET}/{path}", headers, body)
    assert status == 403
    if method != "HEAD":
        assert b"<Code>AccessDenied</Code><Message>Access Denied</Message>" in answer
    assert s3.get_object(Bucket=BUCKET, Key="there")["Body"].read() == b"content"


def test_buckets_are_neither_made_nor_listed_without_a_signature(cloud: Any, s3: Any) -> None:
    assert ask(cloud, "PUT", "/made-by-nobody")[0] == 403
    assert ask(cloud, "GET", "/")[0] == 403
    host = f"{BUCKET}.s3.localhost:{cloud.record['port']}"
    assert ask(cloud, "GET", "/there", {"Host": host})[0] == 403
    assert "made-by-nobody" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("AWS4-HMAC-SHA256 nonsense", b"AuthorizationHeaderMalformed"),
        ("AWS nobody:c2lnbmF0dXJl", b"InvalidAccessKeyId"),
    ],
)
def test_a_signature_that_is_none_is_refused(cloud: Any, s3: Any, authorization: str, code: bytes) -> None:
    status, answer = ask(cloud, "GET", f"/{BUCKET}/there", {"Authorization": authorization})
    assert status in (400, 403)
    assert b"<Code>" + code in answer


def test_presigned_urls_work(cloud: Any, s3: Any) -> None:
    def path(operation: str, key: str) -> str:
        url = s3.generate_presigned_url(operation, Params={"Bucket": BUCKET, "Key": key})
        return str(url).removeprefix(cloud.record["endpoint_url"])

    assert ask(cloud, "PUT", path("put_object", "signed"), body=b"by URL")[0] == 200
    assert ask(cloud, "GET", path("get_object", "signed")) == (200, b"by URL")


def test_a_bucket_policy_may_allow_everybody_to_read(cloud: Any, s3: Any) -> None:
    s3.create_bucket(Bucket="for-everybody")
    s3.put_object(Bucket="for-everybody", Key="there", Body=b"public")
    s3.delete_public_access_block(Bucket="for-everybody")
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::for-everybody/*",
    }
    s3.put_bucket_policy(
        Bucket="for-everybody", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    assert ask(cloud, "GET", "/for-everybody/there") == (200, b"public")
    assert ask(cloud, "PUT", "/for-everybody/there", body=b"x")[0] == 403
    assert ask(cloud, "GET", "/for-everybody")[0] == 403
