"""Endpoints in service: an update that alarms roll back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from fmrec.execution.state_machine import Execution

NAME = "fmrec-knn"
DIMENSIONS = [{"Name": "EndpointName", "Value": NAME}, {"Name": "VariantName", "Value": "AllTraffic"}]


def champion(pipeline: Any) -> Any:
    body = pipeline.cloud.client("s3").get_object(
        Bucket=pipeline.outputs["DataBucket"], Key="champion/model.json"
    )["Body"]
    return json.loads(body.read())


def described(pipeline: Any) -> dict[str, Any]:
    found: dict[str, Any] = pipeline.cloud.client("sagemaker").describe_endpoint(EndpointName=NAME)
    return found


def wait_for_status(pipeline: Any, status: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while described(pipeline)["EndpointStatus"] != status:
        assert time.monotonic() < deadline, f"{NAME} is not {status} within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def with_endpoint(pipeline: Any, encoded_run: str) -> dict[str, Any]:
    """The input of a run that makes or updates the endpoint."""
    from tests.workflow.conftest import SMALL_INPUT

    kept = {name: value for name, value in SMALL_INPUT.items() if name != "dataset"}
    return kept | {"encoded": encoded_run, "serving": {"recommendations_per_user": 5, "endpoint": True}}


@pytest.fixture(scope="module")
def served(pipeline: Any, with_endpoint: dict[str, Any]) -> Execution:
    """A run whose model the endpoint serves."""
    run: Execution = pipeline.run(with_endpoint)
    assert run.status == "SUCCEEDED", run.cause
    return run


def test_a_bad_update_is_rolled_back_by_its_alarm_and_the_champion_serves_on(
    pipeline: Any, served: Execution, with_endpoint: dict[str, Any]
) -> None:
    before, serving = champion(pipeline), described(pipeline)["EndpointConfigName"]
    assert (before["run"], serving) == (served.name, f"fmrec-{served.name}-endpoint-1")
    arn = pipeline.start(with_endpoint)
    wait_for_status(pipeline, "Updating")
    pipeline.cloud.client("cloudwatch").put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[{"MetricName": "Invocation5XXErrors", "Dimensions": DIMENSIONS, "Value": 1}],
    )
    run = pipeline.wait(arn)

    assert (run.status, run.error) == ("FAILED", "EndpointFailed")
    assert f"the endpoint {NAME} is InService with configuration {serving}" in str(run.cause)
    assert f"CloudWatch alarms FmRecPipeline-{NAME}-errors" in str(run.cause)
    found = described(pipeline)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", serving)
    assert champion(pipeline) == before
    answer = pipeline.cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=NAME, ContentType="text/csv", Body=b"0,0,0,0,0"
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
