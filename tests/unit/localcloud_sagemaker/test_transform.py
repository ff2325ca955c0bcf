"""Batch transform: splitting, batching, outputs, failures."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.faults import ServiceFault
from localcloud.sagemaker.splitting import SplitError, batches, split_records


def record_io(payload: bytes) -> bytes:
    return struct.pack("<II", 0xCED7230A, len(payload)) + payload + b"\0" * (-len(payload) % 4)


@given(st.lists(st.binary(max_size=40)))
def test_record_io_records_keep_their_frame_or_lose_it(payloads: list[bytes]) -> None:
    stream = b"".join(map(record_io, payloads))
    framed = list(split_records(io.BytesIO(stream), "RecordIO", framed=True))
    assert framed == [record_io(payload) for payload in payloads]
    assert list(split_records(io.BytesIO(stream), "RecordIO", framed=False)) == payloads


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(20, 50), st.booleans())
def test_batches_hold_everything_in_order_within_the_limit(
    records: list[bytes], limit: int, many: bool
) -> None:
    made = list(batches(records, limit, many=many))
    assert b"".join(made) == b"".join(records)
    assert all(len(batch) <= limit for batch in made)
    if many:
        assert len(made) <= len(records)
    else:
        assert made == records


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (record_io(b"good") + b"\x0a\x23", "byte 12: the recordIO header is cut off"),
        (b"x" * 12, "byte 0: found 0x78787878 where a recordIO record must begin"),
        (record_io(b"12345")[:-2], "byte 0: the recordIO record of 5 bytes is cut off"),
    ],
)
def test_broken_record_io_names_the_byte(stream: bytes, words: str) -> None:
    with pytest.raises(SplitError, match=words):
        list(split_records(io.BytesIO(stream), "RecordIO", framed=True))


def test_every_object_becomes_one_out_object(cloud: Any) -> None:
    cloud.model()
    cloud.put("queries/part-0", "a\nbb\n\nccc\n")
    cloud.put("queries/sub/part-1", "dddd")
    job = cloud.transformed()
    assert job["TransformJobStatus"] == "Completed"
    assert job["TransformStartTime"] <= job["TransformEndTime"]
    assert (cloud.bucket / "answers/part-0.out").read_text() == '{"score": 1}\n{"score": 2}\n{"score": 3}\n'
    assert (cloud.bucket / "answers/sub/part-1.out").read_text() == '{"score": 4}\n'
    assert cloud.service.processes() == []
    assert not (cloud.home / "sagemaker/work/transform/batch").exists()


def test_s3_is_read_and_written_in_the_name_of_the_models_role(cloud: Any) -> None:
    cloud.model()
    cloud.put("queries/part-0", "a")
    assert set(cloud.roles) == {"arn:aws:iam::000000000000:role/training"}
    cloud("DeleteModel", ModelName="model")
    role = "arn:aws:iam::000000000000:role/inference"
    artifact = "s3://bucket/models/for-model/output/model.tar.gz"
    container = {"Image": "382416733822.dkr.ecr.us-east-1.amazonaws.com/knn:1", "ModelDataUrl": artifact}
    cloud("CreateModel", ModelName="model", PrimaryContainer=container, ExecutionRoleArn=role)
    cloud.roles.clear()
    cloud.transformed()
    assert set(cloud.roles) == {role}


def test_the_containers_payload_limit_is_the_default_and_records_are_packed_to_it(cloud: Any) -> None:
    cloud.model()
    record = record_io(b"x" * (400 << 10))
    cloud.put("queries/part-0", record * 5)
    source: dict[str, Any] = {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/queries/"}}
    }
    source |= {"ContentType": "application/x-recordio-protobuf", "SplitType": "RecordIO"}
    output = {"S3OutputPath": "s3://bucket/answers/", "AssembleWith": "Line", "Accept": "application/json"}
    cloud.transformed("a", TransformInput=source, TransformOutput=output)
    replies = [json.loads(line) for line in (cloud.bucket / "answers/part-0.out").read_text().splitlines()]
    assert [reply["bytes"] for reply in replies] == [2 * len(record), 2 * len(record), len(record)]
    assert {reply["batch"] for reply in replies} == {"true"}
    assert replies[0]["content_type"] == "application/x-recordio-protobuf"
    cloud.transformed("b", TransformInput=source, TransformOutput=output, MaxPayloadInMB=4)
    assert len((cloud.bucket / "answers/part-0.out").read_text().splitlines()) == 1
    cloud.transformed("c", TransformInput=source, TransformOutput=output, BatchStrategy="SingleRecord")
    replies = [json.loads(line) for line in (cloud.bucket / "answers/part-0.out").read_text().splitlines()]
    assert [reply["bytes"] for reply in replies] == [400 << 10] * 5


def test_a_record_above_the_payload_limit_fails_the_job(cloud: Any) -> None:
    cloud.model()
    cloud.put("queries/part-0", "x" * (1 << 20) + "y\n")
    reason = cloud.transformed(MaxPayloadInMB=1)["FailureReason"]
    assert reason.startswith(
        "ClientError: s3://bucket/queries/part-0: a record of 1048578 bytes is larger than"
    )


def test_input_lines_are_joined_with_their_answers(cloud: Any) -> None:
    cloud.model()
    cloud.put("queries/part-0", '{"id": "u1"}\n[1,2]\n')
    cloud.transformed(DataProcessing={"JoinSource": "Input"})
    lines = [json.loads(line) for line in (cloud.bucket / "answers/part-0.out").read_text().splitlines()]
    assert lines == [
        {"id": "u1", "SageMakerOutput": {"score": 12}},
        {"SageMakerInput": [1, 2], "SageMakerOutput": {"score": 5}},
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            "bad",
            "ClientError: s3://bucket/queries/part-0: Bad HTTP status received from algorithm: 400 unable to",
        ),
        (
            "broken",
            "AlgorithmError: s3://bucket/queries/part-0: Bad HTTP status received from algorithm: 500 worker",
        ),
        (
            "die",
            "AlgorithmError: s3://bucket/queries/part-0: Unable to get response from algorithm: its process ended "
            "(killed by signal 9)",
        ),
    ],
)
def test_what_the_container_answers_is_the_failure_reason(cloud: Any, content: str, reason: str) -> None:
    cloud.model()
    cloud.put("queries/part-0", content)
    job = cloud.transformed()
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)


def test_a_container_that_does_not_start_fails_the_job(cloud: Any) -> None:
    cloud.model()
    cloud.put("queries/part-0", "x")
    job = cloud.transformed(Environment={"CRASH": "1"})
    assert job["FailureReason"].startswith(
        "AlgorithmError: The container's process ended while it started (exit code 1)"
    )


def test_no_input_and_no_model_are_told(cloud: Any) -> None:
    cloud.model()
    assert cloud.transformed("a")["FailureReason"].startswith(
        "ClientError: Data download failed: No S3 objects"
    )
    cloud.put("queries/part-0", "x")
    cloud.model("gone", artifact="s3://bucket/none.tar.gz")
    assert cloud.transformed("b", ModelName="gone")["FailureReason"].startswith(
        'ClientError: Failed to download model data for container "container_1" from URL: "s3://bucket/none.tar.gz".'
    )
    cloud.put("junk.tar.gz", "no archive")
    cloud.model("junk", artifact="s3://bucket/junk.tar.gz")
    assert "is a valid tar.gz archive" in cloud.transformed("c", ModelName="junk")["FailureReason"]


def test_a_job_can_be_stopped(cloud: Any) -> None:
    cloud.model()
    cloud.put("queries/part-0", "x")
    cloud.transform(Environment={"UNHEALTHY": "1"})
    cloud.until(cloud.service.processes)
    cloud("StopTransformJob", TransformJobName="batch")
    cloud.until(
        lambda: cloud("DescribeTransformJob", TransformJobName="batch")["TransformJobStatus"] == "Stopped"
    )
    assert cloud.service.processes() == []


def test_killing_the_program_fails_the_job(cloud: Any) -> None:
    cloud.model()
    cloud.put("queries/part-0", "x")
    cloud.transform(Environment={"UNHEALTHY": "1"})
    [process] = cloud.until(cloud.service.processes)
    os.kill(process["pid"], signal.SIGKILL)
    cloud.until(
        lambda: cloud("DescribeTransformJob", TransformJobName="batch")["TransformJobStatus"] == "Failed"
    )
    job = cloud("DescribeTransformJob", TransformJobName="batch")
    assert "killed by signal 9" in job["FailureReason"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MaxPayloadInMB": 0}, "chunked"),
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "must not exceed 100"),
        ({"ModelName": "nobody"}, "Could not find model"),
        ({"TransformResources": {"InstanceType": "ml.r5.large", "InstanceCount": 1}}, "enum value set"),
        ({"DataProcessing": {"InputFilter": "$.a"}}, "filters are not supported"),
    ],
)
def test_requests_that_aws_refuses_are_refused(cloud: Any, changes: dict[str, Any], words: str) -> None:
    cloud.model()
    with pytest.raises(ServiceFault, match=words) as refusal:
        cloud.transform(**changes)
    assert refusal.value.code == "ValidationException"
