"""The endpoint that a run changes: its name, its candidates, and what each change of it has in common."""

from __future__ import annotations

from stacks.workflow.candidates import Candidates
from stacks.workflow.state_builders import (
    SAGEMAKER_ERRORS,
    SAGEMAKER_SDK_ERRORS,
    State,
    States,
    jsonata,
    retry,
    task,
)

ENDPOINT = Candidates("$endpoint_step", "the endpoint")
NAME = jsonata("$endpoint.name")


def change(
    state: str,
    integration: str,
    arguments: State,
    *,
    next_state: str,
    assign: State | None = None,
    catch_quota: State | None = None,
) -> States:
    return task(
        state,
        integration,
        arguments,
        retries=[retry(*SAGEMAKER_ERRORS, *SAGEMAKER_SDK_ERRORS)],
        timeout_seconds=300,
        catches=(catch_quota or ENDPOINT.catch_quota(),),
        log="endpoint",
        log_name=NAME,
        assign=assign,
        next_state=next_state,
    )


def failed(state: str, error: str, cause: str) -> State:
    """The failure of the endpoint in a state; ``cause`` is an expression."""
    return {
        "state": state,
        "log": "endpoint",
        "name": NAME,
        "error": {"Error": error, "Cause": jsonata(cause)},
    }
