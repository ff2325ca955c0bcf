"""Processor seconds of a local cloud by step of an execution, whatever else runs on the machine.

Read from ``/proc``: the local cloud's process and all that descend from it, those that have ended included.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType

import numpy as np

from fmrec.execution.state_machine import Execution

SAMPLE_SECONDS = 0.1
TICKS = os.sysconf("SC_CLK_TCK")
PARENT, TIMES = 1, slice(11, 15)
"""Fields of ``/proc/<pid>/stat`` after the name: the parent, and user and system time of the process and of
its children that were waited for.
"""


class ProcessorTime:
    """Samples the processor seconds of a process and its descendants while the context is open."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._samples: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> ProcessorTime:
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

    def between(self, start: datetime, end: datetime) -> float:
        """Processor seconds from one time to another."""
        at, seconds = np.array(self._samples).T
        before, after = np.interp([start.timestamp(), end.timestamp()], at, seconds)
        return float(after - before)

    def of(self, execution: Execution, states: Iterable[str]) -> tuple[float, float]:
        """Processor seconds from the start of the first of these states to the end of the last, and those of
        the execution's other time.
        """
        among = [state for state in execution.states if state.name in states]
        ended = [state.exited for state in among if state.exited is not None]
        if not ended or execution.stopped is None:
            raise ValueError(f"execution {execution.name} has been through none of {', '.join(states)}")
        inside = self.between(min(state.entered for state in among), max(ended))
        return inside, self.between(execution.started, execution.stopped) - inside

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._samples.append((time.time(), processor_seconds(self._process)))


def processor_seconds(process: int) -> float:
    """User and system time of a process and all its descendants so far."""
    children: dict[int, list[int]] = defaultdict(list)
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children[int(fields[PARENT])].append(int(entry.name))
        ticks[int(entry.name)] = sum(map(int, fields[TIMES]))
    found, waiting = 0, [process]
    while waiting:
        one = waiting.pop()
        found += ticks.get(one, 0)
        waiting += children[one]
    return found / TICKS
