"""Compiled kernels of the FM stand-in: forward pass, gradients, and MXNet's lazy Adam.

SageMaker's FM is an MXNet module: a sparse FM under MXNet's Adam (beta 0.9 / 0.999) with base
learning rate and weight decay 1, each multiplied per parameter group, and *lazy* updates: a row of
``v`` or ``w1_weight`` moves only in mini-batches whose rows hold that column, weight decay and both
moments included, while the step count of the bias correction grows with every mini-batch. A step is

    g = clip(rescale_grad * gradient + wd * w);  m = .9 m + .1 g;  s = .999 s + .001 g^2
    w -= lr * sqrt(1 - .999^t) / (1 - .9^t) * m / (sqrt(s) + eps)

The gradients of the pairwise term are Rendle's (2010): with ``p_r = sum_j x_rj v_j`` the gradient of
``v_j`` is ``sum_r d_r x_rj p_r - v_j sum_r d_r x_rj^2``, ``d_r`` being the derivative of row r's loss.

Threads share the work without races: the forward pass by rows, the update by columns. Every sum runs
in a fixed order, so that results are the same on any number of threads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from algorithms.factorization_machines.rows import Groups, Rows

Floats = NDArray[np.float32]

BETA_1 = np.float32(0.9)
BETA_2 = np.float32(0.999)
_REST_1 = np.float32(1 - 0.9)
_REST_2 = np.float32(1 - 0.999)
_ONE = np.float32(1)
_ZERO = np.float32(0)
_HALF = np.float32(0.5)

SMALLEST_PROBABILITY = 1e-15
"""Cross entropy never counts a row's probability as less: the log of 0 is no number."""

SUMS = ("loss", "absolute", "correct", "true_positives", "predicted_positives", "positives")
"""What the kernels add up for metrics: cross entropy or squared error, absolute error, and counts,
which are 0 in regression."""

_FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be split over vector lanes; NaN and infinity keep their meaning."""


class Parameters(NamedTuple):
    """An FM's parameters, or one of Adam's moments of each of them."""

    bias: Floats
    """(1,)"""
    linear: Floats
    """(feature_dim,)"""
    factors: Floats
    """(feature_dim, num_factors)"""


class Rates(NamedTuple):
    """Adam's settings; the arrays hold bias, linear and factors in this order."""

    learning_rates: NDArray[np.float64]
    weight_decays: Floats
    rescale_grad: np.float32
    epsilon: np.float32
    clip_gradient: np.float32
    """Infinity for none."""


class Scratch(NamedTuple):
    """Work space of one mini-batch."""

    sums: Floats
    """(mini_batch_size, num_factors)"""
    scores: Floats
    derivatives: Floats


def scratch(mini_batch_size: int, num_factors: int) -> Scratch:
    return Scratch(
        np.empty((mini_batch_size, num_factors), np.float32),
        np.empty(mini_batch_size, np.float32),
        np.empty(mini_batch_size, np.float32),
    )


# The parallel kernels take arrays one by one: Numba drops writes to arrays reached through a tuple.


