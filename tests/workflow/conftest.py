"""The deployed app in a local cloud, shared by a group of workflow tests; one `cdk deploy` for all."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo import cloud as local
from demo.cloud import Cloud
from demo.movielens import MovieLens
from fmrec.commands.run import PIPELINE_STACK, STORAGE_STACK
from fmrec.execution.step_functions import FINISHED, Execution, follow, history, stack_outputs, start
from tests.conftest import ROOT, one_process_at_a_time

POLL_SECONDS = 0.5
"""Between two looks at an execution: each takes some 10 ms of a processor here and in the cloud, and as long
again with its history.
"""
SOME_USERS = 300
SMALL_USERS, SMALL_ITEMS = 60, 40
SMALL_INPUT: dict[str, Any] = {
    "dataset": {
        "interactions": {
            "path": "small/",
            "format": "csv",
            "header": True,
            "columns": {"user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp"},
        },
        "label": {"mode": "implicit", "threshold": 4, "negatives_per_positive": 4},
        "split": {"method": "leave-first-n", "n": 4},
    },
    "hyperparameters": {
        "num_factors": 4,
        "epochs": 30,
        "mini_batch_size": 100,
        "linear_lr": 0.02,
        "factors_lr": 0.05,
        "factors_init_sigma": 0.1,
    },
    "serving": {"recommendations_per_user": 5},
}
"""A run that a laptop finishes in seconds: users like items of their own parity."""

ENDS = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")
"""Types of an execution's last event."""

DEPLOY = ("deploy", "--all", "--require-approval", "never")
TEMPLATES = "workflow-templates"


