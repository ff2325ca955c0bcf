"""What a run's report says of quality and cost, and the whole in a few lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.artifacts.fold_in_parameters import Basis
from fmrec.instances.serverless import INSTANCE_TYPE as SERVERLESS

HOURS_A_MONTH = 730
"""365 x 24 / 12, as AWS's own pricing pages count."""
ENDPOINTS = ("knn_endpoint", "fm_endpoint")
NAMES = {
    "most_rated": "what is rated most",
    "most_liked": "what is liked most",
    "champion": "the champion before",
    "ease": "EASE",
    "item_knn": "item-kNN",
    "als": "ALS",
}
BEYOND_ACCURACY = ("coverage", "novelty", "diversity")


@dataclass(frozen=True)
class Ranking:
    """How well a model ranks next to others that rank the same items for the same users."""

    metric: str
    """As people write it, such as NDCG@10."""
    value: float
    popularity: float
    """The better of the popularity baselines."""
    champion: float | None
    others: dict[str, float]
    """All of them by what they are."""


def ranking(report: Mapping[str, Any]) -> Ranking | None:
    """What a `recommend` run measured; None where nothing was ranked."""
    evaluation = report.get("evaluation")
    if not evaluation:
        return None
    name = f"ndcg_at_{evaluation['k']}"
    baselines = {
        title: float(found["metrics"][name]) for title, found in evaluation.get("baselines", {}).items()
    }
    champion = evaluation.get("champion")
    serves = None if champion is None else float(champion["metrics"][name])
    simple = {
        title: float(found["metrics"][name]) for title, found in evaluation.get("simple_models", {}).items()
    }
    others = {NAMES.get(title, title): value for title, value in (baselines | simple).items()}
    if serves is not None:
        others[NAMES["champion"]] = serves
    return Ranking(
        metric=f"NDCG@{evaluation['k']}",
        value=float(evaluation["model"]["metrics"][name]),
        popularity=max(baselines.values(), default=0.0),
        champion=serves,
        others=others,
    )


