"""The codec's ragged rows against those of an earlier commit, in pairs of runs, each commit in a process of
its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.targets import BASELINE, ROOT, baseline, verdict

PAIRS = 7
SPEED_TARGET, COPY_TARGET = 4.0, 9.0
WORKER = """
import json, sys, time
import numpy as np
from bench.codec import encode, ragged
from fmrec import recordio
case = ragged(100_000, 40, 100_000)
content = encode(case.matrix, case.labels)
data = content.tobytes()
def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start
ways = [content.copy, lambda: encode(case.matrix, case.labels), lambda: recordio.decode(data)]
for _ in sys.stdin:
    print(json.dumps([min(seconds(way) for _ in range(3)) for way in ways]), flush=True)
"""


def report_against_baseline() -> bool:
    """Measure with and without compiled loops; return whether all targets were reached with them."""
    reached = []
    for name, setting in (("NumPy alone", "0"), ("compiled loops", "1")):
        own, other = _start(ROOT, setting), _start(baseline(), setting)
        runs = [(_ask(own), _ask(other)) for _ in range(PAIRS)]
        for process in (own, other):
            process.communicate()
        for way, place in (("encode", 1), ("decode", 2)):
            what = f"{way} 0 to 40 non-zeros, {name}"
            speed = statistics.median(before[place] / now[place] for now, before in runs)
            copies = statistics.median(now[place] / now[0] for now, _ in runs)
            found = [
                verdict(f"{what}, times {BASELINE}", speed, SPEED_TARGET, at_most=False),
                verdict(f"{what}, times a memory copy", copies, COPY_TARGET, at_most=True),
            ]
            reached += found if setting == "1" else []
    return all(reached)


def _start(root: Path, setting: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "FMREC_RECORDIO_COMPILED": setting}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _ask(process: subprocess.Popen[str]) -> list[float]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the worker has no pipes")
    process.stdin.write("measure\n")
    process.stdin.flush()
    found: list[float] = json.loads(process.stdout.readline())
    return found
