"""The page of `fmrec explore` over a local cloud that keeps running, in a process that outlives the demo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from demo.cloud import ROOT, Cloud
from demo.movielens import MovieLens
from fmrec.errors import InputError
from fmrec.execution.step_functions import stack_outputs
from fmrec.explore.command import API_STACK

RECORD, LOG = "explore.json", "explore.log"
COMMAND = ("-m", "fmrec", "explore")
START_SECONDS = 60
_own: dict[int, subprocess.Popen[bytes]] = {}
"""Processes that this one has started: it has to wait for their ends."""


def explore(target: Cloud, state: Path, data: MovieLens) -> str:
    """Serve the page with films' titles, and return its address.

    Raises
    ------
    InputError
        It doesn't start; the message holds what it said.
    """
    api = stack_outputs(target.client("cloudformation"), API_STACK)["ApiId"]
    command = [
        sys.executable,
        *COMMAND,
        *("--url", f"{target.endpoint_url}/_aws/execute-api/{api}/$default"),
        *("--names", str(data.items), "--names-columns", "item_id,title,year,genres"),
        "--store-clicks",
    ]
    log = state / LOG
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=target.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _own[process.pid] = process
    (state / RECORD).write_text(json.dumps({"pid": process.pid}))
    deadline = time.monotonic() + START_SECONDS
    while not (address := log.read_text().partition("\n")[0]).startswith("http"):
        if process.poll() is not None or time.monotonic() > deadline:
            end_exploring(state)
            raise InputError(
                f"`fmrec explore` does not start: {log.read_text().strip() or 'it says nothing'}"
            )
        time.sleep(0.1)
    return address


def end_exploring(state: Path) -> None:
    """End the page's process; nothing happens if there is none."""
    record = state / RECORD
    if not record.exists():
        return
    pid = int(json.loads(record.read_text())["pid"])
    record.unlink()
    # The number may have been given to another process since.
    found = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    if " ".join(COMMAND) in found:
        os.kill(pid, signal.SIGTERM)
    if pid in _own:
        _own.pop(pid).wait()
