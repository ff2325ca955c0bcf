"""A run's report as a page: report.html next to report.json."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any

from fmrec.deployment.drift_limits import LEVELS
from fmrec.reporting import page
from fmrec.reporting.run_summary import (
    beyond_accuracy,
    endpoint_usd_per_month,
    folded_in,
    ranking,
    resources,
    tuning,
)

OWN = "this run"


def render(report: Mapping[str, Any]) -> str:
    """The page of a run's report, as `fmrec.execution.run_report` writes it."""
    sections = [
        ("", page.tiles(_figures(report))),
        ("Quality", _ranking(report) + _checks(report)),
        ("What lists show", _beyond_accuracy(report)),
        ("New users", _new_users(report)),
        ("What changed in the data", _drift(report)),
        ("Instances", _instances(report)),
        ("Time of the jobs", page.timeline(_jobs(report))),
        ("What serves now", _serves(report)),
        ("Hyperparameters", _hyperparameters(report) + _trials(report)),
    ]
    run, task = str(report["run"]), str(report.get("task", ""))
    return page.page(
        f"Run {run}",
        f"Run {run}: {task} on data set {report.get('dataset_name', 'default')}",
        escape(report["verdict"]["sentence"]),
        sections,
    )


def _figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    sizes, published = report.get("sizes") or {}, report["published"]
    figures = [
        (f"{sizes[name]:,}", meaning)
        for name, meaning in (
            ("rows", "records to train on"),
            ("test_rows", "records held out"),
            ("users", "users"),
            ("items", "items"),
            ("feature_dim", "features"),
        )
        if sizes.get(name) is not None
    ]
    if published["users"]:
        figures.append((f"{published['users']:,}", "users have recommendations"))
        figures.append((f"{published['recommendations']:,}", "recommendations"))
    usd, monthly = (report.get("spent") or {}).get("usd"), endpoint_usd_per_month(report)
    figures.append(("unknown" if usd is None else f"{usd:.4f} USD", "for the SageMaker jobs"))
    if monthly is not None:
        figures.append((f"{monthly:.2f} USD", "a month for the endpoint"))
    seconds = _seconds_between(report.get("started"), report.get("written"))
    if seconds is not None:
        figures.append((f"{seconds:.0f} s", "from start to report"))
    return figures


def _ranking(report: Mapping[str, Any]) -> str:
    found = ranking(report)
    if found is None:
        return ""
    drawn = page.bars({OWN: found.value, **found.others}, OWN)
    return drawn + page.note(
        f"{escape(found.metric)} over the whole catalogue, for {report['evaluation']['users']:,} users with "
        "held-out interactions that they liked."
    )


def _beyond_accuracy(report: Mapping[str, Any]) -> str:
    """How much of the catalogue lists show, how popular it is, and how unlike the items of a list are."""
    found = beyond_accuracy(report)
    if not found:
        return ""
    rows = [
        (
            OWN if whose == "model" else escape(whose),
            f"{each['coverage']:.1%}",
            f"{each['head']:.1%}",
            f"{each['novelty']:.2f}",
            f"{each['diversity']:.3f}",
        )
        for whose, each in found.items()
    ]
    heads = ("lists of", "of the catalogue", "from the most popular", "novelty", "diversity")
    return page.table(heads, rows, numbers=heads[1:]) + page.note(
        "From the most popular: the share of what lists name that is among the items that make up a third of all "
        "interactions. Novelty in bits: 1 more is half as well known. Diversity: 0 where the items of a list are "
        "alike, 1 where they have nothing in common, by this run's item vectors."
    )


def _new_users(report: Mapping[str, Any]) -> str:
    """The second table: users who are folded in, by how much is known of them."""
    found = folded_in(report)
    if found is None:
        why = ((report.get("evaluation") or {}).get("folded_in") or {}).get("why")
        return page.note(f"Not measured: {escape(why)}.") if why else ""
    titles = {length: f"folded in from {length}" for length in found.by_interactions}
    rows = [(titles[length], value) for length, value in found.by_interactions.items()]
    rows.append(("what is popular", found.popularity))
    if found.own_vectors is not None:
        rows.append(("their own trained vectors", found.own_vectors))
    table = page.table(
        ("lists", found.metric), [(title, f"{value:.4f}") for title, value in rows], numbers=(found.metric,)
    )
    return table + page.note(
        f"For {found.users:,} {found.who}, by how many of the interactions that they liked are known; λ "
        f"{found.regularization:g}, c {found.negative_weight:g}."
    )


