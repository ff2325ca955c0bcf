"""Exact top-k of every user against the matrix products alone and against faiss, in the same run.

    python -m bench.ranking [--users 138000] [--items 27000] [--factors 64] [-k 10] [--seen 145]

Two kinds of vectors: drawn from a normal distribution, the worst case, as no item is better than others for
everyone; and those of a trained model (``bench/trained_vectors.py``), whose histories are as popular as its
items. Products alone are every score once, in blocks of 512 users, on the same threads, thrown away. Ranking
and products run in turn, and the ratio is the median of pairs, of processor time: on a machine that does
other things as well it says more than the clock. Memory is the process's peak, with vectors and histories.
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

from bench.targets import print_machine, verdict
from bench.trained_vectors import trained_vectors
from fmrec.artifacts.interactions import Interactions
from fmrec.ranking.blas import cores, single_threaded_products
from fmrec.ranking.top_k import top_k

RANDOM_TARGET, TRAINED_TARGET = 1.3, 0.6
"""Times the products alone."""
LIMIT_GIB = 2.0
BLOCK_USERS, CHUNK = 512, 1024
"""Users and items of the products alone at a time."""

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


def measure(work: Callable[[], object]) -> Time:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Time(time.perf_counter() - wall, time.process_time() - processor)


def products_alone(users: Vectors, items: Vectors) -> None:
    """Every score once, a block of users and a chunk of items at a time, on every core."""
    with single_threaded_products() as threads:

        def work(worker: int) -> None:
            scores = np.empty((len(items), BLOCK_USERS), np.float32)
            for start in range(worker * BLOCK_USERS, len(users), BLOCK_USERS * threads):
                block = users[start : start + BLOCK_USERS].T
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


def histories(
    random: np.random.Generator, users: int, items: int, mean: int, popular: bool = False
) -> Interactions:
    """Random histories of about exponential length, as they are in life."""
    counts = np.minimum(random.exponential(mean, users).astype(np.int64), items // 2)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    met = random.integers(0, items, indptr[-1], dtype=np.int32)
    if popular:
        popularity = np.cumsum(1 / (np.arange(items) + 20.0))
        drawn = random.random(indptr[-1]) * popularity[-1]
        met = np.minimum(np.searchsorted(popularity, drawn), items - 1).astype(np.int32)
    owner = np.repeat(np.arange(users, dtype=np.int32), counts)
    return Interactions(indptr, met[np.lexsort((met, owner))])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=138_000)
    parser.add_argument("--items", type=int, default=27_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--seen", type=int, default=145, help="mean length of a user's history")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each; the median ratio counts")
    parser.add_argument("--kinds", nargs="*", default=["random", "trained"], choices=["random", "trained"])
    parser.add_argument("--no-faiss", action="store_true")
    arguments = parser.parse_args()
    print_machine("numpy", "faiss-cpu")
    for kind in arguments.kinds:
        report(kind, arguments)


def report(kind: str, arguments: argparse.Namespace) -> None:
    """Measure and print one kind of vectors."""
    random = np.random.default_rng(0)
    if kind == "trained":
        users, items = trained_vectors(arguments.users, arguments.items, arguments.factors)
    else:
        users, items = (
            random.standard_normal((count, arguments.factors + 1), dtype=np.float32)
            for count in (arguments.users, arguments.items)
        )
    seen = histories(random, len(users), len(items), arguments.seen, kind == "trained")
    print(
        f"{kind} vectors: {len(users):,} users × {len(items):,} items × {arguments.factors} factors and a weight, "
        f"top {arguments.k}, {len(seen.items):,} seen pairs masked, {cores()} cores"
    )
    runs = [
        (
            measure(lambda: top_k(users, items, arguments.k, seen)),
            measure(lambda: products_alone(users, items)),
        )
        for _ in range(arguments.pairs)
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    ranking, products = (sorted(times, key=lambda run: run.wall)[0] for times in zip(*runs, strict=True))
    print(f"  ranking                {ranking}, peak {peak:.2f} GiB (limit {LIMIT_GIB:g})")
    print(f"  matrix products alone  {products}")
    if not arguments.no_faiss:
        peer = measure(lambda: faiss_search(users, items, arguments.k))
        print(f"  faiss, nothing masked  {peer}; ranking / faiss {ranking.over(peer)}")
    ratio = float(np.median([own.processor / other.processor for own, other in runs]))
    target = TRAINED_TARGET if kind == "trained" else RANDOM_TARGET
    what = f"exact top-{arguments.k} with seen masks / bare products, {kind} vectors"
    verdict(what, ratio, target, at_most=True)
    verdict(f"its peak memory in GiB, {kind} vectors", peak, LIMIT_GIB, at_most=True)


if __name__ == "__main__":
    main()
