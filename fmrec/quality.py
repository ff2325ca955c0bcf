"""Whether a model is good enough to publish: metrics against limits, in words that a person can act on.

Metrics carry SageMaker's own names (``test:binary_classification_accuracy``, as FinalMetricDataList
and the training log have them) or this project's ranking names (``ndcg_at_10``); ``test:`` is dropped.
A limit is on the side that makes sense for the metric: accuracy has a minimum, cross entropy a maximum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

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
"""Which way is better, for the metrics of SageMaker's FM and k-NN (facts of both algorithms' documents)."""

_RANKING_METRIC = re.compile(r"(ndcg|recall|precision|hit_rate|map|coverage|novelty)_at_[1-9][0-9]*")


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
        f"{', '.join(DIRECTIONS)}, and ndcg, recall, precision, hit_rate, map, coverage or novelty "
        "with a cut-off, such as ndcg_at_10"
    )


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
    reported: dict[str, float] = {}
    for name, value in metrics.items():
        # SageMaker reports a test metric once per channel; a bare name must not hide the test channel's.
        if name.startswith("test:") or plain_name(name) not in reported:
            reported[plain_name(name)] = float(value)
    checks = []
    faults = []
    held = []
    for name, threshold in thresholds.items():
        metric = plain_name(name)
        limit = _limit(metric, threshold)
        better = direction(metric)
        word = "at least" if better == "higher" else "at most"
        found = reported.get(metric)
        if found is None:
            checks.append(Check(metric, None, limit, passed=False))
            faults.append(
                f"{metric} was not reported, though {word} {limit:g} is required: give the training job "
                f"a test channel, or remove the threshold of {metric} from settings"
            )
            continue
        kept = math.isfinite(found) and (found >= limit if better == "higher" else found <= limit)
        checks.append(Check(metric, found if math.isfinite(found) else None, limit, passed=kept))
        if kept:
            held.append(f"{metric} {found:.4f} ({word} {limit:g})")
        elif not math.isfinite(found):
            faults.append(
                f"{metric} is {found}, not a number: training diverged; lower the learning rates "
                "(factors_lr, linear_lr, bias_lr) or look for extreme values in the data"
            )
        else:
            faults.append(f"{metric} is {found:.4f}, {word} {limit:g} is required")
    passed = not faults
    finite = {name: value for name, value in reported.items() if math.isfinite(value)}
    return Verdict(passed, _sentence(held, faults), finite, tuple(checks))


def _sentence(held: list[str], faults: list[str]) -> str:
    if not faults:
        if not held:
            return "The model is accepted: settings name no threshold, so nothing was checked."
        return f"The model is good enough to publish: {', '.join(held)}."
    also = f" Kept: {', '.join(held)}." if held else ""
    return (
        f"The model is not good enough to publish: {'; '.join(faults)}.{also} What is served stays as it "
        "is. Train longer, with more data or other hyperparameters, or change the thresholds in settings "
        "if this quality will do."
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
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
        raise SettingsError(f"the threshold of {metric} is {threshold!r}, expected a finite number")
    return float(threshold)
