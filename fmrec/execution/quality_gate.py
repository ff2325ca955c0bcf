"""Whether a model is good enough to publish: metrics against limits, in words that a person can act on.

Metrics carry SageMaker's own names (``test:binary_classification_accuracy``, as FinalMetricDataList
and the training log have them) or this project's ranking names (``ndcg_at_10``); ``test:`` is dropped.
A limit is on the side that makes sense for the metric: accuracy has a minimum, cross entropy a maximum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fmrec.dataset.section import is_number, shown
from fmrec.errors import SettingsError

Direction = Literal["higher", "lower"]

DIRECTIONS: dict[str, Direction] = {
    "binary_classification_accuracy": "higher",
    "binary_classification_cross_entropy": "lower",
    "binary_f_beta": "higher",
    "rmse": "lower",
    "mse": "lower",
    "absolute_loss": "lower",
    "accuracy": "higher",
    "coverage": "higher",
}
"""Which way is better, for the metrics of SageMaker's FM and k-NN (SageMaker developer guide, the metrics
tables of both algorithms).
"""

_RANKING_METRIC = re.compile(
    r"(ndcg|recall|precision|hit_rate|map|coverage|novelty|diversity|folded_in_ndcg_ratio)_at_[1-9][0-9]*"
)
FOLDED_IN = "folded_in_ndcg_ratio"
"""NDCG of users who are folded in, divided by popularity's for the same users."""

SIMPLE_MODELS = {"ease": "EASE", "item_knn": "item-kNN", "als": "ALS"}
"""Names for people of `fmrec.ranking.simple_models`."""

CHAMPION_TOLERANCE = 0.01
"""NDCG that a new model may lose against the champion: about what another seed makes."""


@dataclass(frozen=True)
class Threshold:
    """The limit of one metric: at least ``minimum``, or at most ``maximum``."""

    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Check:
    """One metric against its limit; ``value`` is None where the training job reported none."""

    metric: str
    value: float | None
    limit: float
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """Whether the model may be published, and why."""

    passed: bool
    sentence: str
    metrics: dict[str, float]
    checks: tuple[Check, ...]

    def to_document(self) -> dict[str, Any]:
        """The JSON answer of check_quality (docs/contracts.md)."""
        document = asdict(self)
        document["checks"] = [asdict(check) for check in self.checks]
        return document


def plain_name(metric: str) -> str:
    """SageMaker's metric name without its channel: ``test:rmse`` → ``rmse``; ``train:`` names stay whole."""
    return metric.removeprefix("test:")


def direction(metric: str) -> Direction:
    """Whether more or less of `metric` is better.

    Raises
    ------
    SettingsError
        The metric is none that the algorithms or the ranking evaluation report.
    """
    name = plain_name(metric)
    if name in DIRECTIONS:
        return DIRECTIONS[name]
    if _RANKING_METRIC.fullmatch(name):
        return "higher"
    raise SettingsError(
        f"thresholds name the metric {metric!r}, which is not known; known are "
        f"{', '.join(DIRECTIONS)}, and ndcg, recall, precision, hit_rate, map, coverage, novelty, diversity or "
        f"{FOLDED_IN} with a cut-off, such as ndcg_at_10"
    )


def is_ranking_metric(metric: str) -> bool:
    """Whether lists are judged by it, such as ``ndcg_at_10``."""
    return bool(_RANKING_METRIC.fullmatch(metric))


def check(
    metrics: Mapping[str, float], thresholds: Mapping[str, Threshold | Mapping[str, float] | float]
) -> Verdict:
    """Compare reported metrics with the limits from settings.

    Parameters
    ----------
    metrics
        Metric name → value, as the training job or the evaluation reported them.
    thresholds
        Metric name → limit: a `Threshold`, its fields as a mapping (``{"minimum": 0.7}``), or the plain
        number, whose side follows from the metric.

    Returns
    -------
    Verdict
        Passed when every limit is kept. A metric that wasn't reported or isn't finite keeps none.

    Raises
    ------
    SettingsError
        An unknown metric, or a limit that is no number or on the wrong side.
    """
    findings = _Findings()
    _check_limits(findings, metrics, thresholds)
    return findings.verdict()


