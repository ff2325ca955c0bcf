"""Environments with the packages of others that this project is held to, each by itself under build/oracles/.

They are made when they are missing (PyPI and npm only), and kept. Nothing of them is installed into .venv:
MXNet needs a NumPy of its own, and SDK v2 brings half of PyPI if it is let. ``python -m
bench.oracles.environments`` makes all of them: downloading is waiting, so `make test` does it meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / "build" / "oracles"
NODE_JUDGES = ROOT / "tests" / "infra" / "judges"
BROWSER = ROOT / "tests" / "browser"
"""The folders of package.json, which name what npm has."""

# The serializer needs three of the SDK's some eighty dependencies.
SDK_V2 = ("--no-deps", "sagemaker==2.257.7", "numpy==2.4.6", "scipy==1.17.1", "protobuf==7.36.2")
SDK_V2_WHOLE = ("sagemaker==2.257.7", "boto3==1.44.8", "numpy==2.4.6", "pandas==3.1.1", "scipy==1.17.1")
AWS_CLI = ("awscli==1.46.3",)
CHECKOV = ("checkov==3.3.30",)
MXNET = ("mxnet==1.9.1", "numpy==1.23.5")
MXNET_PYTHON = "3.11"
MXNET_HAS_WHEELS = (platform.system(), platform.machine()) == ("Linux", "x86_64")


def sdk_v2_python() -> Path:
    """Return the interpreter that has the SageMaker Python SDK v2, whose writer we replace."""
    return _python("sagemaker-sdk-v2", SDK_V2, sys.executable)


def whole_sdk_v2_python() -> Path:
    """Return the interpreter that has the SageMaker Python SDK v2 with all that it depends on."""
    return _python("sagemaker-sdk-v2-whole", SDK_V2_WHOLE, sys.executable)


def aws_cli() -> Path:
    """Return the AWS CLI's program."""
    return _python("aws-cli", AWS_CLI, sys.executable).with_name("aws")


def checkov_python() -> Path:
    """Return the interpreter that has checkov and cloudsplaining, which judge templates and IAM policies."""
    return _python("checkov", CHECKOV, sys.executable)


def mxnet_python() -> Path:
    """Return the interpreter that has MXNet 1.9.1, the last release."""
    runs_it = sys.version_info[:2] == (3, 11)
    return _python("mxnet-1.9.1", MXNET, sys.executable if runs_it else MXNET_PYTHON)


def judges_from_npm() -> Path:
    """Return node_modules with the judges that npm has; nothing else of npm's is run."""
    return _from_npm("judges", NODE_JUDGES)


def browser_from_npm() -> Path:
    """Return node_modules with Chromium for Linux on x86_64, packed, and axe, which judges accessibility."""
    return _from_npm("browser", BROWSER)


def _from_npm(name: str, source: Path) -> Path:
    folder = ENVIRONMENTS / name
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (source / "package-lock.json").read_text(encoding="utf-8")
    stamp = folder / "stamp"
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making it
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            for file in ("package.json", "package-lock.json"):
                shutil.copy(source / file, folder / file)
            command = ["npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
            made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if made.returncode:
                raise RuntimeError(f"{name} can't be installed from npm: {made.stderr.strip()}")
            stamp.write_text(wanted, encoding="utf-8")
    return folder / "node_modules"


def _python(name: str, requirements: tuple[str, ...], python: str) -> Path:
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making it
        return _made(name, requirements, python)


def _made(name: str, requirements: tuple[str, ...], python: str) -> Path:
    folder = ENVIRONMENTS / name
    stamp = "\n".join(requirements)
    if not (folder / "stamp").exists() or (folder / "stamp").read_text() != stamp:
        making = folder.with_name(f"{name}.{os.getpid()}.making")
        shutil.rmtree(making, ignore_errors=True)
        uv = [sys.executable, "-m", "uv"]
        _run([*uv, "venv", "--quiet", "--relocatable", "--python", python, str(making)], name)
        own = str(making / "bin" / "python")
        _run([*uv, "pip", "install", "--system-certs", "--quiet", "--python", own, *requirements], name)
        (making / "stamp").write_text(stamp)
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    return folder / "bin" / "python"


def _run(command: list[str], name: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(
            f"the environment {name} can't be made: {' '.join(command)} said: {ran.stderr.strip()}. It needs PyPI "
            f"in reach, and MXNet needs Python {MXNET_PYTHON}: install that or let uv download it."
        )


class Oracle:
    """A worker in another environment that answers questions of arrays with arrays (``worker.py``)."""

    def __init__(self, python: Path, module: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [str(python), "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send arrays (bytes go as uint8), return the answer's; what the worker raises is raised here."""
        file = io.BytesIO()
        np.savez(file, **{name: _as_array(value) for name, value in question.items()})
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(struct.pack("<Q", len(file.getvalue())) + file.getvalue())
        self._process.stdin.flush()
        size = self._process.stdout.read(8)
        if len(size) < 8:
            raise RuntimeError(f"the oracle ended with exit code {self._process.wait()}")
        with np.load(io.BytesIO(self._process.stdout.read(struct.unpack("<Q", size)[0]))) as answer:
            found = dict(answer)
        if "error" in found:
            raise RuntimeError(str(found["error"]))
        return found

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self._process.communicate(timeout=30)


def _as_array(value: Any) -> Any:
    return np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)


def main() -> None:
    """Make every environment, in the order in which tests need them, also if one of them can't be made."""
    makers = (checkov_python, judges_from_npm, browser_from_npm, sdk_v2_python, mxnet_python)
    for make in (*makers, whole_sdk_v2_python, aws_cli):
        try:
            make()
        except (RuntimeError, OSError) as error:
            print(error, file=sys.stderr)


if __name__ == "__main__":
    main()
