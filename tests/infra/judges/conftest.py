"""Judges that nobody here wrote, each in an environment of its own under build/oracles/."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from bench.oracles.environments import checkov_python, judges_from_npm

STACKS = ("FmRecStorage", "FmRecPipeline", "FmRecApi")


@pytest.fixture(scope="session")
def templates(with_api: Any, throw_away: Any) -> list[Path]:
    """The templates of all stacks on the defaults with an API that takes events, and one with tokens."""
    defaults = [with_api.folder / f"{stack}.template.json" for stack in STACKS]
    return [*defaults, throw_away.folder / "TrialApi.template.json"]


@pytest.fixture(scope="session")
def checkov() -> Path:
    """The interpreter that has checkov, and cloudsplaining which it brings."""
    return checkov_python()


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """node_modules with what package.json names."""
    return judges_from_npm()


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