def judge(
    evaluation: Mapping[str, Any],
    thresholds: Mapping[str, Threshold | Mapping[str, float] | float],
    *,
    champion_tolerance: float = CHAMPION_TOLERANCE,
) -> Verdict:
    """Decide whether a ranking model may be published: limits, popularity and the champion.

    Parameters
    ----------
    evaluation
        What `fmrec.ranking.evaluation_step.evaluate` reports: ``k``, ``model``, ``baselines``, ``champion``,
        ``simple_models``, ``folded_in`` and the paired ``comparisons``.
    thresholds
        As for `check`, on the model's own metrics and on `FOLDED_IN` with the lists' cut-off.
    champion_tolerance
        How much NDCG the model may lose against the champion. It fails if it loses more and the loss is
        beyond chance (the interval of the paired difference lies below zero).

    Returns
    -------
    Verdict
        Passed when every limit is kept, the better of the popularity baselines is beaten beyond chance
        (the interval of the paired NDCG difference lies above zero), and the champion isn't lost to. What the
        best simple model gives is said, and decides nothing.

    Raises
    ------
    SettingsError
        As `check`.
    """
    findings = _Findings(told=_simple_models(evaluation))
    k = evaluation["k"]
    folded_in = (evaluation.get("folded_in") or {}).get("ndcg_ratio")
    ratio = {} if folded_in is None else {f"{FOLDED_IN}_at_{k}": float(folded_in)}
    _check_limits(findings, {**evaluation["model"]["metrics"], **ratio}, thresholds)
    ndcg = f"ndcg_at_{k}"
    own = float(evaluation["model"]["metrics"][ndcg])

    baselines = {name: float(report["metrics"][ndcg]) for name, report in evaluation["baselines"].items()}
    best = max(baselines, key=lambda name: baselines[name])
    versus = evaluation["comparisons"][best][ndcg]
    beaten = versus["low"] > 0
    findings.add(f"popularity_{ndcg}", own, baselines[best], beaten)
    words = (
        f"popularity's NDCG@{k} is {baselines[best]:.4f} ({best.replace('_', '-')} items), the model's "
        f"{own:.4f} ({_margin(versus)})"
    )
    if beaten:
        findings.held.append(words)
    else:
        findings.faults.append(
            f"{words}: it does not beat popularity beyond chance; a model trained on explicit ratings never "
            "learns what people don't pick, so train on implicit feedback with sampled negatives"
        )

    if evaluation.get("champion") is not None:
        champion = float(evaluation["champion"]["metrics"][ndcg])
        versus = evaluation["comparisons"]["champion"][ndcg]
        lost = versus["difference"] < -champion_tolerance and versus["high"] < 0
        findings.add(f"champion_{ndcg}", own, champion - champion_tolerance, not lost)
        words = f"the champion's NDCG@{k} is {champion:.4f}, the model's {own:.4f} ({_margin(versus)})"
        if lost:
            findings.faults.append(f"{words}: it loses more than the tolerance of {champion_tolerance:g}")
        else:
            findings.held.append(words)
    return findings.verdict()


@dataclass
class _Findings:
    """What was looked at so far."""

    metrics: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    told: str = ""
    """What a person should know as well, whatever the verdict."""

    def add(self, metric: str, value: float | None, limit: float, passed: bool) -> None:
        self.checks.append(Check(metric, value, limit, passed))

    def verdict(self) -> Verdict:
        sentence = f"{self._sentence()} {self.told}".strip()
        return Verdict(not self.faults, sentence, self.metrics, tuple(self.checks))

    def _sentence(self) -> str:
        if not self.faults:
            if not self.held:
                return "The model is accepted: settings name no threshold, so nothing was checked."
            return f"The model is good enough to publish: {'; '.join(self.held)}."
        also = f" Kept: {'; '.join(self.held)}." if self.held else ""
        return (
            f"The model is not good enough to publish: {'; '.join(self.faults)}.{also} What is served stays "
            "as it is. Train longer, with more data or other hyperparameters, or change the thresholds in "
            "settings if this quality will do."
        )


