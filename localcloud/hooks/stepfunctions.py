"""Step Functions: real jobs, the state machine's role, stopping, time-outs, limits, JSONata Parallel.

What the emulator gets wrong or lacks is put right around its own functions:

- tasks of Glue, SageMaker, Service Quotas, Pricing and S3 run in ``localcloud.integrations``;
- every task is checked against the policies of the state machine's role;
- StopExecution and TimeoutSeconds, of a state and of the machine, stop the job that a task waits for;
- what a task answers may not exceed 256 KiB;
- a JSONata Parallel honours Arguments, Output and Assign, and branches don't share variables;
- a JSONata Succeed honours Output;
- States.ALL does not catch States.Runtime nor States.DataLimitExceeded.
"""

from __future__ import annotations

import contextvars
import copy
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud import permissions, roles
from localcloud.hooks.binding import FUNCTION, find, replace
from localcloud.integrations import Integrations, Task, TaskError

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

_MODULE = "ministack.services.stepfunctions"
_LARGEST_PAYLOAD = 256 * 1024
_RUNNING = "RUNNING"
_FINAL_ERRORS = ("States.Runtime", "States.DataLimitExceeded")


_LATEST_EVENTS = 20
_COMPLETION_SECONDS = 0.2
"""How long a history waits at most for the events that are being completed."""


@dataclass
class _Attempt:
    """The task that this thread runs."""

    execution: dict[str, Any]
    role: str
    expired: threading.Event = field(default_factory=threading.Event)

    def over(self) -> bool:
        return self.expired.is_set() or self.execution["status"] != _RUNNING


_attempt: contextvars.ContextVar[_Attempt | None] = contextvars.ContextVar("localcloud_attempt", default=None)


def install(cloud: Cloud) -> None:
    """Put every patch of Step Functions in place."""
    module = _MODULE
    integrations = Integrations(
        cloud.sagemaker,
        cloud.service_quotas,
        cloud.pricing,
        cloud.sagemaker.scaling,
        cloud.glue,
        lambda: _s3_client(cloud),
    )
    replace(module, "_execute_task", ("state_def", "raw_input", "execution", "ctx"), _in_attempt)
    replace(
        module,
        "_invoke_resource",
        ("resource", "input_data"),
        _dispatching(integrations, cloud),
    )
    replace(
        module, "_invoke_resource_with_timeout", ("resource", "input_data", "timeout"), _ending_at_timeout
    )
    replace(
        module, "_run_parallel_branches", ("state_def", "raw_input", "execution", "ctx"), _jsonata_parallel
    )
    replace(
        module, "_run_sub_machine", ("states", "start_at", "input_data", "execution", "ctx"), _own_variables
    )
    replace(module, "_apply_output_path", ("state_def", "data", "ctx"), _jsonata_succeed)
    replace(module, "_error_matches", ("error_equals", "error"), _without_final_errors)
    replace(module, "_fail_execution", ("execution", "error", "cause"), _only_if_running)
    replace(module, "_run_execution", ("exec_arn",), _with_machine_timeout)
    replace(module, "_get_execution_history", ("data",), _with_complete_events)
    for name in ("_state_machines", "_executions"):
        find(module, name, object)


def abort_executions() -> None:
    """Stop every running execution, in all accounts and regions; they don't survive the server."""
    executions = find(_MODULE, "_executions", object)
    now = find(_MODULE, "now_iso", FUNCTION)
    for execution in list(executions._data.values()):
        if execution["status"] == _RUNNING:
            execution |= {"status": "ABORTED", "stopDate": now(), "cause": "the local cloud was stopped"}


def _error(name: str, cause: str) -> Exception:
    error: Exception = find(_MODULE, "_ExecutionError", type)(name, cause)
    return error


def _in_attempt(original: Callable[..., Any]) -> Callable[..., Any]:
    machines = find(_MODULE, "_state_machines", object)
    evaluate = find(_MODULE, "_apply_jsonata_template", FUNCTION)

    def execute_task(
        state_def: dict[str, Any], raw_input: Any, execution: dict[str, Any], ctx: dict[str, Any]
    ) -> Any:
        if execution["status"] != _RUNNING:
            raise _error("States.Runtime", "the execution was stopped")
        if isinstance(state_def.get("TimeoutSeconds"), str):
            state_def = state_def | {"TimeoutSeconds": evaluate(state_def["TimeoutSeconds"], raw_input, ctx)}
        machine = machines.get(execution["stateMachineArn"]) or {}
        token = _attempt.set(_Attempt(execution, machine.get("roleArn", "")))
        try:
            return original(state_def, raw_input, execution, ctx)
        finally:
            _attempt.reset(token)

    return execute_task


