"""A verification from start to end: deploy, run both tasks, ask, judge, and remove everything in any case."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from fmrec.artifacts import layout
from fmrec.errors import FmrecError, ServiceError
from fmrec.execution.step_functions import follow, start
from fmrec.instances.plan import plan
from fmrec.instances.policy import Policy
from fmrec.instances.workloads import Sizes
from fmrec.verification import collection, probes, removal
from fmrec.verification.deployment import STACKS, TASKS, Deployment, cdk
from fmrec.verification.evidence import Evidence
from fmrec.verification.verdicts import Outcome, judge, now

Tell = Callable[[str], None]
Handler = Callable[[int, FrameType | None], None]
RATINGS_KEY = layout.DEFAULT_INTERACTIONS + "ratings.csv"
MOVIELENS = {"rows": 100_000, "users": 943, "items": 1_682}
PROBE_TRAININGS = 4
"""Small training jobs that probes start at most."""
RUNS: dict[str, dict[str, Any]] = {"recommend": {}, "predict-rating": {"task": "predict-rating"}}


def announcement(region: str) -> str:
    """What a verification creates and costs, in words."""
    sizes = Sizes.guess(**MOVIELENS)
    total = endpoints = 0.0
    for task in TASKS:
        cost = plan(sizes, {"num_factors": 64}, {}, Policy(), task=task)["cost"]
        total += cost["run"]["total"] or 0.0
        endpoints += (
            sum(item["amount"] or 0.0 for name, item in cost["month"]["items"].items() if "endpoint" in name)
            / 730
        )
        training = cost["run"]["items"]["fm_training"]["amount"] or 0.0
    total += PROBE_TRAININGS * training
    return (
        f"This deploys the stacks {' and '.join(STACKS)} in {region}, trains and transforms MovieLens 100k with both "
        f"tasks on the smallest instances that the account's quotas allow, starts up to {PROBE_TRAININGS} small "
        "training jobs to answer questions, runs two endpoints for about an hour, and then removes everything.\n"
        f"Estimated cost: {total:.2f} USD for jobs, {endpoints:.2f} USD per hour of endpoints, at us-east-1 prices of "
        "the built-in table; KMS charges a deleted key for the current month in part. It takes about an hour."
    )


def verify(session: Any, checkout: Path, ratings: Path, tell: Tell) -> Outcome:
    """Run a verification; whatever happens, everything is removed before this returns or raises.

    Parameters
    ----------
    session : boto3.Session
    checkout
        The project's checkout, with its CDK CLI installed.
    ratings
        MovieLens 100k as CSV with the header ``user_id,item_id,rating,timestamp``.
    """
    began, clock = now(), time.monotonic()
    evidence = Evidence(session.region_name)
    failure: str | None = None
    left: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fmrec-verify-") as folder:
        assembly = Path(folder) / "cdk.out"
        with _interruptible(tell):
            try:
                removal.remove(session, checkout, assembly, tell)  # what an interrupted one may have left
                _run(session, checkout, assembly, ratings, evidence, tell)
            except FmrecError as error:
                failure = str(error)
                tell(failure)
            finally:
                with _uninterrupted(tell):
                    tell("removing everything")
                    removal.remove(session, checkout, assembly, tell)
                    left = removal.left_behind(session)
    return Outcome(
        session.region_name, began, time.monotonic() - clock, judge(evidence), tuple(left), failure
    )


def _run(session: Any, checkout: Path, assembly: Path, ratings: Path, evidence: Evidence, tell: Tell) -> None:
    tell("cdk deploy")
    cdk(checkout, ("deploy", "--require-approval", "never"), assembly, tell)
    deployment = Deployment(session)
    tell(f"uploading {ratings.name}")
    session.client("s3").upload_file(str(ratings), deployment.outputs["DataBucket"], RATINGS_KEY)
    stepfunctions = session.client("stepfunctions")
    failures = []
    for task in TASKS:
        arn = start(stepfunctions, deployment.outputs["StateMachineArn"], RUNS[task])
        tell(f"task {task}: {arn}")
        execution = follow(stepfunctions, arn, lambda change: tell(f"  {getattr(change, 'name', change)}"))
        if execution.status == "SUCCEEDED":
            deployment.runs[task] = execution.name
            deployment.executions[task] = execution
        else:
            failures.append(f"the {task} run ended {execution.status}: {execution.error}: {execution.cause}")
    collection.collect(deployment, evidence)
    probes.ask(deployment, evidence, lambda name: tell(f"asking: {name}"))
    if failures:
        raise ServiceError("; ".join(failures))


@contextmanager
def _interruptible(tell: Tell) -> Iterator[None]:
    """Treat a termination like Ctrl-C, so that what was created is removed; a second one is refused."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        _handle_by(_refusal(tell))  # before the exception is on its way: the next one would end the removal
        raise KeyboardInterrupt

    with _handled_by(interrupt):
        yield


@contextmanager
def _uninterrupted(tell: Tell) -> Iterator[None]:
    """Let nothing stop the removal but a kill; say so."""
    with _handled_by(_refusal(tell)):
        yield


def _refusal(tell: Tell) -> Handler:
    def refuse(_signal: int, _frame: FrameType | None) -> None:
        # Not in this thread, which may be in the middle of telling something: output can't be entered twice.
        words = "still removing: what is left would cost money; wait for the end"
        threading.Thread(target=tell, args=(words,)).start()

    return refuse


@contextmanager
def _handled_by(handler: Handler) -> Iterator[None]:
    before = _handle_by(handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _handle_by(handler: Handler) -> dict[int, Any]:
    """Give Ctrl-C and a termination this handler; return those they had."""
    return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
