"""A deployment on its defaults in a local cloud of its own, for benchmarks of what the workflow makes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import results
from demo.cloud import Cloud, cdk, cloud, synthesise_and_bootstrap
from fmrec.commands.run import PIPELINE_STACK, STORAGE_STACK
from fmrec.execution.step_functions import Execution, follow, stack_outputs, start


@dataclass(frozen=True)
class Deployment:
    """A cloud, and the stacks' outputs."""

    target: Cloud
    outputs: dict[str, str]

    @property
    def bucket(self) -> str:
        return self.outputs["DataBucket"]

    def upload(self, path: Path, key: str) -> None:
        """Copy a file to a key under the raw prefix."""
        self.target.client("s3").upload_file(str(path), self.bucket, f"raw/{key}")

    def run(self, name: str, given: dict[str, Any]) -> Execution:
        """Start an execution without an endpoint, and wait for its end."""
        client = self.target.client("stepfunctions")
        given = given | {"serving": {"endpoint": False}}
        execution = follow(
            client, start(client, self.outputs["StateMachineArn"], given, name), poll_seconds=0.5
        )
        if execution.status != "SUCCEEDED":
            raise SystemExit(
                f"{name} with the input {json.dumps(given)} ended {execution.status}: {execution.cause}"
            )
        return execution

    def ndcg(self, execution: Execution) -> float:
        """NDCG@10 of what the execution trained."""
        report = results.read_run_report(self.target, self.bucket, execution.name)
        return float(report["evaluation"]["model"]["metrics"]["ndcg_at_10"])


@contextmanager
def deployment(seed: int) -> Iterator[Deployment]:
    """Deploy, train with a seed, and remove everything at the end."""
    os.environ["FMREC_STANDIN_SEED"] = str(seed)
    with tempfile.TemporaryDirectory() as state, cloud(Path(state), "large", keep_running=False) as target:
        app = synthesise_and_bootstrap(target, Path(state) / "cdk.out")
        cdk(target, "deploy", "--all", "--require-approval", "never", *app, on_line=lambda line: None)
        client = target.client("cloudformation")
        outputs = {
            name: value
            for stack in (STORAGE_STACK, PIPELINE_STACK)
            for name, value in stack_outputs(client, stack).items()
        }
        yield Deployment(target, outputs)
