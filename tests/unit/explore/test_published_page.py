"""The deployed page's files in a bucket of the emulator, and CloudFormation's custom resource protocol."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest

from fmrec.explore import page_files
from fmrec.explore.published_page import answer_cloudformation, empty

CONFIG = {"api": "https://api.example", "store_clicks": False, "sign_in": None}


@pytest.fixture
def cloudformation() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The URL that takes the answer, and the answers that it has taken."""
    taken: list[dict[str, Any]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            assert self.headers["Content-Type"] == ""
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()
        thread.join()


def request(kind: str, url: str, bucket: str, **properties: Any) -> dict[str, Any]:
    named = {"Bucket": bucket, "Config": json.dumps(CONFIG), "EmptyOnDelete": [bucket]}
    ids = {"StackId": "s", "RequestId": "r", "LogicalResourceId": "Files"}
    return {"RequestType": kind, "ResponseURL": url, "ResourceProperties": named | properties} | ids


def test_the_files_are_written_and_deleted_with_all_their_versions(
    bucket: str, cloudformation: tuple[str, list[dict[str, Any]]]
) -> None:
    url, answers = cloudformation
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for kind in ("Create", "Update"):
        answer_cloudformation(request(kind, url, bucket), s3, "the log")
    files = {"config.json": "application/json"} | dict(page_files.STATIC.values())
    assert {each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]} == files.keys()
    for name, kind in files.items():
        found = s3.get_object(Bucket=bucket, Key=name)
        assert (found["ContentType"], found["CacheControl"]) == (kind, "no-cache")
        content = found["Body"].read()
        assert content == page_files.read(name) if name != "config.json" else json.loads(content) == CONFIG
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2 * len(files)

    answer_cloudformation(request("Delete", url, bucket), s3, "the log")
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)
    assert [answer["Status"] for answer in answers] == ["SUCCESS"] * 3
    expected = {"StackId": "s", "RequestId": "r", "LogicalResourceId": "Files"}
    assert expected.items() <= answers[0].items()
    assert {answer["PhysicalResourceId"] for answer in answers} == {f"page-in-{bucket}"}


def test_a_failure_is_answered_with_its_sentence(
    bucket: str, cloudformation: tuple[str, list[dict[str, Any]]]
) -> None:
    url, answers = cloudformation
    answer_cloudformation(request("Create", url, "no-such-bucket"), boto3.client("s3"), "the log")
    assert answers[0]["Status"] == "FAILED"
    assert "NoSuchBucket" in answers[0]["Reason"]
    assert "see the log" in answers[0]["Reason"]


def test_what_s3_does_not_delete_is_an_error() -> None:
    class Refusing:
        def get_paginator(self, _name: str) -> Any:
            return self

        def paginate(self, **_: Any) -> list[dict[str, Any]]:
            return [{}, {"Versions": [{"Key": "a", "VersionId": "1"}]}]

        def delete_objects(self, **_: Any) -> dict[str, Any]:
            return {"Errors": [{"Key": "a", "Code": "AccessDenied", "Message": "no"}]}

    with pytest.raises(RuntimeError, match="a can't be deleted: AccessDenied no"):
        empty(Refusing(), "b")
