"""runs/<run>/report.json and report.html: what a run was, chose, was refused and brought about.

The workflow collects what happened in its variables and hands them over when it ends; this module writes
them down and says them in a few lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fmrec.artifacts import layout
from fmrec.reporting import run_page, run_summary
from fmrec.storage import object_store

VERSION = 1
LOGGED = "run report"
"""Message of the log line with `logged`, by which the dashboard finds it."""
SUBJECT_CHARACTERS = 100
"""SNS takes no longer subject."""

LATEST_SECONDS = 1e11
"""The year 5138 in seconds, 1973 in milliseconds: what is later is in milliseconds."""


def write(report: Mapping[str, Any], uri: str) -> dict[str, str]:
    """Write the report to `uri` and its page next to it; return `uri`, a subject and a message."""
    document = {
        "version": VERSION,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **report,
        "spent": spent(report["chosen"], report["jobs"], report["tuned"]),
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    object_store.write_bytes(page_uri(uri), run_page.render(document).encode())
    object_store.write_bytes(uri, text.encode())
    return {"uri": uri, "subject": subject(report), "message": message(document, uri)}


def page_uri(uri: str) -> str:
    """Where the page of the report at `uri` is."""
    return f"{uri.rpartition('/')[0]}/{layout.REPORT_PAGE}"


def logged(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the dashboard shows of a run: plain values in one line of the log."""
    found = run_summary.ranking(report)
    changes = report["published"].get("changes") or {}
    findings = (report.get("drift") or {}).get("findings", [])
    return {
        "run": report["run"],
        "task": report.get("task"),
        "started_by": report.get("started_by"),
        "quality": None if found is None else found.value,
        "popularity": None if found is None else found.popularity,
        "users": report["published"]["users"],
        **{name: changes.get(name) for name in ("overlap", "unchanged", "coverage")},
        "usd": spent(report["chosen"], report["jobs"], report.get("tuned"))["usd"],
        "findings": len(findings),
        "drift": "; ".join(finding["sentence"] for finding in findings),
    }


def spent(
    chosen: Mapping[str, Any], jobs: Mapping[str, Any], tuned: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the jobs on SageMaker's instances cost, by what they ran on and for how long.

    Trials of hyperparameters are one step, ``fm_trials``.

    Returns
    -------
    dict
        ``steps``: step → ``seconds``, ``usd_per_hour`` (of all its instances together), ``usd``; and ``usd``,
        their sum. None stands where a price or a duration isn't known, and makes the sum unknown too. Glue,
        Lambda and storage are in the plan's estimate only.
    """
    steps: dict[str, Any] = {}
    for step in sorted(set(chosen) & set(jobs)):
        seconds, price = _seconds(jobs[step]), chosen[step].get("usd_per_hour")
        steps[step] = {
            "instance_type": chosen[step]["instance_type"],
            "instance_count": chosen[step]["instance_count"],
            "usd_per_hour": price,
            "seconds": seconds,
            "usd": None if seconds is None or price is None else round(seconds / 3600 * price, 6),
        }
    trials = (tuned or {}).get("trials", [])
    if trials:
        paid = [trial.get("usd") for trial in trials]
        steps["fm_trials"] = {
            "trials": len(trials),
            "seconds": sum(_seconds(trial["job"]) or 0.0 for trial in trials if "job" in trial),
            # What a job that failed was paid for isn't known.
            "usd": None if None in paid else round(sum(paid), 6),
        }
    amounts = [step["usd"] for step in steps.values()]
    return {"steps": steps, "usd": None if None in amounts else round(sum(amounts), 6)}


def _seconds(job: Mapping[str, Any]) -> float | None:
    """How long a job was paid for: said by training jobs, the difference of two times for transform."""
    for key in ("billable_seconds", "seconds"):
        if job.get(key) is not None:
            return float(job[key])
    started, ended = _time(job.get("started")), _time(job.get("ended"))
    return None if started is None or ended is None else max(0.0, round(ended - started, 3))


def _time(found: Any) -> float | None:
    """Seconds since 1970 from what Step Functions hands on: milliseconds, or ISO 8601."""
    if isinstance(found, int | float):
        return found / 1000 if found > LATEST_SECONDS else float(found)
    if isinstance(found, str):
        try:
            return datetime.fromisoformat(found).timestamp()
        except ValueError:
            return None
    return None


def subject(report: Mapping[str, Any]) -> str:
    """One line: which run, and what it brought about."""
    users = report["published"]["users"]
    brought = (
        f"{users:,} users have recommendations" if users else "its model scores pairs, it makes no lists"
    )
    return f"Run {report['run']} succeeded: {brought}"[:SUBJECT_CHARACTERS]


def message(report: Mapping[str, Any], uri: str) -> str:
    """What a person wants to know when a run has succeeded."""
    lines = [
        subject(report) + ".",
        "",
        report["verdict"]["sentence"],
        *_tuning(report["tuned"]),
        _registration(report["model_package"]),
        *_publication(report["published"]),
        *([report["decision"]["sentence"]] if report["decision"] else []),
        _endpoint(report["endpoint"]),
        *(_choice(step, chosen) for step, chosen in sorted(report["chosen"].items())),
        *(_refusal(refusal) for refusal in report["refusals"]),
        f"Cost: {run_summary.cost(report)}.",
        "",
        f"The whole report: {page_uri(uri)}, as JSON: {uri}",
    ]
    return "\n".join(lines) + "\n"


def _tuning(tuned: Mapping[str, Any] | None) -> list[str]:
    if tuned is None:
        return []
    if "trials" in tuned:
        return [f"{run_summary.tuning(tuned)}."]
    limits = tuned["limits"]
    fewer = (
        "" if limits["jobs"] == limits["wanted_jobs"] else f" (of {limits['wanted_jobs']} that were wanted)"
    )
    return [
        f"Tuning chose {', '.join(f'{name} {value}' for name, value in tuned['hyperparameters'].items())} on "
        f"validation rows, with {tuned['objective']} {tuned['value']}. It was held to {limits['jobs']} jobs{fewer} "
        f"of at most {limits['seconds_per_job']} seconds, {limits['usd_at_most']} of {limits['maximum_usd']} dollars."
    ]


def _registration(package: Mapping[str, Any]) -> str:
    return f"The model is version {package['version']} of {package['group']} in SageMaker Model Registry."


def _publication(published: Mapping[str, Any]) -> list[str]:
    if not published["users"]:
        return []
    removed = published.get("removed", 0)
    gone = (
        f" Removed the lists of {removed:,} users and segments who are not in the data any more."
        if removed
        else ""
    )
    changes = published.get("changes")
    return [
        f"Published {published['recommendations']:,} recommendations to the table {published['table']}.{gone}",
        *([changes["sentence"]] if changes else []),
    ]


def _endpoint(endpoint: Mapping[str, Any]) -> str:
    if endpoint["status"] != "InService":
        return f"No endpoint was brought up to date: {endpoint['why']}"
    answer = endpoint.get("answer")
    return f"The endpoint {endpoint['name']} is in service. {answer['sentence'] if answer else ''}".strip()


def _choice(step: str, chosen: Mapping[str, Any]) -> str:
    return f"{step} ran on {run_summary.resources(chosen)}: {chosen['why']}"


def _refusal(refusal: Mapping[str, Any]) -> str:
    return f"{refusal['step']} was refused {refusal['instance_type']}: {refusal['cause']}"
