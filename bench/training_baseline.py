"""The FM stand-in's speed and loss against those of an earlier commit, in pairs of runs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.targets import BASELINE, ROOT, baseline, verdict

PAIRS = 3
SPEED_TARGET = 1.5
LOSS_MARGIN = 1.001
TRAININGS = 9
"""Of which the median counts: one takes a quarter of a second, and what else a machine does then is in it."""
WORKER = """
import json, statistics, sys
from pathlib import Path
from bench import training
from bench.movielens_split import MovieLensSplit
training.BUILD.mkdir(exist_ok=True)
split = MovieLensSplit.load(Path(sys.argv[1]))
found = [  # the earlier commit has no function for several
    training.measure_ours(split, "binary_classifier", int(sys.argv[2])) for _ in range(int(sys.argv[3]))
]
print(json.dumps([statistics.median(speed for speed, _ in found), found[0][1]]))
"""


def report_against_baseline(threads: int, movielens: Path) -> bool:
    """Measure both; return whether the target was reached at no worse loss."""
    runs = [
        (_measure(ROOT, threads, movielens), _measure(baseline(), threads, movielens)) for _ in range(PAIRS)
    ]
    speed = statistics.median(now[0] / before[0] for now, before in runs)
    loss = statistics.median(now[1] / before[1] for now, before in runs)
    what = f"FM stand-in, {threads} thread(s), times {BASELINE}"
    reached = verdict(what, speed, SPEED_TARGET, at_most=False)
    return verdict(f"{what}: log loss over its", loss, LOSS_MARGIN, at_most=True) and reached


def _measure(root: Path, threads: int, movielens: Path) -> tuple[float, float]:
    finished = subprocess.run(
        [sys.executable, "-c", WORKER, str(movielens), str(threads), str(TRAININGS)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    speed, loss = json.loads(finished.stdout.splitlines()[-1])
    return speed, loss
