"""Processes of a local cloud: found by a mark in their environment, ended with all they started.

A Lambda worker, a Spark driver, its JVM and that one's Python workers are in different process
groups and sessions. What they have in common is the environment they inherit, so a mark in it finds
them, even after the process that started them is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.02


def marked(name: str, value: str) -> list[int]:
    """Process ids of this user whose environment holds ``name=value``, this process left out."""
    entry = f"{name}={value}"
    found = _marked_in_proc(entry) if _PROC.joinpath("self", "environ").exists() else _marked_by_ps(entry)
    return [pid for pid in found if pid != os.getpid()]


def _marked_in_proc(entry: str) -> list[int]:
    wanted = entry.encode()
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            # A process that has ended, or another user's.
            with contextlib.suppress(OSError):
                if wanted in folder.joinpath("environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def _marked_by_ps(entry: str) -> list[int]:
    """For systems without ``/proc``, such as macOS, where ``ps`` shows the environment."""
    listing = subprocess.run(
        ["ps", "-axww", "-E", "-o", "pid=,command="], capture_output=True, text=True, check=False
    ).stdout
    return [int(line.split(None, 1)[0]) for line in listing.splitlines() if f" {entry}" in f"{line} "]


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):
        return _PROC.joinpath(str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return True


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def wait_for_end(pids: Iterable[int], seconds: float) -> list[int]:
    """Wait until the processes have ended; returns those that have not after ``seconds``."""
    deadline = time.monotonic() + seconds
    left = [pid for pid in pids if alive(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        left = [pid for pid in left if alive(pid)]
    return left


def end_marked(name: str, value: str, grace_seconds: float = 2.0) -> list[int]:
    """End every marked process: SIGTERM, then SIGKILL after the grace. Returns what can't be ended.

    Processes that the ending ones start meanwhile inherit the mark and are found in the next round.
    """
    found = marked(name, value)
    if found and grace_seconds > 0:
        signal_all(found, signal.SIGTERM)
        wait_for_end(found, grace_seconds)
    for _ in range(3):
        found = marked(name, value)
        if not found:
            return []
        signal_all(found, signal.SIGKILL)
        wait_for_end(found, 5.0)
    return [pid for pid in marked(name, value) if alive(pid)]
