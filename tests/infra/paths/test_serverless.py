"""Endpoints without instances: by their own setting, and where no instance is left."""

from __future__ import annotations

from typing import Any

import pytest

from fmrec.errors import SettingsError
from stacks.settings import Settings
from stacks.workflow import definition as workflow_definition
from tests.infra.paths.test_endpoint import calls, failure_of, quota_refusal

CANDIDATE = {
    "instance_type": "serverless",
    "instance_count": 0,
    "volume_size_gb": None,
    "usd_per_hour": 0.0,
    "why": "by the settings",
    "memory_mb": 3072,
    "maximum_concurrency": 7,
}
VARIANTS = [{"VariantName": "AllTraffic", "CurrentServerlessConfig": {"MemorySizeInMB": 2048}}]
CONFIGURE = "Configure a serverless endpoint"
DELETE = "Delete the endpoint on instances"


@pytest.fixture
def serverless(answers: Any, planned: Any) -> dict[str, Any]:
    """What AWS answers where the plan is for an endpoint without instances."""

    def choose(arguments: Any) -> Any:
        return planned(knn_endpoint={"candidates": [CANDIDATE]}, fm_endpoint={"candidates": [CANDIDATE]})

    return {
        "Choose instances": choose,
        CONFIGURE: lambda a: {"EndpointConfigArn": "arn:x"},
        DELETE: answers["Delete the failed endpoint"],
    }


def test_the_setting_and_the_input_reach_the_plan(run: Any, machine: Any, answers: Any) -> None:
    settings = Settings.model_validate({"serving": {"serverless": {"memory_mb": 4096}}})
    deployed = machine(workflow_definition(settings), answers)
    deployed.run({})
    (asked,) = calls(deployed, "Choose instances")
    assert asked["Payload"]["serving"]["serverless"] == {"memory_mb": 4096, "maximum_concurrency": 5}
    again = machine(workflow_definition(settings), answers)
    again.run({"serving": {"serverless": False}})
    (asked,) = calls(again, "Choose instances")
    assert asked["Payload"]["serving"]["serverless"] is None
    started, _ = run({"serving": {"serverless": {}}})
    (asked,) = calls(started, "Choose instances")
    assert asked["Payload"]["serving"]["serverless"] == {"memory_mb": 2048, "maximum_concurrency": 5}


