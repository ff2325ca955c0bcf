"""Which items can't be among a user's best k, known from bounds on their scores instead of the scores.

For any point m and any invertible S, a score is ``q·x = m·x + (q − m)·x ≤ m·x + |S⁻¹(q − m)| |S x|`` (Cauchy
and Schwarz). With m the users' mean, what all users have in common, item weights too, is in the exact part;
with S a power of their covariance, directions in which users hardly differ count little. Items are ranked in
stages by what the bound promises a typical user; a user is through with a catalogue when the bound of all
later stages lies below the k-th best score found. Bounding instead of scoring is the idea of LEMP (Teflioudi
et al., SIGMOD 2015), and trying on a sample of users whether it pays that of OPTIMUS (Abuzaid et al., arXiv
1706.01449).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]

FIRST_STAGE = 1024
"""Items of the first stage; each further one is as large as all before."""
MIN_ITEMS = 8 * FIRST_STAGE
MIN_USERS = 4096
"""Smaller tasks are not worth the preparation."""
SAMPLED_USERS = 64
POWERS = (0.25, 0.0, 0.5)
"""Of the covariance: from all directions being equal to each counting by its spread."""
GOOD_ENOUGH, HOPELESS = 0.1, 0.95
"""Shares of the products at which no other power is tried."""
WORTHWHILE = 0.7
"""The share of the products from which on choosing costs more than is saved."""


@dataclass(frozen=True)
class Stages:
    """The order in which items are ranked."""

    items: list[npt.NDArray[np.int64]]
    """Each stage's items, ascending."""
    bounds: list[Envelope]
    """For each stage, what no later stage's item exceeds."""
    transform: Reals
    centre: Reals

    def radius(self, users: Vectors) -> Reals:
        """How far each user is from the centre, in the bound's metric."""
        return np.asarray(np.linalg.norm((users - self.centre) @ self.transform, axis=1))


@dataclass(frozen=True)
class Envelope:
    """The largest of many lines ``height + slope * radius``, of which only those on top are kept."""

    heights: Reals
    slopes: Reals
    margin: float
    """What rounding may add to a score, for a user of length 1."""

    def at(self, radius: Reals, lengths: Reals) -> Reals:
        """A bound of all scores in float32, for users of that radius and of that length."""
        highest = (self.heights + radius[:, None] * self.slopes).max(axis=1)
        return np.asarray(highest * (1 + 1e-12 * np.sign(highest)) + self.margin * lengths)


def plan(
    users: Vectors, items: Vectors, kth_scores: Callable[[Vectors, npt.NDArray[np.int64]], Reals]
) -> Stages | None:
    """Return stages, or None where ranking all items at once is expected to be as quick.

    Parameters
    ----------
    users, items
        (users, d) and (items, d), finite.
    kth_scores
        Given some users and items, each user's k-th best score among them, or -inf.
    """
    if len(items) < MIN_ITEMS or len(users) < MIN_USERS:
        return None
    sample = users[:: len(users) // SAMPLED_USERS][:SAMPLED_USERS]
    some = users[:: max(1, len(users) // MIN_USERS)].astype(np.float64)
    centre = some.mean(axis=0)
    differences = some - centre
    spread, axes = np.linalg.eigh(differences.T @ differences / len(differences))
    if not spread[-1] > 0:
        spread = np.ones_like(spread)
    spread = np.maximum(spread, spread[-1] * 1e-8)
    best: tuple[float, Stages] | None = None
    for power in POWERS:
        stages = _stages(items, sample, centre, axes * spread**-power, axes * spread**power)
        share = _expected_share(stages, sample, kth_scores)
        if best is None or share < best[0]:
            best = share, stages
        if share > HOPELESS or share < GOOD_ENOUGH:
            break  # another power won't change the decision
    return best[1] if best is not None and best[0] < WORTHWHILE else None


def _stages(items: Vectors, sample: Vectors, centre: Reals, inverse: Reals, transform: Reals) -> Stages:
    heights = items @ centre
    slopes = np.linalg.norm(items @ transform, axis=1)
    # Float64 products of float32 vectors: their own rounding is far below the margin.
    lengths = np.linalg.norm(items.astype(np.float64), axis=1)
    margin = (items.shape[1] + 8) * float(np.finfo(np.float32).eps) * float(lengths.max())
    typical = float(np.median(np.linalg.norm((sample - centre) @ inverse, axis=1)))
    order = np.argsort(-(heights + typical * slopes), kind="stable")
    stages, bounds, start, size = [], [], 0, FIRST_STAGE
    while start < len(order):
        end = start + size if start + 2 * size <= len(order) else len(order)
        stages.append(np.sort(order[start:end]))
        rest = order[end:]
        bounds.append(_envelope(heights[rest], slopes[rest], margin))
        start, size = end, end
    return Stages(stages, bounds, inverse, centre)


def _envelope(heights: Reals, slopes: Reals, margin: float) -> Envelope:
    """Keep the lines that are on top somewhere at a radius of 0 or more."""
    if not len(heights):
        return Envelope(np.array([-np.inf]), np.zeros(1), 0.0)
    # Few candidates: in each of many narrow ranges of slopes, the highest line at the range's largest slope.
    low, high = float(slopes.min()), float(slopes.max())
    place = np.minimum(((slopes - low) / max(high - low, 1e-300) * 256).astype(np.int64), 255)
    top, steepest = np.full(256, -np.inf), np.full(256, -np.inf)
    np.maximum.at(top, place, heights)
    np.maximum.at(steepest, place, slopes)
    kept: list[tuple[float, float]] = []
    for slope, height in sorted(zip(steepest[top > -np.inf], top[top > -np.inf], strict=True)):
        while kept and height >= kept[-1][1]:
            kept.pop()
        while len(kept) > 1 and _is_below(kept[-2], kept[-1], (slope, height)):
            kept.pop()
        kept.append((slope, height))
    return Envelope(np.array([line[1] for line in kept]), np.array([line[0] for line in kept]), margin)


def _is_below(flat: tuple[float, float], middle: tuple[float, float], steep: tuple[float, float]) -> bool:
    """Say whether the middle line is nowhere above both others; lines are (slope, height)."""
    left = (flat[1] - middle[1]) * (steep[0] - middle[0])
    return left >= (middle[1] - steep[1]) * (middle[0] - flat[0])


def _expected_share(
    stages: Stages,
    sample: Vectors,
    kth_scores: Callable[[Vectors, npt.NDArray[np.int64]], Reals],
) -> float:
    """The share of all scores that the sample's users would need."""
    active, kth = np.arange(len(sample)), np.full(len(sample), -np.inf)
    radius = stages.radius(sample)
    lengths = np.linalg.norm(sample.astype(np.float64), axis=1)
    needed = 0
    for items, bound in zip(stages.items, stages.bounds, strict=True):
        needed += len(active) * len(items)
        kth[active] = np.maximum(kth[active], kth_scores(sample[active], items))
        active = active[bound.at(radius[active], lengths[active]) >= kth[active]]
    return needed / (len(sample) * sum(map(len, stages.items)))