def _dispatching(
    integrations: Integrations, cloud: Cloud
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    region = cloud.record.region

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def invoke_resource(resource: str, input_data: Any) -> Any:
            attempt = _attempt.get()
            over = attempt.over if attempt is not None else lambda: False
            try:
                if attempt is not None:  # TestState runs a state without an execution, its role isn't checked
                    _complete_schedule(attempt.execution["events"], resource, input_data, region)
                    _authorise(attempt, resource, input_data, cloud)
                handler = integrations.handler(resource)
                result = (
                    original(resource, input_data) if handler is None else handler(input_data, Task(over))
                )
            except TaskError as error:
                raise _error(error.error, error.cause) from error
            _check_size(result)
            return result

        return invoke_resource

    return make


def _complete_schedule(events: list[dict[str, Any]], resource: str, request: Any, region: str) -> None:
    """Put what Step Functions says of a task into its TaskScheduled event, where stock names the resource
    only.
    """
    service, _, action = resource.partition(":states:::")[2].partition(":")
    for event in reversed(events):
        details = event.get("taskScheduledEventDetails")
        if details is not None and details["resource"] == resource and "parameters" not in details:
            details |= {
                "resourceType": service or "lambda",
                "resource": action or details["resource"],
                "region": region,
                "parameters": json.dumps(request),
            }
            return


def _with_complete_events(original: Callable[..., Any]) -> Callable[..., Any]:
    """Show a TaskScheduled event once it is complete: stock adds it just before the task's thread
    completes it.
    """
    executions = find(_MODULE, "_executions", object)

    def incomplete(execution: dict[str, Any]) -> bool:
        return any(
            event["type"] == "TaskScheduled" and "parameters" not in event["taskScheduledEventDetails"]
            for event in execution["events"][-_LATEST_EVENTS:]
        )

    def get_execution_history(data: dict[str, Any]) -> Any:
        execution = executions.get(data.get("executionArn"))
        if execution is not None and execution["status"] == _RUNNING:
            until = time.monotonic() + _COMPLETION_SECONDS
            while incomplete(execution) and time.monotonic() < until:
                time.sleep(0.001)
        return original(data)

    return get_execution_history


def _authorise(attempt: _Attempt, resource: str, request: Any, cloud: Cloud) -> None:
    region = cloud.record.region
    given = request if isinstance(request, dict) else {}
    for permission in permissions.of_task(resource, given, region, cloud.sagemaker.scales):
        denial = roles.denial(attempt.role, _session(attempt), permission.action, permission.resource, region)
        if denial is not None:
            raise TaskError(permissions.denied_error(resource), denial)


def _session(attempt: _Attempt) -> str:
    return str(attempt.execution["name"])[:64]


def _check_size(result: Any) -> None:
    size = len(json.dumps(result, default=str).encode())
    if size > _LARGEST_PAYLOAD:
        raise _error(
            "States.DataLimitExceeded",
            f"The state/task returned a result with a size exceeding the maximum number of bytes service limit: "
            f"{size} of {_LARGEST_PAYLOAD}.",
        )


def _s3_client(cloud: Cloud) -> Any:
    attempt = _attempt.get()
    keys = roles.credentials(attempt.role, _session(attempt)) if attempt is not None else {}
    return roles.client("s3", keys, cloud.record)


def _ending_at_timeout(original: Callable[..., Any]) -> Callable[..., Any]:
    """Run a task for at most ``timeout`` seconds, and tell it to stop then."""

    def invoke_resource_with_timeout(resource: str, input_data: Any, timeout: float) -> Any:
        invoke = find(_MODULE, "_invoke_resource", FUNCTION)
        attempt = _attempt.get()
        pool = ThreadPoolExecutor(max_workers=1)
        future = pool.submit(contextvars.copy_context().run, invoke, resource, input_data)
        pool.shutdown(wait=False)
        try:
            return future.result(timeout=timeout)
        except FutureTimeoutError:
            if attempt is not None:
                attempt.expired.set()
            raise _error("States.Timeout", f"Task timed out after {timeout} seconds") from None

    return invoke_resource_with_timeout


def _jsonata_parallel(original: Callable[..., Any]) -> Callable[..., Any]:
    language = find(_MODULE, "_state_query_language", FUNCTION)
    arguments = find(_MODULE, "_apply_jsonata_arguments", FUNCTION)
    output = find(_MODULE, "_apply_jsonata_output", FUNCTION)
    assign = find(_MODULE, "_apply_state_assign", FUNCTION)
    next_or_end = find(_MODULE, "_next_or_end", FUNCTION)

    def run_parallel_branches(
        state_def: dict[str, Any], raw_input: Any, execution: dict[str, Any], ctx: dict[str, Any]
    ) -> Any:
        if language(state_def, ctx) != "JSONata":
            return original(state_def, raw_input, execution, ctx)
        branches_only = {"Type": "Parallel", "Branches": state_def["Branches"], "End": True}
        results, _ = original(branches_only, arguments(state_def, raw_input, ctx), execution, ctx)
        answer = output(state_def, raw_input, ctx, result=results, default=results)
        assign(state_def, raw_input, ctx, result=results)
        return answer, next_or_end(state_def)

    return run_parallel_branches


def _jsonata_succeed(original: Callable[..., Any]) -> Callable[..., Any]:
    language = find(_MODULE, "_state_query_language", FUNCTION)
    output = find(_MODULE, "_apply_jsonata_output", FUNCTION)

    def apply_output_path(state_def: dict[str, Any], data: Any, ctx: dict[str, Any] | None = None) -> Any:
        if state_def["Type"] == "Succeed" and language(state_def, ctx) == "JSONata":
            return output(state_def, data, ctx, default=data)
        return original(state_def, data, ctx)

    return apply_output_path


def _own_variables(original: Callable[..., Any]) -> Callable[..., Any]:
    """A branch or iteration sees the outer variables, and its own assignments stay inside."""

    def run_sub_machine(
        states: dict[str, Any], start_at: str, input_data: Any, execution: dict[str, Any], ctx: dict[str, Any]
    ) -> Any:
        return original(states, start_at, input_data, execution, copy.deepcopy(ctx))

    return run_sub_machine


def _without_final_errors(original: Callable[..., bool]) -> Callable[..., bool]:
    def error_matches(error_equals: list[str], error: str) -> bool:
        if error in _FINAL_ERRORS:
            return error in error_equals and error != "States.Runtime"
        return original(error_equals, error)

    return error_matches


def _only_if_running(original: Callable[..., None]) -> Callable[..., None]:
    """An execution that was stopped or has timed out keeps that status, whatever its task then says."""

    def fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == _RUNNING:
            original(execution, error, cause)

    return fail_execution


def _with_machine_timeout(original: Callable[..., None]) -> Callable[..., None]:
    executions = find(_MODULE, "_executions", object)
    machines = find(_MODULE, "_state_machines", object)
    now = find(_MODULE, "now_iso", FUNCTION)
    add_event = find(_MODULE, "_add_event", FUNCTION)
    tell = find(_MODULE, "_emit_execution_status_event", FUNCTION)

    def time_out(execution: dict[str, Any]) -> None:
        if execution["status"] == _RUNNING:
            details = {"error": "States.Timeout"}
            execution |= {"status": "TIMED_OUT", "stopDate": now(), **details}
            add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": details})
            tell(execution)

    def run_execution(exec_arn: str) -> None:
        execution = executions.get(exec_arn)
        machine = machines.get(execution["stateMachineArn"]) if execution else None
        seconds = json.loads(machine["definition"]).get("TimeoutSeconds") if machine else None
        # The emulator finds account and region in the context.
        timer = threading.Timer(seconds or 0, contextvars.copy_context().run, [time_out, execution])
        timer.daemon = True
        if seconds:
            timer.start()
        try:
            original(exec_arn)
        finally:
            timer.cancel()

    return run_execution
