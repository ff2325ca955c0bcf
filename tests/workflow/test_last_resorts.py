"""Refused instances through the deployed workflow: each run succeeds or ends in the right sentence.

The machine is the deployed one with other last resorts, and all runs train on what the first has
encoded: encoding knows nothing of instances, and these tests shall be quick.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fmrec.execution.step_functions import Execution, start
from fmrec.instances.catalogue import catalogue
from tests.workflow.conftest import SMALL_INPUT, ended, entered, wait_for_event
from tests.workflow.variants import Variants

WITHOUT_ENDPOINT = {"recommendations_per_user": 5, "endpoint": False}
WITH_ENDPOINT = {"recommendations_per_user": 5, "endpoint": True}

TRAINING, TRANSFORM, ENDPOINT = "for training job usage", "for transform job usage", "for endpoint usage"
ACROSS_TRAINING = "Number of instances across all training jobs"
MANY = 20.0


def quotas(use: str, value: float, family: str = "") -> dict[str, float]:
    """The same value for every type's quota for a use, or for those of one family."""
    return {f"{kind.name} {use}": value for kind in catalogue() if family in kind.name}


PLENTY = {
    **quotas(TRAINING, MANY),
    **quotas(TRANSFORM, MANY),
    **quotas(ENDPOINT, MANY),
    ACROSS_TRAINING: MANY,
    "Number of instances across all transform jobs": MANY,
    "Number of instances across active endpoints": MANY,
    "Maximum number of instances per endpoint": MANY,
    "Maximum number of instances per training job": MANY,
}


class Machine:
    """Variants of the deployed state machine, run on data that is encoded already."""

    def __init__(self, pipeline: Any, encoded: str) -> None:
        self.pipeline = pipeline
        self.states = pipeline.cloud.client("stepfunctions")
        self.s3 = pipeline.cloud.client("s3")
        self.bucket = pipeline.outputs["DataBucket"]
        self.variants = Variants(pipeline)
        self.encoded = encoded

    def read(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def start(
        self,
        last_resort: dict[str, Any] | None = None,
        serving: dict[str, Any] = WITHOUT_ENDPOINT,
        encoded: str | None = None,
    ) -> str:
        """Start an execution under these last resorts and return its ARN."""
        # What the account has is kept for a while, and each test has another account.
        self.s3.delete_object(Bucket=self.bucket, Key="cache/account.json")
        given = {
            "encoded": encoded or self.encoded,
            "hyperparameters": SMALL_INPUT["hyperparameters"],
            "serving": serving,
        }
        self.variants.use({"instances": {"last_resort": last_resort or {}}})
        return start(self.states, self.variants.arn, given, f"resort-{uuid.uuid4().hex[:8]}")

    def encoded_copy(self, change_manifest: Callable[[dict[str, Any]], None]) -> str:
        """Copy what is encoded under another name, with another manifest."""
        name, prefix = f"copy-{uuid.uuid4().hex[:8]}", f"encoded/{self.encoded}/"
        for item in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)["Contents"]:
            body, key = self.read(item["Key"]), item["Key"].removeprefix(prefix)
            if key == "manifest.json":
                manifest = json.loads(body)
                change_manifest(manifest)
                body = json.dumps(manifest).encode()
            self.s3.put_object(Bucket=self.bucket, Key=f"encoded/{name}/{key}", Body=body)
        return name

    def run(self, *arguments: Any, **options: Any) -> Execution:
        return ended(self.states, self.start(*arguments, **options))

    def report(self, run: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.read(f"runs/{run}/report.json"))
        return document


@pytest.fixture(scope="module")
def machine(pipeline: Any, encoded_run: str) -> Iterator[Machine]:
    """The machine; afterwards quotas are as plentiful as before."""
    before = pipeline.control("quotas")
    machine = Machine(pipeline, encoded_run)
    yield machine
    machine.variants.restore()
    pipeline.control("quotas", before)


