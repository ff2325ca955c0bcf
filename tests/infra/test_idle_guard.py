"""The idle guard: a setting, an hourly schedule whose failures are kept and alarmed, and its permissions."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.settings import Settings

FUNCTION = "IdleGuardDeleteIdleEndpoints"


def of_guard(found: Any, kind: str) -> dict[str, Any]:
    resources = found.resources("TrialPipeline", kind)
    return {
        name: resource["Properties"] for name, resource in resources.items() if name.startswith("IdleGuard")
    }


def test_by_default_nobody_looks_for_idle_endpoints(synthesis: Any) -> None:
    names = synthesis.template("FmRecPipeline")["Resources"]
    assert [name for name in names if name.startswith("IdleGuard")] == []


def test_every_hour_the_function_is_asked_and_what_is_lost_is_kept_and_alarmed(throw_away: Any) -> None:
    (schedule,) = of_guard(throw_away, "AWS::Scheduler::Schedule").values()
    (queue,) = of_guard(throw_away, "AWS::SQS::Queue")
    ((function, properties),) = of_guard(throw_away, "AWS::Lambda::Function").items()
    assert schedule["ScheduleExpression"] == "rate(1 hour)"
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": [function, "Arn"]}
    assert schedule["Target"]["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 3
    assert properties["Environment"]["Variables"]["IDLE_HOURS"] == "12"
    watched = {
        alarm["MetricName"]: alarm["Dimensions"][0]["Value"]
        for alarm in of_guard(throw_away, "AWS::CloudWatch::Alarm").values()
    }
    assert watched == {
        "Errors": {"Ref": function},
        "ApproximateNumberOfMessagesVisible": {"Fn::GetAtt": [queue, "QueueName"]},
    }


def test_the_function_may_delete_endpoints_of_the_deployment_and_no_other(throw_away: Any) -> None:
    (policy,) = (
        policy["PolicyDocument"]["Statement"]
        for name, policy in of_guard(throw_away, "AWS::IAM::Policy").items()
        if name.startswith(FUNCTION)
    )
    by_action = {
        action: statement["Resource"]
        for statement in policy
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    }
    assert set(by_action) == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sagemaker:ListEndpoints",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DeleteEndpoint",
        "cloudwatch:GetMetricStatistics",
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DescribeAlarms",
        "application-autoscaling:DeregisterScalableTarget",
        "states:ListExecutions",
    }
    assert by_action["sagemaker:DeleteEndpoint"]["Fn::Join"][1][-1] == ":endpoint/trial-*"


@pytest.mark.parametrize("hours", [0, 721])
def test_hours_are_within_a_month(hours: int) -> None:
    with pytest.raises(ValueError, match="idle_hours"):
        Settings.model_validate({"serving": {"idle_hours": hours}})
