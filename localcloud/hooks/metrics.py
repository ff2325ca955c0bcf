"""CloudWatch: metrics of Step Functions and of every invocation of a function, so that alarms really fire.

The emulator counts invocations through Lambda's API, an asynchronous one before it has run, and those of
EventBridge and Step Functions not at all. Sources: AWS Step Functions developer guide, "Monitoring with
CloudWatch metrics"; AWS Lambda developer guide, "Types of metrics for Lambda functions".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from localcloud.hooks import alarms
from localcloud.hooks.binding import FUNCTION, find, replace

_LAMBDA = "ministack.services.lambda_svc"
_NAMESPACE = "AWS/States"
_NAMES = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def install() -> None:
    """Record metrics at every change of an execution's status, which the emulator reports to EventBridge,
    and at the end of every invocation.
    """
    replace("ministack.services.stepfunctions", "_emit_execution_status_event", ("execution",), _with_metrics)
    replace(
        _LAMBDA,
        "_execute_function_dispatch",
        ("func", "config", "event", "request_id", "started"),
        _counting_invocations,
    )
    replace(
        _LAMBDA,
        "_emit_lambda_metrics",
        ("function_name", "duration_ms", "error", "throttle"),
        _throttles_only,
    )


def _counting_invocations(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    emit = find(_LAMBDA, "_emit_lambda_metrics", FUNCTION)

    def execute(func: Any, config: dict[str, Any], event: Any, request_id: str, started: float) -> Any:
        begun = time.monotonic()
        result = original(func, config, event, request_id, started)
        milliseconds = (time.monotonic() - begun) * 1000
        error = bool(result.get("error"))
        emit(config.get("FunctionName", ""), milliseconds, error=error, throttle=False)
        alarms.evaluate_all(at_once=error)
        return result

    return execute


def _throttles_only(original: Callable[..., None]) -> Callable[..., None]:
    """What did not run is counted where it is refused; what runs, where it ends."""

    def emit(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        if throttle and not duration_ms:
            original(function_name, duration_ms, error, throttle)

    return emit


def _with_metrics(original: Callable[..., None]) -> Callable[..., None]:
    record = find("ministack.services.cloudwatch", "record_metric", FUNCTION)

    def emit(execution: dict[str, Any]) -> None:
        original(execution)
        dimensions = {"StateMachineArn": execution["stateMachineArn"]}
        record(_NAMESPACE, _NAMES[execution["status"]], 1, "Count", dimensions)
        if execution.get("stopDate"):
            record(_NAMESPACE, "ExecutionTime", _milliseconds(execution), "Milliseconds", dimensions)
        alarms.evaluate_all(at_once=True)

    return emit


def _milliseconds(execution: dict[str, Any]) -> float:
    start, stop = (datetime.fromisoformat(execution[name]) for name in ("startDate", "stopDate"))
    return (stop - start).total_seconds() * 1000
