"""Folding users in against implicit's alternating least squares, both in the same run.

    python -m bench.live [--items 27000] [--factors 64] [--large 1000000] [--seeds 0 1 2]

Speed: one user at a time, the two called in turn on the same catalogue and the same histories, one BLAS
thread: `FoldIn.recommend` and `recommend(..., recalculate_user=True)`, top 10 without what was seen. Ours
comes twice, the model alone and with as many dimensions of co-occurrence, as deployments have by default; the
peer, too, with its own default of threads and with one. Ratios are of medians, and the model's alone.

Quality: MovieLens 100k, ua split. A fifth of the users is left out of training, the machine and ALS are
trained on the others, and all left-out users are folded into both, into the machine with co-occurrence of
what the others liked. λ and c are chosen on items hidden from histories. ALS comes twice, with the library's
own defaults and tuned for this data. Then everybody is trained on and folded in, with λ and c chosen on half
of the users by what was held out, as the workflow does: next to the other half's own vectors, and next to the
choice above for the users left out.

Large: a memory-mapped catalogue in a process of its own, its time for a list and its peak memory; and the
API over an exported run of that size, from a cold start to its first answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from bench import live_cold
from bench.interaction_sets import InteractionSet
from bench.movielens_split import ITEMS, USERS, MovieLensSplit
from bench.opponents import deployed, fit
from bench.trials import BUILD
from demo.cold_users import with_co_occurrence
from demo.rival_models import ALS_CONFIDENCE, ALS_FACTORS, ALS_ITERATIONS, ALS_REGULARIZATION
from fmrec.artifacts.fold_in_parameters import NEGATIVE_WEIGHT, REGULARIZATION, Basis, FoldingIn
from fmrec.artifacts.interactions import Interactions, from_pairs
from fmrec.live import FoldIn
from fmrec.live.choosing_step import in_choosing_half
from fmrec.live.evaluation import choose, choose_on, judge
from fmrec.model.co_occurrence import CoOccurrence, learn
from fmrec.ranking.evaluation import Judge
from fmrec.ranking.top_k import Top, top_k

LIMIT_RATIO, LIMIT_NDCG, LIMIT_MILLISECONDS, LIMIT_MIB = 1.0, 0.03, 150.0, 700.0
LIMIT_COLD = 2.0
"""A cold start may take so many times what loading the vectors takes."""
LIMIT_ALL, LIMIT_FIVE, LIMIT_OWN = 0.275, 0.21, 0.99
"""NDCG@10 of users left out of training, from whole histories and from five interactions, means over seeds;
and of trained users folded in, next to their own vectors."""
TUNED = {"regularization": ALS_REGULARIZATION, "iterations": ALS_ITERATIONS}
"""Chosen on validation rows of the same data; the library's own defaults are judged as well."""
K = 10
Vectors = npt.NDArray[np.float32]


def catalogue(items: int, factors: int, random: np.random.Generator) -> tuple[Vectors, Vectors]:
    """Vectors in groups of taste, as trained ones lie, and offsets as sampled negatives leave them."""
    tastes = random.standard_normal((64, factors), dtype=np.float32) * np.float32(0.15)
    vectors = random.standard_normal((items, factors), dtype=np.float32)
    vectors *= np.float32(0.1)
    vectors += tastes[random.integers(0, 64, items)]
    return vectors, random.normal(-4, 1, items).astype(np.float32)


def histories(items: int, users: int, random: np.random.Generator) -> list[npt.NDArray[np.int32]]:
    """About as long as those of MovieLens: 58 liked films in the mean, few of them very many."""
    lengths = np.clip(random.exponential(58, users).astype(int), 1, 500)
    return [np.sort(random.permutation(items)[:length]).astype(np.int32) for length in lengths]


def alternating(calls: list[Callable[[int], object]], users: int, rounds: int) -> list[dict[str, float]]:
    """Call each in turn for each user; milliseconds of the thread and on the clock, medians."""
    found: list[list[tuple[float, float]]] = [[] for _ in calls]
    for turn in range(rounds * users):
        for times, call in zip(found, calls, strict=True):
            thread, wall = time.thread_time(), time.perf_counter()
            call(turn % users)
            times.append((time.thread_time() - thread, time.perf_counter() - wall))
    return [
        {"thread": float(np.median(both[:, 0])) * 1e3, "wall": float(np.median(both[:, 1])) * 1e3}
        for both in map(np.array, found)
    ]


