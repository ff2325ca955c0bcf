"""Runs that nobody starts: by a schedule, by new data, by the end of a run for which another one waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from fmrec.operation.start_step import KEY
from tests.fixtures.assemblies import QUIET_SECONDS
from tests.workflow.conftest import POLL_SECONDS

FILES = ("raw/interactions/starting-1.csv", "raw/interactions/starting-2.csv")
ROWS = "user_id,item_id,rating,timestamp\n1,1,5,1\n"
MORE = "1,2,5,2\n"


def until(question: Callable[[], Any], seconds: float = 180, otherwise: Callable[[], str] = str) -> Any:
    """What the question answers once that is true; ``otherwise`` says what stands in the way."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"did not come true within {seconds} s. {otherwise()}")


@dataclass
class Starts:
    """What the starting function of a deployment is asked, has started and remembers."""

    pipeline: Any
    earlier: frozenset[str] = frozenset()
    """Names of executions that earlier tests have left."""

    def runs(self, *statuses: str) -> dict[str, str]:
        """ARNs by name of what it has started, all or of some statuses."""
        return {
            run["name"]: run["executionArn"]
            for run in self.executions()
            if run["name"].startswith(("schedule-", "new-data-"))
            and (not statuses or run["status"] in statuses)
        }

    def under_way(self) -> list[str]:
        """Names of everything that runs, whoever started it."""
        return [run["name"] for run in self.executions() if run["status"] == "RUNNING"]

    def ask(self, source: str) -> Any:
        answer = self.pipeline.cloud.client("lambda").invoke(
            FunctionName=self.pipeline.outputs["StarterFunction"], Payload=json.dumps({"source": source})
        )
        payload = answer["Payload"].read()
        assert "FunctionError" not in answer, payload
        return json.loads(payload)

    def stop(self, execution_arn: str) -> None:
        self.pipeline.cloud.client("stepfunctions").stop_execution(executionArn=execution_arn)

    def explain(self) -> str:
        """What is remembered, what runs, and the end of the function's log."""
        cloud, outputs = self.pipeline.cloud, self.pipeline.outputs
        key = {"dataset": {"S": f"{KEY}default"}}
        found = cloud.client("dynamodb").get_item(TableName=outputs["LocksTable"], Key=key).get("Item")
        configuration = cloud.client("lambda").get_function_configuration(
            FunctionName=outputs["StarterFunction"]
        )
        logged = cloud.client("logs").filter_log_events(
            logGroupName=configuration["LoggingConfig"]["LogGroup"]
        )["events"]
        return (
            f"Remembered: {found and found['memory']['S']}. Under way: {self.under_way()}. Log:\n"
            + "\n".join(event["message"] for event in logged[-20:])
        )

    def executions(self) -> list[dict[str, Any]]:
        """Everything that was started, by whom ever, since this was made."""
        listed = self.pipeline.cloud.client("stepfunctions").list_executions(
            stateMachineArn=self.pipeline.outputs["StateMachineArn"]
        )
        return [run for run in listed["executions"] if run["name"] not in self.earlier]


@pytest.fixture
def starts(pipeline: Any) -> Iterator[Starts]:
    """The starter, with interactions of the deployed data set, which other tests know nothing of."""
    everything = Starts(pipeline)
    assert everything.under_way() == [], "an earlier test has left runs, for which the starter waits"
    starts = Starts(pipeline, frozenset(run["name"] for run in everything.executions()))
    pipeline.upload(FILES[0], ROWS)
    yield starts
    for execution_arn in starts.runs("RUNNING").values():
        starts.stop(execution_arn)
    for key in FILES:
        pipeline.cloud.client("s3").delete_object(Bucket=pipeline.outputs["DataBucket"], Key=key)


def let_come(pipeline: Any, source: str, expression: str) -> str:
    """Give the schedule that asks for a source another expression; return the one that it had."""
    schedules = pipeline.cloud.client("scheduler")
    for summary in schedules.list_schedules()["Schedules"]:
        schedule = schedules.get_schedule(Name=summary["Name"])
        if json.loads(schedule["Target"].get("Input") or "{}").get("source") == source:
            schedules.update_schedule(
                Name=summary["Name"],
                ScheduleExpression=expression,
                FlexibleTimeWindow={"Mode": "OFF"},
                Target=schedule["Target"],
            )
            return str(schedule["ScheduleExpression"])
    raise AssertionError(f"no schedule asks for {source}")


