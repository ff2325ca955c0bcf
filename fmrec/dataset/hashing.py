"""Chance that is the same everywhere: hashes of rows' numbers, unlike NumPy's random generators."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hashes(seed: int, *numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a well-mixed 64-bit hash of each row's numbers (SplitMix64, Steele et al. 2014)."""
    state = np.full(len(numbers[0]), seed & 0xFFFFFFFFFFFFFFFF, np.uint64)
    for array in numbers:
        state = _mix(state + array.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return state


def units(hashed: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return hashes as numbers in [0, 1)."""
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))


LEFT_OUT_SALT = 5


def left_out(users: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Whether each of the users, by feature id, is left out of training.

    The encoding job and everybody who reads its files know who it is from the share alone, and the same users
    stay out when interactions are added.
    """
    return units(hashes(seed + LEFT_OUT_SALT, users)) < share