def beyond_accuracy(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What lists show, by whose they are: ``coverage``, ``novelty``, ``diversity``, and ``head``, the share
    of the most popular items that make up a third of all interactions.

    Who lacks one of them, as in reports of earlier versions, is left out.
    """
    evaluation = report.get("evaluation") or {}
    whose = {"model": evaluation.get("model"), "champion": evaluation.get("champion")}
    whose |= evaluation.get("baselines", {}) | evaluation.get("simple_models", {})
    found = {}
    for title, judged in whose.items():
        if not judged:
            continue
        metrics = judged["metrics"]
        names = {name: f"{name}_at_{evaluation['k']}" for name in BEYOND_ACCURACY}
        popularity = judged.get("segments", {}).get("item_popularity")
        if popularity and all(name in metrics for name in names.values()):
            values = {name: float(metrics[full]) for name, full in names.items()}
            found[title] = values | {"head": float(popularity[0]["share_of_recommendations"])}
    return {NAMES.get(title, title): values for title, values in found.items()}


@dataclass(frozen=True)
class FoldedIn:
    """What users get who are folded in, next to popularity."""

    metric: str
    users: int
    left_out: bool
    """Whether training never saw them; else trained users stand in for them."""
    by_interactions: dict[str, float]
    """By how many interactions they are folded in from: ``all``, ``10``, …"""
    popularity: float
    own_vectors: float | None
    regularization: float
    negative_weight: float

    @property
    def who(self) -> str:
        return "users left out of training" if self.left_out else "trained users in place of new ones"


def folded_in(report: Mapping[str, Any]) -> FoldedIn | None:
    """The evaluation's second table; None where nobody was folded in."""
    evaluation = report.get("evaluation") or {}
    found = evaluation.get("folded_in")
    if not found or not found.get("users"):
        return None
    name = f"ndcg_at_{evaluation['k']}"
    own = found.get("own_vectors")
    return FoldedIn(
        metric=f"NDCG@{evaluation['k']}",
        users=int(found["users"]),
        left_out=found["basis"] == Basis.LEFT_OUT,
        by_interactions={
            length: float(each["metrics"][name]) for length, each in found["by_interactions"].items()
        },
        popularity=float(found["popularity"]["metrics"][name]),
        own_vectors=None if own is None else float(own["metrics"][name]),
        regularization=float(found["regularization"]),
        negative_weight=float(found["negative_weight"]),
    )


def new_users(report: Mapping[str, Any]) -> str | None:
    """What new users get, in one line; None where it wasn't measured."""
    found = folded_in(report)
    if found is None:
        return None
    figures = found.by_interactions
    return (
        f"{found.metric} {figures['all']:.4f} folded in from all, {figures['5']:.4f} from 5, {figures['1']:.4f} "
        f"from 1 of their interactions; popularity's {found.popularity:.4f} ({found.users:,} {found.who})"
    )


def quality(report: Mapping[str, Any]) -> str:
    """The quality in one line: ranking next to popularity and the champion, or the test metrics."""
    found = ranking(report)
    if found is None:
        metrics = (report.get("verdict") or {}).get("metrics") or report.get("metrics") or {}
        named = {name.removeprefix("test:"): value for name, value in metrics.items() if "train" not in name}
        return ", ".join(f"{name} {value:.4f}" for name, value in sorted(named.items())) or "not measured"
    champion = "there was no champion" if found.champion is None else f"the champion's {found.champion:.4f}"
    return f"{found.metric} {found.value:.4f}; popularity's {found.popularity:.4f}, {champion}"


def tuning(tuned: Mapping[str, Any] | None) -> str | None:
    """What trials have chosen, in one line; None where no trials were compared."""
    if tuned is None or "trials" not in tuned:
        return None
    trials = tuned["trials"]
    judged = [trial for trial in trials if trial.get("ndcg") is not None]
    best = next(trial for trial in judged if trial["number"] == tuned["best"])
    own = next((trial for trial in judged if trial["number"] == 1), None)
    before = "" if own is None else f"; with the run's own values {own['ndcg']:.4f}"
    changed = [
        f"{name} {value}"
        for name, value in best["hyperparameters"].items()
        if value != trials[0]["hyperparameters"][name]
    ]
    paid = [trial.get("usd") for trial in trials]
    usd = "cost unknown" if None in paid else f"{sum(paid):.4f} USD"
    without = "" if len(judged) == len(trials) else f", {len(trials) - len(judged)} without a model"
    values = ", ".join(changed) or "the run's own values"
    return (
        f"trial {best['number']} of {len(trials)}{without}: {values}, NDCG {best['ndcg']:.4f} on validation rows"
        f"{before}; {usd}"
    )


def resources(chosen: Mapping[str, Any]) -> str:
    """What a step ran on, such as ``1 x ml.m5.large``."""
    if chosen["instance_type"] == SERVERLESS:
        return f"{SERVERLESS}, {chosen['memory_mb']} MB"
    return f"{chosen['instance_count']} x {chosen['instance_type']}"


def endpoint_usd_per_month(report: Mapping[str, Any]) -> float | None:
    """What the endpoint costs while it stands, if it stands on instances with a known price."""
    endpoint = report.get("endpoint") or {}
    if endpoint.get("status") != "InService" or endpoint.get("instance_type") == SERVERLESS:
        return None
    for step in ENDPOINTS:
        price = (report.get("chosen") or {}).get(step, {}).get("usd_per_hour")
        if price is not None:
            return float(price) * HOURS_A_MONTH
    return None


def cost(report: Mapping[str, Any]) -> str:
    """What the run cost, and what it goes on costing."""
    usd = (report.get("spent") or {}).get("usd")
    spent = "unknown for the SageMaker jobs" if usd is None else f"{usd:.4f} USD for the SageMaker jobs"
    monthly = endpoint_usd_per_month(report)
    if (report.get("endpoint") or {}).get("instance_type") == SERVERLESS:
        return f"{spent}; the endpoint is paid by the call"
    return spent if monthly is None else f"{spent}; the endpoint costs {monthly:.2f} USD a month"


def summary(report: Mapping[str, Any], report_uri: str, page_uri: str) -> list[str]:
    """The lines with which `fmrec run` ends."""
    return [f"  {name:<11}{text}" for name, text in _rows(report, report_uri, page_uri)]


def _rows(report: Mapping[str, Any], report_uri: str, page_uri: str) -> Iterator[tuple[str, str]]:
    yield "quality", quality(report)
    told = new_users(report)
    if told is not None:
        yield "new users", told
    chosen_by_trials = tuning(report.get("tuned"))
    if chosen_by_trials is not None:
        yield "tuning", chosen_by_trials
    yield "verdict", report["verdict"]["sentence"]
    published = report["published"]
    if published["users"]:
        yield "served", f"{published['users']:,} users, {published['recommendations']:,} recommendations"
    if published.get("changes"):
        yield "lists", published["changes"]["sentence"]
    if report.get("decision"):
        yield "scores", report["decision"]["sentence"]
    endpoint = report["endpoint"]
    yield (
        "endpoint",
        f"{endpoint['name']} is in service"
        if endpoint["status"] == "InService"
        else str(endpoint.get("why", endpoint["status"])),
    )
    for found in (report.get("drift") or {}).get("findings", []):
        yield "data", found["sentence"]
    for step, chosen in sorted(report["chosen"].items()):
        yield "instances", f"{step}: {resources(chosen)}"
    for refusal in report["refusals"]:
        yield "refused", f"{refusal['step']}: {refusal['instance_type']}: {refusal['cause']}"
    yield "cost", cost(report)
    yield "report", page_uri
    yield "", report_uri
