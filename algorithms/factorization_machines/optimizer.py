"""Compiled kernels of the FM stand-in: forward pass, gradients, and MXNet's lazy Adam.

SageMaker's FM is an MXNet module: a sparse FM under MXNet's Adam (beta 0.9 / 0.999) with base
learning rate and weight decay 1, each multiplied per parameter group, and *lazy* updates: a row of
``v`` or ``w1_weight`` moves only in mini-batches whose rows hold that column, weight decay and both
moments included, while the step count of the bias correction grows with every mini-batch. A step is

    g = clip(rescale_grad * gradient + wd * w);  m = .9 m + .1 g;  s = .999 s + .001 g^2
    w -= lr * sqrt(1 - .999^t) / (1 - .9^t) * m / (sqrt(s) + eps)

The gradients of the pairwise term are Rendle's (2010): with ``p_r = sum_j x_rj v_j`` the gradient of
``v_j`` is ``sum_r d_r x_rj p_r - v_j sum_r d_r x_rj^2``, ``d_r`` being the derivative of row r's loss.

Threads share the work without races: the forward pass by rows, the step by columns. Every sum runs in a
fixed order, so that results are the same on any number of threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from algorithms.factorization_machines.mini_batches import Groups, Rows
from algorithms.factorization_machines.prefetching import prefetch_row
from algorithms.factorization_machines.teamwork import (
    PIECES,
    finish_piece,
    open_phase,
    take_piece,
    wait_for_phase,
    wait_until_done,
)

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

ENTRIES_AHEAD = 8
COLUMNS_AHEAD = 3
"""How far ahead memory is asked for: about as long as it takes to come."""

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


def _forward(
    rows: Rows, offset: int, first: int, last: int, model: Parameters, logistic: bool, work: Scratch
) -> None:
    """Factor sums, scores and loss derivatives of a mini-batch's rows ``first`` to ``last``.

    ``offset`` is the mini-batch's first row in ``rows``.
    """
    num_factors = model.factors.shape[1]
    last_entry = rows.indptr[offset + last] - 1
    for row in range(first, last):
        total = work.sums[row]
        for f in range(num_factors):
            total[f] = _ZERO
        score = model.bias[0]
        own = _ZERO
        for entry in range(rows.indptr[offset + row], rows.indptr[offset + row + 1]):
            prefetch_row(model.factors, rows.columns[min(entry + ENTRIES_AHEAD, last_entry)])
            column = rows.columns[entry]
            value = rows.values[entry]
            score += value * model.linear[column]
            factor = model.factors[column]
            for f in range(num_factors):
                product = value * factor[f]
                total[f] += product
                own += product * product
        square = _ZERO
        for f in range(num_factors):
            square += total[f] * total[f]
        score += _HALF * (square - own)
        work.scores[row] = score
        prediction = _ONE / (_ONE + np.float32(math.exp(-score))) if logistic else score
        work.derivatives[row] = prediction - rows.labels[offset + row]


def _update_columns(
    groups: Groups,
    first: int,
    last: int,
    model: Parameters,
    means: Parameters,
    squares: Parameters,
    rates: Rates,
    correction: float,
    work: Scratch,
    gradient: Floats,
) -> None:
    """One Adam step of linear weights and factors of the groups ``first`` to ``last``.

    ``gradient`` is work space of (num_factors,).
    """
    num_factors = gradient.size
    linear_rate = np.float32(rates.learning_rates[1] * correction)
    factors_rate = np.float32(rates.learning_rates[2] * correction)
    linear_decay, factors_decay = rates.weight_decays[1], rates.weight_decays[2]
    rescale_grad, epsilon, clip = rates.rescale_grad, rates.epsilon, rates.clip_gradient
    for group in range(first, last):
        ahead = groups.touched[min(group + COLUMNS_AHEAD, last - 1)]
        prefetch_row(model.factors, ahead)
        prefetch_row(means.factors, ahead)
        prefetch_row(squares.factors, ahead)
        column = groups.touched[group]
        for f in range(num_factors):
            gradient[f] = _ZERO
        linear_gradient = _ZERO
        own = _ZERO
        for entry in range(groups.entry_start[group], groups.entry_start[group + 1]):
            row = groups.rows[entry]
            value = groups.values[entry]
            weight = work.derivatives[row] * value * rescale_grad
            linear_gradient += weight
            own += weight * value
            total = work.sums[row]
            for f in range(num_factors):
                gradient[f] += weight * total[f]
        factor = model.factors[column]
        mean = means.factors[column]
        square = squares.factors[column]
        shrink = factors_decay - own
        for f in range(num_factors):
            g = min(max(gradient[f] + shrink * factor[f], -clip), clip)
            m = BETA_1 * mean[f] + _REST_1 * g
            s = BETA_2 * square[f] + _REST_2 * g * g
            mean[f] = m
            square[f] = s
            factor[f] -= factors_rate * m / (np.sqrt(s) + epsilon)
        g = min(max(linear_gradient + linear_decay * model.linear[column], -clip), clip)
        m = BETA_1 * means.linear[column] + _REST_1 * g
        s = BETA_2 * squares.linear[column] + _REST_2 * g * g
        means.linear[column] = m
        squares.linear[column] = s
        model.linear[column] -= linear_rate * m / (np.sqrt(s) + epsilon)


def _update_bias(
    model: Parameters,
    means: Parameters,
    squares: Parameters,
    rates: Rates,
    correction: float,
    derivatives: Floats,
) -> None:
    """One Adam step of the bias."""
    gradient = derivatives.sum() * rates.rescale_grad + rates.weight_decays[0] * model.bias[0]
    gradient = min(max(gradient, -rates.clip_gradient), rates.clip_gradient)
    means.bias[0] = BETA_1 * means.bias[0] + _REST_1 * gradient
    squares.bias[0] = BETA_2 * squares.bias[0] + _REST_2 * gradient * gradient
    rate = np.float32(rates.learning_rates[0] * correction)
    model.bias[0] -= rate * means.bias[0] / (np.sqrt(squares.bias[0]) + rates.epsilon)


def _groups_within(entry_start: NDArray[np.int64], start: int, stop: int, load: int) -> int:
    """Return the group before which ``load`` units of work lie, from ``start`` on.

    One unit a group, for the step, and one for each of its entries.
    """
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if entry_start[middle] - entry_start[start] + middle - start < load:
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
    leads: bool,
    team: NDArray[np.int64],
    rows: Rows,
    groups: Groups,
    model: Parameters,
    means: Parameters,
    squares: Parameters,
    rates: Rates,
    logistic: bool,
    steps_done: int,
    work: Scratch,
    sums: NDArray[np.float64],
) -> None:
    """Train on whole mini-batches, in place, as one thread of a team (see ``teamwork``).

    A mini-batch is two phases: scores, by rows; and the step, by columns. ``sums`` (batches, 6) gets each
    mini-batch's metrics, as they were before its step.
    """
    mini_batch_size = work.scores.size
    phases = 2 * (groups.batch_start.size - 1)
    gradient = np.empty(model.factors.shape[1], np.float32)
    opened = 0
    while opened < phases if leads else wait_for_phase(team, phases):
        if leads:
            open_phase(team)
            opened += 1
        while True:
            ticket = take_piece(team)
            if ticket < 0:
                break
            piece = ticket % PIECES
            batch = ticket // PIECES // 2
            offset = batch * mini_batch_size
            if ticket // PIECES % 2 == 0:
                first, last = mini_batch_size * piece // PIECES, mini_batch_size * (piece + 1) // PIECES
                forward(rows, offset, first, last, model, logistic, work)
            else:
                step = steps_done + batch + 1
                correction = math.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
                if piece == 0:  # small, so that it comes on top of a share of columns
                    labels = rows.labels[offset : offset + mini_batch_size]
                    add_metrics(labels, work.scores, work.derivatives, logistic, sums[batch])
                    update_bias(model, means, squares, rates, correction, work.derivatives)
                start, stop = groups.batch_start[batch], groups.batch_start[batch + 1]
                load = groups.entry_start[stop] - groups.entry_start[start] + stop - start
                first = groups_within(groups.entry_start, start, stop, load * piece // PIECES)
                last = groups_within(groups.entry_start, start, stop, load * (piece + 1) // PIECES)
                update_columns(groups, first, last, model, means, squares, rates, correction, work, gradient)
            finish_piece(team)
        if leads:
            wait_until_done(team)


def _evaluate(
    rows: Rows, model: Parameters, logistic: bool, work: Scratch, sums: NDArray[np.float64]
) -> None:
    """Add the metrics of all ``rows`` to ``sums`` (6,)."""
    row_count = rows.indptr.size - 1
    for offset in range(0, row_count, work.scores.size):
        count = min(work.scores.size, row_count - offset)
        forward(rows, offset, 0, count, model, logistic, work)
        labels = rows.labels[offset : offset + count]
        add_metrics(labels, work.scores, work.derivatives, logistic, sums)


# With Python's error model a division by zero raises, and a loop that may raise is not vectorised.
_kernel: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
_fast_kernel: Any = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)

groups_within = _kernel(_groups_within)
forward = _fast_kernel(_forward)
update_columns = _fast_kernel(_update_columns)
update_bias = _kernel(_update_bias)
add_metrics = _kernel(_add_metrics)
train = _kernel(_train)
evaluate = _kernel(_evaluate)
