"""The metrics that SageMaker's FM reports, under the names its log lines give them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from algorithms.factorization_machines.optimizer import SUMS


def metrics(sums: NDArray[np.float64], rows: int, binary: bool) -> dict[str, float]:
    """Averages over ``rows`` rows.

    Parameters
    ----------
    sums
        (6,) what the kernels added up, see ``optimizer.SUMS``.

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