@dataclass
class Pipeline:
    """The deployed app: start executions, look at what they do, disturb them."""

    cloud: Cloud
    outputs: dict[str, str]

    def start(self, execution_input: dict[str, Any]) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        return start(
            self.cloud.client("stepfunctions"), self.outputs["StateMachineArn"], execution_input, name
        )

    def wait(self, arn: str) -> Execution:
        return ended(self.cloud.client("stepfunctions"), arn)

    def run(self, execution_input: dict[str, Any]) -> Execution:
        return self.wait(self.start(execution_input))

    def control(self, path: str, document: Any = None) -> Any:
        """GET, or PUT ``document`` to, the local cloud's control API."""
        request = urllib.request.Request(
            f"{self.cloud.endpoint_url}/_localcloud/{path}",
            data=None if document is None else json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
            method="GET" if document is None else "PUT",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def processes(self, kind: str) -> set[int]:
        """The pids of the processes of a kind."""
        return {int(process["pid"]) for process in self.control("processes") if process["kind"] == kind}

    def process(self, kind: str, other_than: Collection[int] = (), within_seconds: float = 240) -> int:
        """Wait until a new process of this kind runs and return its pid."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            if found := self.processes(kind).difference(other_than):
                return found.pop()
            time.sleep(0.05)
        raise AssertionError(f"no {kind} process within {within_seconds} s")

    def upload(self, key: str, text: str) -> None:
        self.cloud.client("s3").put_object(Bucket=self.outputs["DataBucket"], Key=key, Body=text.encode())


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The app as `cdk deploy` leaves it, with small ratings uploaded; plentiful quotas."""
    state = tmp_path_factory.mktemp("cloud") / "state"
    shutil.copytree(deployed(tmp_path_factory), state)
    with local.cloud(state, "large", keep_running=False, warm_up=False) as cloud:
        cloudformation = cloud.client("cloudformation")
        deployed_app = Pipeline(
            cloud,
            stack_outputs(cloudformation, STORAGE_STACK) | stack_outputs(cloudformation, PIPELINE_STACK),
        )
        deployed_app.upload("raw/small/ratings.csv", small_ratings())
        yield deployed_app


def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a stopped cloud into which `cdk deploy` has brought the app, once for all processes of
    this run of the tests: each starts a cloud of its own with a copy.
    """
    shared = of_all_processes(tmp_path_factory)
    state, templates = shared / "deployed-cloud", shared / TEMPLATES
    with one_process_at_a_time("deployed-cloud"):
        if not state.is_dir():
            fresh = shared / f"deployed-cloud-{os.getpid()}"
            program = [sys.executable, str(ROOT / "tests/fixtures/assemblies.py"), str(templates)]
            subprocess.run(program, env=local.no_cloud(), check=True)
            with local.cloud(fresh, "large", keep_running=False, warm_up=False) as cloud:
                app = local.bootstrap(cloud, templates / "deployed")
                local.cdk(cloud, *DEPLOY, *app, on_line=lambda _line: None)
            fresh.rename(state)
    return state


def of_all_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of this run of the tests share."""
    temporary = tmp_path_factory.getbasetemp()
    return temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary


@pytest.fixture(scope="session")
def assemblies(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of assemblies, each to be deployed to a cloud into which the app has been deployed."""
    assert pipeline.outputs
    return of_all_processes(tmp_path_factory) / TEMPLATES


@pytest.fixture(scope="session")
def some_movielens(movielens_100k: MovieLens, tmp_path_factory: pytest.TempPathFactory) -> MovieLens:
    """The first users of MovieLens 100k and all its films, for what doesn't depend on how much it is."""
    folder = tmp_path_factory.mktemp("movielens")
    for whole in (movielens_100k.ratings, movielens_100k.users):
        header, *rows = whole.read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows if int(row.split(",", 1)[0]) <= SOME_USERS]
        (folder / whole.name).write_text("\n".join([header, *kept, ""]), encoding="utf-8")
    shutil.copy(movielens_100k.items, folder)
    return MovieLens(folder)


def ended(states: Any, arn: str) -> Execution:
    """Wait until an execution has ended, and read its history then."""
    while states.describe_execution(executionArn=arn)["status"] not in FINISHED:
        time.sleep(POLL_SECONDS)
    return follow(states, arn)


def wait_for_event(deployed: Pipeline, arn: str, found: Callable[[dict[str, Any]], bool]) -> None:
    """Block until an execution's history has an event, and fail if it ends without."""
    states, seen = deployed.cloud.client("stepfunctions"), 0
    while True:
        for event in history(states, arn, seen):
            if found(event):
                return
            seen = event["id"]
            assert event["type"] not in ENDS, states.describe_execution(executionArn=arn).get("cause")
        time.sleep(0.2)


def entered(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event.get("stateEnteredEventDetails", {}).get("name") == state


@pytest.fixture
def small_input() -> dict[str, Any]:
    """A fresh copy of the input of a small run, to change at will."""
    copy: dict[str, Any] = json.loads(json.dumps(SMALL_INPUT))
    return copy


@pytest.fixture(scope="session")
def encoded_run(pipeline: Pipeline) -> str:
    """The name of a run whose encoding others may train on."""
    execution = pipeline.run(SMALL_INPUT | {"serving": {"endpoint": False}})
    assert execution.status == "SUCCEEDED", execution.cause
    return execution.name


@pytest.fixture
def encoded_input(small_input: dict[str, Any], encoded_run: str) -> dict[str, Any]:
    """A fresh copy of the input of a run that needs no Glue job and makes no endpoint."""
    del small_input["dataset"]
    serving = small_input["serving"] | {"endpoint": False}
    return small_input | {"encoded": encoded_run, "serving": serving}


def small_ratings() -> str:
    """CSV of half of all pairs of 60 users and 40 items, in an order that mixes users."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["user_id", "item_id", "rating", "timestamp"])
    for step in range(SMALL_ITEMS // 2):
        for user in range(SMALL_USERS):
            item = (2 * step + (user // 2 + step) % 2 + user) % SMALL_ITEMS
            writer.writerow([user + 1, item + 1, 5 if user % 2 == item % 2 else 1, 1_000_000 + step])
    return text.getvalue()