@pytest.fixture(autouse=True)
def _account(pipeline: Any) -> Iterator[None]:
    """An account with plenty of everything, and no endpoint left by an earlier test."""
    sagemaker = pipeline.cloud.client("sagemaker")
    pipeline.control("quotas", PLENTY)
    yield
    pipeline.control("faults", {})
    for endpoint in sagemaker.list_endpoints()["Endpoints"]:
        sagemaker.delete_endpoint(EndpointName=endpoint["EndpointName"])
    while sagemaker.list_endpoints()["Endpoints"]:
        time.sleep(0.1)


def visited(run: Execution) -> list[str]:
    return [state.name for state in run.states]


def test_types_of_a_family_without_quota_are_passed_over(machine: Machine) -> None:
    machine.pipeline.control("quotas", PLENTY | quotas(TRAINING, 0, "ml.m5."))
    run = machine.run()

    assert run.status == "SUCCEEDED", run.cause
    report = machine.report(run.name)
    assert not report["chosen"]["fm_training"]["instance_type"].startswith("ml.m5.")
    assert report["chosen"]["batch_transform"]["instance_type"].startswith("ml.m5.")
    assert report["refusals"] == []
    rejected = {r["instance_type"]: r["why"] for r in report["plan"]["steps"]["fm_training"]["rejected"]}
    assert f"ml.m5.large {TRAINING}" in rejected["ml.m5.large"]


def test_quotas_that_nobody_may_read_are_found_out_by_trying(machine: Machine) -> None:
    machine.pipeline.control("quotas", PLENTY | {f"ml.m5.large {TRAINING}": 0})
    machine.pipeline.control("faults", {"denied": ["service-quotas", "pricing"]})
    run = machine.run()

    assert run.status == "SUCCEEDED", run.cause
    report = machine.report(run.name)
    refused = {(refusal["step"], refusal["instance_type"]) for refusal in report["refusals"]}
    assert refused == {("fm_training", "ml.m5.large"), ("knn_training", "ml.m5.large")}
    assert "is 0 Instances" in report["refusals"][0]["cause"]
    assert any("quotas" in note for note in report["plan"]["notes"])


def test_missing_capacity_moves_on_twice(machine: Machine) -> None:
    usual = machine.report(machine.encoded)["plan"]["steps"]["fm_training"]["candidates"]
    missing = [candidate["instance_type"] for candidate in usual[:2]]
    machine.pipeline.control("faults", {"capacity_missing": missing})
    run = machine.run()

    assert run.status == "SUCCEEDED", run.cause
    report = machine.report(run.name)
    refused = [r["instance_type"] for r in report["refusals"] if r["step"] == "fm_training"]
    assert refused == missing
    candidates = [kind["instance_type"] for kind in report["plan"]["steps"]["fm_training"]["candidates"]]
    assert [*missing, report["chosen"]["fm_training"]["instance_type"]] == candidates[:3]


def test_throttling_for_a_while_is_sat_out(machine: Machine) -> None:
    machine.pipeline.control("faults", {"throttle_until": time.time() + 4})
    run = machine.run()

    assert run.status == "SUCCEEDED", run.cause


def test_no_quota_for_transform_ends_with_what_to_ask_for(machine: Machine) -> None:
    machine.pipeline.control("quotas", PLENTY | quotas(TRANSFORM, 0))
    run = machine.run()

    assert (run.status, run.error) == ("FAILED", "NoInstanceLeft")
    assert run.cause is not None
    assert f"ml.m5.large {TRANSFORM}" in run.cause
    assert "aws service-quotas request-service-quota-increase" in run.cause
    assert "console.aws.amazon.com/servicequotas" in run.cause


