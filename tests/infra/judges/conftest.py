"""Judges that nobody here wrote, each in an environment of its own under build/oracles/."""

from __future__ import annotations

import fcntl
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.oracles.environments import ENVIRONMENTS, checkov_python

HERE = Path(__file__).parent
STACKS = ("FmRecStorage", "FmRecPipeline")


@pytest.fixture(scope="session")
def templates(synthesis: Any) -> list[Path]:
    """The templates of both stacks, on the defaults."""
    return [synthesis.folder / f"{stack}.template.json" for stack in STACKS]


@pytest.fixture(scope="session")
def checkov() -> Path:
    """The interpreter that has checkov, and cloudsplaining which it brings."""
    return checkov_python()


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """node_modules with what package.json names; nothing else of npm's is run."""
    folder = ENVIRONMENTS / "judges"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package-lock.json").read_text(encoding="utf-8")
    stamp = folder / "stamp"
    with (ENVIRONMENTS / "judges.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making it
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, folder / name)
            command = ["npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
            made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr
            stamp.write_text(wanted, encoding="utf-8")
    return folder / "node_modules"


@pytest.fixture(scope="session")
def guard(node_packages: Path) -> tuple[Path, Path]:
    """The program of CloudFormation Guard and the folder of AWS Control Tower's rules."""
    package = node_packages / "@cdklabs/cdk-validator-cfnguard"
    systems = {"Linux": "ubuntu", "Darwin": "macos"}
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    program = package / "bin" / systems.get(platform.system(), "none") / machine / "cfn-guard"
    if not program.exists():
        pytest.skip(f"CloudFormation Guard comes without a program for {platform.system()} on {machine}")
    program.chmod(0o755)
    return program, package / "rules/control-tower/cfn-guard"