def _check_limits(
    findings: _Findings,
    metrics: Mapping[str, float],
    thresholds: Mapping[str, Threshold | Mapping[str, float] | float],
) -> None:
    reported: dict[str, float] = {}
    for name, value in metrics.items():
        # A bare name must not hide the test channel's metric, whichever comes first.
        if name.startswith("test:") or plain_name(name) not in reported:
            reported[plain_name(name)] = float(value)
    findings.metrics.update((name, value) for name, value in reported.items() if math.isfinite(value))
    for name, threshold in thresholds.items():
        metric = plain_name(name)
        limit = _limit(metric, threshold)
        better = direction(metric)
        word = "at least" if better == "higher" else "at most"
        found = reported.get(metric)
        if found is None:
            findings.add(metric, None, limit, passed=False)
            remedy = (
                f"the lists are judged at another cut-off, or nobody could be folded in (folded_in of the ranking "
                f"report says why): choose another split, or remove the threshold of {metric} from settings"
                if metric.startswith(FOLDED_IN)
                else f"give the training job a test channel, or remove the threshold of {metric} from settings"
            )
            findings.faults.append(
                f"{metric} was not reported, though {word} {limit:g} is required: {remedy}"
            )
        elif not math.isfinite(found):
            findings.add(metric, None, limit, passed=False)
            findings.faults.append(
                f"{metric} is {found}, not a number: training diverged; lower the learning rates "
                "(factors_lr, linear_lr, bias_lr) or look for extreme values in the data"
            )
        else:
            kept = found >= limit if better == "higher" else found <= limit
            findings.add(metric, found, limit, kept)
            if kept:
                findings.held.append(f"{metric} {found:.4f} ({word} {limit:g})")
            else:
                findings.faults.append(f"{metric} is {found:.4f}, {word} {limit:g} is required")


def _simple_models(evaluation: Mapping[str, Any]) -> str:
    """What the best simple model gives, or why none was fitted; empty where the report says neither."""
    reports = evaluation.get("simple_models")
    why = str(evaluation.get("simple_models_why") or "")
    missing = f"{why[:1].upper()}{why[1:]}." if why else ""
    if not reports:
        return missing
    k = evaluation["k"]
    ndcg = f"ndcg_at_{k}"
    best = max(reports, key=lambda name: float(reports[name]["metrics"][ndcg]))
    versus = evaluation["comparisons"][best][ndcg]
    words = (
        f"{SIMPLE_MODELS[best]}, a simple model of the same interactions, has an NDCG@{k} of "
        f"{float(reports[best]['metrics'][ndcg]):.4f} ({_margin(versus)})"
    )
    compared = "the difference is within chance"
    if versus["high"] < 0:
        compared = "the simple model ranks better than this one, beyond chance"
    elif versus["low"] > 0:
        compared = "this model ranks better, beyond chance"
    return f"{words}: {compared}. {missing}".rstrip()


def _margin(versus: Mapping[str, float]) -> str:
    return (
        f"difference {versus['difference']:+.4f}, 95 % between {versus['low']:+.4f} and {versus['high']:+.4f}"
    )


def _limit(metric: str, threshold: Threshold | Mapping[str, float] | float) -> float:
    """The one number of `threshold`, after a check that it limits the side that matters."""
    side = "minimum" if direction(metric) == "higher" else "maximum"
    if isinstance(threshold, Threshold):
        threshold = {key: value for key, value in asdict(threshold).items() if value is not None}
    if isinstance(threshold, Mapping):
        given = {key: value for key, value in threshold.items() if value is not None}
        if set(given) != {side}:
            raise SettingsError(
                f"the threshold of {metric} gives {', '.join(map(repr, given)) or 'nothing'}; it needs exactly "
                f"{side!r}, because {'more' if side == 'minimum' else 'less'} of {metric} is better"
            )
        threshold = given[side]
    if not is_number(threshold):
        raise SettingsError(f"the threshold of {metric} is {shown(threshold)}, expected a finite number")
    return float(threshold)
