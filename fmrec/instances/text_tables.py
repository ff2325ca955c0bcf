"""Plans and quotas as text for a terminal: aligned columns, the important first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fmrec.instances.quota_check import QuotaNeed
from fmrec.instances.quotas import Account
from fmrec.instances.workloads import Request

CANDIDATES_SHOWN = 4
REJECTED_SHOWN = 4
TYPES_SHOWN = 3

_REASONS = {
    "setting": "by the settings",
    "api": "the call refuses",
    "memory": "too little memory",
    "volume": "too little disk",
    "price": "too dear",
    "quota": "by quota",
}


def plan_text(document: Mapping[str, Any], request: Request, *, show_all: bool = False) -> str:
    """Return a plan as text."""
    sizes = request.sizes
    chosen = ", ".join(f"{name} {value}" for name, value in sorted(request.hyperparameters.items()))
    lines = [
        f"{sizes.rows:,} train rows, {sizes.users:,} users, {sizes.items:,} items, "
        f"{sizes.feature_dim:,} features, {request.num_factors} factors",
        f"Hyperparameters: {chosen}",
        "",
    ]
    for name, step in document["steps"].items():
        if step["needed"] or show_all:
            lines += [*_step_lines(name, step, show_all), ""]
    unneeded = [name for name, step in document["steps"].items() if not step["needed"]]
    if unneeded:
        lines += [f"Not needed by this run: {', '.join(unneeded)}", ""]
    lines += _cost_lines(document["cost"])
    lines += _note_lines(document)
    return "\n".join(lines)


def _step_lines(name: str, step: Mapping[str, Any], show_all: bool) -> list[str]:
    needs, candidates, rejected = step["needs"], step["candidates"], step["rejected"]
    volume = f", {needs['volume_size_gb']} GB volume" if needs["volume_size_gb"] else ""
    count = needs["instance_count"] * needs["parallel_jobs"]
    size = f"{count} instance{'s' if count > 1 else ''}" if count else "serverless"
    workers = " with 2 workers" if count and needs["memory"]["per_worker_terms"] else ""
    lines = [f"{name}: {needs['memory_gib']:.1f} GiB{workers}{volume}, {size}"]
    if not candidates:
        lines.append(f"  none  {step['no_candidate']}")
    shown = candidates if show_all else candidates[:CANDIDATES_SHOWN]
    lines += _aligned(
        [("  then" if i else "  try ", c["instance_type"], c["why"]) for i, c in enumerate(shown)]
    )
    if len(candidates) > len(shown):
        lines.append(f"  and {len(candidates) - len(shown)} more")
    first = _worth_saying(rejected) if not show_all else rejected
    lines += [f"  not   {r['why']}" for r in first]
    others = Counter(r["reason"] for r in rejected) - Counter(r["reason"] for r in first)
    if others:
        lines.append(
            "  not   "
            + ", ".join(f"{n} {'more ' if first else ''}{_REASONS[reason]}" for reason, n in others.items())
        )
    if step["quota_increase"] and not candidates:
        lines.append(f"  ask   {step['quota_increase']['command']}")
    return lines


def _worth_saying(rejected: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    # Rejected types come in the order of preference; a quota can be changed, so those go first.
    by_quota = [r for r in rejected if r["reason"] == "quota"]
    others = [r for r in rejected if r["reason"] != "quota"]
    return (by_quota + others)[:REJECTED_SHOWN]


def _cost_lines(cost: Mapping[str, Any]) -> list[str]:
    currency = cost["currency"]
    lines = [f"Cost in {currency}: instances by {cost['prices']['instances']}; {cost['prices']['others']}"]
    for title, bill in (("one run", cost["run"]), ("a month", cost["month"])):
        total = f"{bill['total']:.2f}" if bill["complete"] else f"{bill['total']:.2f} + unknown"
        lines.append(f"  {title}: {total}")
        lines += _aligned(
            [
                (
                    f"    {name}",
                    "unknown" if item["amount"] is None else f"{item['amount']:.4f}",
                    item["basis"],
                )
                for name, item in bill["items"].items()
            ]
        )
    return lines


def _amount(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.4f}"


def _hours(hours: float | None) -> str:
    return "" if hours is None else f"{hours:.2f} h"


def _note_lines(document: Mapping[str, Any]) -> list[str]:
    notes = list(
        dict.fromkeys(note for step in document["steps"].values() for note in step["needs"]["notes"])
    )
    notes += [*document["cost"]["prices"]["notes"], *document["notes"]]
    return ["", *(f"Note: {note}" for note in notes)] if notes else []


def quotas_text(
    needs: Sequence[QuotaNeed], document: Mapping[str, Any], account: Account, *, show_all: bool = False
) -> str:
    """Return each step's quotas next to what the account has."""
    lines = [f"SageMaker quotas{f' in {account.region}' if account.region else ''}", ""]
    rows: list[tuple[str, ...]] = []
    asks: dict[str, None] = {}
    for step in dict.fromkeys(need.step for need in needs):
        of_step = [need for need in needs if need.step == step]
        shared = [need for need in of_step if not need.quota.startswith("ml.")]
        types = [need for need in of_step if need.quota.startswith("ml.")]
        for need in (*shared, *(types if show_all else types[:TYPES_SHOWN])):
            rows.append(
                (step, need.quota, f"{need.wanted}", _applied(need), _number(need.used), _verdict(need))
            )
        blocked = [need for need in (*shared, *types[:1]) if need.increase]
        asks |= {need.increase.command: None for need in blocked if need.increase}
    lines += _aligned([("STEP", "QUOTA", "NEEDS", "HAS", "IN USE", ""), *rows])
    for name, step in document["steps"].items():
        if step["needed"] and not step["candidates"]:
            lines += ["", f"none  {name}: {step['no_candidate'].removeprefix(f'{name}: ')}"]
    if asks:
        lines += ["", "To ask for more:", *(f"  {command}" for command in asks)]
    if account.notes:
        lines += ["", *(f"Note: {note}" for note in account.notes)]
    return "\n".join(lines)


def _applied(need: QuotaNeed) -> str:
    if need.applied is None and need.default is not None:
        return f"? (AWS's default: {need.default:g})"
    return _number(need.applied)


def _verdict(need: QuotaNeed) -> str:
    return {True: "enough", False: "TOO SMALL", None: "unknown"}[need.enough]


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
