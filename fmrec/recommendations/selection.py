"""Which of the best items a user gets: nothing seen, nothing that rules forbid, and always enough.

k-NN is asked for more neighbours than are published, so that enough are left when the masked ones are
gone; who has seen too much for that is ranked again, exactly, over all items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.ranking.top_k import top_k
from fmrec.recommendations.knn_output import Neighbours


@dataclass(frozen=True)
class Rules:
    """What may be recommended, beyond what a user has seen.

    ``excluded`` bool (items,): True for items that nobody gets. ``categories``: for each item its
    categories, or None where ``maximum_per_category`` doesn't limit.
    """

    excluded: npt.NDArray[np.bool_]
    categories: Interactions | None = None
    maximum_per_category: int = 0


def select(
    ranked: Neighbours, wanted: int, seen: Interactions | None, rules: Rules | None = None
) -> tuple[Neighbours, npt.NDArray[np.bool_]]:
    """Keep each user's best `wanted` items that are allowed.

    Parameters
    ----------
    ranked
        (users, k) items, best first; -1 for none.
    seen
        What each of these users interacted with.

    Returns
    -------
    Neighbours
        (users, wanted), best first, -1 with -inf where a user has fewer.
    numpy.ndarray
        bool (users,), True where a user has fewer.
    """
    users = np.arange(len(ranked.items))
    allowed = ranked.items >= 0
    if seen is not None:
        allowed &= ~seen.contains(users[:, None], ranked.items)
    if rules is not None:
        allowed &= ~rules.excluded[ranked.items]
        if rules.categories is not None:
            allowed = _within_categories(
                ranked.items, allowed, wanted, rules.categories, rules.maximum_per_category
            )
    rank = np.cumsum(allowed, axis=1) - 1
    user, at = np.nonzero(allowed & (rank < wanted))
    best = Neighbours(
        np.full((len(users), wanted), -1, np.int64), np.full((len(users), wanted), -np.inf, np.float64)
    )
    best.items[user, rank[user, at]] = ranked.items[user, at]
    best.products[user, rank[user, at]] = ranked.products[user, at]
    return best, best.items[:, -1] < 0


def rank_exactly(
    queries: npt.NDArray[np.float32],
    items: npt.NDArray[np.float32],
    wanted: int,
    seen: Interactions | None,
    rules: Rules | None = None,
) -> Neighbours:
    """The same selection from all items, for users to whom k-NN's neighbours were not enough.

    Users who may get fewer items than wanted, because they interacted with nearly all, end in -1.
    """
    excluded = rules.excluded if rules is not None else None
    limited = rules is not None and rules.categories is not None
    k = min(len(items), 4 * wanted if limited else wanted)
    while True:
        top = top_k(queries, items, k, seen, excluded)
        found = Neighbours(top.items, top.scores.astype(np.float64))
        best, short = select(found, wanted, None, rules)
        # More neighbours help only those who were given all they were asked for.
        if not (short & (top.items[:, -1] >= 0)).any() or k == len(items):
            return best
        k = min(len(items), 4 * k)


def _within_categories(
    items: npt.NDArray[np.int64],
    allowed: npt.NDArray[np.bool_],
    wanted: int,
    categories: Interactions,
    maximum: int,
) -> npt.NDArray[np.bool_]:
    """Walk down the ranks and leave out what would be one too many of any of its categories."""
    kept = np.zeros_like(allowed)
    taken = np.zeros((len(items), int(categories.items.max(initial=-1)) + 1), np.int32)
    complete = np.zeros(len(items), np.int64)
    for rank in range(items.shape[1]):
        users = np.flatnonzero(allowed[:, rank] & (complete < wanted))
        if not len(users):
            continue
        rows = categories.take(items[users, rank])
        owner = np.repeat(np.arange(len(users)), rows.counts())
        full = taken[users[owner], rows.items] >= maximum
        fits = np.ones(len(users), bool)
        fits[owner[full]] = False
        kept[users[fits], rank] = True
        complete[users[fits]] += 1
        taken[users[owner[fits[owner]]], rows.items[fits[owner]]] += 1
    return kept
