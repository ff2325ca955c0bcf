"""What `bench.live` measures of a memory-mapped catalogue, in a process that holds nothing else.

    python -m bench.live_mapped items.npy 10

The file holds float32 (items, factors + 1), the offset last. Prints one JSON object: milliseconds of
processor time for a list, times that of the two matrix products of a pass, MiB at the peak, seconds to
prepare the model.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from fmrec.live import FoldIn

REGULARIZATION, NEGATIVE_WEIGHT = 2.0, 0.05
LISTS, LENGTH = 20, 58


def main(path: str, count: int) -> None:
    matrix = np.load(path, mmap_mode="r")
    start = time.perf_counter()
    fold_in = FoldIn(matrix[:, :-1], matrix[:, -1], REGULARIZATION, NEGATIVE_WEIGHT)
    seconds = time.perf_counter() - start
    random = np.random.default_rng(1)
    query, weights = np.ones(matrix.shape[1] - 1, np.float32), np.ones(len(matrix), np.float32)
    times, products = [], []
    for _ in range(LISTS):
        history = random.integers(0, len(matrix), LENGTH)
        start = time.thread_time()
        fold_in.recommend(history, count)
        middle = time.thread_time()
        np.matmul(matrix[:, :-1], query)
        np.matmul(weights, matrix[:, :-1])
        times.append(middle - start)
        products.append(time.thread_time() - middle)
    found = {
        "milliseconds": float(np.median(times)) * 1e3,
        "passes": float(np.median(times) / np.median(products)),
        "mib": peak_mib(),
        "seconds": seconds,
    }
    print(json.dumps(found))


def peak_mib() -> float:
    """The kernel's own peak of this program: getrusage would count the parent's from before it was
    started.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
