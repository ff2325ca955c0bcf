"""What starts runs: nothing by default; by settings a schedule and new data, with alarms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from fmrec.errors import SettingsError
from fmrec.operation.start_step import watched
from stacks.settings import Settings


def starter(found: Any, stack: str) -> Any:
    (function,) = (
        function["Properties"]
        for name, function in found.resources(stack, "AWS::Lambda::Function").items()
        if name.startswith("StarterStartRun")
    )
    return function


def test_nothing_starts_runs_by_default(synthesis: Any) -> None:
    for kind in ("AWS::Scheduler::Schedule", "AWS::Events::Rule", "AWS::SQS::Queue"):
        assert synthesis.resources("FmRecPipeline", kind) == {}
    environment = starter(synthesis, "FmRecPipeline")["Environment"]["Variables"]
    assert json.loads(environment["STARTER"]) == {
        "dataset": "default",
        "prefixes": ["raw/interactions/"],
        "patience": {"quiet_minutes": 10, "minimum_megabytes": 0, "maximum_wait_hours": 24},
    }


def test_a_schedule_and_new_data_ask_at_their_times_and_what_is_lost_is_kept(throw_away: Any) -> None:
    schedules = throw_away.resources("TrialPipeline", "AWS::Scheduler::Schedule").values()
    asked = {
        json.loads(schedule["Properties"]["Target"]["Input"])["source"]: schedule["Properties"]
        for schedule in schedules
        if "source" in schedule["Properties"]["Target"]["Input"]
    }
    assert asked["schedule"]["ScheduleExpression"] == "cron(0 3 * * ? *)"
    assert asked["new-data"]["ScheduleExpression"] == "rate(5 minutes)"
    queues = throw_away.resources("TrialPipeline", "AWS::SQS::Queue")
    (queue,) = (name for name in queues if name.startswith("Starter"))
    for properties in asked.values():
        assert properties["ScheduleExpressionTimezone"] == "Europe/Vienna"
        assert properties["Target"]["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}
    environment = starter(throw_away, "TrialPipeline")["Environment"]["Variables"]
    assert json.loads(environment["STARTER"])["patience"]["minimum_megabytes"] == 5


def test_the_end_of_a_run_asks_for_those_that_wait(throw_away: Any) -> None:
    (rule,) = throw_away.resources("TrialPipeline", "AWS::Events::Rule").values()
    pattern = rule["Properties"]["EventPattern"]
    assert pattern["source"] == ["aws.states"]
    assert pattern["detail"]["status"] == ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
    (machine,) = throw_away.resources("TrialPipeline", "AWS::StepFunctions::StateMachine")
    assert pattern["detail"]["stateMachineArn"] == [{"Ref": machine}]


def test_failed_and_missed_starts_alarm_with_what_to_do(synthesis: Any, throw_away: Any) -> None:
    def described(found: Any, stack: str) -> dict[str, str]:
        return {
            alarm["Properties"]["MetricName"]: alarm["Properties"]["AlarmDescription"]
            for alarm in found.resources(stack, "AWS::CloudWatch::Alarm").values()
        }

    assert "fmrec run" in described(synthesis, "FmRecPipeline")["Errors"]
    assert "ApproximateNumberOfMessagesVisible" not in described(synthesis, "FmRecPipeline")
    missed = described(throw_away, "TrialPipeline")["ApproximateNumberOfMessagesVisible"]
    assert "look at the message in the queue" in missed
    for text in described(throw_away, "TrialPipeline").values():
        assert "docs/operations.md" in text


def test_the_starter_may_list_raw_data_and_read_none_of_it(synthesis: Any) -> None:
    (policy,) = (
        found["Properties"]["PolicyDocument"]["Statement"]
        for name, found in synthesis.resources("FmRecPipeline", "AWS::IAM::Policy").items()
        if name.startswith("StarterStartRunRole")
    )
    allowed = {
        action
        for statement in policy
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert allowed == {
        *("logs:CreateLogStream", "logs:PutLogEvents", "s3:ListBucket", "kms:Decrypt"),
        *("dynamodb:GetItem", "dynamodb:PutItem", "states:StartExecution", "states:ListExecutions"),
    }


def test_prefixes_are_those_of_the_document_up_to_a_wildcard() -> None:
    document = {
        "interactions": {"path": "events/2025-*/part.csv"},
        "users": {"path": "people.csv"},
        "items": {"path": "s3://bucket/raw/things/"},
    }
    assert watched(document, "raw/") == ["raw/events/2025-", "raw/people.csv", "raw/things/"]


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"schedule": "every day"}, "should match pattern"),
        ({"time_zone": "Vienna"}, "start.time_zone is 'Vienna': expected an IANA name"),
        ({"new_data": {"check_minutes": 0}}, "greater than or equal to 1"),
    ],
)
def test_settings_that_can_t_be_are_refused(start: dict[str, Any], message: str) -> None:
    with pytest.raises((ValidationError, SettingsError), match=message):
        Settings.model_validate({"start": start})