@pytest.mark.parametrize("task", ["recommend", "predict-rating"])
def test_a_new_one_is_made_of_what_the_plan_says(run: Any, serverless: Any, task: str) -> None:
    started, (status, output) = run({"task": task}, **serverless)

    assert status == "SUCCEEDED"
    (configured,) = calls(started, CONFIGURE)
    (variant,) = configured["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 7}
    assert "InstanceType" not in variant
    (created,) = calls(started, "Create the endpoint")
    assert created["EndpointConfigName"] == configured["EndpointConfigName"] == "fmrec-run-1-serverless-1"
    endpoint = output["endpoint"]
    assert (endpoint["instance_type"], endpoint["instance_count"]) == ("serverless", 0)
    assert (endpoint["memory_mb"], endpoint["maximum_concurrency"]) == (3072, 7)
    assert "Configure the endpoint" not in started.visited


def test_one_on_instances_is_deleted_before_it_is_made_because_sagemaker_updates_none(
    run: Any, serverless: Any
) -> None:
    started, (status, _) = run({}, status="InService", **serverless)

    assert status == "SUCCEEDED"
    ways = [
        state
        for state in started.visited
        if state in (CONFIGURE, DELETE, "Create the endpoint", "Deregister the endpoint from scaling")
    ]
    assert ways == [CONFIGURE, "Deregister the endpoint from scaling", DELETE, "Create the endpoint"]
    assert not calls(started, "Update the endpoint")


def test_its_deletion_is_waited_for(run: Any, serverless: Any, answers: Any, endpoint: Any) -> None:
    looks: list[str] = []

    def look(arguments: Any) -> Any:
        if endpoint["status"] is None and len(looks) < 3:
            looks.append(("InService", "Deleting", "Deleting")[len(looks)])
            return {"EndpointStatus": looks[-1], "EndpointConfigName": "old"}
        return answers["Look up the endpoint"](arguments)

    started, (status, _) = run({}, status="InService", **serverless, **{"Look up the endpoint": look})

    assert status == "SUCCEEDED"
    assert looks == ["InService", "Deleting", "Deleting"]
    assert started.visited.count(DELETE) == 1


def test_what_was_deleted_is_not_made_twice_where_a_quota_refuses_the_new_one(
    run: Any, serverless: Any, task_error: Any
) -> None:
    def refuse(arguments: Any) -> None:
        raise quota_refusal(task_error, "Maximum number of serverless endpoints", limit=1, used=1)

    started, outcome = run({}, status="InService", **serverless, **{"Create the endpoint": refuse})

    failure = failure_of(outcome)
    assert [refused["instance_type"] for refused in failure["refused"]] == ["serverless"]
    assert failure["step"] == "knn_endpoint"
    assert len(calls(started, CONFIGURE)) == 1


@pytest.mark.parametrize("to_instances", [False, True])
def test_a_serverless_one_is_updated_to_either_kind_without_guardrails(
    machine: Any, answers: Any, serverless: Any, endpoint: Any, planned: Any, to_instances: bool
) -> None:
    endpoint.update(status="InService", config="old")
    settings = Settings.model_validate({"serving": {"scaling": {}}})
    now: list[Any] = [*VARIANTS]

    def look(arguments: Any) -> Any:
        return answers["Look up the endpoint"](arguments) | {"ProductionVariants": now}

    def update(arguments: Any) -> Any:
        if to_instances:
            now[:] = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
        return answers["Update the endpoint"](arguments)

    on_instances = planned()
    for candidate in on_instances["Payload"]["steps"]["knn_endpoint"]["candidates"]:
        candidate |= {"maximum_instances": 4, "fewer_than_before": False}
    chosen = {**answers, **serverless} | (
        {"Choose instances": lambda a: on_instances} if to_instances else {}
    )
    started = machine(
        workflow_definition(settings),
        {
            **chosen,
            "Look up the endpoint": look,
            "Check the endpoint status": look,
            "Update the endpoint without guardrails": update,
        },
    )
    status, _ = started.run({})

    assert status == "SUCCEEDED"
    (updated,) = calls(started, "Update the endpoint without guardrails")
    assert updated["EndpointConfigName"] == (
        "fmrec-run-1-endpoint-1" if to_instances else "fmrec-run-1-serverless-1"
    )
    assert ("Register the endpoint for scaling" in started.visited) == to_instances
    assert not calls(started, DELETE)


@pytest.mark.parametrize(
    ("serving", "setting", "why"),
    [
        ({"scaling": {}}, "scaling", "starts as many as calls need"),
        ({"idle_hours": 4}, "idle_hours", "costs nothing while nobody calls"),
        ({"update": {"traffic": "canary"}}, "update.traffic", "can't move in parts"),
    ],
)
def test_settings_for_instances_do_not_go_with_it(serving: Any, setting: str, why: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"serving.{setting} is for endpoints on instances.*{why}.*leave out one"
    ):
        Settings.model_validate({"serving": {**serving, "serverless": {}}})
    assert Settings.model_validate({"serving": {**serving, "serverless": False}}).serving.serverless is None


@pytest.mark.parametrize(("needed", "memory"), [(1024, 2048), (3072, 3072), (5120, 5120)])
def test_an_endpoint_without_instances_has_the_planned_memory_and_never_less_than_settings_say(
    run_with: Any, needed: Any, memory: Any, planned: Any
) -> None:
    started, (status, output) = run_with(
        {"endpoint": "serverless"},
        **{
            "Choose instances": lambda a: planned(
                knn_endpoint={"candidates": [], "needs": {"serverless_memory_mb": needed}}
            ),
            "Configure a serverless endpoint": lambda a: {"EndpointConfigArn": "arn:x"},
        },
    )

    (configured,) = calls(started, "Configure a serverless endpoint")
    serverless = configured["ProductionVariants"][0]["ServerlessConfig"]
    assert serverless == {"MemorySizeInMB": memory, "MaxConcurrency": 5}
    assert status == "SUCCEEDED"
    assert output["endpoint"]["instance_type"] == "serverless"


@pytest.mark.parametrize(
    ("needed", "existing"), [(None, None), (1024, "InService")], ids=["too large", "on instances"]
)
def test_an_endpoint_that_cannot_be_serverless_fails_with_the_quota(
    run_with: Any, needed: Any, existing: Any, planned: Any
) -> None:
    _, outcome = run_with(
        {"endpoint": "serverless"},
        status=existing,
        **{
            "Choose instances": lambda a: planned(
                knn_endpoint={"candidates": [], "needs": {"serverless_memory_mb": needed}}
            ),
        },
    )

    assert failure_of(outcome)["step"] == "knn_endpoint"


def test_a_refused_serverless_endpoint_is_not_tried_twice(
    run_with: Any, task_error: Any, planned: Any
) -> None:
    def refuse(arguments: Any) -> None:
        raise quota_refusal(task_error, "Maximum number of serverless endpoints", limit=1, used=1)

    started, outcome = run_with(
        {"endpoint": "serverless"},
        **{
            "Choose instances": lambda a: planned(
                knn_endpoint={"candidates": [], "needs": {"serverless_memory_mb": 1024}}
            ),
            "Configure a serverless endpoint": lambda a: {},
            "Create the endpoint": refuse,
        },
    )

    assert [r["instance_type"] for r in failure_of(outcome)["refused"]] == ["serverless"]
    assert len(calls(started, "Configure a serverless endpoint")) == 1
