"""``train``: from the channels of a training job to ``model_algo-1``."""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.container import log
from algorithms.container.environment import MOUNT, Environment
from algorithms.container.failures import AlgorithmError
from algorithms.container.hyperparameters import announce, resolve
from algorithms.container.media_types import RECORDIO
from algorithms.container.records import read_channel
from algorithms.factorization_machines.dataset import Block, Dataset, checked
from algorithms.factorization_machines.hyperparameters import CLASSIFIER, GROUPS, SCHEMA, TEST_METRICS
from algorithms.factorization_machines.lanes import zeros_on_lines
from algorithms.factorization_machines.metrics import SUMS, metrics
from algorithms.factorization_machines.optimizer import (
    Parameters,
    Rates,
    evaluate,
    scratch,
    train,
)
from algorithms.factorization_machines.team_size import TeamSize
from algorithms.factorization_machines.teamwork import new_team
from fmrec.errors import SettingsError
from fmrec.model.factorization_machine import FactorizationMachine

ALGORITHM = "factorization-machines"
CONTENT_TYPES = (RECORDIO,)

ADAM_EPSILON = 1e-8
UNIFORM_SCALE = 0.07
"""MXNet's default for its uniform initializer."""


def train_job(environment: Environment) -> None:
    """Run a training job.

    Raises
    ------
    InputError
        Hyperparameters or data that the image refuses.
    AlgorithmError
        Training diverged.
    """
    given = environment.hyperparameters
    announce(SCHEMA, given)
    settings = resolve(SCHEMA, given)
    _check_objective(settings, environment)
    binary = settings["predictor_type"] == CLASSIFIER
    channel = environment.channel("train")
    log.info("Number of GPUs being used: 0")
    rows = checked(read_channel(channel, CONTENT_TYPES), channel, settings["feature_dim"], binary)
    with Dataset(rows, settings["feature_dim"], settings["mini_batch_size"], environment.root) as dataset:
        log.info("[Sparse network] Building a sparse network.")
        log.info("Create Store: local")
        trainer = Trainer(settings, environment.seed, available_threads())
        trainer.fit(dataset, environment.host)
    log.info("Pulling entire model from kvstore to finalize")
    environment.model_folder.mkdir(parents=True, exist_ok=True)
    trainer.machine().save_model_algo(
        environment.model_folder, {name: str(value) for name, value in given.items()}
    )
    log.info(f'Saved checkpoint to "{MOUNT}/model/state-0001.params"')
    if "test" in environment.channels:
        test = environment.channels["test"]
        sums = np.zeros(len(SUMS))
        count = 0
        for part in checked(read_channel(test, CONTENT_TYPES), test, settings["feature_dim"], binary):
            trainer.evaluate(part, sums)
            count += part.labels.size
        log.test_scores(environment.host, metrics(sums, count, binary))


def _check_objective(settings: dict[str, Any], environment: Environment) -> None:
    objective = settings["_tuning_objective_metric"]
    if not objective:
        return
    known = TEST_METRICS[settings["predictor_type"]]
    if objective not in known:
        raise SettingsError(
            f"'{objective}' is not one of {list(known)!r} (caused by ValidationError): the tuning job's "
            f"objective metric must be one that predictor_type {settings['predictor_type']} reports"
        )
    if "test" not in environment.channels:
        raise SettingsError(
            f"the tuning objective '{objective}' needs a channel named 'test', and the training job has "
            f"{sorted(environment.channels)}"
        )


