"""Start a Step Functions execution and follow it state by state.

Works on AWS and on the local cloud alike: only StartExecution, DescribeExecution,
GetExecutionHistory and, for job logs, CloudWatch Logs' FilterLogEvents are called.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fmrec.errors import InputError

FINISHED = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"})

TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
TRANSFORM_LOG_GROUP = "/aws/sagemaker/TransformJobs"
GLUE_LOG_GROUP = "/aws-glue/jobs/output"
_LARGEST_PAGE, _FRESH_EVENTS = 1000, 20
"""Events per request: for a whole history, and for what is new since a moment ago."""


@dataclass
class StateRun:
    """One visit of one state. A state inside a Map is visited once for each item."""

    name: str
    type: str
    entered: datetime
    exited: datetime | None = None

    @property
    def seconds(self) -> float | None:
        return None if self.exited is None else (self.exited - self.entered).total_seconds()


@dataclass(frozen=True)
class JobStarted:
    """A job that a Task state has asked a service to start, and where its log lies."""

    state: str
    kind: str
    name: str
    log_group: str


@dataclass
class Timeline:
    """Folds history events, in order, into states and jobs."""

    states: list[StateRun] = field(default_factory=list)
    jobs: list[JobStarted] = field(default_factory=list)
    _open: dict[str, list[StateRun]] = field(default_factory=lambda: defaultdict(list))
    _current: str = ""

    def feed(self, event: dict[str, Any]) -> StateRun | JobStarted | None:
        """Take one event; return the state that it opened or closed, the job it started, or None."""
        kind = event["type"]
        if kind.endswith("StateEntered"):
            run = StateRun(
                event["stateEnteredEventDetails"]["name"], kind.removesuffix("StateEntered"), _utc(event)
            )
            self.states.append(run)
            self._open[run.name].append(run)
            self._current = run.name
            return run
        if kind.endswith("StateExited"):
            waiting = self._open[event["stateExitedEventDetails"]["name"]]
            if not waiting:
                return None
            run = waiting.pop(0)
            run.exited = _utc(event)
            return run
        if kind == "TaskScheduled":
            job = self._job(event.get("taskScheduledEventDetails", {}))
            if job is not None and job not in self.jobs:
                self.jobs.append(job)
                return job
        return None

    def _job(self, details: dict[str, Any]) -> JobStarted | None:
        try:
            parameters = json.loads(details.get("parameters", "{}"))
        except ValueError:
            return None
        if "TrainingJobName" in parameters and "AlgorithmSpecification" in parameters:
            return JobStarted(self._current, "training", parameters["TrainingJobName"], TRAINING_LOG_GROUP)
        if "TransformJobName" in parameters and "TransformInput" in parameters:
            return JobStarted(self._current, "transform", parameters["TransformJobName"], TRANSFORM_LOG_GROUP)
        if "JobName" in parameters and details.get("resourceType") == "glue":
            return JobStarted(self._current, "glue", parameters["JobName"], GLUE_LOG_GROUP)
        return None


@dataclass(frozen=True)
class Execution:
    """How an execution stands, or ended."""

    arn: str
    name: str
    status: str
    started: datetime
    stopped: datetime | None
    states: list[StateRun]
    jobs: list[JobStarted]
    output: dict[str, Any] | None
    error: str | None
    cause: str | None

    @property
    def seconds(self) -> float:
        return ((self.stopped or datetime.now(UTC)) - self.started).total_seconds()


def start(
    stepfunctions: Any, state_machine_arn: str, execution_input: dict[str, Any], name: str | None = None
) -> str:
    """Start an execution and return its ARN."""
    request: dict[str, Any] = {"stateMachineArn": state_machine_arn, "input": json.dumps(execution_input)}
    if name:
        request["name"] = name
    arn: str = stepfunctions.start_execution(**request)["executionArn"]
    return arn


def history(stepfunctions: Any, execution_arn: str, seen: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the events after the first ``seen`` ones, in order.

    Events are numbered from 1. Who has seen some asks from the newest one back, so that following an
    execution reads each event about once and not its whole history each time.
    """
    pages = stepfunctions.get_paginator("get_execution_history").paginate(
        executionArn=execution_arn,
        includeExecutionData=True,
        reverseOrder=seen > 0,
        PaginationConfig={"PageSize": _FRESH_EVENTS if seen else _LARGEST_PAGE},
    )
    events = (event for page in pages for event in page["events"])
    if not seen:
        yield from events
        return
    yield from reversed(list(itertools.takewhile(lambda event: event["id"] > seen, events)))


def follow(
    stepfunctions: Any,
    execution_arn: str,
    on_change: Callable[[StateRun | JobStarted], None] = lambda _change: None,
    on_tick: Callable[[Timeline], None] = lambda _timeline: None,
    poll_seconds: float = 1.0,
) -> Execution:
    """Block until the execution has ended, calling ``on_change`` for each state entered or left."""
    timeline = Timeline()
    seen = 0
    while True:
        description = stepfunctions.describe_execution(executionArn=execution_arn)
        for event in history(stepfunctions, execution_arn, seen):
            seen = event["id"]
            change = timeline.feed(event)
            if change is not None:
                on_change(change)
        on_tick(timeline)
        if description["status"] in FINISHED:
            return _ended(execution_arn, description, timeline)
        time.sleep(poll_seconds)


def _ended(arn: str, description: dict[str, Any], timeline: Timeline) -> Execution:
    output = description.get("output")
    return Execution(
        arn=arn,
        name=description["name"],
        status=description["status"],
        started=description["startDate"].astimezone(UTC),
        stopped=description["stopDate"].astimezone(UTC) if description.get("stopDate") else None,
        states=timeline.states,
        jobs=timeline.jobs,
        output=json.loads(output) if output else None,
        error=description.get("error"),
        cause=description.get("cause"),
    )


def log_lines(logs: Any, job: JobStarted, since_milliseconds: int = 0) -> Iterable[tuple[int, str]]:
    """Yield (timestamp in ms, line) of a job's log; nothing while the group or stream isn't there yet."""
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=job.log_group, logStreamNamePrefix=job.name, startTime=since_milliseconds
    )
    try:
        for page in pages:
            for event in page["events"]:
                yield event["timestamp"], event["message"].rstrip("\n")
    except logs.exceptions.ResourceNotFoundException:
        return


def stack_outputs(cloudformation: Any, stack_name: str) -> dict[str, str]:
    """Return a deployed stack's outputs by key.

    Raises
    ------
    InputError
        There is no such stack in this account and region.
    """
    try:
        stacks = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except cloudformation.exceptions.ClientError as error:
        raise InputError(
            f"no stack {stack_name!r} in this account and region: run `cdk deploy --all` first, "
            f"or name yours with --stack ({error})"
        ) from error
    return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}


def _utc(event: dict[str, Any]) -> datetime:
    timestamp: datetime = event["timestamp"]
    return timestamp.astimezone(UTC)
