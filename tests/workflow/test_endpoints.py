"""Endpoints in service: capacity that updates keep, alarms that roll back, idle ones that go and come, and
ones without instances.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fmrec.cli import main
from fmrec.execution.step_functions import Execution
from fmrec.operation import revival
from fmrec.storage import s3_client
from tests.workflow.variants import Variants

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


def scaling(pipeline: Any) -> list[tuple[str, int, int, float]]:
    """(resource, minimum, maximum, target) of what Application Auto Scaling scales."""
    client = pipeline.cloud.client("application-autoscaling")
    policies = {
        policy["ResourceId"]: policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
        for policy in client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    }
    return [
        (
            target["ResourceId"],
            target["MinCapacity"],
            target["MaxCapacity"],
            policies[target["ResourceId"]],
        )
        for target in client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        if target["ResourceId"].startswith(f"endpoint/{NAME}/")
    ]


REGISTERED = [(f"endpoint/{NAME}/variant/AllTraffic", 1, 2, 600.0)]


def answers(pipeline: Any) -> bool:
    answer = pipeline.cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=NAME, ContentType="text/csv", Body=b"0,0,0,0,0"
    )
    return bool(answer["ResponseMetadata"]["HTTPStatusCode"] == 200)


def neighbours(pipeline: Any) -> int:
    """How many the endpoint answers with."""
    answer = pipeline.cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=NAME,
        ContentType="text/csv",
        Accept="application/json; verbose=true",
        Body=b"0,0,0,0,0",
    )
    (prediction,) = json.loads(answer["Body"].read())["predictions"]
    return len(prediction["labels"])


def resize(pipeline: Any, instances: int) -> None:
    """Give the endpoint so many instances, as Application Auto Scaling does."""
    pipeline.cloud.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=NAME,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": instances}],
    )


def wait_for_status(pipeline: Any, status: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while described(pipeline)["EndpointStatus"] != status:
        assert time.monotonic() < deadline, f"{NAME} is not {status} within {seconds} s"
        time.sleep(0.2)


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
    sagemaker = pipeline.cloud.client("sagemaker")
    before, serving = champion(pipeline), described(pipeline)["EndpointConfigName"]
    assert (before["run"], serving) == (served.name, f"fmrec-{served.name}-endpoint-1")
    assert scaling(pipeline) == REGISTERED
    resize(pipeline, 2)
    arn = pipeline.start(with_endpoint)
    wait_for_status(pipeline, "Updating")
    pipeline.cloud.client("cloudwatch").put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[
            {
                "MetricName": "Invocation5XXErrors",
                "Dimensions": DIMENSIONS,
                "Value": 1,
                # It is over for the alarm in ten seconds, so that no later update is rolled back.
                "Timestamp": datetime.now(UTC) - timedelta(seconds=50),
            }
        ],
    )
    run = pipeline.wait(arn)

    assert (run.status, run.error) == ("FAILED", "EndpointFailed")
    assert f"the endpoint {NAME} is InService with configuration {serving}" in str(run.cause)
    assert f"CloudWatch alarms FmRecPipeline-{NAME}-errors" in str(run.cause)
    found = described(pipeline)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", serving)
    assert champion(pipeline) == before
    assert answers(pipeline)
    # The new model was to start on as many instances as the old one had scaled to, which scales on.
    refused = sagemaker.describe_endpoint_config(EndpointConfigName=f"fmrec-{run.name}-endpoint-1")
    assert refused["ProductionVariants"][0]["InitialInstanceCount"] == 2
    assert found["ProductionVariants"][0]["DesiredInstanceCount"] == 2
    assert scaling(pipeline) == REGISTERED


@pytest.fixture
def command(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line finds the local cloud in its environment."""
    for name, value in pipeline.cloud.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(revival, "POLL_SECONDS", 1)
    s3_client.forget_client()
    yield
    s3_client.forget_client()


def guard(pipeline: Any, hours: float) -> dict[str, str]:
    """What the idle guard says, by endpoint; deleted endpoints are gone."""
    answer = pipeline.cloud.client("lambda").invoke(
        FunctionName=pipeline.outputs["IdleGuardFunction"], Payload=json.dumps({"idle_hours": hours})
    )
    document = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, document
    sagemaker = pipeline.cloud.client("sagemaker")
    while set(document["deleted"]) & {
        each["EndpointName"] for each in sagemaker.list_endpoints()["Endpoints"]
    }:
        time.sleep(0.05)
    return {sentence.partition(" ")[0]: sentence for sentence in document["sentences"]}


def idle(pipeline: Any) -> str:
    """What the guard says of the endpoint when nobody has called it for long enough."""
    time.sleep(2)
    return guard(pipeline, 1.5 / 3600)[NAME]


