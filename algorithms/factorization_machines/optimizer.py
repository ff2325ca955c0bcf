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
fixed order, so that results are the same on any number of threads. Factors are computed with in registers, 64
of them at a time and then 16 (see ``lanes``).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core.registry import cpu_target
from numpy.typing import NDArray

from algorithms.factorization_machines.lanes import (
    NARROW,
    WIDE,
    add_up,
    at,
    broadcast,
    limited,
    load,
    narrow,
    prefetch,
    square_root,
    store,
    wide,
    zeros_on_lines,
)
from algorithms.factorization_machines.metrics import add_metrics
from algorithms.factorization_machines.mini_batches import Groups, Rows
from algorithms.factorization_machines.sigmoid import logistic
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

ENTRIES_AHEAD = 8
COLUMNS_AHEAD = 3
"""How far ahead memory is asked for: about as long as it takes to come. Rows of a large model come in random
order, which no hardware prefetcher foresees."""

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
        zeros_on_lines((mini_batch_size, num_factors)),
        zeros_on_lines((mini_batch_size,)),
        zeros_on_lines((mini_batch_size,)),
    )


def _interactions(
    like: Any,
    rows: Rows,
    start: int,
    stop: int,
    last_entry: int,
    factors: Floats,
    sums: Floats,
    row: int,
    first: int,
) -> Any:
    """Keep a row's sums of some factors; return twice what these add to its score.

    ``start`` to ``stop`` are the row's entries, and ``last_entry`` is the last one of the rows at hand. The
    factors are as many as ``like`` is wide, from ``first`` on.
    """
    total = like
    own = like
    for entry in range(start, stop):
        prefetch(like, factors, at(rows.columns, min(entry + ENTRIES_AHEAD, last_entry)), first)
        factor = load(like, factors, at(rows.columns, entry), first)
        product = broadcast(like, at(rows.values, entry)) * factor
        total = total + product
        own = own + product * product
    store(total, sums, row, first)
    return add_up(total * total - own)


def _forward(
    rows: Rows, offset: int, first: int, last: int, model: Parameters, binary: bool, work: Scratch
) -> None:
    """Factor sums, scores and loss derivatives of a mini-batch's rows ``first`` to ``last``.

    ``offset`` is the mini-batch's first row in ``rows``.
    """
    factors, sums = model.factors, work.sums
    num_factors = factors.shape[1]
    last_entry = rows.indptr[offset + last] - 1
    for row in range(first, last):
        start, stop = rows.indptr[offset + row], rows.indptr[offset + row + 1]
        score = model.bias[0]
        for entry in range(start, stop):
            score += at(rows.values, entry) * at(model.linear, at(rows.columns, entry))
        pairs = _ZERO
        f = 0
        while f + WIDE <= num_factors:
            pairs += interactions(wide(), rows, start, stop, last_entry, factors, sums, row, f)
            f += WIDE
        while f < num_factors:
            pairs += interactions(narrow(), rows, start, stop, last_entry, factors, sums, row, f)
            f += NARROW
        score += _HALF * pairs
        work.scores[row] = score
    scores, labels, derivatives = work.scores, rows.labels[offset:], work.derivatives
    if binary:
        for row in range(first, last):
            derivatives[row] = logistic(scores[row]) - labels[row]
    else:
        for row in range(first, last):
            derivatives[row] = scores[row] - labels[row]


