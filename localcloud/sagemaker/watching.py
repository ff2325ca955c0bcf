"""CloudWatch as SageMaker uses it: metrics of invocations, and alarms that stop a deployment.

Source: SageMaker developer guide, "Monitor Amazon SageMaker with Amazon CloudWatch" (endpoint invocation
metrics) and "Auto-Rollback Configuration and Monitoring".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Invocation:
    """One request that a variant has answered."""

    endpoint: str
    variant: str
    status: int
    microseconds: float

    def metrics(self) -> dict[str, tuple[float, str]]:
        """Metric name → value and unit. Errors are counted as 0 where there was none, as on AWS."""
        return {
            "Invocations": (1.0, "None"),
            "Invocation4XXErrors": (float(400 <= self.status < 500), "None"),
            "Invocation5XXErrors": (float(self.status >= 500), "None"),
            "ModelLatency": (self.microseconds, "Microseconds"),
        }


class CloudWatch(Protocol):
    """What endpoints tell CloudWatch, and ask it."""

    def record(self, invocation: Invocation) -> None:
        """Keep an invocation's metrics under the endpoint and the variant."""

    def missing(self, alarms: Sequence[str]) -> list[str]:
        """Those of the alarms that there are not."""

    def in_alarm(self, alarms: Sequence[str]) -> list[str]:
        """Those of the alarms that are in the state ALARM now."""


class NoCloudWatch:
    """Stands in where there is no CloudWatch: nothing is kept, no alarm fires."""

    def record(self, invocation: Invocation) -> None:
        """Keep nothing."""

    def missing(self, alarms: Sequence[str]) -> list[str]:
        """None is looked for."""
        return []

    def in_alarm(self, alarms: Sequence[str]) -> list[str]:
        """None fires."""
        return []
