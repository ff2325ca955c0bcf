"""How a deployment stands: its last runs, what serves, how well and at what cost, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fmrec.artifacts import layout
from fmrec.errors import InputError
from fmrec.operation.endpoints import DAYS, Endpoint
from fmrec.operation.starting import Memory
from fmrec.registry.champion import Champion
from fmrec.reporting import run_summary
from fmrec.reporting.columns import columns
from fmrec.storage import object_store

COST_DAYS = 30
UNFINISHED = "RUNNING"


@dataclass(frozen=True)
class Run:
    """An execution, and what its report says if it has one."""

    name: str
    status: str
    started: datetime
    seconds: float | None
    started_by: str = ""
    quality: str = ""
    usd: float | None = None
    why: str = ""
    """Of one that ended badly: the sentence."""


@dataclass(frozen=True)
class Status:
    """All that `fmrec status` prints."""

    dataset: str
    now: datetime
    runs: Sequence[Run]
    champion: Champion | None
    champion_report: Mapping[str, Any] | None
    endpoints: Sequence[Endpoint] = ()
    starter: Memory = field(default_factory=Memory)
    alarms: Sequence[str] = ()
    """Descriptions of those in alarm."""

    @property
    def usd_of_runs(self) -> float:
        """What the SageMaker jobs of the listed runs of the last `COST_DAYS` days cost, as far as known."""
        since = self.now - timedelta(days=COST_DAYS)
        return sum(run.usd or 0.0 for run in self.runs if run.started >= since)

    @property
    def usd_of_endpoints(self) -> float:
        return sum(each.usd_per_month or 0.0 for each in self.endpoints)

    def wrong(self) -> list[str]:
        """What a person has to look at, in sentences."""
        found = [f"Alarm: {text}" for text in self.alarms]
        last = next((run for run in self.runs if run.status != UNFINISHED), None)
        if last is not None and last.status != "SUCCEEDED":
            found.append(
                f"The last run, {last.name}, ended as {last.status}: {last.why or 'no reason given'}"
            )
        if self.champion is None:
            found.append("No model serves yet: start a run with `fmrec run`.")
        for each in self.endpoints:
            if each.status not in ("InService", "Creating", "Updating"):
                found.append(f"The endpoint {each.name} is {each.status}. {each.failure}".strip())
            elif each.status == "InService" and not each.calls and self._old(each) and not each.serverless:
                found.append(
                    f"Nobody has called the endpoint {each.name} lately: "
                    f"`fmrec endpoints --stop {each.name}` saves {_usd(each.usd_per_month)} a month."
                )
        return found

    def _old(self, endpoint: Endpoint) -> bool:
        return self.now - endpoint.since > timedelta(days=1)

    def to_document(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "runs": [{**vars(run), "started": run.started.isoformat()} for run in self.runs],
            "champion": None if self.champion is None else vars(self.champion),
            "quality": run_summary.quality(self.champion_report) if self.champion_report else None,
            "new_users": run_summary.new_users(self.champion_report) if self.champion_report else None,
            "endpoints": [each.to_document() for each in self.endpoints],
            "starter": self.starter.to_document(),
            "usd_of_runs": round(self.usd_of_runs, 4),
            "usd_of_endpoints_per_month": round(self.usd_of_endpoints, 2),
            "wrong": self.wrong(),
        }


def render(status: Status) -> str:
    """The status for a terminal."""
    return "\n".join(_lines(status))


def _lines(status: Status) -> Iterator[str]:
    yield f"Data set {status.dataset}"
    if status.champion is not None:
        age = status.now - datetime.fromisoformat(status.champion.since or status.now.isoformat())
        yield f"  serves     {status.champion.model_version}, for {_age(age)}"
        if status.champion_report:
            yield f"  quality    {run_summary.quality(status.champion_report)}"
            told = run_summary.new_users(status.champion_report)
            if told is not None:
                yield f"  new users  {told}"
            published = status.champion_report["published"]
            yield f"  lists      {published['users']:,} users, {published['recommendations']:,} recommendations"
            if published.get("changes"):
                yield f"  changes    {published['changes']['sentence']}"
    else:
        yield "  serves     nothing yet"
    yield (
        f"  cost       {status.usd_of_runs:.2f} USD for the SageMaker jobs of {COST_DAYS} days; "
        f"endpoints {status.usd_of_endpoints:,.2f} USD a month"
    )
    for each in status.endpoints:
        called = f"{each.calls:,} calls in {DAYS} days"
        yield f"  endpoint   {each.name}: {each.status}, {each.instances}, {called}; {_monthly(each)}"
    if status.starter.said:
        yield f"  starter    {status.starter.said} ({status.starter.said_at})"
    yield ""
    if status.runs:
        rows = [
            (
                run.name,
                run.status,
                f"{run.started:%Y-%m-%d %H:%M}",
                "-" if run.seconds is None else f"{run.seconds:,.0f} s",
                run.started_by or "-",
                "-" if run.usd is None else f"{run.usd:.4f}",
                run.quality or "-",
            )
            for run in status.runs
        ]
        heads = ("run", "status", "started (UTC)", "took", "started by", "USD", "quality")
        yield from columns(heads, rows)
    else:
        yield "No run yet."
    yield ""
    wrong = status.wrong()
    yield from (f"! {sentence}" for sentence in wrong)
    if not wrong:
        yield "Nothing is wrong."


def last_runs(stepfunctions: Any, state_machine_arn: str, bucket: str, most: int) -> list[Run]:
    """The last executions of the workflow, the latest first."""
    listed = stepfunctions.list_executions(stateMachineArn=state_machine_arn, maxResults=most)["executions"]
    return [_run(stepfunctions, execution, bucket) for execution in listed[:most]]


def _run(stepfunctions: Any, execution: Mapping[str, Any], bucket: str) -> Run:
    started = execution["startDate"].astimezone(UTC)
    stopped = execution.get("stopDate")
    report = read_report(bucket, execution["name"]) if execution["status"] == "SUCCEEDED" else None
    why = ""
    if execution["status"] not in ("SUCCEEDED", UNFINISHED):
        described = stepfunctions.describe_execution(executionArn=execution["executionArn"])
        why = described.get("cause") or described.get("error") or ""
    return Run(
        name=execution["name"],
        status=execution["status"],
        started=started,
        seconds=None if stopped is None else (stopped.astimezone(UTC) - started).total_seconds(),
        started_by=str((report or {}).get("started_by", "")),
        quality=run_summary.quality(report) if report else "",
        usd=(report.get("spent") or {}).get("usd") if report else None,
        why=why,
    )


def read_report(bucket: str, run: str) -> dict[str, Any] | None:
    """A run's report; None if it has none that can be read."""
    try:
        found = json.loads(object_store.read_bytes(f"s3://{bucket}/{layout.RUNS}{run}/{layout.REPORT}"))
    except (InputError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def alarms(cloudwatch: Any, stack: str) -> list[str]:
    """What the alarms of a stack say that are in alarm."""
    pages = cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=f"{stack}-", StateValue="ALARM"
    )
    return [
        alarm.get("AlarmDescription") or alarm["AlarmName"]
        for page in pages
        for alarm in page["MetricAlarms"]
    ]


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def _monthly(endpoint: Endpoint) -> str:
    return "paid by the call" if endpoint.serverless else f"{_usd(endpoint.usd_per_month)} a month"


def _usd(amount: float | None) -> str:
    return "an unknown amount" if amount is None else f"{amount:,.2f} USD"
