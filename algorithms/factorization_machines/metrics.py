"""The metrics that SageMaker's FM reports, under the names its log lines give them."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SMALLEST_PROBABILITY = 1e-15
"""Cross entropy never counts a row's probability as less: the log of 0 is no number."""

SUMS = ("loss", "absolute", "correct", "true_positives", "predicted_positives", "positives")
"""What the kernels add up for metrics: cross entropy or squared error, absolute error, and counts,
which are 0 in regression."""


def _add_metrics(
    labels: Floats, scores: Floats, derivatives: Floats, binary: bool, sums: NDArray[np.float64]
) -> None:
    """Add the metrics of ``labels.size`` rows to ``sums``, whose elements are SUMS."""
    if not binary:
        for row in range(labels.size):
            error = np.float64(derivatives[row])
            sums[0] += error * error
            sums[1] += abs(error)
        return
    correct = true_positives = predicted_positives = positives = 0
    for row in range(labels.size):
        positive = labels[row] == 1
        predicted = scores[row] >= 0
        correct += positive == predicted
        true_positives += positive and predicted
        predicted_positives += predicted
        positives += positive
    likelihood = 1.0
    for row in range(labels.size):
        # One logarithm for many rows: their product, as far as a double goes.
        likelihood *= max(1.0 - abs(np.float64(derivatives[row])), SMALLEST_PROBABILITY)
        if likelihood < 1e-280:
            sums[0] -= math.log(likelihood)
            likelihood = 1.0
    sums[0] -= math.log(likelihood)
    sums[2] += correct
    sums[3] += true_positives
    sums[4] += predicted_positives
    sums[5] += positives


add_metrics: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(_add_metrics)


def metrics(sums: NDArray[np.float64], rows: int, binary: bool) -> dict[str, float]:
    """Averages over ``rows`` rows.

    Parameters
    ----------
    sums
        (6,) what the kernels added up, see ``SUMS``.

    Returns
    -------
    dict
        Name with direction, as in the log (``rmse <loss>``), to value. ``binary_f_1.000`` is the F1 of
        label 1 at the threshold 0.5, and 0 where nothing is positive or predicted so.
    """
    values = dict(zip(SUMS, sums.tolist(), strict=True))
    if not binary:
        mean_squared_error = values["loss"] / rows
        return {
            "rmse <loss>": math.sqrt(mean_squared_error),
            "mse <loss>": mean_squared_error,
            "absolute_loss <loss>": values["absolute"] / rows,
        }
    named = values["predicted_positives"] + values["positives"]
    return {
        "binary_classification_accuracy <score>": values["correct"] / rows,
        "binary_classification_cross_entropy <loss>": values["loss"] / rows,
        "binary_f_1.000 <score>": 2 * values["true_positives"] / named if named else 0.0,
    }
