"""Glue: StartJobRun and BatchStopJobRun are real; a job keeps how many runs it allows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud import wire
from localcloud.faults import ServiceFault
from localcloud.glue.runs import GlueRuns
from localcloud.hooks.binding import FUNCTION, find, replace

_MODULE = "ministack.services.glue"
_KEPT = ("ExecutionProperty", "ExecutionClass", "JobRunQueuingEnabled")


def install(runs: GlueRuns) -> None:
    """Put real runs in the place of the emulator's."""
    json_response = find(_MODULE, "json_response", FUNCTION)
    error_response = find(_MODULE, "error_response_json", FUNCTION)
    find(_MODULE, "_job_runs", object)

    def answering(operation: str, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., Any]:
        def handle(data: dict[str, Any]) -> Any:
            try:
                return json_response(answer(wire.request("glue", operation, data)))
            except ServiceFault as fault:
                return error_response(fault.code, fault.message, fault.status)

        return handle

    start = answering("StartJobRun", lambda request: {"JobRunId": runs.start(request)})
    stop = answering("BatchStopJobRun", lambda request: runs.stop(request["JobName"], request["JobRunIds"]))
    replace(_MODULE, "_start_job_run", ("data",), lambda _: start)
    replace(_MODULE, "_batch_stop_job_run", ("data",), lambda _: stop)
    replace(_MODULE, "_create_job", ("data",), _keeping("Name", lambda data: data))
    replace(_MODULE, "_update_job", ("data",), _keeping("JobName", lambda data: data.get("JobUpdate", {})))
    replace(_MODULE, "_get_job_runs", ("data",), _newest_first)
    # CloudFormation hands on the properties that are named here.
    defaults = find("ministack.services.cloudformation.provisioners", "_GLUE_JOB_DEFAULTS", dict)
    defaults["ExecutionProperty"] = {"MaxConcurrentRuns": 1}
    defaults["ExecutionClass"] = "STANDARD"


def _keeping(
    name: str, settings: Callable[[dict[str, Any]], dict[str, Any]]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Keep settings of a job that the emulator drops."""
    jobs = find(_MODULE, "_jobs", object)

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def handle(data: dict[str, Any]) -> Any:
            response = original(data)
            job = jobs.get(data.get(name))
            if response[0] == 200 and job is not None:
                job.setdefault("ExecutionProperty", {"MaxConcurrentRuns": 1})
                job.update({key: value for key, value in settings(data).items() if key in _KEPT})
            return response

        return handle

    return make


def _newest_first(original: Callable[..., Any]) -> Callable[..., Any]:
    json_response = find(_MODULE, "json_response", FUNCTION)
    runs = find(_MODULE, "_job_runs", object)

    def get_job_runs(data: dict[str, Any]) -> Any:
        return json_response({"JobRuns": list(reversed(runs.get(data.get("JobName")) or []))})

    return get_job_runs
