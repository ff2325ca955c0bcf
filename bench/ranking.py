"""Exact top-k of every user against the matrix products alone and against faiss, in the same run.

    python -m bench.ranking [--users 138000] [--items 27000] [--factors 64] [-k 10] [--seen 145]

Vectors are drawn from a normal distribution, the worst case: no item is better than others for everyone.
Products alone are the same products in the same blocks on the same threads, thrown away. Both wall-clock
and processor time are compared; on a machine that does other things as well, the latter says more.
Memory is the process's peak, vectors and histories included.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.ranking.blas import cores, single_threaded_products
from fmrec.ranking.evaluation import Judge
from fmrec.ranking.popularity import most_popular
from fmrec.ranking.top_k import BLOCK_BYTES, BLOCK_USERS, CHUNK, top_k

LIMIT_RATIO = 1.5
LIMIT_GIB = 2.0

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Time:
    """Seconds on the clock and on all processors."""

    wall: float
    processor: float

    def over(self, other: Time) -> str:
        return f"{self.wall / other.wall:.2f} wall-clock, {self.processor / other.processor:.2f} processor"

    def __str__(self) -> str:
        return f"{self.wall:6.2f} s wall-clock, {self.processor:6.2f} s processor"


def measure(work: Callable[[], object], times: int) -> Time:
    """The quickest of several runs."""
    found = []
    for _ in range(times):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append(Time(time.perf_counter() - wall, time.process_time() - processor))
    return min(found, key=lambda run: run.wall)


def products_alone(users: Vectors, items: Vectors) -> None:
    """Every score once, a block of users and a chunk of items at a time, on every core."""
    rows = max(1, min(BLOCK_USERS, BLOCK_BYTES // (4 * len(items))))
    with single_threaded_products() as threads:

        def work(worker: int) -> None:
            scores = np.empty((len(items), rows), np.float32)
            for start in range(worker * rows, len(users), rows * threads):
                block = users[start : start + rows].T
                for first in range(0, len(items), CHUNK):
                    chunk = items[first : first + CHUNK]
                    np.matmul(chunk, block, out=scores[first : first + CHUNK, : block.shape[1]])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))


def faiss_search(users: Vectors, items: Vectors, k: int) -> None:
    faiss.omp_set_num_threads(cores())
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    index.search(users, k)


def histories(random: np.random.Generator, users: int, items: int, mean: int) -> Interactions:
    """Random histories of about exponential length, as they are in life."""
    counts = np.minimum(random.exponential(mean, users).astype(np.int64), items // 2)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    met = random.integers(0, items, indptr[-1], dtype=np.int32)
    owner = np.repeat(np.arange(users, dtype=np.int32), counts)
    return Interactions(indptr, met[np.lexsort((met, owner))])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=138_000)
    parser.add_argument("--items", type=int, default=27_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--seen", type=int, default=145, help="mean length of a user's history")
    parser.add_argument("--times", type=int, default=2, help="runs of each; the quickest counts")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    users, items = (
        random.standard_normal((count, arguments.factors + 1), dtype=np.float32)
        for count in (arguments.users, arguments.items)
    )
    seen = histories(random, arguments.users, arguments.items, arguments.seen)
    relevant = histories(random, arguments.users, arguments.items, 10)
    relevant = relevant.take(np.flatnonzero(relevant.counts()))
    relevant = relevant.take(np.resize(np.arange(relevant.users), arguments.users))
    met_by = np.bincount(seen.items, minlength=arguments.items)

    def evaluate() -> None:
        judge = Judge(arguments.k, met_by, arguments.users)
        judge.add(top_k(users, items, arguments.k, seen), relevant, seen.counts())
        judge.report()

    def evaluate_popularity() -> None:
        judge = Judge(arguments.k, met_by, arguments.users)
        judge.add(most_popular(met_by, arguments.k, seen), relevant, seen.counts())
        judge.report()

    print(
        f"{arguments.users:,} users × {arguments.items:,} items × {arguments.factors} factors and a weight, top "
        f"{arguments.k}, {len(seen.items):,} seen pairs masked, {cores()} cores"
    )
    ranking = measure(evaluate, arguments.times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    products = measure(lambda: products_alone(users, items), arguments.times)
    baseline = measure(evaluate_popularity, arguments.times)
    peer = measure(lambda: faiss_search(users, items, arguments.k), 1)
    print(f"ranking and metrics     {ranking}, peak {peak:.2f} GiB (limit {LIMIT_GIB:g})")
    print(f"the same of popularity  {baseline}")
    print(f"matrix products alone   {products}")
    print(f"faiss, nothing masked   {peer}")
    print(f"ranking / products      {ranking.over(products)} (limit {LIMIT_RATIO:g})")
    print(f"ranking / faiss         {ranking.over(peer)}")
    return int(ranking.processor > LIMIT_RATIO * products.processor or peak > LIMIT_GIB)


if __name__ == "__main__":
    raise SystemExit(main())
