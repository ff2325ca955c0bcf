"""Which items can't be among a user's best k, known from bounds on their scores instead of the scores.

For any points m and c and any invertible S, a score is ``q·x = m·x + (q − m)·c + (q − m)·(x − c)``, and by
Cauchy and Schwarz the last part is at most ``|S⁻¹(q − m)| |S(x − c)|``. With m the users' mean and c the
items', what all users or all items have in common is in the exact parts; with S a power of the users'
covariance, directions in which users hardly differ count little. A few items that promise a typical user
most are ranked for everybody. The k-th best score found leaves each user a half-plane of items by height
``m·x`` and length ``|S(x − c)|``, so that users sorted by how far theirs reaches need about the same items as
their neighbours, and are ranked with them. Bounding instead of scoring is the idea of LEMP (Teflioudi et
al., SIGMOD 2015), and trying on a sample of users whether it pays that of OPTIMUS (Abuzaid et al., arXiv
1706.01449).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
Ordinals = npt.NDArray[np.int64]

FIRST_ITEMS = 1024
"""Items that are ranked for everybody."""
MIN_ITEMS = 8 * FIRST_ITEMS
MIN_USERS = 4096
"""Smaller tasks are not worth the preparation."""
SAMPLED_USERS = 64
POWERS = (0.25, 0.0, 0.5)
"""Of the covariance: from all directions being equal to each counting by its spread."""
GOOD_ENOUGH, HOPELESS = 0.1, 0.95
"""Shares of the products at which no other power is tried."""
WORTHWHILE = 0.75
"""The share of the products from which on choosing costs more than is saved."""
LENGTHS = 128
"""Ranges of lengths in which the items of a block of users are chosen."""
ROWS = 8192
"""Users prepared at a time."""


@dataclass(frozen=True)
class Plan:
    """What is ranked first, and what bounds the scores of all other items."""

    first: Ordinals
    """Items that are ranked for everybody, ascending."""
    rest: Ordinals
    """All others, ascending."""
    heights: Reals
    """(rest,) each one's part of a score that is the same for all users."""
    range_of: Ordinals
    """(rest,) which range of lengths each is in."""
    longest: Reals
    """(ranges,) the largest length in each."""
    centre: Reals
    inverse: Reals
    item_centre: Reals
    margin: float
    """What rounding may add to a score, for a user of length 1."""

    def needs(self, users: Vectors) -> Needs:
        """Return what bounds these users' scores; (users, d) as planned for."""
        own, radius = np.empty(len(users)), np.empty(len(users))
        middle = float(np.linalg.norm(self.centre))
        for start in range(0, len(users), ROWS):
            rows = slice(start, start + ROWS)
            exact = users[rows].astype(np.float64)
            lengths = np.linalg.norm(exact, axis=1)
            exact -= self.centre
            own[rows] = exact @ self.item_centre + self.margin * (lengths + middle)
            radius[rows] = np.linalg.norm(exact @ self.inverse, axis=1)
        return Needs(self, own, radius)


@dataclass(frozen=True)
class Needs:
    """Which of the items that are not ranked for everybody each user needs."""

    plan: Plan
    own: Reals
    """(users,) each one's part of a bound that is the same for all items."""
    radius: Reals
    """(users,) the factor of an item's length in the bound."""

    def order(self, kth: npt.NDArray[np.float32]) -> Ordinals:
        """Users in such an order that neighbours need about the same items.

        ``kth`` (users,) is each one's k-th best score among the first items, or -inf.
        """
        return np.argsort(self.own - kth + self.radius * np.median(self.plan.longest), kind="stable")

    def of(self, users: Ordinals, kth: npt.NDArray[np.float32]) -> Ordinals:
        """Return which of ``plan.rest``, ascending, could still be among the best k of one of some users.

        ``kth`` is their k-th best score so far, or -inf.
        """
        surplus = self.own[users] - kth
        reach = (surplus[:, None] + self.radius[users, None] * self.plan.longest).max(axis=0)
        return np.flatnonzero(self.plan.heights + reach[self.plan.range_of] >= 0)


def plan(
    users: Vectors, items: Vectors, kth_scores: Callable[[Vectors, Ordinals], npt.NDArray[np.float32]]
) -> Plan | None:
    """Return a plan, or None where ranking all items at once is expected to be as quick.

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
    best: tuple[float, Plan] | None = None
    for power in POWERS:
        found = _plan(items, sample, centre, axes * spread**-power, axes * spread**power)
        share = _expected_share(found, sample, kth_scores)
        if best is None or share < best[0]:
            best = share, found
        if share > HOPELESS or share < GOOD_ENOUGH or share > best[0]:
            break  # another power won't change the decision, or is likely to be worse, too
    return best[1] if best is not None and best[0] < WORTHWHILE else None


def _plan(items: Vectors, sample: Vectors, centre: Reals, inverse: Reals, transform: Reals) -> Plan:
    # Float64 products of float32 vectors: their own rounding is far below the margin.
    exact = items.astype(np.float64)
    margin = (items.shape[1] + 8) * float(np.finfo(np.float32).eps)
    margin *= float(np.linalg.norm(exact, axis=1).max())
    heights = exact @ centre
    typical = float(np.median(np.linalg.norm((sample - centre) @ inverse, axis=1)))
    transformed = exact @ transform
    promise = heights + typical * np.linalg.norm(transformed, axis=1)
    order = np.argsort(-promise, kind="stable")
    first, rest = np.sort(order[:FIRST_ITEMS]), np.sort(order[FIRST_ITEMS:])
    item_centre = exact[rest].mean(axis=0) if len(rest) else np.zeros_like(centre)
    lengths = np.linalg.norm(transformed[rest] - item_centre @ transform, axis=1)
    ranges = np.array_split(np.argsort(lengths, kind="stable"), max(1, min(LENGTHS, len(rest))))
    range_of = np.empty(len(rest), np.int64)
    for number, inside in enumerate(ranges):
        range_of[inside] = number
    longest = np.array([lengths[inside].max(initial=0.0) for inside in ranges])
    return Plan(first, rest, heights[rest], range_of, longest, centre, inverse, item_centre, margin)


def _expected_share(
    found: Plan, sample: Vectors, kth_scores: Callable[[Vectors, Ordinals], npt.NDArray[np.float32]]
) -> float:
    """The share of all scores that the sample's users would need, if none of them needed others' items."""
    needs, kth = found.needs(sample), kth_scores(sample, found.first)
    needed = sum(len(needs.of(np.array([user]), kth[[user]])) for user in range(len(sample)))
    return needed / (len(sample) * max(len(found.rest), 1))
