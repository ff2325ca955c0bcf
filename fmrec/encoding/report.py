"""What an encoding run reports: progress while it runs, a table when it is done."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from fmrec.artifacts.manifest import Manifest

EVERY_SECONDS = 5.0


class ProgressLines:
    """Prints a line a step: elapsed time, the step, its rows and their rate.

    Parameters
    ----------
    tracker : pyspark.StatusTracker or None
        If given, ``watch`` prints a line every few seconds within a step, too: how far its current
        stage is, at which rate rows go by, and when the stage will be done.
    """

    def __init__(
        self,
        stream: TextIO = sys.stderr,
        clock: Callable[[], float] = time.monotonic,
        tracker: Any = None,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._tracker = tracker
        self._begun = self._step_begun = clock()
        self._step = ""
        self._rows: int | None = None
        self._stage_begun: dict[int, float] = {}
        self._closed = threading.Event()

    def __call__(self, step: str, rows: int | None) -> None:
        self._end_step(rows)
        self._step, self._rows, self._step_begun = step, rows, self._clock()

    def watch(self) -> None:
        """Start to print lines within steps, until ``close``."""
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._end_step(None)

    def glance(self) -> str | None:
        """Say how far the current stage is, or nothing if there is nothing to say yet."""
        now = self._clock()
        for stage in sorted(self._tracker.getActiveStageIds()):
            begun = self._stage_begun.setdefault(stage, now)
            info = self._tracker.getStageInfo(stage)
            if info is None or not info.numCompletedTasks or now <= begun:
                continue
            share = info.numCompletedTasks / info.numTasks
            seconds = now - begun
            line = f"{self._step}  {info.numCompletedTasks} of {info.numTasks} tasks"
            if self._rows:
                done = int(share * self._rows)
                line += f"  {done:,} of {self._rows:,} rows, {done / seconds:,.0f} rows/s"
            return f"{line}, eta {seconds * (1 - share) / share:.0f} s"
        return None

    def _watch(self) -> None:
        while not self._closed.wait(EVERY_SECONDS):
            line = self.glance()
            if line is not None:
                self._print(line)

    def _end_step(self, rows: int | None) -> None:
        if not self._step:
            return
        seconds = self._clock() - self._step_begun
        count = self._rows if self._rows is not None else rows
        rate = f"  {count:,} rows, {count / max(seconds, 1e-9):,.0f} rows/s" if count else ""
        self._print(f"{self._step}  done{rate}")
        self._step = ""

    def _print(self, text: str) -> None:
        print(f"{self._clock() - self._begun:7.1f} s  {text}", file=self._stream, flush=True)


def closing_table(manifest: Manifest) -> str:
    """Return the run's figures as lines of text."""
    rows = manifest.rows
    lines = [
        ("rows read", f"{rows.read:,}"),
        ("rows encoded", f"{rows.encoded:,}"),
        *[
            (f"  quarantined: {reason}", f"{count:,}")
            for reason, count in manifest.quarantine_reasons.items()
        ],
        *[(f"  dropped: {reason}", f"{count:,}") for reason, count in manifest.dropped_reasons.items()],
        *[
            (f"sampled negatives, {name}", f"{count:,}")
            for name, count in manifest.details.get("negatives", {}).items()
            if count
        ],
        *[(f"columns of {name}", f"{end - start:,}") for name, (start, end) in manifest.ranges.items()],
        ("feature_dim", f"{manifest.feature_dim:,}"),
    ]
    for name, channel in (("train", manifest.train), ("test", manifest.test)):
        share = "" if channel.positive_share is None else f", positive share {channel.positive_share:.3f}"
        parts = "1 part" if channel.parts == 1 else f"{channel.parts} parts"
        lines.append((name, f"{channel.rows:,} rows, {channel.bytes:,} bytes in {parts}{share}"))
    lines.append(("seconds", f"{manifest.seconds:.1f}"))
    width = max(len(name) for name, _ in lines)
    table = [f"{name:<{width}}  {value}" for name, value in lines]
    return "\n".join([*table, *[f"warning: {warning}" for warning in manifest.details.get("warnings", [])]])
