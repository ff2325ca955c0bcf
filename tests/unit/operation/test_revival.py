"""Bringing back an endpoint: from what the champion's run says of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from fmrec.errors import InputError, ServiceError
from fmrec.operation import revival
from fmrec.predictions import served_model
from fmrec.predictions.served_model import Served
from fmrec.registry import champion
from fmrec.registry.champion import Champion

AT = datetime(2026, 11, 28, tzinfo=UTC)
ARN = "arn:aws:sagemaker:eu-west-1:000000000000"
CONFIG = "fmrec-run-1-endpoint-1"
TAGS = [{"Key": "fmrec:run", "Value": "run-1"}]
SCALING = {
    "variant": "AllTraffic",
    "minimum_instances": 1,
    "maximum_instances": 3,
    "policy": {
        "PolicyName": "calls-per-instance",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 600.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
        },
    },
}
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/fmrec-knn/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


def stubber(service: str) -> Stubber:
    return Stubber(
        boto3.client(service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    )


@pytest.fixture
def sagemaker() -> Iterator[Stubber]:
    with stubber("sagemaker") as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def scaler() -> Iterator[Stubber]:
    with stubber("application-autoscaling") as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the bucket has: the champion by data set, reports by run."""
    found: dict[str, Any] = {
        "champion/model.json": Champion("run-0", "recommend", "", "", "", "", execution_arn="arn:x:run-1"),
        "reports": {"run-1": {"endpoint": {"name": "fmrec-knn", "config": CONFIG}}},
    }
    monkeypatch.setattr(champion, "recorded", lambda uri: found.get(uri.removeprefix("s3://bucket/")))
    monkeypatch.setattr(served_model, "read", lambda uri: found[uri.removeprefix("s3://bucket/")])
    monkeypatch.setattr(revival, "read_report", lambda bucket, run: found["reports"].get(run))
    monkeypatch.setattr(revival, "POLL_SECONDS", 0)
    return found


def listed(stub: Stubber, *names: str) -> None:
    summaries = [
        {
            "EndpointName": name, "EndpointArn": f"{ARN}:endpoint/{name}", "EndpointStatus": "InService",
            "CreationTime": AT, "LastModifiedTime": AT,
        }
        for name in names
    ]  # fmt: skip
    stub.add_response("list_endpoints", {"Endpoints": summaries})


def created(stub: Stubber, name: str, config: str, *statuses: str) -> None:
    arn = f"{ARN}:endpoint-config/{config}"
    stub.add_response(
        "describe_endpoint_config",
        {
            "EndpointConfigName": config, "EndpointConfigArn": arn, "CreationTime": AT,
            "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "m"}],
        },
        {"EndpointConfigName": config},
    )  # fmt: skip
    stub.add_response("list_tags", {"Tags": TAGS}, {"ResourceArn": arn})
    stub.add_response(
        "create_endpoint",
        {"EndpointArn": f"{ARN}:endpoint/{name}"},
        {"EndpointName": name, "EndpointConfigName": config, "Tags": TAGS},
    )
    for status in statuses:
        stub.add_response(
            "describe_endpoint",
            {
                "EndpointName": name, "EndpointArn": f"{ARN}:endpoint/{name}", "EndpointConfigName": config,
                "EndpointStatus": status, "CreationTime": AT, "LastModifiedTime": AT,
                **({"FailureReason": "no capacity"} if status == "Failed" else {}),
            },
        )  # fmt: skip


def start(sagemaker: Stubber, scaler: Stubber, name: str = "fmrec-knn") -> str:
    return revival.start(sagemaker.client, scaler.client, "fmrec", "bucket", name)


def test_the_champions_configuration_is_served_again_and_scales_as_before(
    sagemaker: Stubber, scaler: Stubber, records: dict[str, Any]
) -> None:
    records["reports"]["run-1"]["endpoint"]["scaling"] = SCALING
    listed(sagemaker, "fmrec-fm")
    created(sagemaker, "fmrec-knn", CONFIG, "Creating", "InService")
    scaler.add_response("register_scalable_target", {}, TARGET | {"MinCapacity": 1, "MaxCapacity": 3})
    policy: Any = SCALING["policy"]
    scaler.add_response("put_scaling_policy", {"PolicyARN": "arn:p"}, TARGET | policy)
    assert start(sagemaker, scaler) == CONFIG


def test_the_scoring_endpoint_of_a_named_data_set_has_a_record_of_its_own(
    sagemaker: Stubber, scaler: Stubber, records: dict[str, Any]
) -> None:
    records["champion/books/predict-rating.json"] = Served("run-2", "", "", "", "", "fmrec-books-fm")
    records["reports"]["run-2"] = {"endpoint": {"name": "fmrec-books-fm", "config": "c"}}
    listed(sagemaker)
    created(sagemaker, "fmrec-books-fm", "c", "InService")
    assert start(sagemaker, scaler, "fmrec-books-fm") == "c"


def test_an_endpoint_that_does_not_come_says_why(sagemaker: Stubber, scaler: Stubber) -> None:
    listed(sagemaker)
    created(sagemaker, "fmrec-knn", CONFIG, "Failed")
    with pytest.raises(
        ServiceError, match=r"doesn't come into service: no capacity\. `fmrec endpoints --stop"
    ):
        start(sagemaker, scaler)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fmrec-knn", "exists already"),
        ("other-knn", "'other-knn' is no endpoint of this deployment: expected fmrec-knn or fmrec-fm"),
        ("fmrec-what", "is no endpoint of this deployment"),
        ("fmrec-books-knn", "no model of the data set books serves yet"),
    ],
)
def test_what_can_not_be_started_is_refused(
    sagemaker: Stubber, scaler: Stubber, name: str, words: str
) -> None:
    listed(sagemaker, *(["fmrec-knn"] if words == "exists already" else []))
    with pytest.raises(InputError, match=words):
        start(sagemaker, scaler, name)


def test_a_champion_without_an_endpoint_or_configuration_needs_a_run(
    sagemaker: Stubber, scaler: Stubber, records: dict[str, Any]
) -> None:
    listed(sagemaker)
    sagemaker.add_client_error("describe_endpoint_config", "ValidationException", "Could not find it")
    with pytest.raises(InputError, match=f"configuration {CONFIG} .* can't be read .*: start a run"):
        start(sagemaker, scaler)
    records["reports"]["run-1"]["endpoint"] = {"status": "NotWanted"}
    listed(sagemaker)
    with pytest.raises(InputError, match=r"run run-1, which made what serves .* made no endpoint fmrec-knn"):
        start(sagemaker, scaler)
