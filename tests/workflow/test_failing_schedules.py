"""A schedule that reaches nobody: what can't be delivered lies in the queue, and the alarm on it goes off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.workflow.test_starting import until


def alarm(pipeline: Any, words: str) -> dict[str, Any]:
    """The one alarm whose description has the words."""
    (found,) = (
        each
        for page in pipeline.cloud.client("cloudwatch").get_paginator("describe_alarms").paginate()
        for each in page["MetricAlarms"]
        if words in each["AlarmDescription"]
    )
    return dict(found)


def target(pipeline: Any) -> dict[str, Any]:
    """What the idle guard's schedule invokes."""
    client = pipeline.cloud.client("scheduler")
    (name,) = (each["Name"] for each in client.list_schedules()["Schedules"] if "IdleGuard" in each["Name"])
    found: dict[str, Any] = client.get_schedule(Name=name)["Target"]
    return found


@contextmanager
def due_now(pipeline: Any) -> Iterator[None]:
    """A schedule of the same target whose time has come."""
    client = pipeline.cloud.client("scheduler")
    client.create_schedule(
        Name="due-now",
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target(pipeline),
    )
    try:
        yield
    finally:
        client.delete_schedule(Name="due-now")


@contextmanager
def without_permission(pipeline: Any, role_arn: str, action: str) -> Iterator[None]:
    """Take an action from a role, and give it back."""
    iam, role = pipeline.cloud.client("iam"), role_arn.rpartition("/")[2]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": action, "Resource": "*"}]}
    iam.put_role_policy(RoleName=role, PolicyName="test", PolicyDocument=json.dumps(document))
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="test")


def test_a_schedule_that_reaches_nobody_lies_in_the_queue_and_alarms(pipeline: Any) -> None:
    missed = alarm(pipeline, "hourly schedule could not reach")
    assert missed["StateValue"] != "ALARM"
    sqs = pipeline.cloud.client("sqs")
    scheduled = target(pipeline)
    with without_permission(pipeline, scheduled["RoleArn"], "lambda:InvokeFunction"), due_now(pipeline):
        until(lambda: alarm(pipeline, "hourly schedule could not reach")["StateValue"] == "ALARM")
    url = sqs.get_queue_url(QueueName=scheduled["DeadLetterConfig"]["Arn"].rpartition(":")[2])["QueueUrl"]
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert message["Body"] == "{}"
    reason = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert reason["ERROR_CODE"] == "AccessDeniedException"
    assert "is not authorized to perform: lambda:InvokeFunction" in reason["ERROR_MESSAGE"]
    assert reason["TARGET_ARN"] == scheduled["Arn"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