def test_a_manifest_too_large_for_every_type_says_which_number_to_lower(machine: Machine) -> None:
    def grow(manifest: dict[str, Any]) -> None:
        manifest["feature_dim"] = 10**12
        manifest["ranges"]["more"] = [max(end for _, end in manifest["ranges"].values()), 10**12]

    run = machine.run(encoded=machine.encoded_copy(grow))

    assert run.status == "FAILED"
    assert "num_factors" in str(run.cause)
    assert "Train the factorization machine" not in visited(run)


def test_waiting_for_a_quota_that_another_job_uses_ends_when_it_ends(machine: Machine) -> None:
    pipeline = machine.pipeline
    pipeline.control("quotas", PLENTY | {ACROSS_TRAINING: 1})
    sagemaker = pipeline.cloud.client("sagemaker")
    jobs = sagemaker.list_training_jobs(NameContains="-fm-")["TrainingJobSummaries"]
    example = sagemaker.describe_training_job(TrainingJobName=jobs[0]["TrainingJobName"])
    request = {
        key: example[key]
        for key in (
            *("AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig"),
            *("ResourceConfig", "StoppingCondition", "HyperParameters"),
        )
    }
    request["AlgorithmSpecification"] = {
        key: request["AlgorithmSpecification"][key] for key in ("TrainingImage", "TrainingInputMode")
    }
    request["HyperParameters"] = request["HyperParameters"] | {"epochs": "1000000"}
    name = f"other-{uuid.uuid4().hex[:8]}"
    sagemaker.create_training_job(TrainingJobName=name, **request)
    arn = machine.start({"training": "wait"})
    wait_for_event(pipeline, arn, entered("Wait for an instance for FM training"))
    sagemaker.stop_training_job(TrainingJobName=name)
    run = ended(machine.states, arn)

    assert run.status == "SUCCEEDED", run.cause


@pytest.mark.parametrize("resort", ["fail", "wait"])
def test_no_quota_for_an_endpoint_fails_where_waiting_can_not_help(machine: Machine, resort: str) -> None:
    machine.pipeline.control("quotas", PLENTY | quotas(ENDPOINT, 0))
    run = machine.run({"endpoint": resort}, WITH_ENDPOINT)

    assert (run.status, run.error) == ("FAILED", "NoInstanceLeft")
    assert f"ml.m5.large {ENDPOINT}" in str(run.cause)
    assert not [name for name in visited(run) if name.startswith("Wait for an instance")]
    # What was published stays published.
    assert "Publish the recommendations" in visited(run)


def test_no_quota_for_an_endpoint_becomes_serverless(machine: Machine) -> None:
    machine.pipeline.control("quotas", PLENTY | quotas(ENDPOINT, 0))
    run = machine.run({"endpoint": "serverless"}, WITH_ENDPOINT)

    assert run.status == "SUCCEEDED", run.cause
    endpoint = machine.report(run.name)["endpoint"]
    assert (endpoint["status"], endpoint["instance_type"]) == ("InService", "serverless")
    assert endpoint["answer"]["passed"] is True


def test_no_quota_for_an_endpoint_leaves_batch_only(machine: Machine) -> None:
    machine.pipeline.control("quotas", PLENTY | quotas(ENDPOINT, 0))
    run = machine.run({"endpoint": "batch-only"}, WITH_ENDPOINT)

    assert run.status == "SUCCEEDED", run.cause
    assert machine.report(run.name)["endpoint"]["status"] == "BatchOnly"


def test_an_endpoint_without_capacity_takes_the_next_type_and_a_later_run_updates_it(
    machine: Machine,
) -> None:
    machine.pipeline.control("faults", {"capacity_missing": ["ml.m5.large"]})
    run = machine.run(None, WITH_ENDPOINT)

    assert run.status == "SUCCEEDED", run.cause
    assert machine.report(run.name)["endpoint"]["instance_type"] != "ml.m5.large"
    assert "Delete the failed endpoint" in visited(run)
    again = machine.run(None, WITH_ENDPOINT)
    assert again.status == "SUCCEEDED", again.cause
    assert "Update the endpoint" in visited(again)
