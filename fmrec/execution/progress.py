"""Show an execution's progress in a terminal: a line a state, and a running clock where there is a TTY."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from fmrec.execution.step_functions import JobStarted, StateRun, Timeline, log_lines

SHORTEST_SHOWN = 0.1
"""Seconds. Shorter states (a look at a status, say) would only hide the others."""


class Progress:
    """Callbacks for `fmrec.execution.step_functions.follow`.

    Parameters
    ----------
    stream : TextIO
        Where to print. On a TTY the states in progress are shown on one line that is redrawn.
    logs : CloudWatch Logs client or None
        If given, the log lines of each job are printed as they come.
    """

    def __init__(
        self, stream: TextIO = sys.stdout, logs: Any = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._logs = logs
        self._clock = clock
        self._started = clock()
        self._live = stream.isatty()
        self._tails: dict[JobStarted, int] = {}

    def changed(self, change: StateRun | JobStarted) -> None:
        """Print a line for a state that was left, or a job that was started."""
        if isinstance(change, JobStarted):
            self._line(f"        {change.kind} job {change.name}")
            self._tails[change] = 0
        elif change.type in ("Task", "Map", "Parallel") and (change.seconds or 0) >= SHORTEST_SHOWN:
            self._line(f"  {self._elapsed()}  {change.name}  ({change.seconds:.1f} s)")

    def tick(self, timeline: Timeline) -> None:
        """Print new log lines, and redraw the running clock."""
        if self._logs is not None:
            self._print_logs()
        if self._live:
            running = [run.name for run in timeline.states if run.exited is None]
            self._redraw(f"  {self._elapsed()}  {running[-1]} …" if running else "")

    def close(self) -> None:
        """Print what is left of the logs and wipe the running line."""
        if self._logs is not None:
            self._print_logs()
        if self._live:
            self._redraw("")

    def _elapsed(self) -> str:
        seconds = int(self._clock() - self._started)
        return f"{seconds // 60:2d}:{seconds % 60:02d}"

    def _print_logs(self) -> None:
        for job, since in self._tails.items():
            for timestamp, line in log_lines(self._logs, job, since):
                self._line(f"        | {line}")
                self._tails[job] = timestamp + 1

    def _line(self, text: str) -> None:
        if self._live:
            self._redraw("")
        print(text, file=self._stream, flush=True)

    def _redraw(self, text: str) -> None:
        self._stream.write(f"\r\x1b[2K{text}")
        self._stream.flush()