@pytest.mark.usefixtures("command")
def test_an_idle_endpoint_goes_and_comes_back_on_request_and_by_the_next_run(
    pipeline: Any,
    served: Execution,
    with_endpoint: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    sagemaker = pipeline.cloud.client("sagemaker")
    config = described(pipeline)["EndpointConfigName"]

    assert answers(pipeline)
    assert "less than 1 hours ago" in guard(pipeline, 1)[NAME]
    assert answers(pipeline)
    assert f"{NAME} is deleted: nobody has called it" in idle(pipeline)
    assert scaling(pipeline) == []

    assert main(["endpoints", "--start", NAME]) == 0
    assert f"{NAME} is in service, with the configuration {config}" in capsys.readouterr().out
    assert (described(pipeline)["EndpointStatus"], answers(pipeline)) == ("InService", True)
    assert described(pipeline)["EndpointConfigName"] == config
    assert scaling(pipeline) == REGISTERED
    tags = sagemaker.list_tags(ResourceArn=described(pipeline)["EndpointArn"])["Tags"]
    assert {"Key": "fmrec:run", "Value": served.name} in tags

    assert "is deleted" in idle(pipeline)
    run = pipeline.run(with_endpoint)
    assert run.status == "SUCCEEDED", run.cause
    assert described(pipeline)["EndpointConfigName"] == f"fmrec-{run.name}-endpoint-1"
    assert scaling(pipeline) == REGISTERED


@pytest.mark.usefixtures("served", "command")
def test_an_endpoint_becomes_serverless_and_has_instances_again_by_the_next_run(
    pipeline: Any, with_endpoint: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    serving = with_endpoint["serving"] | {"serverless": {"memory_mb": 1024, "maximum_concurrency": 3}}
    assert scaling(pipeline) == REGISTERED
    run = pipeline.run(with_endpoint | {"serving": serving})
    assert run.status == "SUCCEEDED", run.cause

    found = described(pipeline)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == (
        "InService",
        f"fmrec-{run.name}-serverless-1",
    )
    (variant,) = found["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 3}
    assert (answers(pipeline), scaling(pipeline)) == (True, [])
    assert "costs nothing while nobody calls" in idle(pipeline)
    assert main(["endpoints"]) == 0
    (line,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith(NAME))
    assert "serverless, 1024 MB" in line
    assert line.endswith("by the call")
    main(["status"])
    assert f"endpoint   {NAME}: InService, serverless, 1024 MB" in capsys.readouterr().out

    again = pipeline.run(with_endpoint)
    assert again.status == "SUCCEEDED", again.cause
    found = described(pipeline)
    assert (found["EndpointConfigName"], answers(pipeline)) == (f"fmrec-{again.name}-endpoint-1", True)
    assert found["ProductionVariants"][0]["DesiredInstanceCount"] == 1
    assert scaling(pipeline) == REGISTERED


@pytest.mark.parametrize("traffic", ["canary", "linear"])
@pytest.mark.usefixtures("served")
def test_requests_move_to_the_new_model_in_parts(
    pipeline: Any, with_endpoint: dict[str, Any], traffic: str
) -> None:
    variants, before = Variants(pipeline), neighbours(pipeline)
    after = before - 1
    resize(pipeline, 2)
    update = {"traffic": traffic, "step_percent": 50, "bake_minutes": 1}
    variants.use({"serving": {"update": update, "scaling": {"maximum_instances": 2}}})
    serving = with_endpoint["serving"] | {"neighbours": after}
    answered: list[int] = []
    try:
        # The definition is read some time after the start, so it stays until the end.
        arn = pipeline.start(with_endpoint | {"serving": serving})
        wait_for_status(pipeline, "Updating")
        while described(pipeline)["EndpointStatus"] == "Updating":
            answered.append(neighbours(pipeline))
            time.sleep(0.1)
        run = pipeline.wait(arn)
    finally:
        variants.restore()

    assert run.status == "SUCCEEDED", run.cause
    found = described(pipeline)
    assert found["EndpointConfigName"] == f"fmrec-{run.name}-endpoint-1"
    assert found["ProductionVariants"][0]["DesiredInstanceCount"] == 2
    size = {"canary": "CanarySize", "linear": "LinearStepSize"}[traffic]
    policy = found["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {
        "Type": traffic.upper(),
        "WaitIntervalInSeconds": 60,
        size: {"Type": "INSTANCE_COUNT", "Value": 1},
    }
    # While requests moved both models answered, afterwards the new one alone.
    moving = answered[answered.index(after) : len(answered) - answered[::-1].index(before)]
    assert set(moving) == {before, after}
    assert [neighbours(pipeline) for _ in range(10)] == [after] * 10
    resize(pipeline, 1)
