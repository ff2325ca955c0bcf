"""A deployment of its own for a verification: the CDK CLI of this checkout, stack outputs, the two runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fmrec.errors import InputError
from fmrec.execution.step_functions import Execution, stack_outputs

NAME = "FmVerify"
"""Of the deployment: its stacks are FmVerifyStorage and FmVerifyPipeline, so that no other is touched."""
STACKS = (f"{NAME}Pipeline", f"{NAME}Storage")
PREFIX = NAME.lower()
"""What its SageMaker resources' names begin with."""
CONTEXT = (f"fmrec.name={NAME}", "fmrec.retention.removal=destroy", "fmrec.retention.log_days=1")
BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
TASKS = ("recommend", "predict-rating")


@dataclass
class Deployment:
    """What probes and collectors need: clients, the deployed names, and the runs that were made.

    Parameters
    ----------
    session : boto3.Session
    """

    session: Any
    runs: dict[str, str] = field(default_factory=dict)
    """Name of each task's execution, once it has succeeded."""
    executions: dict[str, Execution] = field(default_factory=dict)

    @cached_property
    def outputs(self) -> dict[str, str]:
        cloudformation = self.session.client("cloudformation")
        return {key: value for stack in STACKS for key, value in stack_outputs(cloudformation, stack).items()}

    @property
    def data(self) -> str:
        """URI of the data bucket."""
        return f"s3://{self.outputs['DataBucket']}"

    def of_run(self, task: str, prefix: str, name: str = "") -> str:
        """URI of what a task's run left under a prefix of `fmrec.artifacts.layout`."""
        return f"{self.data}/{prefix}{self.runs[task]}/{name}"

    def client(self, service: str) -> Any:
        return self.session.client(service)


def require_bootstrap(session: Any) -> None:
    """Check that ``cdk bootstrap`` has prepared the account and Region.

    Raises
    ------
    InputError
        It hasn't, or the account can't be read.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session.client("ssm").get_parameter(Name=BOOTSTRAP_PARAMETER)
    except (BotoCoreError, ClientError) as error:
        raise InputError(
            f"the CDK's parameter {BOOTSTRAP_PARAMETER} can't be read in {session.region_name}: run "
            f"`cdk bootstrap` first, with credentials that may deploy ({error})"
        ) from error


def cdk(checkout: Path, arguments: Iterable[str], assembly: Path, on_line: Callable[[str], None]) -> None:
    """Run the checkout's CDK CLI on the verification's stacks, handing each line of output on.

    The first command writes the templates to ``assembly``, later ones take them from there.

    Raises
    ------
    InputError
        This is no checkout with an installed CLI, or the CLI failed; the message holds the end of its output.
    """
    program = checkout / "node_modules/.bin/cdk"
    if not (checkout / "cdk.json").is_file() or not program.exists():
        raise InputError(
            f"{checkout} holds no cdk.json with an installed CDK CLI: run `fmrec verify` in a checkout of the "
            "project after `make setup`, or name one with --checkout"
        )
    settings = [word for pair in CONTEXT for word in ("-c", pair)]
    synthesised = (assembly / "manifest.json").is_file()
    app = ["--app", str(assembly)] if synthesised else [*settings, "--output", str(assembly)]
    command = [str(program), *arguments, "--all", *app, "--ci", "--no-color", "--no-notices"]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(checkout),
    }
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # an interruption is for this process to handle, which then waits for the CLI
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            on_line(lines[-1])
    if process.returncode:
        raise InputError("cdk {} failed:\n{}".format(" ".join(arguments), "\n".join(lines[-30:])))


def remove_assembly(assembly: Path) -> None:
    shutil.rmtree(assembly, ignore_errors=True)
