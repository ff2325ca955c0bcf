"""What the page says of the model that serves: quality, instances, cost, and what an event needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.artifacts.manifest import Manifest
from fmrec.errors import MALFORMED, FmrecError, InputError
from fmrec.operation.status import read_report
from fmrec.registry import champion
from fmrec.reporting import run_summary
from fmrec.storage import object_store

OWN = "this model"


@dataclass(frozen=True)
class Deployment:
    """A data set of a deployment; without its data bucket only the API is known, and ``why`` says why."""

    dataset: str
    bucket: str = ""
    why: str = ""

    def describe(self) -> dict[str, Any]:
        """What can be known, as JSON; ``why`` says what can't be, and is empty else."""
        found: dict[str, Any] = {"dataset": self.dataset, "why": "", "click": {"value": None, "event": None}}
        if not self.bucket:
            return found | {
                "why": f"quality, instances and cost are in the data bucket, which is unknown: {self.why}"
            }
        try:
            serving = champion.recorded(champion.place(f"s3://{self.bucket}", self.dataset))
            if serving is None:
                return found | {"why": "no model serves yet: start a run with `fmrec run`"}
            found |= {"run": serving.run, "model_version": serving.model_version, "since": serving.since}
            found["click"] = click(Manifest.from_json(object_store.read_bytes(serving.manifest_uri)).dataset)
            report = read_report(self.bucket, serving.run)
            if report is None:
                raise InputError(f"the report of run {serving.run} can't be read")
            return found | figures(report)
        except FmrecError as error:
            return found | {"why": str(error)}
        except MALFORMED as error:
            return found | {"why": f"the report of the run that serves is not as expected: {error!r}"}


def click(document: Mapping[str, Any]) -> dict[str, Any]:
    """What an event of this data set needs, for a click that means "liked it".

    ``value`` is the least that counts as liked, ``event`` the kinds, the weightiest first; None where the
    data set has no such column.
    """
    columns = (document.get("interactions") or {}).get("columns") or {}
    label = document.get("label") or {}
    weights = label.get("event_weights") or {}
    threshold = label.get("threshold")
    kinds = [kind for kind, weight in sorted(weights.items(), key=lambda pair: -pair[1]) if weight > 0]
    return {
        "value": None if "value" not in columns else float(1 if threshold is None else threshold),
        "event": None if "event" not in columns else kinds,
    }


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Quality, quality for new users, instances and cost, from a run's report."""
    sizes = report.get("sizes") or {}
    return {
        "sizes": {name: sizes.get(name) for name in ("users", "items", "rows")},
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
    return {"metric": found.metric, "users": users, "own": OWN, "rows": [list(row) for row in rows]}


def _new_users(report: Mapping[str, Any]) -> dict[str, Any] | None:
    found = run_summary.folded_in(report)
    if found is None:
        return None
    rows: list[list[Any]] = [
        [f"from {'all' if length == 'all' else length} of their interactions", value]
        for length, value in found.by_interactions.items()
    ]
    rows.append(["what is popular", found.popularity])
    return {"metric": found.metric, "users": found.users, "who": found.who, "rows": rows}


def _instances(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    spent = (report.get("spent") or {}).get("steps", {})
    return [
        {
            "step": step.replace("_", " "),
            "instance": f"{chosen['instance_count']} × {chosen['instance_type']}",
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