def speed(items: int, factors: int) -> float:
    """Print both times per user, one at a time and in a batch, and return the ratio of one at a time."""
    random = np.random.default_rng(0)
    vectors, offsets = catalogue(items, factors, random)
    lists = histories(items, 100, random)
    packed = from_pairs(
        np.repeat(np.arange(len(lists)), [len(one) for one in lists]), np.concatenate(lists), len(lists)
    )
    matrix = _confidences(packed, items)
    rows = [matrix[user] for user in range(len(lists))]
    fold_in = FoldIn(vectors, offsets, REGULARIZATION, NEGATIVE_WEIGHT)
    together = CoOccurrence(
        catalogue(items, factors, random)[0], random.integers(1, 500, items).astype(np.float32) ** -0.25
    )
    both = with_co_occurrence(fold_in.user_vectors(packed), vectors, offsets, together, packed)
    with threadpool_limits(1, "blas"):
        peers = [
            AlternatingLeastSquares(
                factors=factors,
                regularization=ALS_REGULARIZATION,
                iterations=1,
                random_state=0,
                num_threads=threads,
            )
            for threads in (0, 1)
        ]
        for peer in peers:
            peer.fit(matrix, show_progress=False)
            peer.item_factors = vectors.copy()

        def peer_call(peer: Any) -> Callable[[int], object]:
            return lambda user: peer.recommend(user, rows[user], K, recalculate_user=True)

        calls = [
            lambda user: fold_in.recommend(lists[user], K),
            lambda user: both.recommend(lists[user], K),
            *map(peer_call, peers),
        ]
        alternating(calls, len(lists), 1)
        ours, ours_both, default, single = alternating(calls, len(lists), 5)
        everybody = np.arange(len(lists))
        batches: list[Callable[[int], object]] = [
            lambda _: fold_in.rank(packed, K),
            lambda _: peers[0].recommend(everybody, matrix, K, recalculate_user=True),
        ]
        batch, peer_batch = alternating(batches, 1, 5)
    ratio = default["wall"] / ours["wall"]
    print(f"{items:,} items × {factors} factors, histories of {np.mean(packed.counts()):.0f} items, one user")
    for name, found in (
        ("folded in", ours), ("with co-occurrence", ours_both), ("implicit's ALS, as it comes", default), ("implicit's ALS, one thread", single)
    ):  # fmt: skip
        print(f"  {name:<28}{found['wall']:7.2f} ms wall-clock {found['thread']:7.2f} ms processor time")
    print(
        f"  implicit as it comes / ours {ratio:.2f} wall-clock (limit {LIMIT_RATIO:g}); on one thread "
        f"{single['wall'] / ours['wall']:.2f} wall-clock, {single['thread'] / ours['thread']:.2f} processor; "
        f"in a batch of {len(lists)}: {peer_batch['wall'] / batch['wall']:.2f} wall-clock",
        flush=True,
    )
    return ratio


