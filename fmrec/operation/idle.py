"""The idle guard: endpoints on instances that nobody has called for some hours are deleted.

Models, configurations and what is published stay. The next run makes the endpoint again, and so does
``fmrec endpoints --start`` (`fmrec.operation.revival`). Serverless endpoints cost nothing while nobody calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fmrec.operation.endpoints import calls_by_period, names_of

RUNNING = "RUNNING"


@dataclass(frozen=True)
class Clients:
    """botocore clients."""

    sagemaker: Any
    cloudwatch: Any
    stepfunctions: Any


@dataclass(frozen=True)
class Verdict:
    """What became of an endpoint, and why."""

    name: str
    deleted: bool
    sentence: str


def connect() -> Clients:
    """Clients from the environment."""
    import boto3

    return Clients(*(boto3.client(name) for name in ("sagemaker", "cloudwatch", "stepfunctions")))


def delete_idle(
    clients: Clients, prefix: str, state_machine_arn: str, hours: float, now: datetime | None = None
) -> list[Verdict]:
    """Delete the deployment's endpoints on instances that are idle; say of each what was done and why.

    Idle is what is in service, was made or changed more than ``hours`` ago, and has not been called for as
    long. Nothing is deleted while a run is under way, which may be about to use an endpoint.
    AWS's own errors are raised as they are: the Lambda is invoked again.
    """
    now = now or datetime.now(UTC)
    names = sorted(names_of(clients.sagemaker, prefix))
    if names and _run_under_way(clients.stepfunctions, state_machine_arn):
        return [Verdict(name, False, f"{name} stays: a run is under way") for name in names]
    return [_judge(clients, name, timedelta(hours=hours), now) for name in names]


def _run_under_way(stepfunctions: Any, state_machine_arn: str) -> bool:
    listed = stepfunctions.list_executions(
        stateMachineArn=state_machine_arn, statusFilter=RUNNING, maxResults=1
    )
    return bool(listed["executions"])


def _judge(clients: Clients, name: str, idle: timedelta, now: datetime) -> Verdict:
    described = clients.sagemaker.describe_endpoint(EndpointName=name)
    variants = described.get("ProductionVariants", [])
    changed = max(described["CreationTime"], described["LastModifiedTime"]).astimezone(UTC)
    hours = f"{idle.total_seconds() / 3600:g} hours"
    if described["EndpointStatus"] != "InService":
        return Verdict(name, False, f"{name} stays: it is {described['EndpointStatus']}")
    if any(variant.get("CurrentServerlessConfig") for variant in variants):
        return Verdict(name, False, f"{name} stays: it is serverless and costs nothing while nobody calls")
    if now - changed < idle:
        return Verdict(name, False, f"{name} stays: it was made or changed less than {hours} ago")
    calls = calls_by_period(
        clients.cloudwatch, name, [variant["VariantName"] for variant in variants], now - idle, now
    )
    if calls:
        return Verdict(name, False, f"{name} stays: {sum(calls.values()):,} calls in {hours}")
    clients.sagemaker.delete_endpoint(EndpointName=name)
    return Verdict(
        name,
        True,
        f"{name} is deleted: nobody has called it for {hours}. The next run makes it again, or "
        f"`fmrec endpoints --start {name}`",
    )
