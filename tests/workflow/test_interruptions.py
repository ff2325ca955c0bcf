"""A process killed in the middle ends the run with a sentence, and the next run succeeds."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from tests.workflow.conftest import SMALL_INPUT

KILLED = {
    "glue": ("Encode the interactions", "kill"),
    "training": ("Train the factorization machine", "kill"),
    "endpoint": ("endpoint", "fmrec-knn"),
}


@pytest.mark.parametrize("kind", KILLED)
def test_a_killed_process_is_named_and_the_next_run_succeeds(
    pipeline: Any, encoded_input: dict[str, Any], kind: str
) -> None:
    given = encoded_input | {"serving": encoded_input["serving"] | {"endpoint": kind == "endpoint"}}
    if kind == "glue":
        del given["encoded"]
        given["dataset"] = SMALL_INPUT["dataset"]
    interrupted = given | {}
    if kind == "training":
        interrupted["hyperparameters"] = given["hyperparameters"] | {"epochs": 1_000_000}
    # Endpoints of earlier runs go on serving while they are updated.
    earlier = pipeline.processes(kind)
    arn = pipeline.start(interrupted)
    os.kill(pipeline.process(kind, earlier), signal.SIGKILL)

    execution = pipeline.wait(arn)

    assert execution.status == "FAILED"
    state, cause = KILLED[kind]
    assert state.lower() in execution.cause.lower()
    assert cause in execution.cause.lower()
    assert execution.states[-1].type == "Fail"
    let_errors_pass(pipeline)
    again = pipeline.run(given)
    assert again.status == "SUCCEEDED", again.cause


def let_errors_pass(pipeline: Any) -> None:
    """Wait while errors count by which an update would be rolled back.

    An endpoint that is killed only when it serves already, on a busy machine, has answered calls with some.
    """
    found = pipeline.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    periods = [
        alarm["Period"]
        for alarm in found
        if alarm["Namespace"] == "AWS/SageMaker" and alarm["StateValue"] == "ALARM"
    ]
    time.sleep(max(periods, default=0))
