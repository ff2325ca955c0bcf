"""The logistic function that the kernels compute without a call."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from algorithms.factorization_machines.sigmoid import logistic


def each(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.empty_like(scores)
    for place in range(scores.size):
        found[place] = logistic(scores[place])
    return found


logistic_of: Any = numba.njit(each)


@pytest.mark.slow
def test_it_is_as_exact_as_float32() -> None:
    scores = np.concatenate([np.linspace(-87, 87, 400_001), np.linspace(-1, 1, 100_001)]).astype(np.float32)
    expected = 1 / (1 + np.exp(-scores.astype(np.float64)))
    np.testing.assert_allclose(logistic_of(scores), expected, rtol=2.5e-7, atol=0)


def test_scores_beyond_float32s_range_are_certain_and_nan_stays_nan() -> None:
    found = logistic_of(np.array([np.inf, 1e30, 88, -88, -1e30, -np.inf, np.nan], np.float32))
    assert (found[:3] == 1).all()
    assert (found[3:6] < 2e-38).all()
    assert np.isnan(found[6])
