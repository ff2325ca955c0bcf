"""Deployment guardrails: steps of an update, alarms that roll it back, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.faults import ServiceFault
from localcloud.sagemaker.deployments import deployment

ALARM = "errors"


def blue_green(kind: str, wait: int = 0, termination: int = 0, **routing: Any) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": wait, **routing},
            "TerminationWaitInSeconds": termination,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": ALARM}]},
    }


def size(value: int, kind: str = "CAPACITY_PERCENT") -> dict[str, Any]:
    return {"Type": kind, "Value": value}


@pytest.mark.parametrize(
    ("config", "instances", "steps"),
    [
        (None, 1, [(1.0, 0.0)]),
        (blue_green("ALL_AT_ONCE", 30, 60), 1, [(1.0, 60.0)]),
        (blue_green("CANARY", 30, 60, CanarySize=size(25)), 1, [(0.25, 30.0), (1.0, 90.0)]),
        (blue_green("CANARY", 30, CanarySize=size(1, "INSTANCE_COUNT")), 2, [(0.5, 30.0), (1.0, 30.0)]),
        (
            blue_green("LINEAR", 10, 5, LinearStepSize=size(40)),
            1,
            [(0.4, 10.0), (0.8, 10.0), (1.0, 15.0)],
        ),
    ],
)
def test_requests_move_in_steps(config: Any, instances: int, steps: Any) -> None:
    assert list(deployment(config, instances, serverless=False).steps()) == steps


@pytest.mark.parametrize(
    ("config", "serverless", "words"),
    [
        (blue_green("CANARY", CanarySize=size(51)), False, "CanarySize must be at most 50%"),
        (blue_green("CANARY", CanarySize=size(1, "INSTANCE_COUNT")), False, "variant's 1 instances"),
        (blue_green("CANARY"), False, "CanarySize is required"),
        (blue_green("LINEAR", LinearStepSize=size(9)), False, "LinearStepSize must be 10-50%"),
        (blue_green("ALL_AT_ONCE"), True, "only apply to asynchronous and real-time"),
        ({"RollingUpdatePolicy": {}}, False, "no rolling deployments"),
    ],
)
def test_what_the_service_would_not_do_is_refused(config: Any, serverless: bool, words: str) -> None:
    with pytest.raises(ServiceFault, match=words):
        deployment(config, 1, serverless=serverless)


@pytest.fixture
def updatable(cloud: Any) -> Any:
    """An endpoint of an old model, and the configuration of a new one."""
    for name in ("old", "new"):
        cloud.model(name, Environment={"SAGEMAKER_BATCH": name})
        cloud.config(f"config-{name}", name)
    cloud.metrics.alarms[ALARM] = False
    cloud.endpoint(config="config-old")
    return cloud


def answers(cloud: Any, requests: int = 20) -> set[str]:
    """Which models answer."""
    found = (cloud.service.invoke_endpoint("endpoint", b"x", None, None)[0] for _ in range(requests))
    return {json.loads(answer)["batch"] for answer in found}


def update(cloud: Any, **config: Any) -> None:
    cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="config-new", DeploymentConfig=config)


def test_an_alarm_while_the_new_fleet_bakes_rolls_the_update_back(updatable: Any) -> None:
    update(updatable, **blue_green("ALL_AT_ONCE", termination=3600))
    updatable.until(lambda: answers(updatable, 1) == {"new"})
    assert updatable("DescribeEndpoint", EndpointName="endpoint")["EndpointStatus"] == "Updating"

    updatable.metrics.alarms[ALARM] = True
    endpoint = updatable.settled()
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "config-old")
    assert ALARM in endpoint["FailureReason"]
    assert answers(updatable) == {"old"}
    updatable.until(lambda: len(updatable.service.processes()) == 1)


def test_an_alarm_that_fires_before_the_update_stops_it(updatable: Any) -> None:
    updatable.metrics.alarms[ALARM] = True
    update(updatable, **blue_green("ALL_AT_ONCE"))
    assert updatable.settled()["EndpointConfigName"] == "config-old"


def test_a_canary_gets_its_share_until_the_baking_period_ends(updatable: Any) -> None:
    update(updatable, **blue_green("CANARY", wait=100, CanarySize=size(50)))
    updatable.until(lambda: "new" in answers(updatable, 1))
    assert answers(updatable, 40) == {"old", "new"}
    assert updatable.settled()["EndpointConfigName"] == "config-new"
    assert answers(updatable) == {"new"}


def test_an_alarm_that_is_not_there_and_a_serverless_endpoint_are_refused(updatable: Any) -> None:
    config = blue_green("ALL_AT_ONCE")
    del updatable.metrics.alarms[ALARM]
    with pytest.raises(ServiceFault, match="Could not find CloudWatch alarms errors"):
        update(updatable, **config)
    updatable.config("serverless", "old", ServerlessConfig={"MemorySizeInMB": 1024, "MaxConcurrency": 1})
    updatable.endpoint("without", "serverless")
    with pytest.raises(ServiceFault, match="only apply to asynchronous and real-time"):
        updatable(
            "UpdateEndpoint",
            EndpointName="without",
            EndpointConfigName="serverless",
            DeploymentConfig=config,
        )


def test_every_invocation_is_counted_with_its_status_and_latency(updatable: Any) -> None:
    answers(updatable, 3)
    kept = updatable.metrics.invocations
    assert [(each.endpoint, each.variant, each.status) for each in kept] == [
        ("endpoint", "AllTraffic", 200)
    ] * 3
    metrics = kept[0].metrics()
    assert {name: value for name, (value, _) in metrics.items() if name != "ModelLatency"} == {
        "Invocations": 1.0,
        "Invocation4XXErrors": 0.0,
        "Invocation5XXErrors": 0.0,
    }
    assert 0 < metrics["ModelLatency"][0] < 60e6
