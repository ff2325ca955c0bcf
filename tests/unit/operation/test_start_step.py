"""The starter at its edges: DynamoDB and S3 as the emulator has them, and executions that a test scripts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from fmrec.operation import start_step
from fmrec.operation.start_step import Clients, Deployment, read_memory, start_if_due
from fmrec.operation.starting import NEW_DATA, RUN_ENDED, SCHEDULE, Patience

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:Workflow"
LATER = timedelta(hours=1)


class Executions:
    """Step Functions as far as the starter asks: what was started, and how it stands."""

    class ExecutionDoesNotExist(Exception):  # noqa: N818 - as botocore names it
        pass

    class ExecutionAlreadyExists(Exception):  # noqa: N818 - as botocore names it
        pass

    def __init__(self) -> None:
        self.inputs: dict[str, dict[str, Any]] = {}
        self.status: dict[str, str] = {}
        self.fail: Exception | None = None
        self.stale: dict[str, str] = {}
        """What Step Functions still says of a run: it is eventually consistent."""
        self.asked = 0
        self.exceptions = SimpleNamespace(
            ExecutionDoesNotExist=self.ExecutionDoesNotExist,
            ExecutionAlreadyExists=self.ExecutionAlreadyExists,
        )

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:
        assert stateMachineArn == MACHINE
        if self.fail:
            raise self.fail
        if name in self.status:
            raise self.ExecutionAlreadyExists
        self.put(name, json.loads(input))

    def put(self, name: str, given: dict[str, Any], status: str = "RUNNING") -> None:
        self.inputs[name], self.status[name] = given, status

    def get_paginator(self, name: str) -> Any:
        assert name == "list_executions"
        return self

    def paginate(self, *, stateMachineArn: str, statusFilter: str) -> list[Any]:
        self.asked += 1
        said = self.status | self.stale
        running = [name for name, status in said.items() if status == statusFilter]
        arn = MACHINE.replace("stateMachine", "execution")
        return [{"executions": [{"name": name, "executionArn": f"{arn}:{name}"} for name in running]}]

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        name = executionArn.rpartition(":")[2]
        if name not in self.status:
            raise self.ExecutionDoesNotExist
        return {"status": self.stale.get(name, self.status[name]), "input": json.dumps(self.inputs[name])}


@pytest.fixture
def executions() -> Executions:
    return Executions()


@pytest.fixture
def clients(dynamodb: Any, emulator_url: str, executions: Executions) -> Clients:
    s3 = boto3.client(
        "s3", endpoint_url=emulator_url, region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    return Clients(s3, dynamodb, executions)


@pytest.fixture
def deployment(clients: Clients) -> Iterator[Deployment]:
    name = f"starts-{uuid.uuid4().hex[:12]}"
    clients.s3.create_bucket(Bucket=name)
    clients.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "dataset", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "dataset", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield Deployment(MACHINE, name, name, ["raw/interactions/"], "default", Patience())
    clients.s3.close()


def upload(clients: Clients, deployment: Deployment, key: str, text: str = "u,i,5,1\n") -> None:
    clients.s3.put_object(Bucket=deployment.bucket, Key=key, Body=text.encode())


def test_one_run_after_the_other_and_none_on_the_same_data(
    clients: Clients, deployment: Deployment, executions: Executions
) -> None:
    now = datetime.now(UTC) + LATER

    def ask(source: str, minutes: int) -> Any:
        return start_if_due(source, deployment, clients, now + timedelta(minutes=minutes))

    upload(clients, deployment, "raw/elsewhere/a.csv")
    assert "no raw data yet" in ask(SCHEDULE, 0).sentence
    upload(clients, deployment, "raw/interactions/a.csv")
    first = ask(NEW_DATA, 1)
    assert first.start, first.sentence
    ((name, given),) = executions.inputs.items()
    assert name.startswith("new-data-")
    assert given == {"started_by": "new-data"}
    assert first.memory.execution_arn == f"{MACHINE.replace('stateMachine', 'execution')}:{name}"

    upload(clients, deployment, "raw/interactions/b.csv")
    assert "is under way" in ask(SCHEDULE, 10).sentence
    assert len(executions.inputs) == 1
    executions.status[name] = "SUCCEEDED"
    second = ask(RUN_ENDED, 20)
    assert (second.start, second.started_by) == (True, SCHEDULE)
    assert len(executions.inputs) == 2

    executions.status = dict.fromkeys(executions.status, "SUCCEEDED")
    for source in (SCHEDULE, NEW_DATA, RUN_ENDED):
        assert not ask(source, 30).start
    memory = read_memory(deployment.table, "default", clients.dynamodb)
    assert memory.said.startswith("Nothing has changed since run schedule-")


def test_runs_of_other_data_sets_are_not_waited_for(
    clients: Clients, deployment: Deployment, executions: Executions
) -> None:
    upload(clients, deployment, "raw/interactions/a.csv")
    executions.put("other", {"name": "books"})
    executions.put("third", {"dataset": {"name": "films", "interactions": {}}})
    assert start_if_due(SCHEDULE, deployment, clients).start
    for given in ({}, {"name": "default"}, {"encoded": "x"}, {"dataset": "s3://b/raw/d.json"}):
        executions.status.clear()
        executions.put("mine", given)
        upload(clients, deployment, f"raw/interactions/{uuid.uuid4().hex}.csv")
        later = datetime.now(UTC) + LATER
        assert "Run mine is under way" in start_if_due(SCHEDULE, deployment, clients, later).sentence


def test_two_starters_at_once_start_one_run(
    clients: Clients, deployment: Deployment, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one asks between the first one's question and its answer."""
    upload(clients, deployment, "raw/interactions/a.csv")
    now = datetime.now(UTC) + LATER
    remember = start_step._remember
    inner: list[Any] = []

    def interrupted(*arguments: Any) -> bool:
        if not inner:
            inner.append(None)
            inner.append(start_if_due(NEW_DATA, deployment, clients, now))
        return remember(*arguments)

    monkeypatch.setattr(start_step, "_remember", interrupted)
    outer = start_if_due(SCHEDULE, deployment, clients, now)
    assert (inner[1].start, outer.start) == (True, False)
    assert outer.memory.waiting == SCHEDULE
    assert len(executions.inputs) == 1


