"""How far a mean over users could be off by the chance of who the users are: bootstrap intervals.

Percentile bootstrap over users: B. Efron and R. Tibshirani, *An Introduction to the Bootstrap*, 1993,
chapters 13 and 16; for two systems on the same users the differences are resampled (paired): T. Sakai,
*Evaluating evaluation metrics based on the bootstrap*, SIGIR 2006.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.errors import InputError

SAMPLES = 1000
CONFIDENCE = 0.95
RESAMPLED_USERS = 5_000
"""With more users the distribution of the mean is normal to all practical ends, and is computed."""


@dataclass(frozen=True)
class Interval:
    """A mean over users with the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: npt.NDArray[np.float64], seed: int = 0) -> Interval:
    """The mean of `values` (users,) and its 95 % interval under resampling of users.

    Raises
    ------
    InputError
        There is no user.
    """
    if len(values) == 0:
        raise InputError("no user to average over: the held-out data holds no relevant interaction")
    mean = float(values.mean())
    if len(values) > RESAMPLED_USERS:
        margin = 1.959963984540054 * float(values.std(ddof=1)) / np.sqrt(len(values))
        return Interval(mean, mean - margin, mean + margin)
    means = _resamples(len(values), seed) @ values / len(values)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(mean, float(low), float(high))


@functools.lru_cache(maxsize=1)
def _resamples(users: int, seed: int) -> npt.NDArray[np.float64]:
    """How often each resample has each user, (SAMPLES, users): at most 40 MB.

    An evaluation asks for the intervals of a hundred metrics of the same users one after the other.
    """
    random = np.random.default_rng(seed)
    counts = np.empty((SAMPLES, users))
    for sample in counts:
        sample[:] = np.bincount(random.integers(0, users, users), minlength=users)
    return counts


def paired_bootstrap(
    values: npt.NDArray[np.float64], others: npt.NDArray[np.float64], seed: int = 0
) -> Interval:
    """The mean difference ``values - others`` of the same users, and its interval.

    Raises
    ------
    InputError
        The users differ in number, or there is none.
    """
    if values.shape != others.shape:
        raise InputError(f"{len(values)} and {len(others)} users can't be paired")
    return bootstrap(values - others, seed)
