"""What an account allows decides which instances a run gets; a run ends in success or in the right sentence.

Runs begin at what one run has encoded. A second deployment beside the first, limited to one family and
told to wait for its endpoint, shares the account and its quotas with it. `test_last_resorts` has the other
scenarios, each with settings of its own.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import cloud as local
from fmrec.execution.step_functions import Execution, stack_outputs
from fmrec.instances.catalogue import catalogue
from tests.workflow.conftest import DEPLOY, entered, wait_for_event

TRAINING = "for training job usage"
ACROSS_ENDPOINTS = "Number of instances across active endpoints"
SECONDS_OF_A_MINUTE = 3
"""The local cloud makes waits and the pauses between attempts 20 times as short; so is trouble here."""


@pytest.fixture(scope="module")
def plenty(pipeline: Any) -> dict[str, float]:
    """The quotas of an account with enough of everything."""
    quotas: dict[str, float] = pipeline.control("quotas")
    return quotas


@pytest.fixture(autouse=True)
def _account(pipeline: Any, plenty: dict[str, float]) -> Iterator[None]:
    """The account as it was before, after each test."""
    yield
    pipeline.control("quotas", plenty)
    pipeline.control("faults", {})
    sagemaker = pipeline.cloud.client("sagemaker")
    for endpoint in sagemaker.list_endpoints()["Endpoints"]:
        sagemaker.delete_endpoint(EndpointName=endpoint["EndpointName"])
    while sagemaker.list_endpoints()["Endpoints"]:
        time.sleep(0.1)


@pytest.fixture(scope="module")
def other(pipeline: Any, encoded_run: str, assemblies: Path) -> Any:
    """A second deployment in the same account: m5 only, and waiting where the endpoint has no instance."""
    local.cdk(pipeline.cloud, *DEPLOY, "--app", str(assemblies / "other"), on_line=lambda _line: None)
    cloudformation = pipeline.cloud.client("cloudformation")
    outputs = stack_outputs(cloudformation, "OtherStorage") | stack_outputs(cloudformation, "OtherPipeline")
    s3 = pipeline.cloud.client("s3")
    bucket = pipeline.outputs["DataBucket"]
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"encoded/{encoded_run}/")["Contents"]:
        body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        s3.put_object(Bucket=outputs["DataBucket"], Key=entry["Key"], Body=body)
    return type(pipeline)(pipeline.cloud, outputs)


@pytest.fixture
def occupied(pipeline: Any, plenty: dict[str, float], encoded_run: str) -> str:
    """The name of somebody's endpoint that uses all the account may have."""
    sagemaker = pipeline.cloud.client("sagemaker")
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": f"fmrec-{encoded_run}-knn",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    name = f"somebodys-{uuid.uuid4().hex[:8]}"
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    pipeline.control("quotas", plenty | {ACROSS_ENDPOINTS: 1})
    return name


def start(deployed: Any, execution_input: dict[str, Any]) -> str:
    """Start a run that looks at the account anew: what was read is kept for a quarter of an hour."""
    deployed.cloud.client("s3").delete_object(Bucket=deployed.outputs["DataBucket"], Key="cache/account.json")
    arn: str = deployed.start(execution_input)
    return arn


def run(deployed: Any, execution_input: dict[str, Any]) -> Execution:
    execution: Execution = deployed.wait(start(deployed, execution_input))
    return execution


def report(deployed: Any, execution: Execution) -> dict[str, Any]:
    assert execution.status == "SUCCEEDED", execution.cause
    stored = deployed.cloud.client("s3").get_object(
        Bucket=deployed.outputs["DataBucket"], Key=f"runs/{execution.name}/report.json"
    )
    document: dict[str, Any] = json.loads(stored["Body"].read())
    return document


def visited(execution: Execution) -> list[str]:
    return [state.name for state in execution.states]


def throttled(event: dict[str, Any]) -> bool:
    return "Rate exceeded" in event.get("taskFailedEventDetails", {}).get("cause", "")


def with_endpoint(execution_input: dict[str, Any]) -> dict[str, Any]:
    return execution_input | {"serving": execution_input["serving"] | {"endpoint": True}}


def test_an_account_with_enough_of_everything_gives_each_step_its_first_choice(
    pipeline: Any, encoded_input: dict[str, Any]
) -> None:
    written = report(pipeline, run(pipeline, with_endpoint(encoded_input)))

    assert written["refusals"] == []
    steps = {name: step for name, step in written["plan"]["steps"].items() if step["needed"]}
    assert written["chosen"] == {name: step["candidates"][0] for name, step in steps.items()}
    assert {chosen["instance_type"] for chosen in written["chosen"].values()} == {"ml.m5.large"}
    assert written["endpoint"]["status"] == "InService"
    assert written["endpoint"]["answer"]["passed"] is True


