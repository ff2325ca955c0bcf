"""Start and stop the local cloud, and run the real CDK CLI against it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmrec.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"


@dataclass(frozen=True)
class Cloud:
    """A running local cloud."""

    state: Path
    endpoint_url: str

    @property
    def environment(self) -> dict[str, str]:
        """The process environment with nothing of the machine's own AWS configuration in it."""
        return no_cloud() | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    @functools.cache  # noqa: B019 - there are few clouds and services
    def client(self, service: str) -> Any:
        """The boto3 client of this cloud, whatever the machine's own configuration says."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the emulator's well-known key
            config=Config(
                request_checksum_calculation="when_required", retries={"mode": "standard", "max_attempts": 3}
            ),
        )


def no_cloud() -> dict[str, str]:
    """The process environment with a Region, but nothing that leads to an account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    return kept | {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "CDK_DISABLE_CLI_TELEMETRY": "true",  # it would go to AWS, which nothing else here does
        # Templates are validated where it matters: by the tests, and by a deployment to an account.
        "CDK_VALIDATION": "false",
        "PYTHONPATH": str(ROOT),
    }


def start(state: Path, quotas: str, *, owned: bool = False, warm_up: bool = True) -> Cloud:
    """Start a fresh local cloud whose state lies in ``state``; return when it answers.

    An ``owned`` one stops when this process ends, however it ends. ``warm_up`` spends processor time so
    that the first Glue run is as quick as later ones.
    """
    owner = ("--owner", str(os.getpid())) if owned else ()
    spark = ("--warm-up",) if warm_up else ()
    _localcloud("start", "--state", str(state), "--quotas", quotas, *spark, *owner)
    return running(state)


def running(state: Path) -> Cloud:
    """Return the cloud that runs with this state.

    Raises
    ------
    InputError
        None does.
    """
    about = state / "localcloud.json"
    if not about.exists():
        raise InputError(f"no local cloud runs with state {state}; `make demo-up` starts one")
    return Cloud(state, json.loads(about.read_text())["endpoint_url"])


def stop(state: Path) -> None:
    """Stop it; nothing happens if it isn't running."""
    if (state / "localcloud.json").exists():
        _localcloud("stop", "--state", str(state))


def _localcloud(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError(f"the local cloud did not {arguments[0]}: {(done.stderr or done.stdout).strip()}")


@contextmanager
def cloud(state: Path, quotas: str, keep_running: bool, *, warm_up: bool = True) -> Iterator[Cloud]:
    """Start a local cloud and stop it at the end, unless it is to be kept and nobody interrupted."""
    keep = keep_running
    try:
        yield start(state, quotas, owned=not keep, warm_up=warm_up)
    except KeyboardInterrupt:
        keep = False
        raise
    finally:
        if not keep:
            stop(state)


def synthesise_and_bootstrap(
    target: Cloud, assembly: Path, *context: str, on_line: Callable[[str], None] = lambda _line: None
) -> tuple[str, str]:
    """Write the app's templates to ``assembly`` and bootstrap ``target``; return the CDK CLI's ``--app``.

    The CLI synthesises for each command that isn't told where the templates are already: for
    ``bootstrap``, too.

    Parameters
    ----------
    context
        Settings, each as ``-c name=value``.
    """
    synthesise(assembly, *context, on_line=on_line)
    return bootstrap(target, assembly, on_line=on_line)


def synthesise(assembly: Path, *context: str, on_line: Callable[[str], None] = lambda _line: None) -> None:
    """Write the app's templates, which are the same for every cloud and need none, to ``assembly``."""
    cdk(None, "synth", "--quiet", "--output", str(assembly), *context, on_line=on_line)


def bootstrap(
    target: Cloud, assembly: Path, on_line: Callable[[str], None] = lambda _line: None
) -> tuple[str, str]:
    """Bootstrap ``target`` for the templates in ``assembly``; return the CDK CLI's ``--app``."""
    app = ("--app", str(assembly))
    cdk(target, "bootstrap", *app, on_line=on_line)
    return app


def cdk(target: Cloud | None, *arguments: str, on_line: Callable[[str], None]) -> None:
    """Run the CDK CLI of this checkout against ``target``, if any, handing each line of its output on.

    Raises
    ------
    InputError
        It failed; the message holds the end of its output.
    """
    command = [str(ROOT / "node_modules/.bin/cdk"), *arguments, "--ci", "--no-color", "--no-notices"]
    path = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=(target.environment if target else no_cloud()) | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                on_line(lines[-1])
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise InputError("cdk {} failed:\n{}".format(" ".join(arguments), "\n".join(lines[-30:])))
