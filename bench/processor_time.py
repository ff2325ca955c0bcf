"""Processor seconds of a local cloud's execution, and of one program's part in it, whatever else runs.

Read from ``/proc``: the local cloud's process and all that descend from it, those that have ended included. A
program's jobs are told by the command line of the process that they are forked from (localcloud/forks.py).
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import TracebackType

import numpy as np

from fmrec.execution.step_functions import Execution

SAMPLE_SECONDS = 0.1
TICKS = os.sysconf("SC_CLK_TCK")
PARENT, OWN, CHILDREN = 1, slice(11, 13), slice(13, 15)
"""Fields of ``/proc/<pid>/stat`` after the name: the parent, and user and system time of the process and of
its children that were waited for.
"""


class ProcessorTime:
    """Samples the processor seconds of a process and its descendants while the context is open.

    Parameters
    ----------
    process : int
        The root's id.
    program : str
        What the command lines of those processes have in them whose forks are a part of their own.
    """

    def __init__(self, process: int, program: str) -> None:
        self._process, self._program = process, program
        self._samples: list[tuple[float, float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> ProcessorTime:
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._take()

    def of(self, execution: Execution) -> tuple[float, float]:
        """Processor seconds of the program's forks during an execution, and of all else."""
        if execution.stopped is None:
            raise ValueError(f"execution {execution.name} has not ended")
        times = execution.started.timestamp(), execution.stopped.timestamp()
        at, *seconds = np.array(self._samples).T
        total, forks = (float(np.diff(np.interp(times, at, of))[0]) for of in seconds)
        return forks, total - forks

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._take()

    def _take(self) -> None:
        self._samples.append((time.time(), *processor_seconds(self._process, self._program)))


def processor_seconds(process: int, program: str) -> tuple[float, float]:
    """User and system time so far of a process and all its descendants, and of a program's forks among them.

    A process whose command line has the program in it is forked from, if its parent's has not: what it took
    itself, to import packages once, is no fork's.
    """
    children: dict[int, list[int]] = defaultdict(list)
    own: dict[int, int] = {}
    ended: dict[int, int] = {}
    named: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        one = int(entry.name)
        children[int(fields[PARENT])].append(one)
        own[one], ended[one] = sum(map(int, fields[OWN])), sum(map(int, fields[CHILDREN]))
        if program.encode() in command:
            named.add(one)
    total = forks = 0
    waiting = [(process, False)]
    while waiting:
        one, parent_named = waiting.pop()
        total += own.get(one, 0) + ended.get(one, 0)
        if one in named:
            forks += ended[one] + (own[one] if parent_named else 0)
        waiting += [(child, one in named) for child in children[one]]
    return total / TICKS, forks / TICKS