def test_quotas_that_nobody_may_read_are_unknown_and_stop_nothing(
    pipeline: Any, encoded_input: dict[str, Any]
) -> None:
    pipeline.control("faults", {"denied": ["service-quotas"]})
    written = report(pipeline, run(pipeline, encoded_input))

    assert written["refusals"] == []
    assert {chosen["instance_type"] for chosen in written["chosen"].values()} == {"ml.m5.large"}
    assert "quota unknown" in written["chosen"]["fm_training"]["why"]
    assert written["plan"]["cost"]["prices"]["instances"].startswith("Pricing API")


def test_prices_that_nobody_may_read_come_from_the_table_and_it_says_so(
    pipeline: Any, encoded_input: dict[str, Any]
) -> None:
    pipeline.control("faults", {"denied": ["pricing"]})
    written = report(pipeline, run(pipeline, encoded_input))

    assert written["refusals"] == []
    assert written["plan"]["cost"]["prices"]["instances"].startswith("built-in table")
    assert written["chosen"]["fm_training"]["usd_per_hour"] == pytest.approx(0.115)
    assert "quota unknown" not in written["chosen"]["fm_training"]["why"]


def test_a_minute_of_throttling_between_two_steps_is_sat_out(
    pipeline: Any, encoded_input: dict[str, Any]
) -> None:
    arn = start(pipeline, encoded_input)
    wait_for_event(pipeline, arn, entered("Train the factorization machine"))
    pipeline.control("faults", {"throttle_until": time.time() + 600})
    wait_for_event(pipeline, arn, throttled)
    pipeline.control("faults", {"throttle_until": time.time() + SECONDS_OF_A_MINUTE})
    execution = pipeline.wait(arn)

    # Repeating is no refusal: the same instance, under the same name.
    assert report(pipeline, execution)["refusals"] == []


def test_a_training_that_dies_of_memory_is_not_tried_elsewhere_and_says_what_to_change(
    pipeline: Any, encoded_input: dict[str, Any]
) -> None:
    pipeline.control("faults", {"memory_limit_gib": {"ml.m5.large": 0.01}})
    execution = run(pipeline, encoded_input)

    assert (execution.status, execution.error) == ("FAILED", "OutOfMemory")
    assert "instances.policy.memory_safety_factor" in str(execution.cause)
    assert visited(execution).count("Train the factorization machine") == 1


def test_without_quota_for_the_only_family_allowed_the_sentence_says_what_to_ask_for(
    other: Any, plenty: dict[str, float], encoded_input: dict[str, Any]
) -> None:
    none = {f"{kind.name} {TRAINING}": 0 for kind in catalogue() if kind.name.startswith("ml.m5.")}
    other.control("quotas", plenty | none)
    execution = run(other, encoded_input)

    assert (execution.status, execution.error) == ("FAILED", "NoInstanceLeft")
    cause = str(execution.cause)
    assert f"'ml.m5.large {TRAINING}' is 0" in cause
    assert (
        "aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code L-" in cause
    )
    assert "console.aws.amazon.com/servicequotas" in cause
    assert "Train the factorization machine" not in visited(execution)


def test_an_endpoint_waits_for_instances_that_another_endpoint_uses_and_then_starts(
    other: Any, occupied: str, encoded_input: dict[str, Any]
) -> None:
    arn = start(other, with_endpoint(encoded_input))
    wait_for_event(other, arn, entered("Wait for an instance for the endpoint"))
    other.cloud.client("sagemaker").delete_endpoint(EndpointName=occupied)
    execution = other.wait(arn)

    written = report(other, execution)
    assert written["endpoint"]["name"] == "other-knn"
    assert written["endpoint"]["status"] == "InService"
    assert "Choose instances again for the endpoint" in visited(execution)


@pytest.mark.usefixtures("occupied")
def test_waiting_for_an_endpoint_ends_with_the_quota_to_ask_for(
    other: Any, encoded_input: dict[str, Any]
) -> None:
    execution = run(other, with_endpoint(encoded_input))

    assert (execution.status, execution.error) == ("FAILED", "NoInstanceLeft")
    assert visited(execution).count("Wait for an instance for the endpoint") == 2
    assert ACROSS_ENDPOINTS in str(execution.cause)
    assert "aws service-quotas request-service-quota-increase" in str(execution.cause)
    # What was published stays published.
    assert "Publish the recommendations" in visited(execution)
