"""The main job from start to end: local cloud, cdk deploy, upload, both tasks' executions, report."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from demo.cloud import ROOT, Cloud, cdk, cloud, synthesise_and_bootstrap
from demo.collect import collect
from demo.explored import explore
from demo.movielens import MovieLens, fetch
from demo.terminal_summary import print_figures, print_how_to_use, say
from fmrec.artifacts import layout
from fmrec.commands.run import PIPELINE_STACK, STORAGE_STACK
from fmrec.execution.progress import Progress
from fmrec.execution.state_machine import Execution, follow, stack_outputs, start

STATE = ROOT / "out/demo/cloud"
OUTPUT = ROOT / "out/demo"
DATA = ROOT / "build/data/ml-100k"
INPUTS: dict[str, dict[str, Any]] = {"recommend": {}, "predict-rating": {"task": "predict-rating"}}
"""What each task's execution is started with; {} is the deployed default."""
API: dict[str, Any] = {"events": {}}
"""The setting of the HTTP API that `fmrec explore` asks."""


@dataclass
class Clock:
    """Measures the demo's parts."""

    started: float = field(default_factory=time.monotonic)
    parts: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        before = time.monotonic()
        result = work()
        self.parts[name] = time.monotonic() - before
        return result

    @property
    def total(self) -> float:
        return time.monotonic() - self.started


def run(quotas: str, keep_running: bool, show_logs: bool) -> int:
    """Run the whole demo; return 0 if both workflows succeeded and every check passed."""
    clock = Clock()
    data = fetch(DATA, say)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    say(f"starting the local cloud (quotas: {quotas})")
    with cloud(STATE, quotas, keep_running) as target:
        deploy(target, clock, with_api=keep_running)
        cloudformation = target.client("cloudformation")
        outputs = stack_outputs(cloudformation, STORAGE_STACK) | stack_outputs(cloudformation, PIPELINE_STACK)
        upload(target, outputs["DataBucket"], data)
        ended = {task: execute(target, outputs["StateMachineArn"], task, show_logs) for task in INPUTS}
        failed = [execution for execution in ended.values() if execution.status != "SUCCEEDED"]
        for execution in failed:
            say(f"\nThe workflow ended {execution.status}: {execution.error}\n{execution.cause}")
        if failed:
            return 1
        seconds = clock.parts | {"total": clock.total}
        report = collect(target, outputs, ended["recommend"], ended["predict-rating"], data, seconds)
        report.document["total_seconds"] = clock.total
        as_json, as_html = report.write(OUTPUT)
        print_figures(report)
        say(f"\nReport: {as_html.relative_to(ROOT)}, figures: {as_json.relative_to(ROOT)}")
    if keep_running:
        print_how_to_use(target, outputs["DataBucket"], explore(target, STATE, data))
    else:
        say("`make demo-up` leaves the local cloud running, with a page to look at recommendations.")
    return 0 if all(check["passed"] for check in report.document["checks"]) else 1


def deploy(target: Cloud, clock: Clock, *, with_api: bool) -> None:
    """Bootstrap and deploy the unmodified app with the real CDK CLI, and its HTTP API for who will ask."""

    def interesting(line: str) -> None:
        if line.startswith((" ✅", " ❌", "Outputs:", "✨")) or "bootstrapped" in line:
            say(f"  {line.strip()}")

    say("cdk bootstrap")
    context = ("--context", f"fmrec.api={json.dumps(API)}") if with_api else ()
    app = clock.measure(
        "bootstrap",
        lambda: synthesise_and_bootstrap(target, ROOT / "cdk.out", *context, on_line=interesting),
    )
    say("cdk deploy --all")
    clock.measure(
        "deploy",
        lambda: cdk(target, "deploy", "--all", "--require-approval", "never", *app, on_line=interesting),
    )


def upload(target: Cloud, bucket: str, data: MovieLens) -> None:
    """Put the ratings where the deployed data set document expects them."""
    say(f"uploading {data.ratings.name} to s3://{bucket}/{layout.DEFAULT_INTERACTIONS}")
    target.client("s3").upload_file(
        str(data.ratings), bucket, f"{layout.DEFAULT_INTERACTIONS}{data.ratings.name}"
    )


def execute(target: Cloud, state_machine: str, task: str, show_logs: bool) -> Execution:
    """Start the workflow for a task and show every state."""
    say(f"\ntask {task}: starting the workflow with input {json.dumps(INPUTS[task])}")
    client = target.client("stepfunctions")
    arn = start(client, state_machine, INPUTS[task], name=f"demo-{task}-{int(time.time())}")
    progress = Progress(sys.stdout, target.client("logs") if show_logs else None)
    execution = follow(client, arn, progress.changed, progress.tick, poll_seconds=0.3)
    progress.close()
    return execution
