"""One execution at a time changes what a data set serves."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fmrec.errors import ServiceError
from fmrec.registry import champion
from fmrec.registry.champion import Champion
from fmrec.registry.publishing_lock import acquire

ARN = "arn:aws:states:eu-west-1:000000000000:execution:machine:"


class Executions:
    """Step Functions' DescribeExecution."""

    exceptions = SimpleNamespace(ExecutionDoesNotExist=LookupError)

    def __init__(self, **status: str) -> None:
        self.status = status

    def describe_execution(self, executionArn: str) -> dict[str, str]:
        name = executionArn.removeprefix(ARN)
        if name not in self.status:
            raise self.exceptions.ExecutionDoesNotExist
        return {"status": self.status[name]}


@pytest.fixture
def locks(dynamodb: Any, request: pytest.FixtureRequest) -> str:
    name = f"locks-{abs(hash(request.node.nodeid))}"
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "dataset", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "dataset", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
def ask(dynamodb: Any, locks: str, tmp_path: Path) -> Any:
    executions = Executions(a="RUNNING", b="RUNNING", c="RUNNING")

    def call(name: str, judged_against: str | None = None, dataset: str = "default", **status: str) -> Any:
        executions.status |= status
        return acquire(
            table=locks,
            dataset=dataset,
            execution_arn=ARN + name,
            champion_uri=champion.place(str(tmp_path), dataset),
            judged_against=judged_against,
            dynamodb=dynamodb,
            stepfunctions=executions,
        )

    return call


def test_the_lock_is_its_holders_as_long_as_the_holder_runs(ask: Any) -> None:
    assert ask("a").acquired
    assert ask("a").acquired
    refused = ask("b")
    assert (refused.acquired, refused.holder) == (False, ARN + "a")
    assert ask("b", dataset="books").acquired
    for ended in ("FAILED", "SUCCEEDED", "ABORTED", "TIMED_OUT"):
        holder, other = ("a", "b") if not ask("b", a="RUNNING", b="RUNNING").acquired else ("b", "a")
        assert ask(other, **{holder: ended}).acquired


def test_an_execution_that_is_known_no_more_holds_nothing(ask: Any) -> None:
    assert ask("forgotten").acquired
    assert ask("a").acquired


def test_a_replaced_workflows_execution_holds_nothing_and_is_not_asked_about(
    ask: Any, dynamodb: Any, locks: str
) -> None:
    of_another = ARN.replace(":machine:", ":replaced:") + "a"
    dynamodb.put_item(TableName=locks, Item={"dataset": {"S": "default"}, "execution_arn": {"S": of_another}})
    assert ask("a").acquired


def test_of_many_at_the_same_moment_one_has_the_lock(ask: Any) -> None:
    names = [f"e{n}" for n in range(12)]
    running = dict.fromkeys(names, "RUNNING")
    ask("old", **running)
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(ask, names))
    assert sum(attempt.acquired for attempt in found) == 1


def test_a_champion_that_changed_since_the_judgement_is_told(ask: Any, tmp_path: Path) -> None:
    record = Champion("r", "recommend", "fm-1", "u", "m", "e", execution_arn=ARN + "b")

    assert not ask("a", judged_against="").champion_changed
    champion.promote(record, champion.place(str(tmp_path)))
    assert ask("a", judged_against="").champion_changed
    assert not ask("a", judged_against=ARN + "b").champion_changed
    assert not ask("a", judged_against=None).champion_changed


def test_a_table_that_is_not_there_is_told(dynamodb: Any, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="the lock of the data set 'default' can't be had"):
        acquire(
            table="nowhere",
            dataset="default",
            execution_arn=ARN + "a",
            champion_uri=str(tmp_path / "champion/model.json"),
            judged_against=None,
            dynamodb=dynamodb,
        )