def end(executions: Executions, name: str, status: str = "SUCCEEDED") -> tuple[str, str]:
    """What the event at the end of a run says of it."""
    executions.status[name] = status
    return f"{MACHINE.replace('stateMachine', 'execution')}:{name}", status


def test_a_run_that_ends_while_another_begins_to_wait_for_it_is_not_waited_for(
    clients: Clients, deployment: Deployment, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends after it was seen under way and before that is remembered: its end finds nobody waiting."""
    upload(clients, deployment, "raw/interactions/a.csv")
    executions.put("mine", {})
    remember, now = start_step._remember, datetime.now(UTC) + LATER
    events: list[Any] = []

    def interrupted(*arguments: Any) -> bool:
        if not events:
            events.append(None)
            ended = end(executions, "mine")
            events.append(start_if_due(RUN_ENDED, deployment, clients, now, ended) if delivered else None)
        return remember(*arguments)

    monkeypatch.setattr(start_step, "_remember", interrupted)
    for delivered in (True, False):  # events come at best effort
        events.clear()
        executions.put("mine", {})
        upload(clients, deployment, f"raw/interactions/{delivered}.csv")
        decision = start_if_due(SCHEDULE, deployment, clients, now)
        assert (decision.start, decision.started_by) == (True, SCHEDULE), decision.sentence
        (started,) = (name for name, status in executions.status.items() if status == "RUNNING")
        assert decision.memory.waiting == ""
        end(executions, started)
        now += LATER
    assert len(executions.inputs) == 3


def test_a_run_whose_end_is_reported_is_not_under_way_even_if_it_is_still_listed(
    clients: Clients, deployment: Deployment, executions: Executions
) -> None:
    upload(clients, deployment, "raw/interactions/a.csv")
    now = datetime.now(UTC) + LATER
    first = start_if_due(SCHEDULE, deployment, clients, now)
    (name,) = executions.inputs
    upload(clients, deployment, "raw/interactions/b.csv")
    assert not start_if_due(SCHEDULE, deployment, clients, now).start
    executions.stale[name] = "RUNNING"
    second = start_if_due(RUN_ENDED, deployment, clients, now, end(executions, name))
    assert second.start, second.sentence
    assert second.memory.execution_arn != first.memory.execution_arn
    # The same second, data and time: what names a run is its start.
    assert len(executions.inputs) == 2

    # One that nobody waited for, and that a schedule finds listed a moment after its end.
    (_, running) = executions.inputs
    executions.stale[running] = "RUNNING"
    asked = executions.asked
    assert not start_if_due(RUN_ENDED, deployment, clients, now, end(executions, running)).start
    assert executions.asked == asked
    skipped = start_if_due(SCHEDULE, deployment, clients, now + timedelta(minutes=1))
    assert skipped.sentence == f"Nothing has changed since run {running} was started: skipped."


def test_a_run_that_its_starter_did_not_live_to_start_is_started_by_the_next(
    clients: Clients, deployment: Deployment, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(clients, deployment, "raw/interactions/a.csv")
    now = datetime.now(UTC) + LATER
    with monkeypatch.context() as patch:
        patch.setattr(start_step, "_start", lambda *_arguments: None)
        lost = start_if_due(SCHEDULE, deployment, clients, now)
    assert executions.inputs == {}
    assert not start_if_due(NEW_DATA, deployment, clients, now + timedelta(minutes=1)).start
    ((name, given),) = executions.inputs.items()
    assert (lost.memory.execution_arn.rpartition(":")[2], given) == (name, {"started_by": "schedule"})


def test_a_start_that_fails_is_not_remembered(
    clients: Clients, deployment: Deployment, executions: Executions
) -> None:
    upload(clients, deployment, "raw/interactions/a.csv")
    executions.fail = RuntimeError("throttled")
    with pytest.raises(RuntimeError, match="throttled"):
        start_if_due(SCHEDULE, deployment, clients)
    assert read_memory(deployment.table, "default", clients.dynamodb).digest == ""
    executions.fail = None
    assert start_if_due(SCHEDULE, deployment, clients).start
