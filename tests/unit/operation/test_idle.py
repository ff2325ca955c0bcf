"""The idle guard: what is deleted, what stays, and why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from fmrec.operation.idle import Clients, Verdict, delete_idle

NOW = datetime(2026, 11, 28, 19, 30, tzinfo=UTC)
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:endpoint"
MACHINE = "arn:aws:states:eu-west-1:000000000000:stateMachine:m"
EXECUTION = MACHINE.replace("stateMachine", "execution") + ":r"
INSTANCES = {"CurrentInstanceCount": 1}
SERVERLESS = {"CurrentServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}


class Stubbed:
    """Clients with queues of answers."""

    def __init__(self) -> None:
        made = [
            boto3.client(name, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
            for name in ("sagemaker", "cloudwatch", "stepfunctions")
        ]
        self.clients = Clients(*made)
        self.sagemaker, self.cloudwatch, self.stepfunctions = (Stubber(client) for client in made)

    def listed(self, *names: str, running: bool = False) -> None:
        found = [
            {
                "EndpointName": name, "EndpointArn": f"{ARN}/{name}", "EndpointStatus": "InService",
                "CreationTime": NOW, "LastModifiedTime": NOW,
            }
            for name in names
        ]  # fmt: skip
        self.sagemaker.add_response("list_endpoints", {"Endpoints": found}, {"NameContains": "fmrec-"})
        execution = {
            "executionArn": EXECUTION,
            "stateMachineArn": MACHINE,
            "name": "r",
            "status": "RUNNING",
            "startDate": NOW,
        }
        self.stepfunctions.add_response(
            "list_executions",
            {"executions": [execution] if running else []},
            {"stateMachineArn": MACHINE, "statusFilter": "RUNNING", "maxResults": 1},
        )

    def described(
        self,
        name: str,
        hours: float,
        status: str = "InService",
        running: Any = INSTANCES,
        changed: float = -1,
    ) -> None:
        """An endpoint made so many hours ago, and changed so many."""
        self.sagemaker.add_response(
            "describe_endpoint",
            {
                "EndpointName": name, "EndpointArn": f"{ARN}/{name}", "EndpointConfigName": "c",
                "EndpointStatus": status, "CreationTime": NOW - timedelta(hours=hours),
                "LastModifiedTime": NOW - timedelta(hours=hours if changed < 0 else changed),
                "ProductionVariants": [{"VariantName": "AllTraffic", **running}],
            },
            {"EndpointName": name},
        )  # fmt: skip

    def called(self, name: str, times: int) -> None:
        self.cloudwatch.add_response(
            "get_metric_statistics",
            {"Datapoints": [{"Timestamp": NOW - timedelta(hours=1), "Sum": float(times)}]},
            {
                "Namespace": "AWS/SageMaker", "MetricName": "Invocations",
                "Dimensions": [
                    {"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"},
                ],
                "StartTime": NOW - timedelta(hours=12), "EndTime": NOW, "Period": 3600, "Statistics": ["Sum"],
            },
        )  # fmt: skip

    def deleted(self, name: str) -> None:
        self.sagemaker.add_response("delete_endpoint", {}, {"EndpointName": name})

    def guard(self, hours: float = 12) -> list[Verdict]:
        return delete_idle(self.clients, "fmrec", MACHINE, hours, NOW)


@pytest.fixture
def aws() -> Iterator[Stubbed]:
    stubbed = Stubbed()
    stubs = (stubbed.sagemaker, stubbed.cloudwatch, stubbed.stepfunctions)
    for stub in stubs:
        stub.activate()
    yield stubbed
    for stub in stubs:
        stub.assert_no_pending_responses()


def test_an_endpoint_without_a_call_is_deleted_and_one_with_calls_stays(aws: Stubbed) -> None:
    aws.listed("fmrec-knn", "fmrec-fm")
    aws.described("fmrec-fm", 13)
    aws.called("fmrec-fm", 3)
    aws.described("fmrec-knn", 13)
    aws.called("fmrec-knn", 0)
    aws.deleted("fmrec-knn")

    called, idle = aws.guard()
    assert called == Verdict("fmrec-fm", False, "fmrec-fm stays: 3 calls in 12 hours")
    assert (idle.name, idle.deleted) == ("fmrec-knn", True)
    assert idle.sentence == (
        "fmrec-knn is deleted: nobody has called it for 12 hours. The next run makes it again, or "
        "`fmrec endpoints --start fmrec-knn`"
    )


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ({"hours": 11.9}, "made or changed less than 12 hours ago"),
        ({"hours": 400, "changed": 1.0}, "made or changed less than 12 hours ago"),
        ({"hours": 400, "status": "Updating"}, "it is Updating"),
        ({"hours": 400, "running": SERVERLESS}, "it is serverless"),
    ],
)
def test_what_is_young_under_change_or_free_stays(aws: Stubbed, endpoint: dict[str, Any], why: str) -> None:
    aws.listed("fmrec-knn")
    aws.described("fmrec-knn", **endpoint)
    (verdict,) = aws.guard()
    assert not verdict.deleted
    assert why in verdict.sentence


def test_nothing_is_deleted_while_a_run_is_under_way(aws: Stubbed) -> None:
    aws.listed("fmrec-knn", running=True)
    assert aws.guard() == [Verdict("fmrec-knn", False, "fmrec-knn stays: a run is under way")]