def _forward(
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: Floats,
    labels: Floats,
    bias: Floats,
    linear: Floats,
    factors: Floats,
    logistic: bool,
    threads: int,
    sums: Floats,
    scores: Floats,
    derivatives: Floats,
) -> None:
    """Factor sums, scores and loss derivatives of ``indptr.size - 1`` rows, into the last three."""
    row_count = indptr.size - 1
    num_factors = factors.shape[1]
    for thread in numba.prange(threads):
        for row in range(row_count * thread // threads, row_count * (thread + 1) // threads):
            total = sums[row]
            for f in range(num_factors):
                total[f] = _ZERO
            score = bias[0]
            own = _ZERO
            for entry in range(indptr[row], indptr[row + 1]):
                column = columns[entry]
                value = values[entry]
                score += value * linear[column]
                factor = factors[column]
                for f in range(num_factors):
                    product = value * factor[f]
                    total[f] += product
                    own += product * product
            square = _ZERO
            for f in range(num_factors):
                square += total[f] * total[f]
            score += _HALF * (square - own)
            scores[row] = score
            prediction = _ONE / (_ONE + np.float32(math.exp(-score))) if logistic else score
            derivatives[row] = prediction - labels[row]


def _update(
    touched: NDArray[np.int32],
    entry_start: NDArray[np.int64],
    entry_rows: NDArray[np.int32],
    entry_values: Floats,
    sums: Floats,
    derivatives: Floats,
    linear_rate: np.float32,
    factors_rate: np.float32,
    linear_decay: np.float32,
    factors_decay: np.float32,
    rescale_grad: np.float32,
    epsilon: np.float32,
    clip: np.float32,
    threads: int,
    linear: Floats,
    factors: Floats,
    linear_means: Floats,
    factor_means: Floats,
    linear_squares: Floats,
    factor_squares: Floats,
) -> None:
    """One Adam step, in place, of the linear weights and factors of a mini-batch's columns."""
    num_factors = factors.shape[1]
    load = touched.size + entry_start[touched.size] - entry_start[0]
    for thread in numba.prange(threads):
        gradient = np.empty(num_factors, np.float32)
        first = groups_within(entry_start, load * thread // threads)
        last = groups_within(entry_start, load * (thread + 1) // threads)
        for group in range(first, last):
            column = touched[group]
            for f in range(num_factors):
                gradient[f] = _ZERO
            linear_gradient = _ZERO
            own = _ZERO
            for entry in range(entry_start[group], entry_start[group + 1]):
                row = entry_rows[entry]
                value = entry_values[entry]
                weight = derivatives[row] * value * rescale_grad
                linear_gradient += weight
                own += weight * value
                total = sums[row]
                for f in range(num_factors):
                    gradient[f] += weight * total[f]
            factor = factors[column]
            mean = factor_means[column]
            square = factor_squares[column]
            shrink = factors_decay - own
            for f in range(num_factors):
                g = min(max(gradient[f] + shrink * factor[f], -clip), clip)
                m = BETA_1 * mean[f] + _REST_1 * g
                s = BETA_2 * square[f] + _REST_2 * g * g
                mean[f] = m
                square[f] = s
                factor[f] -= factors_rate * m / (np.sqrt(s) + epsilon)
            g = min(max(linear_gradient + linear_decay * linear[column], -clip), clip)
            m = BETA_1 * linear_means[column] + _REST_1 * g
            s = BETA_2 * linear_squares[column] + _REST_2 * g * g
            linear_means[column] = m
            linear_squares[column] = s
            linear[column] -= linear_rate * m / (np.sqrt(s) + epsilon)


def _groups_within(entry_start: NDArray[np.int64], load: int) -> int:
    """How many columns make up ``load`` units of work: one a column, and one for each of its entries."""
    low, high = 0, entry_start.size - 1
    while low < high:
        middle = (low + high) // 2
        if entry_start[middle] - entry_start[0] + middle < load:
            low = middle + 1
        else:
            high = middle
    return low


def _add_metrics(
    labels: Floats, scores: Floats, derivatives: Floats, logistic: bool, sums: NDArray[np.float64]
) -> None:
    """Add the metrics of ``labels.size`` rows to ``sums``, whose elements are SUMS."""
    if not logistic:
        for row in range(labels.size):
            error = np.float64(derivatives[row])
            sums[0] += error * error
            sums[1] += abs(error)
        return
    likelihood = 1.0
    for row in range(labels.size):
        positive = labels[row] == _ONE
        predicted = scores[row] >= _ZERO
        # One logarithm for many rows: their product, as far as a double goes.
        likelihood *= max(1.0 - abs(np.float64(derivatives[row])), SMALLEST_PROBABILITY)
        if likelihood < 1e-280:
            sums[0] -= math.log(likelihood)
            likelihood = 1.0
        sums[2] += positive == predicted
        sums[3] += positive and predicted
        sums[4] += predicted
        sums[5] += positive
    sums[0] -= math.log(likelihood)


def _train(
    rows: Rows,
    groups: Groups,
    model: Parameters,
    means: Parameters,
    squares: Parameters,
    rates: Rates,
    logistic: bool,
    steps_done: int,
    threads: int,
    work: Scratch,
    sums: NDArray[np.float64],
) -> None:
    """Train on whole mini-batches, in place.

    ``sums`` (batches, 6) gets each mini-batch's metrics, as they were before its step.
    """
    mini_batch_size = work.scores.size
    decays = rates.weight_decays
    for batch in range(groups.batch_start.size - 1):
        first, last = batch * mini_batch_size, (batch + 1) * mini_batch_size
        labels = rows.labels[first:last]
        forward(
            rows.indptr[first : last + 1],
            rows.columns,
            rows.values,
            labels,
            model.bias,
            model.linear,
            model.factors,
            logistic,
            threads,
            work.sums,
            work.scores,
            work.derivatives,
        )
        add_metrics(labels, work.scores, work.derivatives, logistic, sums[batch])
        step = steps_done + batch + 1
        correction = math.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
        bias_rate, linear_rate, factors_rate = (rates.learning_rates * correction).astype(np.float32)
        first_group, last_group = groups.batch_start[batch], groups.batch_start[batch + 1]
        update(
            groups.touched[first_group:last_group],
            groups.entry_start[first_group : last_group + 1],
            groups.rows,
            groups.values,
            work.sums,
            work.derivatives,
            linear_rate,
            factors_rate,
            decays[1],
            decays[2],
            rates.rescale_grad,
            rates.epsilon,
            rates.clip_gradient,
            threads,
            model.linear,
            model.factors,
            means.linear,
            means.factors,
            squares.linear,
            squares.factors,
        )
        gradient = work.derivatives.sum() * rates.rescale_grad + decays[0] * model.bias[0]
        gradient = min(max(gradient, -rates.clip_gradient), rates.clip_gradient)
        means.bias[0] = BETA_1 * means.bias[0] + _REST_1 * gradient
        squares.bias[0] = BETA_2 * squares.bias[0] + _REST_2 * gradient * gradient
        model.bias[0] -= bias_rate * means.bias[0] / (np.sqrt(squares.bias[0]) + rates.epsilon)


def _evaluate(
    rows: Rows, model: Parameters, logistic: bool, threads: int, work: Scratch, sums: NDArray[np.float64]
) -> None:
    """Add the metrics of all ``rows`` to ``sums`` (6,)."""
    row_count = rows.indptr.size - 1
    for first in range(0, row_count, work.scores.size):
        last = min(first + work.scores.size, row_count)
        labels = rows.labels[first:last]
        forward(
            rows.indptr[first : last + 1],
            rows.columns,
            rows.values,
            labels,
            model.bias,
            model.linear,
            model.factors,
            logistic,
            threads,
            work.sums,
            work.scores,
            work.derivatives,
        )
        add_metrics(labels, work.scores, work.derivatives, logistic, sums)


groups_within = numba.njit(cache=True)(_groups_within)
forward = numba.njit(cache=True, parallel=True, nogil=True, fastmath=_FAST)(_forward)
update = numba.njit(cache=True, parallel=True, nogil=True, fastmath=_FAST)(_update)
add_metrics = numba.njit(cache=True, nogil=True)(_add_metrics)
train = numba.njit(cache=True, nogil=True)(_train)
evaluate = numba.njit(cache=True, nogil=True)(_evaluate)
