"""Endpoints that scale: registered when in service, deregistered for an update, capacity kept."""

import json
from typing import Any

import pytest

from fmrec.errors import SettingsError
from stacks.settings import Settings, from_context
from stacks.workflow import definition as workflow_definition
from tests.infra.paths.test_endpoint import calls, quota_refusal

SETTINGS = {"minimum_instances": 2, "maximum_instances": 6, "invocations_per_instance": 90}
DEREGISTER, UPDATE = "Deregister the endpoint from scaling", "Update the endpoint"
REGISTER, POLICY = "Register the endpoint for scaling", "Set the endpoint's scaling policy"
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/fmrec-knn/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.fixture
def scaled(machine: Any, answers: Any, endpoint: Any, planned: Any) -> Any:
    """Run the definition of an endpoint that scales; `running` is how many instances it has now."""

    def start(running: int = 0, most: int = 6, fewer: bool = False, **changed: Any) -> Any:
        endpoint.update(status="InService" if running else None, config="old" if running else None)
        plan = planned()
        for candidate in plan["Payload"]["steps"]["knn_endpoint"]["candidates"]:
            candidate |= {"instance_count": 2, "maximum_instances": most, "fewer_than_before": fewer}
        look = answers["Look up the endpoint"]

        def see(arguments: Any) -> Any:
            variants = [{"VariantName": "AllTraffic", "DesiredInstanceCount": running}]
            return look(arguments) | {"ProductionVariants": variants}

        settings = Settings.model_validate({"serving": {"scaling": SETTINGS}})
        started = machine(
            workflow_definition(settings),
            {**answers, "Choose instances": lambda a: plan, "Look up the endpoint": see, **changed},
        )
        return started, started.run({})

    return start


def order(started: Any, *states: str) -> list[str]:
    return [state for state in started.visited if state in states]


def configured(started: Any) -> list[int]:
    return [
        arguments["ProductionVariants"][0]["InitialInstanceCount"]
        for arguments in calls(started, "Configure the endpoint")
    ]


def test_a_new_endpoint_is_registered_when_it_is_in_service(scaled: Any) -> None:
    started, (status, output) = scaled()

    assert status == "SUCCEEDED"
    assert order(started, DEREGISTER, REGISTER, POLICY, "Smoke-test the endpoint") == [
        REGISTER,
        POLICY,
        "Smoke-test the endpoint",
    ]
    assert calls(started, REGISTER) == [TARGET | {"MinCapacity": 2, "MaxCapacity": 6}]
    (policy,) = calls(started, POLICY)
    assert policy == TARGET | {
        "PolicyName": "calls-per-instance",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 90.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
        },
    }
    assert output["endpoint"]["instance_count"] == 2
    # For who brings the endpoint back (`fmrec.operation.revival`).
    assert output["endpoint"]["scaling"] == {
        "variant": "AllTraffic",
        "minimum_instances": 2,
        "maximum_instances": 6,
        "policy": {name: value for name, value in policy.items() if name not in TARGET},
    }
    chosen = [arguments["Payload"]["serving"] for arguments in calls(started, "Choose instances")]
    assert [each["scaling"] for each in chosen] == [{"minimum_instances": 2, "maximum_instances": 6}]


@pytest.mark.parametrize(
    ("running", "most", "fewer", "starts"),
    [(1, 6, False, 2), (5, 6, False, 5), (9, 6, False, 6), (5, 3, False, 3), (5, 6, True, 2)],
)
def test_an_update_keeps_the_instances_that_run_within_what_the_plan_allows(
    scaled: Any, running: int, most: int, fewer: bool, starts: int
) -> None:
    started, (status, output) = scaled(running, most, fewer)

    assert status == "SUCCEEDED"
    assert configured(started) == [starts]
    assert output["endpoint"]["instance_count"] == starts
    assert order(started, DEREGISTER, UPDATE, REGISTER, POLICY) == [DEREGISTER, UPDATE, REGISTER, POLICY]
    assert calls(started, DEREGISTER) == [TARGET]
    assert calls(started, REGISTER)[0]["MaxCapacity"] == most


def test_an_endpoint_that_was_not_registered_is_updated_all_the_same(scaled: Any, task_error: Any) -> None:
    def missing(arguments: Any) -> Any:
        raise task_error("ApplicationAutoScaling.ObjectNotFoundException", "No scalable target found")

    started, (status, _) = scaled(2, **{DEREGISTER: missing})
    assert status == "SUCCEEDED"
    assert UPDATE in started.visited


def test_an_update_that_is_rolled_back_scales_again_before_the_run_fails(scaled: Any) -> None:
    def see(arguments: Any) -> Any:
        return {"EndpointStatus": "InService", "EndpointConfigName": "old", "FailureReason": "alarms"}

    started, (status, output) = scaled(3, **{"Check the endpoint status": see})
    assert status == "FAILED"
    assert "alarms" in json.loads(output["Cause"])["error"]["Cause"]
    assert order(started, DEREGISTER, REGISTER, POLICY) == [DEREGISTER, REGISTER, POLICY]


def test_an_update_that_a_quota_refuses_scales_again_before_the_next_candidate(
    scaled: Any, answers: Any, task_error: Any
) -> None:
    tried: list[str] = []

    def refuse_once(arguments: Any) -> Any:
        tried.append(arguments["EndpointConfigName"])
        if len(tried) == 1:
            raise quota_refusal(task_error, "ml.m5.large for endpoint usage")
        return answers[UPDATE](arguments)

    started, (status, output) = scaled(3, **{UPDATE: refuse_once})
    assert status == "SUCCEEDED"
    assert order(started, DEREGISTER, UPDATE, REGISTER) == [DEREGISTER, UPDATE, REGISTER] * 2
    assert output["endpoint"]["instance_type"] == "ml.m5.xlarge"
    assert configured(started) == [3, 3]


def test_without_the_setting_nothing_is_registered_and_what_was_is_ended(run: Any) -> None:
    started, (status, _) = run({}, status="InService")
    assert status == "SUCCEEDED"
    assert order(started, DEREGISTER, UPDATE, REGISTER) == [DEREGISTER, UPDATE]
    assert configured(started) == [1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"minimum_instances": 5, "maximum_instances": 2}, "serving.scaling has 5 to 2 instances"),
        ({"minimum_instances": 0}, "serving.scaling.minimum_instances is 0"),
        ({"invocations_per_instance": 0}, "serving.scaling.invocations_per_instance is 0"),
    ],
)
def test_limits_of_scaling_are_checked_at_synth(wrong: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        from_context({"fmrec": {"serving": {"scaling": wrong}}})
