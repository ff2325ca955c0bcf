import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from fmrec.errors import InputError
from fmrec.execution.progress import Progress
from fmrec.execution.step_functions import JobStarted, StateRun, Timeline, follow, stack_outputs

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def event(number: int, kind: str, second: float, **details: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, "timestamp": START + timedelta(seconds=second), **details}


def entered(number: int, name: str, second: float, kind: str = "Task") -> dict[str, Any]:
    return event(number, f"{kind}StateEntered", second, stateEnteredEventDetails={"name": name})


def exited(number: int, name: str, second: float, kind: str = "Task") -> dict[str, Any]:
    return event(number, f"{kind}StateExited", second, stateExitedEventDetails={"name": name})


def scheduled(number: int, second: float, resource: str, **parameters: Any) -> dict[str, Any]:
    details = {"resourceType": resource, "parameters": json.dumps(parameters)}
    return event(number, "TaskScheduled", second, taskScheduledEventDetails=details)


EVENTS = [
    event(1, "ExecutionStarted", 0),
    entered(2, "Train", 0),
    scheduled(3, 0.5, "sagemaker", TrainingJobName="fm-1", AlgorithmSpecification={}),
    exited(4, "Train", 12.5),
    entered(5, "Publish a part", 13),
    entered(6, "Publish a part", 13),
    exited(7, "Publish a part", 14),
    exited(8, "Publish a part", 16),
    event(9, "ExecutionSucceeded", 16),
]


class StepFunctions:
    """Answers as the service does while an execution goes on: more events at each call."""

    def __init__(self, calls_until_done: int = 3) -> None:
        self.calls = 0
        self.calls_until_done = calls_until_done
        self.exceptions = None
        self.read: list[int] = []
        """Ids of the events that were sent."""

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        self.calls += 1
        done = self.calls >= self.calls_until_done
        answer = {"name": "r1", "status": "SUCCEEDED" if done else "RUNNING", "startDate": START}
        return answer | (
            {"stopDate": START + timedelta(seconds=16), "output": '{"users": 943}'} if done else {}
        )

    def get_paginator(self, operation: str) -> "StepFunctions":
        assert operation == "get_execution_history"
        return self

    def paginate(self, *, reverseOrder: bool, **_: Any) -> Iterator[dict[str, Any]]:
        available = EVENTS if self.calls >= self.calls_until_done else EVENTS[: 2 * self.calls + 1]
        ordered = available[::-1] if reverseOrder else available
        for first in range(0, len(ordered), 2):
            page = ordered[first : first + 2]
            self.read += [each["id"] for each in page]
            yield {"events": page}


def test_a_timeline_pairs_each_exit_with_its_own_visit() -> None:
    timeline = Timeline()
    for each in EVENTS:
        timeline.feed(each)
    assert [(run.name, run.seconds) for run in timeline.states] == [
        ("Train", 12.5),
        ("Publish a part", 1.0),
        ("Publish a part", 3.0),
    ]
    assert timeline.jobs == [JobStarted("Train", "training", "fm-1", "/aws/sagemaker/TrainingJobs")]


def test_following_reports_every_change_once_and_ends_with_the_output() -> None:
    changes: list[StateRun | JobStarted] = []
    service = StepFunctions()
    execution = follow(service, "arn", changes.append, poll_seconds=0)
    assert service.read == [1, 2, 3, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4]  # until a page has what was seen
    assert execution.status == "SUCCEEDED"
    assert execution.output == {"users": 943}
    assert execution.seconds == 16
    assert len(changes) == 7


def test_progress_prints_a_line_for_each_state_that_ended_and_each_job() -> None:
    stream = io.StringIO()
    progress = Progress(stream, clock=lambda: 0)
    follow(StepFunctions(), "arn", progress.changed, progress.tick, poll_seconds=0)
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith("training job fm-1")
    assert lines[1].endswith("Train  (12.5 s)")
    assert len(lines) == 4


def test_a_stack_that_is_not_there_is_a_sentence() -> None:
    class ClientError(Exception):
        pass

    class CloudFormation:
        exceptions = SimpleNamespace(ClientError=ClientError)

        def describe_stacks(self, StackName: str) -> dict[str, Any]:
            raise ClientError("Stack with id X does not exist")

    with pytest.raises(InputError, match=r"no stack 'X'.*cdk deploy"):
        stack_outputs(CloudFormation(), "X")
