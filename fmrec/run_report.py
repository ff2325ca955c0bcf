"""runs/<run>/report.json: what a run was, chose, was refused and brought about.

The workflow collects the facts in its variables and hands them over when it ends; this module writes
them down and says them in a few lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fmrec import objectstore

VERSION = 1
SUBJECT_CHARACTERS = 100
"""SNS takes no longer subject."""


def write(report: Mapping[str, Any], uri: str) -> dict[str, str]:
    """Write the report to `uri`; return that, and a subject and a message for a person."""
    document = {"version": VERSION, "written": datetime.now(UTC).isoformat(timespec="seconds"), **report}
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    objectstore.write_bytes(uri, text.encode())
    return {"uri": uri, "subject": subject(report), "message": message(report, uri)}


def subject(report: Mapping[str, Any]) -> str:
    """One line: which run, and for how many users it published."""
    published = report["published"]
    line = f"Run {report['run']} succeeded: {published['users']:,} users have recommendations"
    return line[:SUBJECT_CHARACTERS]


def message(report: Mapping[str, Any], uri: str) -> str:
    """What a person wants to know when a run has succeeded."""
    published = report["published"]
    lines = [
        subject(report) + ".",
        "",
        report["verdict"]["sentence"],
        f"Published {published['recommendations']:,} recommendations to the table {published['table']}.",
        _endpoint(report["endpoint"]),
        *(_choice(step, chosen) for step, chosen in sorted(report["chosen"].items())),
        *(_refusal(refusal) for refusal in report["refusals"]),
        "",
        f"The whole report: {uri}",
    ]
    return "\n".join(lines) + "\n"


def _endpoint(endpoint: Mapping[str, Any]) -> str:
    if endpoint["status"] != "InService":
        return f"No endpoint was brought up to date: {endpoint['why']}"
    answer = endpoint.get("answer")
    return f"The endpoint {endpoint['name']} is in service. {answer['sentence'] if answer else ''}".strip()


def _choice(step: str, chosen: Mapping[str, Any]) -> str:
    return f"{step} ran on {chosen['instance_count']} x {chosen['instance_type']}: {chosen['why']}"


def _refusal(refusal: Mapping[str, Any]) -> str:
    return f"{refusal['step']} was refused {refusal['instance_type']}: {refusal['cause']}"