def _update_factors(
    like: Any,
    groups: Groups,
    group: int,
    ahead: int,
    first: int,
    model: Floats,
    means: Floats,
    squares: Floats,
    rates: Rates,
    rate: np.float32,
    work: Scratch,
) -> np.float32:
    """One Adam step of some factors of a group's column; return the gradient of its linear weight.

    The factors are as many as ``like`` is wide, from ``first`` on. ``ahead`` is the column of a later group.
    """
    gradient = like
    linear_gradient = _ZERO
    own = _ZERO
    for entry in range(groups.entry_start[group], groups.entry_start[group + 1]):
        row = at(groups.rows, entry)
        value = at(groups.values, entry)
        weight = at(work.derivatives, row) * value * rates.rescale_grad
        linear_gradient += weight
        own += weight * value
        gradient = gradient + broadcast(like, weight) * load(like, work.sums, row, first)
    prefetch(like, model, ahead, first)
    prefetch(like, means, ahead, first)
    prefetch(like, squares, ahead, first)
    column = groups.touched[group]
    factor = load(like, model, column, first)
    gradient = gradient + broadcast(like, rates.weight_decays[2] - own) * factor
    if rates.clip_gradient < np.inf:
        gradient = limited(gradient, rates.clip_gradient)
    mean = broadcast(like, BETA_1) * load(like, means, column, first) + broadcast(like, _REST_1) * gradient
    square = broadcast(like, BETA_2) * load(like, squares, column, first)
    square = square + broadcast(like, _REST_2) * gradient * gradient
    store(mean, means, column, first)
    store(square, squares, column, first)
    move = broadcast(like, rate) * mean / (square_root(square) + broadcast(like, rates.epsilon))
    store(factor - move, model, column, first)
    return linear_gradient


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
) -> None:
    """One Adam step of linear weights and factors of the groups ``first`` to ``last``."""
    # Once: taking an array out of a tuple counts its users, which threads have to agree on.
    factors, first_moments, second_moments = model.factors, means.factors, squares.factors
    num_factors = factors.shape[1]
    linear_rate = np.float32(rates.learning_rates[1] * correction)
    rate = np.float32(rates.learning_rates[2] * correction)
    for group in range(first, last):
        ahead = at(groups.touched, min(group + COLUMNS_AHEAD, last - 1))
        column = groups.touched[group]
        g = _ZERO
        f = 0
        while f + WIDE <= num_factors:
            g = update_factors(
                wide(), groups, group, ahead, f, factors, first_moments, second_moments, rates, rate, work
            )
            f += WIDE
        while f < num_factors:
            g = update_factors(
                narrow(), groups, group, ahead, f, factors, first_moments, second_moments, rates, rate, work
            )
            f += NARROW
        g += rates.weight_decays[1] * model.linear[column]
        g = min(max(g, -rates.clip_gradient), rates.clip_gradient)
        m = BETA_1 * means.linear[column] + _REST_1 * g
        s = BETA_2 * squares.linear[column] + _REST_2 * g * g
        means.linear[column] = m
        squares.linear[column] = s
        model.linear[column] -= linear_rate * m / (np.sqrt(s) + rates.epsilon)


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


def _train(
    leads: bool,
    team: NDArray[np.int64],
    rows: Rows,
    groups: Groups,
    model: Parameters,
    means: Parameters,
    squares: Parameters,
    rates: Rates,
    binary: bool,
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
                forward(rows, offset, first, last, model, binary, work)
            else:
                step = steps_done + batch + 1
                correction = math.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
                if piece == 0:  # small, so that it comes on top of a share of columns
                    labels = rows.labels[offset : offset + mini_batch_size]
                    add_metrics(labels, work.scores, work.derivatives, binary, sums[batch])
                    update_bias(model, means, squares, rates, correction, work.derivatives)
                start, stop = groups.batch_start[batch], groups.batch_start[batch + 1]
                load = groups.entry_start[stop] - groups.entry_start[start] + stop - start
                first = groups_within(groups.entry_start, start, stop, load * piece // PIECES)
                last = groups_within(groups.entry_start, start, stop, load * (piece + 1) // PIECES)
                update_columns(groups, first, last, model, means, squares, rates, correction, work)
            finish_piece(team)
        if leads:
            wait_until_done(team)


def _evaluate(rows: Rows, model: Parameters, binary: bool, work: Scratch, sums: NDArray[np.float64]) -> None:
    """Add the metrics of all ``rows`` to ``sums`` (6,)."""
    row_count = rows.indptr.size - 1
    for offset in range(0, row_count, work.scores.size):
        count = min(work.scores.size, row_count - offset)
        forward(rows, offset, 0, count, model, binary, work)
        labels = rows.labels[offset : offset + count]
        add_metrics(labels, work.scores, work.derivatives, binary, sums)


# Before its first kernel, numba imports what it has for all kernels, which takes ten times as long as loading
# these. Imported here, processes that are forked after importing this module have it.
_target: Any = cpu_target
_target.typing_context.refresh()
_target.target_context.refresh()

# With Python's error model a division by zero raises, and a loop that may raise is not vectorised.
_kernel: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
_fast_kernel: Any = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
_inlined_kernel: Any = numba.njit(nogil=True, error_model="numpy", fastmath=_FAST, inline="always")

groups_within = _kernel(_groups_within)
interactions = _inlined_kernel(_interactions)
forward = _fast_kernel(_forward)
update_factors = _inlined_kernel(_update_factors)
update_columns = _fast_kernel(_update_columns)
update_bias = _kernel(_update_bias)
train = _kernel(_train)
evaluate = _kernel(_evaluate)
