"""Requests and answers against botocore's models."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from localcloud import wire
from localcloud.faults import ServiceFault

MOMENT = datetime.datetime(2026, 11, 21, 9, 45, 0, 250000, datetime.UTC)


def test_a_request_gets_the_types_of_its_model() -> None:
    request = wire.request(
        "sagemaker", "ListTrainingJobs", {"MaxResults": 5.0, "CreationTimeAfter": MOMENT.timestamp(), "NameContains": None}
    )  # fmt: skip
    assert request == {"MaxResults": 5, "CreationTimeAfter": MOMENT}
    assert isinstance(request["MaxResults"], int)
    assert wire.request("kms", "Encrypt", {"KeyId": "k", "Plaintext": "YQ=="})["Plaintext"] == b"a"


@pytest.mark.parametrize(
    ("operation", "document", "code", "words"),
    [
        ("CreateModel", {}, "ValidationException", 'Missing required parameter in input: "ModelName"'),
        ("CreateModel", {"ModelName": 1}, "ValidationException", "Invalid type for parameter ModelName"),
        ("DescribeModel", {"ModelName": "m", "Colour": 1}, "ValidationException", 'Unknown parameter in input: "Colour"'),
        ("ListModels", {"MaxResults": 2.5}, "ValidationException", "Invalid type for parameter MaxResults"),
        ("MakeCoffee", {}, "UnknownOperationException", "no operation 'MakeCoffee'"),
        ("ListModels", [], "SerializationException", "must be a JSON object"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_have_is_refused(
    operation: str, document: Any, code: str, words: str
) -> None:
    with pytest.raises(ServiceFault) as refused:
        wire.request("sagemaker", operation, document)
    assert refused.value.code == code
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("timestamp", "written"),
    [
        (wire.epoch_seconds, 1795254300.25),
        (wire.epoch_millis, 1795254300250),
        (wire.iso_8601, "2026-11-21T09:45:00.250Z"),
    ],
)
def test_an_answer_has_the_models_members_and_the_protocols_timestamps(timestamp: Any, written: Any) -> None:
    result = {
        "ModelName": "m",
        "ModelArn": None,
        "CreationTime": MOMENT,
        "_note": "inside",
        "VpcConfig": {"Subnets": ["s"], "x": 1},
    }
    answer = wire.answer("sagemaker", "DescribeModel", result, timestamp, wire.as_is)
    assert answer == {"ModelName": "m", "CreationTime": written, "VpcConfig": {"Subnets": ["s"]}}
