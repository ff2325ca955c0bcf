"""What a verification run has seen: plain data that points are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["confirmed", "refuted", "not settled"]


@dataclass(frozen=True)
class Job:
    """One SageMaker job of a run, with what was planned for it.

    Parameters
    ----------
    kind : str
        ``training`` or ``transform``.
    seconds : float or None
        Billed seconds.
    memory_gib : float or None
        The highest memory use that CloudWatch reports; None without a metric.
    planned_memory_gib, planned_seconds : float or None
        What the plan says of the step, without its safety factor.
    """

    task: str
    step: str
    kind: str
    name: str
    instance_type: str
    seconds: float | None
    memory_gib: float | None
    planned_memory_gib: float | None
    planned_seconds: float | None


@dataclass(frozen=True)
class Answer:
    """What one question to the account brought: a value, or the reason why there is none."""

    value: Any = None
    unanswered: str | None = None


@dataclass
class Evidence:
    """Everything that was seen; points read it and call nothing."""

    region: str
    jobs: list[Job] = field(default_factory=list)
    reports: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Each task's run report."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """Answers by the probe's name (`fmrec.verification.probes`)."""

    def job(self, task: str, step: str) -> Job | None:
        for job in self.jobs:
            if (job.task, job.step) == (task, step):
                return job
        return None

    def answer(self, probe: str) -> Answer:
        return self.answers.get(probe, Answer(unanswered="it was not asked: the run ended before"))


@dataclass(frozen=True)
class Verdict:
    """What became of one point, and what was seen, in words."""

    status: Status
    seen: str


def not_settled(why: str) -> Verdict:
    return Verdict("not settled", why)


def settle(holds: bool, seen: str) -> Verdict:
    return Verdict("confirmed" if holds else "refuted", seen)
