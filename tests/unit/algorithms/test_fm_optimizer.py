"""The compiled kernels against a plain NumPy FM under MXNet's lazy Adam."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from algorithms.factorization_machines.metrics import metrics
from algorithms.factorization_machines.mini_batches import Rows, group_by_column
from algorithms.factorization_machines.optimizer import (
    Parameters,
    Rates,
    evaluate,
    scratch,
    train,
)
from algorithms.factorization_machines.teamwork import new_team

WIDTH, NUM_FACTORS, BATCH = 40, 5, 16
LEARNING_RATES = (0.05, 0.02, 0.03)
WEIGHT_DECAYS = (0.01, 0.002, 0.004)


def random_rows(seed: int, count: int, binary: bool = True) -> tuple[Rows, np.ndarray]:
    generator = np.random.default_rng(seed)
    dense = np.where(generator.random((count, WIDTH)) < 0.1, generator.normal(size=(count, WIDTH)), 0)
    dense[:, WIDTH - 1] = 0  # a column that no row holds
    dense[3] = 0  # and a row that holds nothing
    row, column = np.nonzero(dense)
    labels = generator.random(count) < 0.5 if binary else generator.normal(size=count)
    indptr = np.concatenate([[0], np.bincount(row, minlength=count).cumsum()]).astype(np.int64)
    rows = Rows(
        indptr, column.astype(np.int32), dense[row, column].astype(np.float32), labels.astype(np.float32)
    )
    return rows, dense


def random_model(seed: int, num_factors: int = NUM_FACTORS) -> Parameters:
    generator = np.random.default_rng(seed)
    return Parameters(
        *(
            generator.normal(0, 0.3, shape).astype(np.float32)
            for shape in [(1,), (WIDTH,), (WIDTH, num_factors)]
        )
    )


def zeros(num_factors: int) -> Parameters:
    return Parameters(*(np.zeros_like(array) for array in random_model(0, num_factors)))


def score(dense: np.ndarray, bias: np.ndarray, linear: np.ndarray, factors: np.ndarray) -> np.ndarray:
    pairs = (dense @ factors) ** 2 - dense**2 @ factors**2
    return np.asarray(bias[0] + dense @ linear + 0.5 * pairs.sum(axis=1))


def reference(
    dense: np.ndarray,
    labels: np.ndarray,
    model: Parameters,
    steps: int,
    logistic: bool,
    rescale: float,
    clip: float,
) -> list[np.ndarray]:
    """Lazy Adam, one mini-batch after the other, in float64 and by definition."""
    bias, linear, factors = (array.astype(np.float64) for array in model)
    parameters = [bias, linear, factors]
    means = [np.zeros_like(p) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    for step in range(steps):
        x, y = (a[step * BATCH : (step + 1) * BATCH] for a in (dense, labels))
        s = score(x, *parameters)
        d = (1 / (1 + np.exp(-s)) if logistic else s) - y
        gradients = [
            d.sum(keepdims=True),
            x.T @ d,
            x.T @ (d[:, None] * (x @ factors)) - (x**2).T @ d[:, None] * factors,
        ]
        present = (x != 0).any(axis=0)
        correction = math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        for group, (p, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            rows = np.array([True]) if group == 0 else present
            g = np.clip(rescale * gradient + WEIGHT_DECAYS[group] * p, -clip, clip)
            means[group][rows] = 0.9 * means[group][rows] + 0.1 * g[rows]
            squares[group][rows] = 0.999 * squares[group][rows] + 0.001 * g[rows] ** 2
            move = LEARNING_RATES[group] * correction * means[group] / (np.sqrt(squares[group]) + 1e-8)
            p[rows] -= move[rows]
    return parameters


def fit(
    rows: Rows, rescale: float, clip: float, logistic: bool, threads: int, num_factors: int = NUM_FACTORS
) -> tuple[Parameters, np.ndarray]:
    model, means, squares = random_model(1, num_factors), zeros(num_factors), zeros(num_factors)
    groups = group_by_column(rows, BATCH, np.full(WIDTH, -1), np.empty(WIDTH, np.int64))
    sums = np.zeros((groups.batch_start.size - 1, 6))
    settings = Rates(
        np.array(LEARNING_RATES),
        np.array(WEIGHT_DECAYS, np.float32),
        np.float32(rescale),
        np.float32(1e-8),
        np.float32(clip),
    )
    team, room = new_team(), scratch(BATCH, num_factors)

    def work(leads: bool) -> object:
        return train(leads, team, rows, groups, model, means, squares, settings, logistic, 0, room, sums)

    with ThreadPoolExecutor() as pool:
        others = [pool.submit(work, False) for _ in range(threads - 1)]
        work(True)
    assert [other.result() for other in others] == [None] * (threads - 1)
    return model, sums


@pytest.mark.parametrize("logistic", [True, False])
@pytest.mark.parametrize(("rescale", "clip"), [(1 / BATCH, math.inf), (1.0, math.inf), (1.0, 0.5)])
def test_training_equals_mxnets_lazy_adam(logistic: bool, rescale: float, clip: float) -> None:
    steps = 12
    rows, dense = random_rows(2, steps * BATCH, logistic)
    expected = reference(dense, rows.labels, random_model(1), steps, logistic, rescale, clip)
    model, _ = fit(rows, rescale, clip, logistic, threads=2)
    for found, wanted in zip(model, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("num_factors", [1, 16, 21, 64, 85, 128])
def test_training_equals_mxnets_lazy_adam_with_any_number_of_factors(num_factors: int) -> None:
    steps = 6
    rows, dense = random_rows(2, steps * BATCH)
    start = random_model(1, num_factors)
    expected = reference(dense, rows.labels, start, steps, True, 1 / BATCH, math.inf)
    model, _ = fit(rows, 1 / BATCH, math.inf, True, threads=1, num_factors=num_factors)
    for found, wanted in zip(model, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4)


def test_a_loss_that_is_no_number_stays_none() -> None:
    rows, _ = random_rows(2, BATCH)
    model = random_model(1)
    model.linear[:] = np.nan
    for logistic in (True, False):
        sums = np.zeros(6)
        evaluate(rows, model, logistic, scratch(BATCH, NUM_FACTORS), sums)
        assert np.isnan(sums[0])


def test_a_column_that_no_row_holds_never_moves() -> None:
    rows, _ = random_rows(2, 4 * BATCH)
    model, _ = fit(rows, 1 / BATCH, math.inf, True, threads=1)
    start = random_model(1)
    assert model.linear[WIDTH - 1] == start.linear[WIDTH - 1]
    assert (model.factors[WIDTH - 1] == start.factors[WIDTH - 1]).all()
    assert (model.factors[: WIDTH - 1] != start.factors[: WIDTH - 1]).all()


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    rows, _ = random_rows(3, 8 * BATCH)
    one, one_sums = fit(rows, 1 / BATCH, math.inf, True, threads=1)
    many, many_sums = fit(rows, 1 / BATCH, math.inf, True, threads=threads)
    for a, b in zip(one, many, strict=True):
        assert (a == b).all()
    assert (one_sums == many_sums).all()


def test_grouping_keeps_every_entry_under_its_column() -> None:
    rows, _ = random_rows(4, 5 * BATCH)
    last_seen = np.full(WIDTH, -1)
    groups = group_by_column(rows, BATCH, last_seen, np.empty(WIDTH, np.int64))
    assert (last_seen == -1).all()
    for batch in range(5):
        expected = {
            (int(rows.columns[entry]), row, float(rows.values[entry]))
            for row in range(BATCH)
            for entry in range(*rows.indptr[batch * BATCH + row : batch * BATCH + row + 2])
        }
        found = {
            (int(groups.touched[group]), int(groups.rows[entry]), float(groups.values[entry]))
            for group in range(*groups.batch_start[batch : batch + 2])
            for entry in range(*groups.entry_start[group : group + 2])
        }
        assert found == expected
        first, last = groups.batch_start[batch : batch + 2]
        counts = np.diff(groups.entry_start[first : last + 1])
        assert (np.diff(counts) >= 0).all()


def test_classifier_metrics_equal_their_definitions() -> None:
    rows, dense = random_rows(5, 57)
    model = random_model(1)
    sums = np.zeros(6)
    evaluate(rows, model, True, scratch(BATCH, NUM_FACTORS), sums)
    probability = 1 / (1 + np.exp(-score(dense, *model)))
    positive, predicted = rows.labels == 1, probability >= 0.5
    found = metrics(sums, 57, binary=True)
    assert found["binary_classification_accuracy <score>"] == np.mean(positive == predicted)
    assert found["binary_classification_cross_entropy <loss>"] == pytest.approx(
        -np.log(np.where(positive, probability, 1 - probability)).mean(), rel=1e-5
    )
    both = (positive & predicted).sum()
    assert found["binary_f_1.000 <score>"] == pytest.approx(2 * both / (positive.sum() + predicted.sum()))


def test_regressor_metrics_equal_their_definitions() -> None:
    rows, dense = random_rows(6, 57, binary=False)
    model = random_model(1)
    sums = np.zeros(6)
    evaluate(rows, model, False, scratch(BATCH, NUM_FACTORS), sums)
    error = score(dense, *model) - rows.labels
    found = metrics(sums, 57, binary=False)
    assert found["mse <loss>"] == pytest.approx(np.mean(error**2), rel=1e-5)
    assert found["rmse <loss>"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert found["absolute_loss <loss>"] == pytest.approx(np.abs(error).mean(), rel=1e-5)


def test_f1_of_nothing_positive_is_zero() -> None:
    assert metrics(np.array([1.0, 0, 4, 0, 0, 0]), 4, binary=True)["binary_f_1.000 <score>"] == 0.0
