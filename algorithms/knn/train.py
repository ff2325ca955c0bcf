"""``train``: from the channels of a training job to a k-NN index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.container import log
from algorithms.container.environment import Channel, Environment
from algorithms.container.hyperparameters import announce
from algorithms.container.media_types import CSV, RECORDIO
from algorithms.container.records import as_dense, read_channel
from algorithms.knn.hyperparameters import CLASSIFIER, SCHEMA, TEST_METRICS, resolve_settings
from algorithms.knn.index import NeighbourIndex
from algorithms.knn.sampling import reservoir_sample
from fmrec.errors import InputError, SettingsError

ALGORITHM = "AWS/KNN"
CONTENT_TYPES = (RECORDIO, CSV)

LARGEST_EXACT_LABEL = 2**24
"""Labels are float32, which counts no further one by one."""

Floats = NDArray[np.float32]


def train_job(environment: Environment) -> None:
    """Run a training job.

    Raises
    ------
    InputError
        Hyperparameters or data that the image refuses.
    """
    given = environment.hyperparameters
    announce(SCHEMA, given)
    settings = resolve_settings(given)
    _check_objective(settings, environment)
    seed = environment.seed
    host = environment.host
    start = time.time()
    log.info(
        f"Using per-worker sample size = {settings['sample_size']} (Available virtual memory is not limited)"
    )
    log.info("Number of GPUs being used: 0")
    batches = _dense_batches(environment.channel("train"), settings["feature_dim"])
    features, labels, seen = reservoir_sample(batches, settings["sample_size"], seed)
    end = time.time()
    log.info(f"...Got reservoir sample from {host}: data={features.shape}, labels={labels.shape}, NaNs=0")
    log.progress(host, 1.0)
    log.throughput(host, seen / max(end - start, 1e-9))
    log.info("Training index...")
    log.info("Adding data to index...")
    model = NeighbourIndex.build(features, labels, settings, seed)
    model.save(environment.model_folder)
    log.metrics(
        ALGORITHM,
        host,
        start,
        time.time(),
        {"epochs": 1, "totaltime": 1000 * (time.time() - start)},
    )
    if "test" in environment.channels:
        scores = _evaluate(model, environment.channels["test"], settings["mini_batch_size"])
        log.test_scores(host, scores)
    else:
        log.info("Test data is not provided.")


def _check_objective(settings: dict[str, Any], environment: Environment) -> None:
    objective = settings["_tuning_objective_metric"]
    if not objective:
        return
    expected = TEST_METRICS[settings["predictor_type"]]
    if objective != expected:
        raise SettingsError(
            f"'{objective}' is not one of {[expected]!r} (caused by ValidationError): the tuning job's "
            f"objective metric must be one that predictor_type {settings['predictor_type']} reports"
        )
    if "test" not in environment.channels:
        raise SettingsError(
            f"the tuning objective '{objective}' needs a channel named 'test', and the training job has "
            f"{sorted(environment.channels)}"
        )


def _dense_batches(channel: Channel, feature_dim: int | None) -> Iterator[tuple[Floats, Floats]]:
    """Checked batches as float32; sparse records are filled up with zeros."""
    first = 0
    for features, labels in read_channel(channel, CONTENT_TYPES):
        dense = as_dense(features)
        width = feature_dim or dense.shape[1]
        feature_dim = width
        if dense.shape[1] != width:
            raise InputError(
                f"Channel '{channel.name}' has rows with {dense.shape[1]} features (row {first}), but "
                f"feature_dim is {width}: set the hyperparameter feature_dim to the data's width"
            )
        if labels is None:
            raise channel.unreadable(f"Row {first} has no label: every row needs one, it is what comes back")
        for values, what in ((dense, "a value"), (labels[:, None], "the label")):
            bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
            if bad.size:
                raise InputError(
                    f"Found missing (NaN) values: channel '{channel.name}' has {what} that is no finite "
                    f"number in row {first + int(bad[0])}; leave such rows out before encoding"
                )
        yield dense.astype(np.float32, copy=False), labels.astype(np.float32, copy=False)
        first += len(labels)
    if first == 0:
        raise channel.unreadable("It holds no records.")


def _evaluate(model: NeighbourIndex, channel: Channel, mini_batch_size: int) -> dict[str, float]:
    """Metrics on the test channel, under the names of the log."""
    truth, predicted = [], []
    for features, labels in _dense_batches(channel, model.input_dim):
        for start in range(0, len(labels), mini_batch_size):
            predicted.append(model.query(features[start : start + mini_batch_size]).predicted_label)
        truth.append(labels)
    return scores(np.concatenate(truth), np.concatenate(predicted), model.predictor_type == CLASSIFIER)


def scores(truth: Floats, predicted: Floats, classifier: bool) -> dict[str, float]:
    """Accuracy and macro-averaged F1 (over all labels that occur), or mean squared error."""
    if not classifier:
        error = predicted.astype(np.float64) - truth
        return {"mse <loss>": float(np.mean(error * error))}
    names, codes = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    true_codes, predicted_codes = codes[: truth.size], codes[truth.size :]
    right = true_codes == predicted_codes
    hits = np.bincount(true_codes[right], minlength=names.size)
    named = np.bincount(true_codes, minlength=names.size) + np.bincount(predicted_codes, minlength=names.size)
    return {
        "accuracy <score>": float(right.mean()),
        "macro_f_1.000 <score>": float(np.mean(2 * hits / named)),
    }