def test_a_schedule_starts_a_run_and_the_next_one_waits_for_its_end(pipeline: Any, starts: Starts) -> None:
    stepfunctions = pipeline.cloud.client("stepfunctions")
    let_come(pipeline, "schedule", f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})")
    ((first, first_arn),) = until(starts.runs, otherwise=starts.explain).items()
    assert first.startswith("schedule-")
    description = stepfunctions.describe_execution(executionArn=first_arn)
    assert json.loads(description["input"]) == {"started_by": "schedule"}

    # All of this may happen in the second in which the first run was started.
    pipeline.upload(FILES[1], ROWS)
    waits = starts.ask("schedule")
    assert (waits["started"], first in waits["sentence"]) == (False, True)
    starts.stop(first_arn)
    runs = until(lambda: len(found := starts.runs()) > 1 and found, otherwise=starts.explain)
    (second,) = set(runs) - {first}
    assert second.startswith("schedule-")

    starts.stop(runs[second])
    until(lambda: not starts.under_way(), otherwise=starts.explain)
    skipped = starts.ask("new-data")
    assert skipped["started"] is False
    assert f"Nothing has changed since run {second} was started" in skipped["sentence"]
    assert len(starts.runs()) == 2


def test_a_starting_function_that_fails_is_an_alarm(pipeline: Any, starts: Starts) -> None:
    dynamodb, cloudwatch = (pipeline.cloud.client(name) for name in ("dynamodb", "cloudwatch"))
    table, key = pipeline.outputs["LocksTable"], {"dataset": {"S": f"{KEY}default"}}
    remembered = dynamodb.get_item(TableName=table, Key=key).get("Item")

    def state() -> str:
        alarms = cloudwatch.describe_alarms()["MetricAlarms"]
        (alarm,) = (
            each for each in alarms if "function that starts runs has failed" in each["AlarmDescription"]
        )
        return str(alarm["StateValue"])

    assert state() != "ALARM"
    dynamodb.put_item(
        TableName=table, Item={**key, "memory": {"S": '{"version": "x"}'}, "version": {"N": "1"}}
    )
    try:
        with pytest.raises(AssertionError, match="delete it"):
            starts.ask("schedule")
        until(lambda: state() == "ALARM", otherwise=starts.explain)
    finally:
        if remembered:
            dynamodb.put_item(TableName=table, Item=remembered)
        else:
            dynamodb.delete_item(TableName=table, Key=key)
    assert starts.runs() == {}


def test_new_objects_start_a_run_and_twice_as_many_start_one(pipeline: Any, starts: Starts) -> None:
    usual = let_come(pipeline, "new-data", "rate(1 minute)")
    try:
        ((first, first_arn),) = until(starts.runs, otherwise=starts.explain).items()
    finally:
        let_come(pipeline, "new-data", usual)
    assert first.startswith("new-data-")
    starts.stop(first_arn)
    until(lambda: not starts.under_way(), otherwise=starts.explain)

    for key in FILES:
        pipeline.upload(key, ROWS + MORE)
    assert "waiting until nothing has been for" in starts.ask("new-data")["sentence"]
    time.sleep(QUIET_SECONDS + 1.1)  # S3 tells seconds only
    answers = [starts.ask("new-data") for _ in FILES]
    assert [answer["started"] for answer in answers] == [True, False]
    # The deployed data set also has what other tests have posted as events.
    listed = pipeline.cloud.client("s3").list_objects_v2(
        Bucket=pipeline.outputs["DataBucket"], Prefix="raw/interactions/"
    )["Contents"]
    assert set(FILES) <= {entry["Key"] for entry in listed}
    size = sum(entry["Size"] for entry in listed)
    assert answers[0]["sentence"] == f"Started by new-data: {len(listed)} objects of {size} bytes."
    assert len(starts.runs()) == 2


def test_two_triggers_at_once_give_one_run_after_the_other(pipeline: Any, starts: Starts) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(starts.ask, ["schedule", "schedule"]))
    assert sorted(answer["started"] for answer in answers) == [False, True], starts.explain()
    ((first, first_arn),) = starts.runs().items()
    pipeline.upload(FILES[1], ROWS)
    starts.stop(first_arn)
    runs = until(lambda: len(found := starts.runs()) > 1 and found, otherwise=starts.explain)
    (second,) = set(runs) - {first}
    describe = pipeline.cloud.client("stepfunctions").describe_execution
    before, after = (describe(executionArn=arn) for arn in (first_arn, runs[second]))
    assert before["stopDate"] <= after["startDate"]
    starts.stop(runs[second])
    until(lambda: not starts.under_way(), otherwise=starts.explain)
    assert len(starts.runs()) == 2
