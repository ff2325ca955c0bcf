"""How a benchmark prints what was measured against what is expected, and on what machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASELINE = "ef24612"
"""The commit that speeds are compared with."""


def verdict(what: str, ratio: float, target: float, *, at_most: bool) -> bool:
    """Print one line; return whether the target was reached."""
    reached = ratio <= target if at_most else ratio >= target
    sign = "≤" if at_most else "≥"
    print(f"{what}: {ratio:.2f}, target {sign} {target:g}: {'reached' if reached else 'MISSED'}", flush=True)
    return reached


def print_machine(*packages: str) -> None:
    """Print the processor, how many there are, and versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(": ")[2] if names else model
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    cores = len(os.sched_getaffinity(0))
    print(
        f"{model}, {cores} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {versions}"
    )


def baseline() -> Path:
    """Return a folder with the sources of the commit that speeds are compared with, made when missing."""
    folder = ROOT / "build" / "baseline" / BASELINE
    if not (folder / "fmrec").exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", BASELINE], capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "x", "-C", str(folder)], input=archive, check=True)
    return folder