def available_threads() -> int:
    """Threads to train on: OMP_NUM_THREADS, which the images honour, or every core this process may use."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else len(os.sched_getaffinity(0))


class Trainer:
    """A model and Adam's state. Memory: 12 bytes for each parameter."""

    def __init__(self, settings: dict[str, Any], seed: int, threads: int) -> None:
        self._settings = settings
        self._binary = settings["predictor_type"] == CLASSIFIER
        self._threads = threads
        self._team_size = TeamSize(threads)
        self._work = scratch(settings["mini_batch_size"], settings["num_factors"])
        self._rates = rates(settings)
        self._model = initial_parameters(settings, seed)
        self._means = Parameters(*(zeros_on_lines(array.shape) for array in self._model))
        self._squares = Parameters(*(zeros_on_lines(array.shape) for array in self._model))
        self._steps = 0

    def fit(self, dataset: Dataset, host: str) -> None:
        """Train for all epochs and report as the image does."""
        epochs = self._settings["epochs"]
        padded_rows = dataset.batch_count * self._settings["mini_batch_size"]
        log.metrics(ALGORITHM, host, time.time(), time.time(), {"epochs": epochs})
        values: dict[str, float] = {}
        for epoch in range(epochs):
            start = time.time()
            sums = self.train_epoch(dataset)
            self._report_batches(sums, epoch, host)
            total = sums.sum(axis=0)
            if not math.isfinite(total[0]):
                raise AlgorithmError(
                    f"training diverged: the loss of epoch {epoch} is {total[0]}; lower bias_lr, linear_lr "
                    "and factors_lr, or set clip_gradient"
                )
            values = metrics(total, padded_rows, self._binary)
            log.quality(host, f"epoch={epoch}, train", values)
            end = time.time()
            log.metrics(ALGORITHM, host, start, end, {"update.time": 1000 * (end - start)}, epoch=epoch)
            log.progress(host, (epoch + 1) / epochs)
            log.throughput(host, dataset.row_count / max(end - start, 1e-9))
        log.quality(host, "train", values)

    def train_epoch(self, dataset: Dataset) -> NDArray[np.float64]:
        """One pass over the data; (batches, 6) metric sums of each mini-batch before its step."""
        with ThreadPoolExecutor(max(1, self._threads - 1)) as pool:
            return np.concatenate([self._train_block(block, pool) for block in dataset.blocks()])

    def _train_block(self, block: Block, pool: Executor) -> NDArray[np.float64]:
        sums = np.zeros((block.groups.batch_start.size - 1, len(SUMS)))
        state = (self._model, self._means, self._squares, self._rates, self._binary, self._steps)
        arguments: tuple[Any, ...] = (new_team(), *block, *state, self._work, sums)
        threads = self._team_size.next()
        start = time.perf_counter()
        others = [pool.submit(train, False, *arguments) for _ in range(threads - 1)]
        train(True, *arguments)
        for other in others:
            other.result()
        self._team_size.trained(threads, len(sums), time.perf_counter() - start)
        self._steps += len(sums)
        return sums

    def evaluate(self, rows: Any, sums: NDArray[np.float64]) -> None:
        """Add the metrics of some rows to ``sums`` (6,)."""
        evaluate(rows, self._model, self._binary, self._work, sums)

    def machine(self) -> FactorizationMachine:
        """The model as it is now."""
        return FactorizationMachine(
            float(self._model.bias[0]),
            self._model.linear,
            self._model.factors,
            self._settings["predictor_type"],
        )

    def _report_batches(self, sums: NDArray[np.float64], epoch: int, host: str) -> None:
        """Metrics of every ``batch_metrics_publish_interval``-th mini-batch, over the epoch so far."""
        size = self._settings["mini_batch_size"]
        running = np.zeros(len(SUMS))
        reported = 0
        for batch in range(0, len(sums), self._settings["batch_metrics_publish_interval"]):
            running += sums[reported : batch + 1].sum(axis=0)
            reported = batch + 1
            values = metrics(running, reported * size, self._binary)
            # The image writes no comma after the batch, unlike after the epoch.
            log.quality(host, f"epoch={epoch}, batch={batch} train", values)


def rates(settings: dict[str, Any]) -> Rates:
    """Adam's settings from the hyperparameters; a group that isn't used never moves from 0."""
    used = {"bias": settings["use_bias"], "linear": settings["use_linear"], "factors": True}
    learning_rates = [
        settings["_learning_rate"] * settings[f"{group}_lr"] if used[group] else 0.0 for group in GROUPS
    ]
    weight_decays = [settings["_wd"] * settings[f"{group}_wd"] for group in GROUPS]
    rescale, epsilon, clip = settings["rescale_grad"], settings["eps"], settings["clip_gradient"]
    return Rates(
        np.array(learning_rates, np.float64),
        np.array(weight_decays, np.float32),
        np.float32(1.0 / settings["mini_batch_size"] if rescale is None else rescale),
        np.float32(ADAM_EPSILON if epsilon is None else epsilon),
        np.float32(math.inf if clip is None else clip),
    )


def initial_parameters(settings: dict[str, Any], seed: int) -> Parameters:
    """Draw the parameters that training starts from."""
    generator = np.random.default_rng(seed)
    width, num_factors = settings["feature_dim"], settings["num_factors"]
    shapes: dict[str, tuple[int, ...]] = {"bias": (1,), "linear": (width,), "factors": (width, num_factors)}
    used = {"bias": settings["use_bias"], "linear": settings["use_linear"], "factors": True}
    drawn = {group: zeros_on_lines(shape) for group, shape in shapes.items()}
    for group, array in drawn.items():
        if used[group]:
            _draw(generator, settings, group, array)
    return Parameters(**drawn)


def _draw(
    generator: np.random.Generator, settings: dict[str, Any], group: str, array: NDArray[np.float32]
) -> None:
    method = settings[f"{group}_init_method"]
    if method == "constant":
        value = settings[f"{group}_init_value"]
        array[...] = 0.0 if value is None else value
    elif method == "uniform":
        scale = settings[f"{group}_init_scale"]
        generator.random(dtype=np.float32, out=array)
        array *= np.float32(2)
        array -= np.float32(1)
        array *= np.float32(UNIFORM_SCALE if scale is None else scale)
    else:
        generator.standard_normal(dtype=np.float32, out=array)
        array *= np.float32(settings[f"{group}_init_sigma"])
