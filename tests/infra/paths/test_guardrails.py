"""Updates of endpoints: blue/green, in parts where there are several instances, rolled back by alarms."""

import json
from typing import Any

import pytest

from stacks.settings import Settings
from stacks.workflow import definition as workflow_definition

ALARMS = {
    "AutoRollbackConfiguration": {
        "Alarms": [
            {"AlarmName": "FmRecPipeline-fmrec-knn-errors"},
            {"AlarmName": "FmRecPipeline-fmrec-knn-latency"},
        ]
    }
}


def update(started: Any, state: str = "Update the endpoint") -> Any:
    (arguments,) = (arguments for name, arguments in started.calls if name == state)
    return arguments


def test_an_update_moves_all_requests_at_once_and_is_watched_for_five_minutes(run: Any) -> None:
    started, (status, _) = run({}, status="InService")

    assert status == "SUCCEEDED"
    assert update(started)["DeploymentConfig"] == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
            "TerminationWaitInSeconds": 300,
            "MaximumExecutionTimeoutInSeconds": 28800,
        },
        **ALARMS,
    }


@pytest.mark.parametrize(
    ("traffic", "kind", "size"), [("canary", "CANARY", "CanarySize"), ("linear", "LINEAR", "LinearStepSize")]
)
@pytest.mark.parametrize(("instances", "part"), [(1, None), (2, 1), (8, 2)])
def test_requests_move_in_parts_where_a_part_is_an_integer_of_at_most_half_the_instances(
    machine: Any, answers: Any, endpoint: Any, planned: Any, traffic: str, kind: str, size: str, instances: int, part: Any
) -> None:  # fmt: skip
    endpoint.update(status="InService", config="old")
    plan = planned()
    for candidate in plan["Payload"]["steps"]["knn_endpoint"]["candidates"]:
        candidate["instance_count"] = instances
    settings = Settings.model_validate({"serving": {"update": {"traffic": traffic, "bake_minutes": 2}}})
    started = machine(workflow_definition(settings), {**answers, "Choose instances": lambda a: plan})
    assert started.run({})[0] == "SUCCEEDED"
    routing = update(started)["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    if part is None:
        assert routing == {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    else:
        assert routing == {
            "Type": kind,
            "WaitIntervalInSeconds": 120,
            size: {"Type": "INSTANCE_COUNT", "Value": part},
        }


def test_endpoints_of_other_data_sets_and_of_deployments_without_one_have_no_alarms_to_name(
    run: Any, machine: Any, answers: Any, endpoint: Any
) -> None:
    started, (status, _) = run({"dataset": {**Settings().dataset, "name": "books"}}, status="InService")
    assert status == "SUCCEEDED"
    assert set(update(started)["DeploymentConfig"]) == {"BlueGreenUpdatePolicy"}

    endpoint.update(status="InService", config="old")
    settings = Settings.model_validate({"serving": {"endpoint": False}})
    started = machine(workflow_definition(settings), answers)
    assert started.run({"serving": {"endpoint": True}})[0] == "SUCCEEDED"
    assert set(update(started)["DeploymentConfig"]) == {"BlueGreenUpdatePolicy"}


def test_a_serverless_endpoint_is_updated_without_guardrails(run: Any, answers: Any) -> None:
    def look(arguments: Any) -> Any:
        variants = [{"VariantName": "AllTraffic", "CurrentServerlessConfig": {"MemorySizeInMB": 2048}}]
        return answers["Look up the endpoint"](arguments) | {"ProductionVariants": variants}

    started, (status, _) = run({}, status="InService", **{"Look up the endpoint": look})
    assert status == "SUCCEEDED"
    assert set(update(started, "Update the endpoint without guardrails")) == {
        "EndpointName",
        "EndpointConfigName",
    }


def test_an_update_that_alarms_rolled_back_ends_the_run_with_the_reason(run: Any) -> None:
    looks: list[str] = []
    reason = "The endpoint deployment was rolled back: the CloudWatch alarms fired."

    def see(arguments: Any) -> Any:
        looks.append("")
        status = ("Updating", "RollingBack", "InService")[min(len(looks), 3) - 1]
        return {"EndpointStatus": status, "EndpointConfigName": "old", "FailureReason": reason}

    started, (status, output) = run({}, status="InService", **{"Check the endpoint status": see})
    assert status == "FAILED"
    failure = json.loads(output["Cause"])
    assert failure["error"]["Error"] == "EndpointFailed"
    assert failure["error"]["Cause"].startswith(
        "the endpoint fmrec-knn is InService with configuration old instead of InService with fmrec-run-1-endpoint-1"
    )
    assert reason in failure["error"]["Cause"]
    assert len(looks) == 3
    assert "Write the run report" not in started.visited


@pytest.mark.parametrize(
    "wrong", [{"traffic": "rolling"}, {"step_percent": 60}, {"bake_minutes": 0}, {"maximum_latency_ms": 0}]
)
def test_updates_are_set_within_what_sagemaker_offers(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings.model_validate({"serving": {"update": wrong}})


def test_an_update_of_an_endpoint_that_has_scaled_out_moves_in_parts_of_what_it_starts(
    machine: Any, answers: Any, endpoint: Any, planned: Any
) -> None:
    endpoint.update(status="InService", config="old")
    plan = planned()
    for candidate in plan["Payload"]["steps"]["knn_endpoint"]["candidates"]:
        candidate |= {"instance_count": 1, "maximum_instances": 8, "fewer_than_before": False}

    def look(arguments: Any) -> Any:
        variants = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 4}]
        return answers["Look up the endpoint"](arguments) | {"ProductionVariants": variants}

    settings = Settings.model_validate({"serving": {"scaling": {}, "update": {"traffic": "canary"}}})
    changed = {"Choose instances": lambda a: plan, "Look up the endpoint": look}
    started = machine(workflow_definition(settings), {**answers, **changed})
    assert started.run({})[0] == "SUCCEEDED"
    routing = update(started)["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["CanarySize"] == {"Type": "INSTANCE_COUNT", "Value": 1}
