"""The starter: asks the account, decides (`fmrec.operation.starting`), starts, and remembers.

What it remembers is one item per data set in the table of locks, under a key that no data set's name can be.
The item is replaced only if nobody else has replaced it since it was read; who loses asks again.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fmrec.errors import ServiceError
from fmrec.operation import starting
from fmrec.operation.starting import RUN_ENDED, Decision, Memory, Patience, RawObject

ATTEMPTS = 5
KEY = "/starts/"


@dataclass(frozen=True)
class Deployment:
    """What the starter belongs to."""

    state_machine_arn: str
    table: str
    bucket: str
    prefixes: Sequence[str]
    """Where the deployed data set has its raw data."""
    dataset: str
    patience: Patience


@dataclass(frozen=True)
class Clients:
    """botocore clients."""

    s3: Any
    dynamodb: Any
    stepfunctions: Any


def connect() -> Clients:
    """Clients from the environment."""
    import boto3

    return Clients(*(boto3.client(name) for name in ("s3", "dynamodb", "stepfunctions")))


def start_if_due(
    source: str,
    deployment: Deployment,
    clients: Clients,
    now: datetime | None = None,
    ended: tuple[str, str] | None = None,
) -> Decision:
    """Start a run if one is due, and remember what was decided.

    Parameters
    ----------
    ended
        ARN and status of the execution whose end is reported. It is remembered: Step Functions, which is
        eventually consistent, may go on listing the execution as under way for a moment.

    Raises
    ------
    ServiceError
        Others kept changing the record. AWS's own errors are raised as they are: the Lambda is invoked again.
    """
    for _ in range(ATTEMPTS):
        at = now or datetime.now(UTC)
        before = read_memory(deployment.table, deployment.dataset, clients.dynamodb)
        known = starting.with_end(before, *ended, at) if ended else before
        decision = _decided(source, known, deployment, clients, at)
        if decision.memory == before:
            return decision
        memory = replace(decision.memory, version=before.version + 1)
        if decision.start:
            memory = replace(memory, execution_arn=_arn(deployment, starting.execution_name(memory)))
        decision = replace(decision, memory=memory)
        if not _remember(deployment, clients, memory):
            continue
        if decision.start:
            _start(deployment, clients, decision, known)
        elif memory.waiting and not _under_way(memory, deployment, clients.stepfunctions, at)[0]:
            source, ended = RUN_ENDED, None  # it ended while this was being remembered: nobody else would ask
            continue
        return decision
    raise ServiceError(
        f"the record of what was started of the data set {deployment.dataset!r} kept changing: {ATTEMPTS} attempts"
    )


def _start(deployment: Deployment, clients: Clients, decision: Decision, before: Memory) -> None:
    """Start the run that is remembered already; if that fails, nothing is remembered of it."""
    try:
        _start_remembered(decision.memory, deployment, clients.stepfunctions)
    except Exception:
        _remember(deployment, clients, replace(before, version=decision.memory.version + 1))
        raise


def _start_remembered(memory: Memory, deployment: Deployment, stepfunctions: Any) -> None:
    """Start it unless that has happened: the name is its own, so who has it is this run."""
    with contextlib.suppress(stepfunctions.exceptions.ExecutionAlreadyExists):
        stepfunctions.start_execution(
            stateMachineArn=deployment.state_machine_arn,
            name=starting.name_of(memory.execution_arn),
            input=json.dumps({"started_by": memory.started_by}),
        )


def _decided(
    source: str, memory: Memory, deployment: Deployment, clients: Clients, now: datetime
) -> Decision:
    if not starting.asked_by(source, memory):
        return starting.none_waits(memory)  # every run's end comes here: nothing is listed for it
    since = datetime.fromisoformat(memory.started) if memory.started else None
    running, last_status = _under_way(memory, deployment, clients.stepfunctions, now)
    return starting.decide(
        source,
        now=now,
        memory=memory,
        found=starting.contents(_listed(deployment, clients.s3), since),
        running=running,
        last_status=last_status,
        patience=deployment.patience,
    )


def _under_way(memory: Memory, deployment: Deployment, stepfunctions: Any, now: datetime) -> tuple[str, str]:
    """Name of a run under way, or empty, and the status of the run that was started here last.

    A run that was remembered but not started is started now: under the same name there is never a second.
    """
    end = memory.ended.get(memory.execution_arn)
    status = end.status if end else _status(memory.execution_arn, stepfunctions)
    running = _running(deployment, stepfunctions, memory)
    if starting.never_started(memory, status, now):
        _start_remembered(memory, deployment, stepfunctions)
        status, running = "RUNNING", running or starting.name_of(memory.execution_arn)
    return running, status


def watched(dataset: Mapping[str, Any], raw: str) -> list[str]:
    """Prefixes of the bucket under which a data set document has its files: interactions, users, items."""
    prefixes = set()
    for section in ("interactions", "users", "items"):
        path = (dataset.get(section) or {}).get("path")
        if path:
            begin = re.split(r"[*?\[{]", str(path), maxsplit=1)[0]
            prefixes.add(begin.split("/", 3)[3] if begin.startswith("s3://") else f"{raw}{begin}")
    return sorted(prefixes)


def read_memory(table: str, dataset: str, dynamodb: Any) -> Memory:
    """What is remembered of a data set."""
    found = dynamodb.get_item(
        TableName=table, Key={"dataset": {"S": f"{KEY}{dataset}"}}, ConsistentRead=True
    ).get("Item")
    return Memory.from_document(json.loads(found["memory"]["S"])) if found else Memory()


def _remember(deployment: Deployment, clients: Clients, memory: Memory) -> bool:
    """Replace the record; False if it is no longer the one that was read."""
    item = {
        "dataset": {"S": f"{KEY}{deployment.dataset}"},
        "memory": {"S": json.dumps(memory.to_document())},
        "version": {"N": str(memory.version)},
    }
    try:
        clients.dynamodb.put_item(
            TableName=deployment.table,
            Item=item,
            ConditionExpression="attribute_not_exists(dataset) OR version < :version",
            ExpressionAttributeValues={":version": {"N": str(memory.version)}},
        )
    except clients.dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


def _arn(deployment: Deployment, name: str) -> str:
    machine = deployment.state_machine_arn.replace(":stateMachine:", ":execution:")
    return f"{machine}:{name}"


def _listed(deployment: Deployment, s3: Any) -> Iterator[RawObject]:
    for prefix in deployment.prefixes:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=deployment.bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):
                    yield RawObject(
                        entry["Key"], entry["Size"], entry["ETag"], entry["LastModified"].astimezone(UTC)
                    )


def _running(deployment: Deployment, stepfunctions: Any, memory: Memory) -> str:
    """Name of an execution under way that is about this data set, or may be, and whose end is not known."""
    pages = stepfunctions.get_paginator("list_executions").paginate(
        stateMachineArn=deployment.state_machine_arn, statusFilter="RUNNING"
    )
    for page in pages:
        for execution in page["executions"]:
            if execution["executionArn"] in memory.ended:
                continue
            described = stepfunctions.describe_execution(executionArn=execution["executionArn"])
            if described["status"] == "RUNNING" and _may_be_about(
                described.get("input") or "{}", deployment.dataset
            ):
                return str(execution["name"])
    return ""


def _may_be_about(text: str, dataset: str) -> bool:
    """Whether an input names no other data set: what can't be told from here may be this one."""
    try:
        given = json.loads(text)
    except ValueError:
        return True
    if not isinstance(given, Mapping):
        return True
    document = given.get("dataset")
    named = given.get("name") or (document.get("name") if isinstance(document, Mapping) else None)
    return named in (None, dataset)


def _status(execution_arn: str, stepfunctions: Any) -> str:
    if not execution_arn:
        return ""
    try:
        return str(stepfunctions.describe_execution(executionArn=execution_arn)["status"])
    except stepfunctions.exceptions.ExecutionDoesNotExist:
        return ""
