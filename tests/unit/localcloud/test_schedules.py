"""Schedules of EventBridge Scheduler whose target can't be reached, or fails."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

INPUT = {"asked": "by a schedule"}


@pytest.fixture(scope="module")
def function(cloud: Any) -> str:
    """ARN of a function that fails whenever it is asked."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("handler.py", "def handler(event, context):\n    raise ValueError('no')\n")
    role = cloud.role("schedules-function", "lambda")
    made = cloud.client("lambda").create_function(
        FunctionName="schedules-fails",
        Runtime="python3.13",
        Role=role,
        Handler="handler.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    return str(made["FunctionArn"])


def alarm(cloud: Any, name: str, namespace: str, metric: str, **dimension: str) -> Callable[[], bool]:
    """Make an alarm at the first one, and return what says whether it is in alarm."""
    cloudwatch = cloud.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimension.items()],
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    return lambda: cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"] == "ALARM"


def due_now(cloud: Any, name: str, target: dict[str, Any]) -> None:
    cloud.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Input": json.dumps(INPUT)} | target,
    )


@pytest.mark.parametrize(
    ("case", "allowed", "code"),
    [
        ("denied", ["sqs:SendMessage"], "AccessDeniedException"),
        ("missing", ["sqs:SendMessage", "lambda:InvokeFunction"], "ResourceNotFoundException"),
    ],
)
def test_what_can_not_be_delivered_lies_in_the_queue_with_the_reason_and_alarms(
    cloud: Any, wait_until: Any, function: str, case: str, allowed: list[str], code: str
) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=f"schedules-{case}")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    alarmed = alarm(
        cloud,
        f"schedules-{case}",
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        QueueName=f"schedules-{case}",
    )
    target = function if case == "denied" else f"{function}-gone"
    role = cloud.role(f"schedules-{case}", "scheduler", *allowed)
    due_now(cloud, case, {"Arn": target, "RoleArn": role, "DeadLetterConfig": {"Arn": queue}})
    wait_until(alarmed)
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert json.loads(message["Body"]) == INPUT
    reason = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert (reason["ERROR_CODE"], reason["TARGET_ARN"]) == (code, target)
    assert reason["SCHEDULE_ARN"].endswith(f"/{case}")


def test_a_function_that_fails_on_a_schedule_alarms(cloud: Any, wait_until: Any, function: str) -> None:
    alarmed = alarm(cloud, "schedules-fails", "AWS/Lambda", "Errors", FunctionName="schedules-fails")
    role = cloud.role("schedules-allowed", "scheduler", "lambda:InvokeFunction")
    due_now(cloud, "fails", {"Arn": function, "RoleArn": role})
    wait_until(alarmed)
