"""One peer of the training benchmark, run by ``bench/training.py`` in the peer's own environment.

``python training_peers.py NAME DATA.npz THREADS`` prints one JSON object: ``rows_epochs_per_second`` and the
best validation loss of the settings tried. The time of an epoch is the difference of a long and a short
training divided by the difference of their epochs, so that loading, compiling and setting up don't count.

Each peer trains an FM (or, lenskit, biased matrix factorization, which is an FM on two-hot rows) with as
many factors as the stand-in, by the fastest trainer that it has.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_FACTORS = 64
SHORT, LONG = 2, 12


class Data:
    """Rows of two columns, labels 0/1 and ratings, for training and for validation."""

    def __init__(self, path: str) -> None:
        stored = np.load(path)
        self.width = int(stored["width"])
        self.columns, self.held_columns = stored["columns"], stored["held_columns"]
        self.labels, self.held_labels = stored["labels"], stored["held_labels"]
        self.ratings, self.held_ratings = stored["ratings"], stored["held_ratings"]

    def matrix(self, columns: np.ndarray):  # type: ignore[no-untyped-def]
        from scipy import sparse

        count = len(columns)
        indptr = np.arange(0, 2 * count + 1, 2)
        return sparse.csr_matrix(
            (np.ones(2 * count, np.float32), columns.ravel(), indptr), shape=(count, self.width)
        )

    def log_loss(self, probability: NDArray[np.floating]) -> float:
        probability = np.clip(probability, 1e-15, 1 - 1e-15)
        return float(-np.log(np.where(self.held_labels == 1, probability, 1 - probability)).mean())

    def speed(self, train: Callable[[int], object]) -> float:
        """Rows × epochs a second of ``train(epochs)``."""
        train(1)
        seconds = []
        for epochs in (SHORT, LONG):
            times = []
            for _ in range(2):
                start = time.perf_counter()
                train(epochs)
                times.append(time.perf_counter() - start)
            seconds.append(min(times))
        return len(self.labels) * (LONG - SHORT) / max(seconds[1] - seconds[0], 1e-9)


def pytorch(data: Data, threads: int) -> dict[str, float | str]:
    """Embeddings and fused Adam, mini-batches of 1000 as the stand-in's."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    columns, labels = torch.from_numpy(data.columns.astype(np.int64)), torch.from_numpy(data.labels)
    held = torch.from_numpy(data.held_columns.astype(np.int64))
    loss = torch.nn.BCEWithLogitsLoss()

    def score(parameters: list[Any], x: Any) -> Any:
        bias, linear, factors = parameters
        v = torch.nn.functional.embedding(x, factors)
        pairs = 0.5 * (v.sum(1) ** 2 - (v**2).sum(1)).sum(1)
        return bias + torch.nn.functional.embedding(x, linear).sum((1, 2)) + pairs

    def train(epochs: int, weight_decay: float = 1.2e-4, watch: list[float] | None = None) -> None:
        torch.manual_seed(0)
        parameters = [
            torch.zeros(1),
            torch.zeros(data.width, 1),
            0.005 * torch.randn(data.width, NUM_FACTORS),
        ]
        for parameter in parameters:
            parameter.requires_grad_()
        optimizer = torch.optim.Adam(parameters, lr=0.003, weight_decay=weight_decay, fused=True)
        for _ in range(epochs):
            for start in range(0, len(labels), 1000):
                optimizer.zero_grad()
                loss(
                    score(parameters, columns[start : start + 1000]), labels[start : start + 1000]
                ).backward()
                optimizer.step()
            if watch is not None:
                with torch.no_grad():
                    watch.append(data.log_loss(torch.sigmoid(score(parameters, held)).numpy()))

    losses: list[float] = []
    for weight_decay in (3e-5, 1.2e-4):
        train(20, weight_decay, losses)
    return {"rows_epochs_per_second": data.speed(train), "log_loss": min(losses)}


def modern_fm(data: Data, threads: int) -> dict[str, float | str]:
    """Adam in mini-batches for speed's sake and, as it learns better, AdaGrad row by row."""
    modern: Any = importlib.import_module("modern_fm")

    x, held = data.matrix(data.columns), data.matrix(data.held_columns)
    speeds, losses = {}, []
    settings = {
        "adagrad, row by row": {"optimizer": "adagrad", "batch_size": 1, "learning_rate": 0.05},
        "adam, 1000 rows": {"optimizer": "adam", "batch_size": 1000, "learning_rate": 0.003},
    }
    for name, choice in settings.items():

        def fit(epochs: int, l2: float = 1e-4, choice: dict[str, Any] = choice) -> Any:
            machine = modern.FMClassifier(
                n_factors=NUM_FACTORS, max_iter=epochs, n_jobs=threads, l2_linear=1e-5, l2_factors=l2,
                random_state=0, **choice,
            )  # fmt: skip
            return machine.fit(x, data.labels)

        speeds[name] = data.speed(fit)
        for l2 in (1e-4, 1e-3):
            losses.append(data.log_loss(fit(15, l2).predict_proba(held)[:, 1]))
    best = max(speeds, key=lambda name: speeds[name])
    return {"rows_epochs_per_second": speeds[best], "log_loss": min(losses), "fastest": best}


