"""Deployment guardrails: how an update moves requests to the new fleet, and what rolls it back.

Sources: the API model of UpdateEndpoint; SageMaker developer guide, "Deployment guardrails" (traffic
shifting modes, baking period, auto-rollback, exclusions). Rolling deployments are refused here. How the
service words its refusals and the reason of a rollback is not published [U].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from localcloud.faults import ServiceFault

_LARGEST_SHARE, _SMALLEST_STEP = 0.5, 0.1


@dataclass(frozen=True)
class Deployment:
    """A ``DeploymentConfig``, checked."""

    shares: tuple[float, ...] = (1.0,)
    """Of the requests that the new fleet gets, step by step."""
    wait_seconds: float = 0.0
    """After each step but the last."""
    termination_seconds: float = 0.0
    """After the last step, until the old fleet ends."""
    alarms: tuple[str, ...] = ()

    def steps(self) -> Iterator[tuple[float, float]]:
        """(share of the requests, seconds until the next step)."""
        for share in self.shares[:-1]:
            yield share, self.wait_seconds
        last = self.wait_seconds if len(self.shares) > 1 else 0.0
        yield self.shares[-1], last + self.termination_seconds


def rolled_back(alarms: list[str]) -> str:
    """The ``FailureReason`` of an endpoint whose update alarms have stopped."""
    return (
        f"The endpoint deployment was rolled back: the CloudWatch alarms {', '.join(alarms)} of the "
        "AutoRollbackConfiguration are in state ALARM."
    )


def deployment(config: dict[str, Any] | None, instances: int, *, serverless: bool) -> Deployment:
    """Read a ``DeploymentConfig``.

    Parameters
    ----------
    instances
        What the new fleet has.

    Raises
    ------
    ServiceFault
        ``ValidationException``: a step that is too small or too large, a policy that isn't here, or
        guardrails for a serverless endpoint.
    """
    if not config:
        return Deployment()
    if serverless:
        raise _refused("deployment guardrails only apply to asynchronous and real-time inference endpoints.")
    if "RollingUpdatePolicy" in config:
        raise _refused("the local cloud has no rolling deployments; use BlueGreenUpdatePolicy.")
    alarms = tuple(
        alarm["AlarmName"] for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    )
    policy = config.get("BlueGreenUpdatePolicy")
    if policy is None:
        return Deployment(alarms=alarms)
    routing = policy["TrafficRoutingConfiguration"]
    return Deployment(
        shares=tuple(_shares(routing, instances)),
        wait_seconds=routing["WaitIntervalInSeconds"],
        termination_seconds=policy.get("TerminationWaitInSeconds", 0),
        alarms=alarms,
    )


def _shares(routing: dict[str, Any], instances: int) -> Iterator[float]:
    kind = routing["Type"]
    if kind == "CANARY":
        yield _share("CanarySize", routing, instances, smallest=0.0)
    elif kind == "LINEAR":
        step = _share("LinearStepSize", routing, instances, smallest=_SMALLEST_STEP)
        share = step
        while share < 1.0 - 1e-9:
            yield share
            share += step
    yield 1.0


def _share(name: str, routing: dict[str, Any], instances: int, *, smallest: float) -> float:
    size = routing.get(name)
    if size is None:
        raise _refused(f"{name} is required for the traffic routing type {routing['Type']}.")
    share = float(size["Value"]) / (instances if size["Type"] == "INSTANCE_COUNT" else 100)
    if not smallest <= share <= _LARGEST_SHARE:
        raise _refused(
            f"{name} must be {'10-' if smallest else 'at most '}50% of the variant's {instances} instances, found "
            f"{size['Value']} as {size['Type']}."
        )
    return share


def _refused(why: str) -> ServiceFault:
    return ServiceFault("ValidationException", f"Invalid DeploymentConfig: {why}")
