"""The main job from start to end: local cloud, cdk deploy, upload, both tasks' executions, report."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.cloud import ROOT, Cloud, bootstrap, cdk, cloud, synthesise
from demo.explored import explore
from demo.movielens import MovieLens, fetch
from demo.report import Report
from demo.terminal_summary import print_figures, print_how_to_use, say
from fmrec.artifacts import layout
from fmrec.commands.run import PIPELINE_STACK, STORAGE_STACK
from fmrec.execution.progress import Progress
from fmrec.execution.step_functions import Execution, follow, stack_outputs, start

if TYPE_CHECKING:
    from demo.collect import Prepared

STATE = ROOT / "out/demo/cloud"
OUTPUT = ROOT / "out/demo"
DATA = ROOT / "build/data/ml-100k"
ASSEMBLY = ROOT / "cdk.out"
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
    say(f"cdk synth, and starting the local cloud (quotas: {quotas})")
    context = ("--context", f"fmrec.api={json.dumps(API)}") if keep_running else ()
    with ThreadPoolExecutor(1) as aside:
        synthesis = aside.submit(synthesise, ASSEMBLY, *context)
        with cloud(STATE, quotas, keep_running) as target:
            synthesis.result()
            deploy(target, clock)
            report = _run_tasks(target, data, show_logs, clock, aside)
    if report is None:
        return 1
    if keep_running:
        print_how_to_use(target, _outputs(target)["DataBucket"], explore(target, STATE, data))
    else:
        say("`make demo-up` leaves the local cloud running, with a page to look at recommendations.")
    return 0 if all(check["passed"] for check in report.document["checks"]) else 1


def _run_tasks(
    target: Cloud, data: MovieLens, show_logs: bool, clock: Clock, aside: ThreadPoolExecutor
) -> Report | None:
    """Run both tasks' executions and report on them; None if one failed, which is then said."""
    outputs = _outputs(target)
    upload(target, outputs["DataBucket"], data)
    recommend, rating = INPUTS
    lists = execute(target, outputs["StateMachineArn"], recommend, show_logs)
    # The second execution leaves a processor idle most of the time.
    prepared = aside.submit(_prepare, target, outputs["DataBucket"], lists) if _succeeded(lists) else None
    scores = execute(target, outputs["StateMachineArn"], rating, show_logs)
    for execution in (lists, scores):
        if not _succeeded(execution):
            say(f"\nThe workflow ended {execution.status}: {execution.error}\n{execution.cause}")
    if prepared is None or not _succeeded(scores):
        return None
    from demo.collect import collect

    seconds = clock.parts | {"total": clock.total}
    report = collect(target, outputs, prepared.result(), scores, data, seconds)
    report.document["total_seconds"] = clock.total
    as_json, as_html = report.write(OUTPUT)
    print_figures(report)
    say(f"\nReport: {as_html.relative_to(ROOT)}, figures: {as_json.relative_to(ROOT)}")
    return report


def _prepare(target: Cloud, bucket: str, lists: Execution) -> Prepared:
    from demo.collect import prepare  # it imports what draws plots, which takes a second

    return prepare(target, bucket, lists)


def _succeeded(execution: Execution) -> bool:
    return execution.status == "SUCCEEDED"


def _outputs(target: Cloud) -> dict[str, str]:
    cloudformation = target.client("cloudformation")
    return stack_outputs(cloudformation, STORAGE_STACK) | stack_outputs(cloudformation, PIPELINE_STACK)


def deploy(target: Cloud, clock: Clock) -> None:
    """Bootstrap, and deploy the unmodified app with the real CDK CLI."""

    def interesting(line: str) -> None:
        if line.startswith((" ✅", " ❌", "Outputs:", "✨")) or "bootstrapped" in line:
            say(f"  {line.strip()}")

    say("cdk bootstrap")
    app = clock.measure("bootstrap", lambda: bootstrap(target, ASSEMBLY, on_line=interesting))
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