def quality(seeds: list[int]) -> tuple[float, bool]:
    """Print NDCG@10 of both on users left out of training, and of trained users; return the difference of the
    means, and whether our limits are kept.
    """
    split = MovieLensSplit.load(BUILD / "data/ml-100k")
    user, item = split.columns[:, 0].astype(np.int64), split.columns[:, 1].astype(np.int64) - USERS
    picked = split.labels == 1

    def pairs(which: npt.NDArray[np.int64]) -> Interactions:
        return from_pairs(user[which], item[which], USERS)

    seen, liked = pairs(split.train), pairs(split.train[picked[split.train]])
    relevant = pairs(split.test[picked[split.test]])
    differences, figures_of = [], []
    print("MovieLens 100k, a fifth of the users left out of training, NDCG@10")
    for seed in seeds:
        out = np.sort(np.random.default_rng(100 + seed).permutation(USERS)[: USERS // 5])
        known = np.setdiff1d(np.arange(USERS), out)
        rows = split.train[~np.isin(user[split.train], out)]
        met_by = np.bincount(item[rows], minlength=ITEMS)
        queries, vectors, offsets = _trained(split, rows, seed)
        together = learn([liked.take(known)], ITEMS, vectors.shape[1])
        fold_in = with_co_occurrence(queries[known], vectors, offsets, together, liked.take(known))
        cold = liked.take(out), seen.take(out), relevant.take(out)
        choice = choose(fold_in, cold[0], cold[1], seed=seed)
        fold_in = fold_in.with_parameters(choice.regularization, choice.negative_weight)
        report = judge(fold_in, *cold, met_by, len(known), k=K, seed=seed)
        ours = {name: found["metrics"]["ndcg_at_10"] for name, found in report["by_interactions"].items()}
        default, tuned = (
            _least_squares(liked.take(known), *cold, met_by, settings, confidence)
            for settings, confidence in (({}, 1.0), (TUNED, ALS_CONFIDENCE))
        )
        differences.append((ours["all"] - default, ours["all"] - tuned))
        figures = "  ".join(f"{name} {value:.4f}" for name, value in ours.items())
        print(
            f"  seed {seed}: {figures}   ALS {default:.4f}, tuned {tuned:.4f}   popularity "
            f"{report['popularity']['metrics']['ndcg_at_10']:.4f}   "
            f"λ {choice.regularization:g} c {choice.negative_weight:g}",
            flush=True,
        )
        stood_in, own = _as_the_workflow(split, liked, seen, relevant, seed)
        again = fold_in.with_parameters(stood_in.regularization, stood_in.negative_weight)
        deployed = judge(again, *cold, met_by, len(known), k=K, seed=seed)["by_interactions"]
        as_deployed = [deployed[length]["metrics"]["ndcg_at_10"] for length in ("all", "5")]
        print(
            f"    trained users: folded in / own vectors {own:.4f}; λ {stood_in.regularization:g} c "
            f"{stood_in.negative_weight:g}, chosen on half of them, give the left-out {as_deployed[0]:.4f} (all), "
            f"{as_deployed[1]:.4f} (5)",
            flush=True,
        )
        figures_of.append((ours["all"], ours["5"], own, *as_deployed))
    difference, to_tuned = np.mean(differences, axis=0)
    print(
        f"  ours − ALS {difference:.4f} (limit {LIMIT_NDCG:g}), ours − ALS tuned {to_tuned:.4f}", flush=True
    )
    from_all, from_five, own, all_deployed, five_deployed = np.mean(figures_of, axis=0)
    print(
        f"  means: left out {from_all:.4f} from all (limit {LIMIT_ALL:g}), {from_five:.4f} from 5 (limit "
        f"{LIMIT_FIVE:g}); as the workflow chooses {all_deployed:.4f}, {five_deployed:.4f}; trained users folded in "
        f"/ own vectors {own:.4f} (limit {LIMIT_OWN:g})",
        flush=True,
    )
    kept = (
        min(from_all, all_deployed) >= LIMIT_ALL
        and min(from_five, five_deployed) >= LIMIT_FIVE
        and own >= LIMIT_OWN
    )
    return float(difference), bool(kept)


def _as_the_workflow(
    split: MovieLensSplit, liked: Interactions, seen: Interactions, relevant: Interactions, seed: int
) -> tuple[FoldingIn, float]:
    """Choose λ and c of a machine of everybody on half of the users; return NDCG@10 of the other half, folded
    in, over that of their own vectors.
    """
    users, items, offsets = _trained(split, split.train, seed)
    together = learn([liked], ITEMS, items.shape[1])
    fold_in = with_co_occurrence(users, items, offsets, together, liked)
    judged = np.flatnonzero((relevant.counts() > 0) & (liked.counts() > 0))
    half = in_choosing_half(judged)
    history, met, wanted = (pairs.take(judged[half]) for pairs in (liked, seen, relevant))
    found = choose_on(fold_in, history, met, wanted, Basis.TRAINED, np.random.default_rng(seed))
    others = judged[~half]
    met_by = np.bincount(seen.items, minlength=ITEMS)
    folded, own = Judge(K, met_by, USERS), Judge(K, met_by, USERS)
    hidden, wanted = seen.take(others), relevant.take(others)
    fold_in = fold_in.with_parameters(found.regularization, found.negative_weight)
    folded.add(fold_in.rank(liked.take(others), K, seen=hidden), wanted, hidden.counts())
    further = fold_in.user_vectors(liked.take(others))[:, items.shape[1] :]
    queries = np.hstack([users[others], further, np.ones((len(others), 1), np.float32)])
    vectors = np.array([np.append(*fold_in.item(ordinal)) for ordinal in range(ITEMS)])
    own.add(top_k(queries, vectors, K, hidden), wanted, hidden.counts())
    return found, float(folded.per_user("ndcg").mean() / own.per_user("ndcg").mean())


def _trained(
    split: MovieLensSplit, rows: npt.NDArray[np.int64], seed: int
) -> tuple[Vectors, Vectors, Vectors]:
    """Users' and items' vectors and the items' offsets of a machine trained on some rows with the deployed
    defaults.
    """
    user = split.columns[rows, 0].astype(np.int64)
    item = split.columns[rows, 1].astype(np.int64) - USERS
    picked = split.labels[rows] == 1
    nothing = np.empty(0, np.int64)
    data = InteractionSet(
        "known", USERS, ITEMS, (user[picked], item[picked]), (user, item), (nothing, nothing)
    )
    machine = fit(data, seed, *deployed(data))
    offsets = machine.bias + machine.linear[USERS:]
    vectors = machine.factors.astype(np.float32)
    return vectors[:USERS], vectors[USERS:], offsets.astype(np.float32)


def _least_squares(
    known: Interactions,
    liked: Interactions,
    seen: Interactions,
    relevant: Interactions,
    met_by: Any,
    settings: dict[str, Any],
    confidence: float,
) -> float:
    """NDCG@10 of implicit's ALS of 64 factors, its left-out users recalculated from what they liked."""
    with threadpool_limits(1, "blas"):
        peer = AlternatingLeastSquares(factors=ALS_FACTORS, random_state=0, **settings)
        peer.fit(_confidences(known, ITEMS, confidence), show_progress=False)
        users = np.flatnonzero((relevant.counts() > 0) & (liked.counts() > 0))
        items, scores = peer.recommend(
            users,
            _confidences(liked.take(users), ITEMS, confidence),
            K + int(seen.counts().max()),
            filter_already_liked_items=False,
            recalculate_user=True,
        )
    seen = seen.take(users)
    allowed = ~seen.contains(np.arange(len(users))[:, None], items.astype(np.int64))
    order = np.argsort(~allowed, axis=1, kind="stable")[:, :K]
    top = Top(np.take_along_axis(items, order, 1).astype(np.int64), np.take_along_axis(scores, order, 1))
    judged = Judge(K, met_by, known.users)
    judged.add(top, relevant.take(users), seen.counts())
    return float(judged.report()["metrics"]["ndcg_at_10"])


def _confidences(pairs: Interactions, items: int, confidence: float = ALS_CONFIDENCE) -> Any:
    values = np.full(len(pairs.items), confidence, np.float32)
    return csr_matrix((values, pairs.items, pairs.indptr), shape=(pairs.users, items))


def large(items: int, factors: int) -> tuple[float, float]:
    """Print and return milliseconds of processor time for a list and MiB at the peak, of
    `bench.live_mapped`.
    """
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        path = Path(folder) / "items.npy"
        vectors, offsets = catalogue(items, factors, np.random.default_rng(0))
        np.save(path, np.hstack([vectors, offsets[:, None]]))
        del vectors, offsets
        command = [sys.executable, "-m", "bench.live_mapped", str(path), str(K)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(
        f"{items:,} items × {factors} factors, memory-mapped: {found['milliseconds']:.0f} ms processor time for "
        f"a list (limit {LIMIT_MILLISECONDS:g}), {found['passes']:.1f} times the products of one pass; peak "
        f"{found['mib']:.0f} MiB (limit {LIMIT_MIB:g}); {found['seconds']:.1f} s to prepare the model"
    )
    return found["milliseconds"], found["mib"]


def cold(items: int, factors: int) -> tuple[float, float]:
    """Print and return how a function's cold start, to its first answer, compares with the time that the
    vectors alone take to load once all is warm, and MiB at the peak, of `bench.live_cold`.
    """
    found = live_cold.measure(items, factors)
    ratio = found["cold"] / found["warm"]
    print(
        f"{items:,} items × {factors} factors, from S3's emulator, medians of {len(found['starts'])} cold starts: "
        f"{found['cold']:.2f} s from starting the process to the first answer, {found['warm']:.2f} s to load the "
        f"vectors again, ratio {ratio:.2f} (limit {LIMIT_COLD:g}); the next answer {found['again'] * 1e3:.0f} ms; peak "
        f"{found['mib']:.0f} MiB (limit {LIMIT_MIB:g})"
    )
    return ratio, found["mib"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=27_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    ratio = speed(arguments.items, arguments.factors)
    difference, good = quality(arguments.seeds)
    milliseconds, mib = large(arguments.large, arguments.factors)
    cold_ratio, cold_mib = cold(arguments.large, arguments.factors)
    kept = (
        ratio >= LIMIT_RATIO
        and good
        and difference >= LIMIT_NDCG
        and milliseconds <= LIMIT_MILLISECONDS
        and max(mib, cold_mib) <= LIMIT_MIB
        and cold_ratio <= LIMIT_COLD
    )
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