def _checks(report: Mapping[str, Any]) -> str:
    rows = [
        (
            escape(check["metric"]),
            "not reported" if check["value"] is None else f"{check['value']:.4f}",
            f"{check['limit']:.4f}",
            f"<span class={'passed' if check['passed'] else 'failed'}>"
            f"{'passed' if check['passed'] else 'failed'}</span>",
        )
        for check in report["verdict"].get("checks", [])
    ]
    return page.table(("metric", "value", "limit", ""), rows, numbers=("value", "limit"))


def _drift(report: Mapping[str, Any]) -> str:
    drift = report.get("drift")
    if not drift:
        return ""
    rows = [
        (escape(name), _number(found["before"]), _number(found["now"]))
        for name, found in drift.get("measures", {}).items()
    ]
    drawn = page.limited(
        (
            name.replace("_", " "),
            found["value"],
            f"{found['value']:.4g}",
            {level: found[level] for level in LEVELS},
        )
        for name, found in drift.get("limits", {}).items()
    )
    explained = (
        page.note("Marks are the limits: the first warns, the second, in red, stops a run.") if drawn else ""
    )
    numbers = page.table(("measure", "the champion's", "this run's"), rows, ("the champion's", "this run's"))
    return (
        drawn
        + explained
        + numbers
        + (
            page.sentences(("warned", found["sentence"]) for found in drift.get("findings", []))
            or page.note(escape(drift.get("sentence", "")))
        )
    )


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"


def _instances(report: Mapping[str, Any]) -> str:
    spent = (report.get("spent") or {}).get("steps", {})
    rows = []
    for step, chosen in sorted(report["chosen"].items()):
        refused = [
            f"<br>refused: {escape(refusal['instance_type'])}: {escape(str(refusal['cause']))}"
            for refusal in report["refusals"]
            if refusal["step"] == step
        ]
        usd = spent.get(step, {}).get("usd")
        rows.append(
            (
                escape(step.replace("_", " ")),
                escape(resources(chosen)),
                escape(chosen["why"]) + "".join(refused),
                "" if usd is None else f"{usd:.4f}",
            )
        )
    return page.table(("step", "instance", "why", "USD"), rows, numbers=("USD",))


def _jobs(report: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Jobs run one after the other; how long each was paid for."""
    rows, start = [], 0.0
    steps = (report.get("spent") or {}).get("steps", {})
    for name, job in report.get("jobs", {}).items():
        seconds = job.get("seconds") or steps.get(name, {}).get("seconds")
        if seconds is not None:
            rows.append((name.replace("_", " "), start, float(seconds)))
            start += float(seconds)
    return rows


def _serves(report: Mapping[str, Any]) -> str:
    package, endpoint = report.get("model_package") or {}, report["endpoint"]
    decision, changes = report.get("decision") or {}, report["published"].get("changes") or {}
    lines = [
        f"Model {report.get('model_version', '')}"
        + (f", version {package['version']} of {package['group']}" if package else ""),
        f"Endpoint {endpoint['name']}: {endpoint['status']}"
        + (f". {endpoint['why']}" if endpoint.get("why") else ""),
        *([changes["sentence"]] if changes.get("sentence") else []),
        *([decision["sentence"]] if decision.get("sentence") else []),
    ]
    return page.sentences(("", line) for line in lines)


def _hyperparameters(report: Mapping[str, Any]) -> str:
    named = report.get("hyperparameters") or {}
    origins = {
        **dict.fromkeys((report.get("by_shape") or {}).get("hyperparameters", ()), "the data's shape"),
        **dict.fromkeys((report.get("tuned") or {}).get("hyperparameters", ()), "tuning"),
    }
    return page.table(
        ("name", "value", "from"),
        (
            (escape(name), escape(str(value)), escape(origins.get(name, "settings or input")))
            for name, value in sorted(named.items())
        ),
    )


def _trials(report: Mapping[str, Any]) -> str:
    """Every trial of hyperparameters with what it reached, the chosen one marked."""
    tuned = report.get("tuned")
    told = tuning(tuned)
    if tuned is None or told is None:
        return ""
    names = list(tuned["trials"][0]["hyperparameters"])
    rows = [
        (
            f"{trial['number']}" + (" (chosen)" if trial["number"] == tuned["best"] else ""),
            *(escape(str(trial["hyperparameters"][name])) for name in names),
            escape(str(trial["why"])) if trial.get("ndcg") is None else f"{trial['ndcg']:.4f}",
            f"{trial['job']['seconds']:,.0f}" if "job" in trial else "",
            f"{trial['usd']:.4f}" if "usd" in trial else "",
        )
        for trial in tuned["trials"]
    ]
    heads = ("trial", *names, "NDCG", "seconds", "USD")
    return page.note(escape(f"Tuning: {told}.")) + page.table(heads, rows, numbers=heads[1:])


def _seconds_between(started: Any, ended: Any) -> float | None:
    try:
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    except (TypeError, ValueError):
        return None
