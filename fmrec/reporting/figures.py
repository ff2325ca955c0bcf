"""A run's quality, instances and cost, as the HTTP API and its page show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmrec.reporting import run_summary

OWN = "this model"


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Quality, quality for new users, instances and cost, from a run's report."""
    return {
        "verdict": (report.get("verdict") or {}).get("sentence", ""),
        "quality": _quality(report),
        "new_users": _new_users(report),
        "instances": _instances(report),
        "usd": (report.get("spent") or {}).get("usd"),
        "usd_per_month": run_summary.endpoint_usd_per_month(report),
    }


def _quality(report: Mapping[str, Any]) -> dict[str, Any] | None:
    found = run_summary.ranking(report)
    if found is None:
        return None
    values = {OWN: found.value, **found.others}
    rows = sorted(values.items(), key=lambda pair: -pair[1])
    users = report["evaluation"]["users"]
    return {
        "metric": found.metric,
        "users": users,
        "own": OWN,
        "rows": [{"name": name, "value": value} for name, value in rows],
    }


def _new_users(report: Mapping[str, Any]) -> dict[str, Any] | None:
    found = run_summary.folded_in(report)
    if found is None:
        return None
    rows: list[dict[str, Any]] = [
        {"name": f"from {length} of their interactions", "value": value}
        for length, value in found.by_interactions.items()
    ]
    rows.append({"name": "what is popular", "value": found.popularity})
    return {"metric": found.metric, "users": found.users, "who": found.who, "rows": rows}


def _instances(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    spent = (report.get("spent") or {}).get("steps", {})
    return [
        {
            "step": step.replace("_", " "),
            "instance": run_summary.resources(chosen).replace(" x ", " × "),
            "why": chosen["why"],
            "refused": [
                f"{refusal['instance_type']}: {refusal['cause']}"
                for refusal in report.get("refusals", [])
                if refusal["step"] == step
            ],
            "usd_per_hour": chosen.get("usd_per_hour"),
            "usd": spent.get(step, {}).get("usd"),
        }
        for step, chosen in sorted(report["chosen"].items())
    ]
