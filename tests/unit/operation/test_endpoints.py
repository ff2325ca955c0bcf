"""Which endpoints run, who calls them and what they cost; stopping one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from fmrec.errors import InputError
from fmrec.instances.catalogue import Prices
from fmrec.operation import endpoints

NOW = datetime(2026, 11, 28, 19, 30, tzinfo=UTC)
SINCE = NOW - timedelta(days=3)
PRICES = Prices({("hosting", "ml.m5.large"): 0.115}, "USD", "test")
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:endpoint"


def client(service: str) -> Any:
    return boto3.client(service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")


@pytest.fixture
def sagemaker() -> Iterator[Stubber]:
    with Stubber(client("sagemaker")) as stubber:
        yield stubber


@pytest.fixture
def cloudwatch() -> Iterator[Stubber]:
    with Stubber(client("cloudwatch")) as stubber:
        yield stubber


def listed(stubber: Stubber, *names: str) -> None:
    found = [
        {
            "EndpointName": name, "EndpointArn": f"{ARN}/{name}", "EndpointStatus": "InService",
            "CreationTime": SINCE, "LastModifiedTime": SINCE,
        }
        for name in names
    ]  # fmt: skip
    stubber.add_response("list_endpoints", {"Endpoints": found}, {"NameContains": "fmrec-"})


def described(stubber: Stubber, name: str, running: dict[str, Any], status: str = "InService") -> None:
    variant = {"VariantName": "AllTraffic", **running}
    stubber.add_response(
        "describe_endpoint",
        {
            "EndpointName": name, "EndpointArn": f"{ARN}/{name}", "EndpointConfigName": f"{name}-1",
            "EndpointStatus": status, "CreationTime": SINCE, "LastModifiedTime": SINCE,
            **({"ProductionVariants": [variant]} if running else {"FailureReason": "no capacity"}),
        },
        {"EndpointName": name},
    )  # fmt: skip
    kind = {} if "CurrentServerlessConfig" in running else {"InstanceType": "ml.m5.large"}
    stubber.add_response(
        "describe_endpoint_config",
        {
            "EndpointConfigName": f"{name}-1", "EndpointConfigArn": f"{ARN}-config/x", "CreationTime": SINCE,
            "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "m", **kind}],
        },
        {"EndpointConfigName": f"{name}-1"},
    )  # fmt: skip


def called(stubber: Stubber, name: str, **hours: int) -> None:
    """Calls by how many hours ago."""
    points = [
        {"Timestamp": NOW - timedelta(hours=int(ago[1:])), "Sum": float(count)}
        for ago, count in hours.items()
    ]
    stubber.add_response(
        "get_metric_statistics",
        {"Label": "Invocations", "Datapoints": points},
        {
            "Namespace": "AWS/SageMaker", "MetricName": "Invocations",
            "Dimensions": [
                {"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            "StartTime": NOW - timedelta(days=14), "EndTime": NOW, "Period": 3600, "Statistics": ["Sum"],
        },
    )  # fmt: skip


def test_the_list_says_since_when_calls_and_cost(sagemaker: Stubber, cloudwatch: Stubber) -> None:
    listed(sagemaker, "fmrec-knn", "other-fmrec-x", "fmrec-fm")
    described(sagemaker, "fmrec-knn", {"CurrentInstanceCount": 2})
    called(cloudwatch, "fmrec-knn", h5=40, h2=2, h1=0)
    described(
        sagemaker, "fmrec-fm", {"CurrentServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    )
    called(cloudwatch, "fmrec-fm")

    scoring, ranking = endpoints.endpoints(sagemaker.client, cloudwatch.client, "fmrec", PRICES, NOW)

    assert (ranking.calls, ranking.last_call) == (42, NOW - timedelta(hours=2))
    assert ranking.usd_per_month == 2 * 0.115 * 730
    assert (scoring.instances, scoring.usd_per_month) == ("serverless, 2048 MB", 0)
    lines = endpoints.render([scoring, ranking]).splitlines()
    assert lines[2] == (
        "fmrec-knn  InService  2026-11-25 19:30  2 x ml.m5.large      42             2026-11-28 17:30  167.90"
    )
    assert lines[1].endswith("none              by the call")
    assert endpoints.render([]) == "No endpoint of this deployment runs."


def test_an_endpoint_that_failed_says_why_and_an_unknown_price_is_unknown(
    sagemaker: Stubber, cloudwatch: Stubber
) -> None:
    listed(sagemaker, "fmrec-fm", "fmrec-knn")
    described(sagemaker, "fmrec-fm", {}, status="Failed")
    called(cloudwatch, "fmrec-fm")
    described(sagemaker, "fmrec-knn", {"CurrentInstanceCount": 1})
    called(cloudwatch, "fmrec-knn")
    nothing_known = Prices({}, "USD", "test")

    failed, dear = endpoints.endpoints(sagemaker.client, cloudwatch.client, "fmrec", nothing_known, NOW)

    assert (failed.status, failed.failure, failed.instances) == ("Failed", "no capacity", "-")
    assert dear.usd_per_month is None
    assert "unknown" in endpoints.render([dear])


def test_only_an_endpoint_of_the_deployment_is_stopped(sagemaker: Stubber) -> None:
    listed(sagemaker, "fmrec-knn")
    sagemaker.add_response("delete_endpoint", {}, {"EndpointName": "fmrec-knn"})
    endpoints.stop(sagemaker.client, "fmrec", "fmrec-knn")
    sagemaker.assert_no_pending_responses()
    listed(sagemaker, "fmrec-knn")
    with pytest.raises(InputError, match="has no endpoint 'prod': expected one of fmrec-knn"):
        endpoints.stop(sagemaker.client, "fmrec", "prod")
