"""How fast the FM stand-in trains, beside the fastest CPU factorization machines that PyPI has.

All in one run with equal threads, 64 factors, MovieLens 100k without its ua test rows; each peer in an
environment of its own under build/bench-env, made when missing; one that doesn't install is skipped. The
losses are those of five ratings a user held out of train: speed counts only at equal or better loss.
Then time and memory of an epoch over 20 million synthetic rows of 160 thousand features.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.container.hyperparameters import resolve
from algorithms.factorization_machines.dataset import Dataset
from algorithms.factorization_machines.hyperparameters import SCHEMA
from algorithms.factorization_machines.metrics import SUMS, metrics
from algorithms.factorization_machines.mini_batches import Rows
from algorithms.factorization_machines.train import Trainer, available_threads
from bench.movielens_split import MovieLensSplit
from bench.targets import verdict
from bench.training_baseline import TRAININGS, report_against_baseline

BUILD = Path(__file__).parents[1] / "build"
PEERS = {
    "pytorch": ["torch==2.13.0", "numpy"],
    "modern-fm": ["modern-fm==1.1.2"],
    "lenskit": ["lenskit==2025.8.1"],
    "myfm": ["myfm==0.4.0"],
    "xlearn": ["xlearn==0.40a1", "numpy", "scipy", "pandas", "scikit-learn"],
}
REQUIRED_RATIO = {"pytorch": 3.0, "modern-fm": 3.0, "lenskit": 3.0, "myfm": 3.0, "xlearn": 4.0}
PEER_SECONDS = 900
INSTALL_SECONDS = 300
"""A peer without a wheel is built from its sources, which takes xLearn longer on two cores."""
EPOCHS = 40
SETTINGS = {
    "num_factors": 64, "mini_batch_size": 1000, "epochs": EPOCHS, "factors_init_sigma": 0.005,
    "bias_lr": 0.01, "linear_lr": 0.003, "factors_lr": 0.003, "linear_wd": 1e-5, "factors_wd": 1.2e-4,
}  # fmt: skip


def main() -> None:
    """Run and print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--synthetic-rows", type=int, default=20_000_000, help="0 leaves that part out")
    parser.add_argument("--baseline", action="store_true", help="also compare with an earlier commit")
    parser.add_argument("--only-synthetic", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_synthetic:
        train_synthetic(options.synthetic_rows, options.threads)
        return
    split = MovieLensSplit.load(BUILD / "movielens")
    print(f"MovieLens 100k, {split.fold(0)[0].size} rows, {options.threads} thread(s), 64 factors")
    ours = {
        "log_loss": measure_repeatedly(split, "binary_classifier", options.threads),
        "rmse": measure_repeatedly(split, "regressor", options.threads),
    }
    print(f"{'':12}{'rows × epochs / s':>18}{'ours / theirs':>15}{'validation loss':>17}{'ours':>9}  verdict")
    for loss, (speed, value) in ours.items():
        print(f"{'stand-in':12}{speed:>18,.0f}{'':>15}{value:>17.4f}{'':>9}  {loss}")
    data = write_data(split, BUILD / "bench-train" / "data.npz")
    for peer in options.peers:
        report_peer(peer, data, options.threads, ours)
    if options.baseline:
        report_against_baseline(options.threads, BUILD / "movielens")
    if options.synthetic_rows:
        # In a process of its own, so that the peak of memory is this part's.
        command = [
            sys.executable,
            "-m",
            "bench.training",
            "--only-synthetic",
            "--threads",
            str(options.threads),
        ]
        subprocess.run([*command, "--synthetic-rows", str(options.synthetic_rows)], check=True)


def measure_repeatedly(split: MovieLensSplit, predictor_type: str, threads: int) -> tuple[float, float]:
    """Speed and loss as ``measure_ours`` has them, the speed as the median of trainings."""
    speeds, losses = zip(
        *(measure_ours(split, predictor_type, threads) for _ in range(TRAININGS)), strict=True
    )
    return statistics.median(speeds), losses[0]


def measure_ours(split: MovieLensSplit, predictor_type: str, threads: int) -> tuple[float, float]:
    """Rows × epochs a second (median epoch) and the best validation loss of all epochs."""
    binary = predictor_type == "binary_classifier"
    # A regressor has no sigmoid to bound its gradient's effect: ratings span four units, not one.
    rates = {} if binary else {"bias_lr": 0.1, "linear_lr": 0.01, "factors_wd": 2e-4}
    settings = resolve(
        SCHEMA, {**SETTINGS, **rates, "feature_dim": split.width, "predictor_type": predictor_type}
    )
    trainer = Trainer(settings, 0, threads)
    fitted, validation = split.fold(0)
    order = np.random.default_rng(0).permutation(fitted)
    held = split.rows(validation, binary)
    seconds, losses = [], []
    with Dataset([split.rows(order, binary)], split.width, 1000, BUILD) as dataset:
        for _ in range(EPOCHS):
            start = time.perf_counter()
            trainer.train_epoch(dataset)
            seconds.append(time.perf_counter() - start)
            sums = np.zeros(len(SUMS))
            trainer.evaluate(held, sums)
            name = "binary_classification_cross_entropy <loss>" if binary else "rmse <loss>"
            losses.append(metrics(sums, held.labels.size, binary)[name])
    return fitted.size / float(np.median(seconds[1:])), min(losses)


def write_data(split: MovieLensSplit, path: Path) -> Path:
    """Write what the peers read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fitted, validation = split.fold(0)
    order = np.random.default_rng(0).permutation(fitted)
    arrays: dict[str, Any] = {"width": np.int64(split.width)}
    for prefix, rows in (("", order), ("held_", validation)):
        arrays[f"{prefix}columns"] = split.columns[rows]
        arrays[f"{prefix}labels"] = split.labels[rows]
        arrays[f"{prefix}ratings"] = split.ratings[rows]
    np.savez(path, **arrays)
    return path


def report_peer(peer: str, data: Path, threads: int, ours: dict[str, tuple[float, float]]) -> None:
    """Run a peer and print its line, or the sentence that says why there is none."""
    try:
        python = environment_of(peer)
    except PeerMissingError as error:
        report_skipped(peer, threads, str(error))
        return
    script = Path(__file__).with_name("training_peers.py")
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
    try:
        finished = subprocess.run(
            [str(python), str(script), peer, str(data), str(threads)],
            env={**os.environ, **limits},
            capture_output=True,
            text=True,
            timeout=PEER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        report_skipped(peer, threads, f"not done after {PEER_SECONDS} s")
        return
    if finished.returncode != 0:
        report_skipped(
            peer, threads, f"it ended with {finished.returncode}: {finished.stderr.strip()[-300:]}"
        )
        return
    found = json.loads(finished.stdout.strip().splitlines()[-1])
    loss = "rmse" if "rmse" in found else "log_loss"
    speed, value = ours[loss]
    ratio = speed / found["rows_epochs_per_second"]
    passed = ratio >= REQUIRED_RATIO[peer] and value <= found[loss]
    notes = ", ".join(str(found[key]) for key in ("fastest", "note") if key in found)
    print(
        f"{peer:12}{found['rows_epochs_per_second']:>18,.0f}{ratio:>15.2f}{found[loss]:>17.4f}{value:>9.4f}  "
        f"{'reached' if passed else 'MISSED'}: at least {REQUIRED_RATIO[peer]:g} × its speed at no worse {loss}"
        + (f" ({notes})" if notes else "")
    )
    worse = "" if value <= found[loss] else f", but worse {loss} {value:.4f} against {found[loss]:.4f}"
    what = f"FM stand-in, {threads} thread(s), times {peer}{worse}"
    verdict(what, ratio if not worse else 0.0, REQUIRED_RATIO[peer], at_most=False)


def report_skipped(peer: str, threads: int, reason: str) -> None:
    """Print why there is no measurement, on a line that counts as a missed target."""
    sentence = " ".join(reason.split()).replace(": ", ", ")
    what = f"FM stand-in, {threads} thread(s), times {peer}, which was not measured ({sentence})"
    verdict(what, 0.0, REQUIRED_RATIO[peer], at_most=False)


class PeerMissingError(Exception):
    """A peer has no environment; the message says why."""


def environment_of(peer: str) -> Path:
    """Python of the peer's environment, made when missing.

    Raises
    ------
    PeerMissingError
        It doesn't install, or not within ``INSTALL_SECONDS``.
    """
    folder = BUILD / "bench-env" / peer
    python = folder / "bin" / "python"
    if (folder / "installed").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", *PEERS[peer]]
    # In a session of its own: what pip starts to build a package would outlive it.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as installing:
        try:
            _, said = installing.communicate(timeout=INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(installing.pid, signal.SIGKILL)
            raise PeerMissingError(f"it could not be built within {INSTALL_SECONDS} s") from None
    if installing.returncode != 0:
        raise PeerMissingError(
            f"it doesn't install: {(said.strip().splitlines() or ['no reason given'])[-1]}"
        )
    (folder / "installed").touch()
    return python


def train_synthetic(row_count: int, threads: int) -> None:
    """One user and one item a row, both Zipf-like, in random order: 140 k users and 20 k items."""
    users, items = 140_000, 20_000
    settings = resolve(
        SCHEMA, {**SETTINGS, "feature_dim": users + items, "predictor_type": "binary_classifier"}
    )
    epochs = 2
    start = time.perf_counter()
    before = peak_mebibytes()
    with Dataset(synthetic(row_count, users, items), users + items, 1000, BUILD) as dataset:
        read_seconds = time.perf_counter() - start
        trainer = Trainer(settings, 0, threads)
        warm_up(trainer.train_epoch, settings)
        seconds = []
        for _ in range(epochs):
            start = time.perf_counter()
            trainer.train_epoch(dataset)
            seconds.append(time.perf_counter() - start)
    state = 12 * (users + items) * (settings["num_factors"] + 1) / 2**20
    print(
        f"{row_count:,} synthetic rows × {users + items:,} features, {threads} thread(s): "
        f"{min(seconds):.1f} s an epoch ({row_count / min(seconds):,.0f} rows/s), {read_seconds:.1f} s to make "
        f"and group rows; peak memory {peak_mebibytes():,.0f} MiB, of which {before:,.0f} MiB before reading "
        f"and {state:,.0f} MiB model and moments"
    )


def warm_up(train_epoch: Callable[[Dataset], object], settings: dict[str, object]) -> None:
    """Compile, so that the first epoch's time is training's."""
    with Dataset(synthetic(1000, 10, 10), 20, 1000, BUILD) as small:
        train_epoch(small)


def synthetic(row_count: int, users: int, items: int) -> Iterator[Rows]:
    """Rows in pieces, made on the way: the whole is never in memory."""
    generator = np.random.default_rng(0)
    for start in range(0, row_count, 1 << 18):
        count = min(1 << 18, row_count - start)
        skewed = generator.random((2, count)) ** 2.5
        columns = np.empty((count, 2), np.int32)
        columns[:, 0] = skewed[0] * users
        columns[:, 1] = users + skewed[1] * items
        labels = (generator.random(count) < 0.5).astype(np.float32)
        indptr = np.arange(0, 2 * count + 1, 2, dtype=np.int64)
        yield Rows(indptr, columns.ravel(), np.ones(2 * count, np.float32), labels)


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
