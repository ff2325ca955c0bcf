"""CloudWatch: the metrics of Step Functions, so that alarms on failed executions really fire.

Source: AWS Step Functions developer guide, "Monitoring with CloudWatch metrics".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from localcloud.hooks.binding import find, replace

_NAMESPACE = "AWS/States"
_NAMES = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def install() -> None:
    """Record a metric at every change of an execution's status, which the emulator reports to EventBridge."""
    replace("ministack.services.stepfunctions", "_emit_execution_status_event", ("execution",), _with_metrics)


def _with_metrics(original: Callable[..., None]) -> Callable[..., None]:
    function = type(replace)
    record = find("ministack.services.cloudwatch", "record_metric", function)
    evaluate_alarms = find("ministack.services.cloudwatch", "_evaluate_all_alarms", function)

    def emit(execution: dict[str, Any]) -> None:
        original(execution)
        dimensions = {"StateMachineArn": execution["stateMachineArn"]}
        record(_NAMESPACE, _NAMES[execution["status"]], 1, "Count", dimensions)
        if execution.get("stopDate"):
            record(_NAMESPACE, "ExecutionTime", _milliseconds(execution), "Milliseconds", dimensions)
        evaluate_alarms()

    return emit


def _milliseconds(execution: dict[str, Any]) -> float:
    start, stop = (datetime.fromisoformat(execution[name]) for name in ("startDate", "stopDate"))
    return (stop - start).total_seconds() * 1000
