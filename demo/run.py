"""The main job from start to end: local cloud, cdk deploy, upload, execution, figures, report."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demo import plots, results
from demo.cloud import ROOT, Cloud, cdk, cloud
from demo.movielens import MovieLens, fetch
from demo.report import LABELS, PUBLISHED, Report
from fmrec.execution import Execution, follow, stack_outputs, start
from fmrec.progress import Progress
from fmrec.run_command import PIPELINE_STACK, STORAGE_STACK

STATE = ROOT / "out/demo/cloud"
OUTPUT = ROOT / "out/demo"
DATA = ROOT / "build/data/ml-100k"
EXAMPLE_USERS = ("1", "42", "405")
SHOWN = 10


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


def say(text: str = "") -> None:
    print(text, flush=True)


def run(quotas: str, keep_running: bool, show_logs: bool) -> int:
    """Run the whole demo; return 0 if the workflow succeeded and every check passed."""
    clock = Clock()
    data = fetch(DATA, say)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    say(f"starting the local cloud (quotas: {quotas})")
    with cloud(STATE, quotas, keep_running) as target:
        deploy(target, clock)
        cloudformation = target.client("cloudformation")
        outputs = stack_outputs(cloudformation, STORAGE_STACK) | stack_outputs(cloudformation, PIPELINE_STACK)
        upload(target, outputs["DataBucket"], data)
        execution = execute(target, outputs["StateMachineArn"], show_logs)
        if execution.status != "SUCCEEDED":
            say(f"\nThe workflow ended {execution.status}: {execution.error}\n{execution.cause}")
            return 1
        report = collect(target, outputs, execution, data, clock)
        as_json, as_html = report.write(OUTPUT)
        print_figures(report, data)
        say(f"\nReport: {as_html.relative_to(ROOT)}, figures: {as_json.relative_to(ROOT)}")
    if keep_running:
        print_how_to_use(target, outputs)
    return 0 if all(check["passed"] for check in report.document["checks"]) else 1


def deploy(target: Cloud, clock: Clock) -> None:
    """Bootstrap and deploy the unmodified app with the real CDK CLI."""

    def interesting(line: str) -> None:
        if line.startswith((" ✅", " ❌", "Outputs:", "✨")) or "bootstrapped" in line:
            say(f"  {line.strip()}")

    say("cdk bootstrap")
    clock.measure("bootstrap", lambda: cdk(target, "bootstrap", on_line=interesting))
    say("cdk deploy --all")
    clock.measure(
        "deploy",
        lambda: cdk(target, "deploy", "--all", "--require-approval", "never", on_line=interesting),
    )


def upload(target: Cloud, bucket: str, data: MovieLens) -> None:
    """Put the ratings where the deployed data set document expects them."""
    say(f"uploading {data.ratings.name} to s3://{bucket}/raw/interactions/")
    target.client("s3").upload_file(str(data.ratings), bucket, "raw/interactions/ratings.csv")


def execute(target: Cloud, state_machine: str, show_logs: bool) -> Execution:
    """Start the workflow on its deployed defaults and show every state."""
    say("starting the workflow with input {}")
    client = target.client("stepfunctions")
    arn = start(client, state_machine, {}, name=f"demo-{int(time.time())}")
    progress = Progress(sys.stdout, target.client("logs") if show_logs else None)
    execution = follow(client, arn, progress.changed, progress.tick, poll_seconds=0.3)
    progress.close()
    return execution


def collect(
    target: Cloud, outputs: dict[str, str], execution: Execution, data: MovieLens, clock: Clock
) -> Report:
    """Gather the figures, check them, and lay out the report."""
    bucket = outputs["DataBucket"]
    manifest = results.read_manifest(target, bucket, execution.name)
    job = results.fm_training_job(target, execution.jobs)
    model = results.load_model(target, job)
    ratings = results.Ratings.read(data)
    lists = results.served(target, outputs["RecommendationsTable"])
    metrics = results.test_metrics(job)
    curve = results.learning_curve(target, job)
    checks = [results.brute_force_check(model, manifest, ratings, lists)]
    timeline = results.state_seconds(execution)
    workflow_report = results.read_run_report(target, bucket, execution.name)
    document = {
        "dataset": {
            "train_rows": manifest.train.rows,
            "test_rows": manifest.test.rows,
            "feature_dim": manifest.feature_dim,
            "positive_share": {"train": manifest.train.positive_share, "test": manifest.test.positive_share},
            "train_bytes": manifest.train.bytes,
        },
        "metrics": metrics,
        "learning_curve": {"train:binary_classification_cross_entropy": curve},
        "recommendations": {
            "users": len(lists),
            "per_user": min(len(recommended.items) for recommended in lists.values()),
        },
        "endpoint": _endpoint(target, outputs["EndpointName"]),
        "execution": {
            "name": execution.name,
            "status": execution.status,
            "seconds": execution.seconds,
            "states": [
                {"name": name, "started": began, "seconds": seconds} for name, began, seconds in timeline
            ],
        },
        "instances": results.instances(workflow_report),
        "workflow_report": workflow_report,
        "checks": [check.document() for check in checks],
        "deploy_seconds": clock.parts["deploy"],
        "total_seconds": clock.total,
    }
    titles, genres, counts = data.titles(), data.genres(), ratings.counts()
    items = sorted(counts, key=int)
    first_item, end = manifest.ranges["item"]
    return Report(
        document,
        plots={
            "Learning curve": plots.learning_curve(
                curve, metrics["binary_classification_cross_entropy"], "cross entropy"
            ),
            "Films by what the model learned of them": plots.item_map(
                model.factors[first_item:end],
                [genres[item] for item in items],
                np.array([counts[item] for item in items]),
            ),
        },
        users=[
            {
                "user": user,
                "lists": {
                    "liked": [titles[item] for item in ratings.liked(user, 5)],
                    "recommended": [titles[item] for item in lists[user].items],
                },
            }
            for user in EXAMPLE_USERS
        ],
        timeline=timeline,
    )


def _endpoint(target: Cloud, name: str) -> dict[str, Any]:
    sagemaker = target.client("sagemaker")
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    variant = config["ProductionVariants"][0]
    return {
        "name": name,
        "instance_type": variant.get("InstanceType", "serverless"),
        "status": endpoint["EndpointStatus"],
    }


def print_figures(report: Report, data: MovieLens) -> None:
    """Print what a reader at the terminal wants to see."""
    document = report.document
    dataset = document["dataset"]
    say("\nData set                    this run    published")
    for name, value, published in (
        ("train rows", f"{dataset['train_rows']:,}", "90,570"),
        ("test rows", f"{dataset['test_rows']:,}", "9,430"),
        ("features", f"{dataset['feature_dim']:,}", "2,625"),
        ("train bytes", f"{dataset['train_bytes']:,}", "5,796,480"),
    ):
        say(f"  {name:<22}{value:>12}{published:>13}")
    say("\nTest metrics                this run    published")
    for name, reference in PUBLISHED.items():
        say(f"  {LABELS[name]:<22}{document['metrics'][name]:>12.4f}{reference:>13.4f}")
    say("\nInstances")
    for row in document["instances"]:
        say(f"  {row['step'].replace('_', ' '):<18}{row['instance_type']:<15}{row['why']}")
        for reason in row["passed_over"]:
            say(f"  {'':<18}not {reason}")
        for refusal in row["refused"]:
            say(f"  {'':<18}refused: {refusal}")
    for user in report.users:
        say(f"\nUser {user['user']} liked {'; '.join(user['lists']['liked'][:3])}. For this user:")
        for rank, title in enumerate(user["lists"]["recommended"][:SHOWN], 1):
            say(f"  {rank:2d}. {title}")
    say()
    for check in document["checks"]:
        say(f"{'passed' if check['passed'] else 'FAILED'}: {check['sentence']}")
    endpoint = document["endpoint"]
    say(f"endpoint {endpoint['name']} is {endpoint['status']} on {endpoint['instance_type']}")
    say(
        f"deploy {document['deploy_seconds']:.0f} s, workflow {document['execution']['seconds']:.0f} s, "
        f"all {document['total_seconds']:.0f} s"
    )


def print_how_to_use(target: Cloud, outputs: dict[str, str]) -> None:
    """Print how to reach the cloud that keeps running."""
    say("\nThe local cloud keeps running; `make demo-down` stops it. To use it from another shell:")
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        say(f"  export {name}={target.environment[name]}")
    say(f"  aws s3 ls s3://{outputs['DataBucket']}/")
    say("  .venv/bin/python -m fmrec recommend 42")
    say("  .venv/bin/python -m fmrec run")
