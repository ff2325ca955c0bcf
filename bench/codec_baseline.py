"""The codec's ragged rows against those of an earlier commit, in pairs of runs, each commit in a process of
its own, and against a memory copy of the encoded bytes.

All of them work in memory that their process has already: what is freed is kept (``KEEP_MEMORY``). Otherwise
the copy, which asks for one array of the same size again and again, would be given the same pages each time,
while encoding and decoding, with arrays of several sizes, waited for the system to clear new ones. Each time
is the least of all runs, because other work on a machine makes them longer, never shorter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench.targets import BASELINE, ROOT, baseline, verdict

PAIRS = 7
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Settings of glibc's allocator; others don't know them."""
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
        now, before = (np.min(np.array(times), axis=0) for times in zip(*runs, strict=True))
        for process in (own, other):
            process.communicate()
        for way, place in (("encode", 1), ("decode", 2)):
            what = f"{way} 0 to 40 non-zeros, {name}"
            speed, copies = float(before[place] / now[place]), float(now[place] / now[0])
            found = [
                verdict(f"{what}, times {BASELINE}", speed, SPEED_TARGET, at_most=False),
                verdict(f"{what}, times a memory copy", copies, COPY_TARGET, at_most=True),
            ]
            reached += found if setting == "1" else []
    return all(reached)


def _start(root: Path, setting: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "FMREC_RECORDIO_COMPILED": setting, **KEEP_MEMORY}
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
