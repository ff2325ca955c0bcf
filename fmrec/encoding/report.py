"""What an encoding run tells a person: progress while it runs, a table when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from fmrec.manifest import Manifest


class ProgressLines:
    """Prints a line a step: elapsed time, step, and rows with their rate once the step is done."""

    def __init__(self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._begun = self._step_begun = clock()
        self._step = ""
        self._rows: int | None = None

    def __call__(self, step: str, rows: int | None) -> None:
        self._end_step(rows)
        self._step, self._rows, self._step_begun = step, rows, self._clock()

    def close(self) -> None:
        self._end_step(None)

    def _end_step(self, rows: int | None) -> None:
        if not self._step:
            return
        seconds = self._clock() - self._step_begun
        count = self._rows if self._rows is not None else rows
        rate = f"  {count:,} rows, {count / max(seconds, 1e-9):,.0f} rows/s" if count else ""
        elapsed = self._clock() - self._begun
        print(f"{elapsed:7.1f} s  {self._step}{rate}", file=self._stream, flush=True)
        self._step = ""


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
        ("users", f"{manifest.users:,}"),
        ("items", f"{manifest.items:,}"),
        ("feature_dim", f"{manifest.feature_dim:,}"),
    ]
    for name, channel in (("train", manifest.train), ("test", manifest.test)):
        share = "" if channel.positive_share is None else f", positive share {channel.positive_share:.3f}"
        lines.append(
            (name, f"{channel.rows:,} rows, {channel.bytes:,} bytes in {channel.parts} part(s){share}")
        )
    lines.append(("seconds", f"{manifest.seconds:.1f}"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)
