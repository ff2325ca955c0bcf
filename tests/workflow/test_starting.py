"""Runs that nobody starts: a schedule, and the end of a run for which another one waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

FILES = ("raw/interactions/starting-1.csv", "raw/interactions/starting-2.csv")
ROWS = "user_id,item_id,rating,timestamp\n1,1,5,1\n"


def until(question: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"did not come true within {seconds} s")


@pytest.fixture
def files(pipeline: Any) -> Iterator[None]:
    """Interactions of the deployed data set, which other tests know nothing of."""
    pipeline.upload(FILES[0], ROWS)
    yield
    for key in FILES:
        pipeline.cloud.client("s3").delete_object(Bucket=pipeline.outputs["DataBucket"], Key=key)


def test_a_schedule_starts_a_run_and_the_next_one_waits_for_its_end(pipeline: Any, files: None) -> None:
    stepfunctions, schedules = (pipeline.cloud.client(name) for name in ("stepfunctions", "scheduler"))
    functions = pipeline.cloud.client("lambda")

    def started() -> dict[str, str]:
        listed = stepfunctions.list_executions(stateMachineArn=pipeline.outputs["StateMachineArn"])
        return {
            run["name"]: run["executionArn"]
            for run in listed["executions"]
            if run["name"].startswith(("schedule-", "new-data-"))
        }

    def ask(source: str) -> Any:
        answer = functions.invoke(
            FunctionName=pipeline.outputs["StarterFunction"], Payload=json.dumps({"source": source})
        )
        assert "FunctionError" not in answer, answer["Payload"].read()
        return json.loads(answer["Payload"].read())

    (summary,) = schedules.list_schedules()["Schedules"]
    schedule = schedules.get_schedule(Name=summary["Name"])
    schedules.update_schedule(
        Name=summary["Name"],
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=schedule["Target"],
    )
    ((first, first_arn),) = until(started).items()
    assert first.startswith("schedule-")
    description = stepfunctions.describe_execution(executionArn=first_arn)
    assert json.loads(description["input"]) == {"started_by": "schedule"}

    pipeline.upload(FILES[1], ROWS)
    waits = ask("schedule")
    assert (waits["started"], first in waits["sentence"]) == (False, True)
    stepfunctions.stop_execution(executionArn=first_arn)
    runs = until(lambda: len(found := started()) > 1 and found)
    (second,) = set(runs) - {first}
    assert second.startswith("schedule-")

    stepfunctions.stop_execution(executionArn=runs[second])
    until(lambda: stepfunctions.describe_execution(executionArn=runs[second])["status"] == "ABORTED")
    skipped = ask("new-data")
    assert skipped["started"] is False
    assert f"Nothing has changed since run {second} was started" in skipped["sentence"]
    assert len(started()) == 2
