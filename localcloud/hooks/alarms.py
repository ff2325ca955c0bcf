"""CloudWatch alarms: by their own dimensions and with missing data, and as SageMaker's deployments see them.

Stock takes the data of a metric under any dimension, and leaves an alarm as it is when data ends. Source:
Amazon CloudWatch user guide, "Using Amazon CloudWatch alarms" (evaluation, missing data).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from localcloud.hooks.binding import FUNCTION, find, replace
from localcloud.sagemaker.watching import Invocation

_MODULE = "ministack.services.cloudwatch"
_NAMESPACE = "AWS/SageMaker"
_EVALUATE_SECONDS = 1.0
_STATE_SECONDS = 10
"""How long a state lasts, also one that somebody has set, before it is evaluated anew; a minute on AWS."""
_WITHOUT_DATA = {"notBreaching": "OK", "breaching": "ALARM"}


def install() -> None:
    """Evaluate alarms by their dimensions."""
    replace(_MODULE, "_evaluate_alarm", ("alarm",), _by_dimensions)
    find(_MODULE, "_evaluate_all_alarms", FUNCTION)


def _by_dimensions(original: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    metrics = find(_MODULE, "_metrics", object)
    key_of = find(_MODULE, "_dims_key", FUNCTION)
    read_dimensions = find(_MODULE, "_dims_from_list", FUNCTION)
    change = _changing()

    def evaluate(alarm: dict[str, Any]) -> None:
        namespace, name = alarm.get("Namespace"), alarm.get("MetricName")
        if not namespace or not name:
            original(alarm)
            return
        points = metrics.get((namespace, name, key_of(read_dimensions(alarm.get("Dimensions") or []))))
        since = time.time() - int(alarm.get("Period", 60)) * int(alarm.get("EvaluationPeriods", 1))
        # Points come in order of time, nearly always; those of one evaluation are at the end.
        recent = [point for point in points or () if point["Timestamp"] >= since]
        if recent:
            change(alarm, *_judged(alarm, recent))
        elif (state := _WITHOUT_DATA.get(alarm.get("TreatMissingData", "missing"))) is not None:
            change(alarm, state, f"No data: {alarm['TreatMissingData']}")

    return evaluate


def _judged(alarm: dict[str, Any], points: list[dict[str, Any]]) -> tuple[str, str]:
    """State and reason by the points of the alarm's time."""
    statistics = find(_MODULE, "_calc_stats", FUNCTION)
    value_of = find(_MODULE, "_stat_value", FUNCTION)
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
    value = value_of(statistics(points), statistic, points)
    threshold, operator = float(alarm.get("Threshold", 0)), alarm.get("ComparisonOperator", "")
    breaching = value is not None and {
        "GreaterThanOrEqualToThreshold": value >= threshold,
        "GreaterThanThreshold": value > threshold,
        "LessThanThreshold": value < threshold,
        "LessThanOrEqualToThreshold": value <= threshold,
    }.get(operator, False)
    return ("ALARM" if breaching else "OK"), f"Threshold Crossed: {statistic} {value} {operator} {threshold}"


def _changing() -> Callable[[dict[str, Any], str, str], None]:
    remember = find(_MODULE, "_record_history", FUNCTION)
    act = find(_MODULE, "_dispatch_alarm_actions", FUNCTION)
    tell_parents = find(_MODULE, "_evaluate_parent_alarms", FUNCTION)

    def change(alarm: dict[str, Any], state: str, reason: str) -> None:
        before = alarm["StateValue"]
        if before == state:
            return
        alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
        remember(alarm["AlarmName"], before, state, reason)
        act(alarm, before, state, reason)
        tell_parents(alarm)

    return change


class _Pace:
    """When all alarms were last evaluated."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._evaluated = -math.inf

    def due(self, at_once: bool) -> bool:
        """Whether to evaluate now, which the caller then does."""
        with self._lock:
            moment = time.monotonic()
            due = at_once or moment - self._evaluated >= _EVALUATE_SECONDS
            if due:
                self._evaluated = moment
        return due


_pace = _Pace()


def evaluate_all(at_once: bool) -> None:
    """Evaluate all alarms, if not at once then at most once a second."""
    if _pace.due(at_once):
        find(_MODULE, "_evaluate_all_alarms", FUNCTION)()


class EmulatorCloudWatch:
    """The emulator's CloudWatch, as `localcloud.sagemaker.watching.CloudWatch`."""

    def record(self, invocation: Invocation) -> None:
        """Keep the metrics; alarms are evaluated at once for an error, else once a second."""
        put = find(_MODULE, "record_metric", FUNCTION)
        dimensions = {"EndpointName": invocation.endpoint, "VariantName": invocation.variant}
        for name, (value, unit) in invocation.metrics().items():
            put(_NAMESPACE, name, value, unit, dimensions)
        evaluate_all(at_once=invocation.status >= 500)

    def missing(self, alarms: Sequence[str]) -> list[str]:
        """Those of the alarms that there are not."""
        known = find(_MODULE, "_alarms", object)
        return [name for name in alarms if known.get(name) is None]

    def in_alarm(self, alarms: Sequence[str]) -> list[str]:
        """Those in ALARM; what has been in a state for some seconds is evaluated anew."""
        known = find(_MODULE, "_alarms", object)
        evaluate = find(_MODULE, "_evaluate_alarm", FUNCTION)
        found = []
        for name in alarms:
            alarm = known.get(name)
            if alarm is None:
                continue
            if alarm.get("StateUpdatedTimestamp", 0) + _STATE_SECONDS < time.time():
                evaluate(alarm)
            if alarm["StateValue"] == "ALARM":
                found.append(name)
        return found