def lenskit(data: Data, threads: int) -> dict[str, float | str]:
    """Alternating least squares on ratings; the loss is that of ratings, RMSE."""
    als: Any = importlib.import_module("lenskit.als")
    datasets: Any = importlib.import_module("lenskit.data")
    training: Any = importlib.import_module("lenskit.training")
    pd: Any = importlib.import_module("pandas")
    frame = pd.DataFrame(
        {"user_id": data.columns[:, 0], "item_id": data.columns[:, 1], "rating": data.ratings}
    )
    dataset = datasets.from_interactions_df(frame)

    def fit(epochs: int, regularization: float = 0.1) -> Any:
        scorer = als.BiasedMFScorer(embedding_size=NUM_FACTORS, epochs=epochs, regularization=regularization)
        scorer.train(dataset, training.TrainingOptions(rng=0))
        return scorer

    def rmse(scorer: Any) -> float:
        errors = []
        for user in np.unique(data.held_columns[:, 0]):
            mine = data.held_columns[:, 0] == user
            scores = scorer(int(user), datasets.ItemList(item_ids=data.held_columns[mine, 1])).scores("numpy")
            errors.append(np.nan_to_num(scores, nan=float(data.ratings.mean())) - data.held_ratings[mine])
        return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))

    losses = [rmse(fit(epochs, reg)) for epochs in (5, 10) for reg in (0.1, 1.0, 3.0)]
    return {"rows_epochs_per_second": data.speed(fit), "rmse": min(losses)}


def myfm(data: Data, threads: int) -> dict[str, float | str]:
    """Gibbs sampling of a probit FM; the prediction averages samples. One thread is all it uses."""
    gibbs: Any = importlib.import_module("myfm")

    x, held = data.matrix(data.columns).astype(np.float64), data.matrix(data.held_columns).astype(np.float64)
    groups = [data.columns[:, 0].max() + 1, data.width - data.columns[:, 0].max() - 1]

    def fit(epochs: int) -> Any:
        machine = gibbs.MyFMClassifier(rank=NUM_FACTORS, random_seed=0)
        return machine.fit(x, data.labels.astype(int), n_iter=epochs, group_shapes=groups)

    loss = data.log_loss(fit(100).predict_proba(held))
    return {"rows_epochs_per_second": data.speed(fit), "log_loss": loss, "note": "mean of 95 sampled models"}


def xlearn(data: Data, threads: int) -> dict[str, float | str]:
    """Lock-free AdaGrad or SGD, row by row, from libsvm files that it caches in binary."""
    os.environ.setdefault("USER", "bench")  # it dies without
    xl: Any = importlib.import_module("xlearn")

    folder = Path(sys.argv[2]).parent / "xlearn"
    folder.mkdir(exist_ok=True)
    for name, columns, labels in (
        ("train", data.columns, data.labels),
        ("held", data.held_columns, data.held_labels),
    ):
        lines = (f"{label:.0f} {a}:1 {b}:1\n" for label, (a, b) in zip(labels, columns.tolist(), strict=True))
        (folder / name).write_text("".join(lines))

    def fit(epochs: int, opt: str = "adagrad", lr: float = 0.1, penalty: float = 1e-5) -> Any:
        machine = xl.create_fm()
        machine.setTrain(str(folder / "train"))
        machine.setQuiet()
        machine.disableEarlyStop()
        parameters = {"task": "binary", "k": NUM_FACTORS, "epoch": epochs, "opt": opt, "lr": lr,
                      "lambda": penalty, "nthread": threads}  # fmt: skip
        machine.fit(parameters, str(folder / "model"))
        return machine

    losses = []
    for lr in (0.05, 0.1, 0.2):
        for penalty in (1e-5, 1e-4, 1e-3):
            for epochs in (5, 10, 20):
                machine = fit(epochs, lr=lr, penalty=penalty)
                machine.setTest(str(folder / "held"))
                machine.setSigmoid()
                machine.predict(str(folder / "model"), str(folder / "out"))
                losses.append(data.log_loss(np.loadtxt(folder / "out")))
    speeds = {opt: data.speed(partial(fit, opt=opt)) for opt in ("adagrad", "sgd")}
    best = max(speeds, key=lambda name: speeds[name])
    return {"rows_epochs_per_second": speeds[best], "log_loss": min(losses), "fastest": best}


PEERS = {"pytorch": pytorch, "modern-fm": modern_fm, "lenskit": lenskit, "myfm": myfm, "xlearn": xlearn}

if __name__ == "__main__":
    result = PEERS[sys.argv[1]](Data(sys.argv[2]), int(sys.argv[3]))
    print("\n" + json.dumps(result))
