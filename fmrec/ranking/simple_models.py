"""What simple models would give: EASE, item-kNN and ALS, on the interactions that the model was trained on.

The first two are a matrix of weights from item to item, made from how many users interacted with each
pair: a user's score of an item is the sum of the weights from the items of the user's history.

EASE (H. Steck, *Embarrassingly shallow autoencoders for sparse data*, WWW 2019): with G = XᵀX and
P = (G + λI)⁻¹, the weights are −P_ij / P_jj off the diagonal and 0 on it. item-kNN (Deshpande and Karypis,
*Item-based top-N recommendation algorithms*, ACM TOIS 2004): the cosine between two items' users, kept for
the nearest items of each and 0 elsewhere.

Neither scales: the matrices have items × items values and the inverse takes their third power. So there is a
limit of items, and of the time that all of it may take. The third is
`fmrec.ranking.alternating_least_squares`, whose time grows with the picks.

ALS learns from what was liked, the others from every interaction (with MovieLens 100k, ALS reaches an NDCG@10
of 0.318 on validation rows by what was liked, and 0.300 by all interactions; EASE 0.307 and 0.294, but 0.305
and 0.310 on test rows). All leave out of a list what was seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions, concatenate
from fmrec.ranking.alternating_least_squares import fit
from fmrec.ranking.top_k import Top

Weights = npt.NDArray[np.float32]

REGULARIZATION = 300.0
"""EASE's λ. Flat around it: on validation rows of a data set of 8,500 users and 8,400 items NDCG@10 is .1152,
.1177 and .1145 at 100, 300 and 1000."""
NEIGHBOURS = 100
"""Items that item-kNN keeps for each item."""
MAXIMUM_ITEMS = 10_000
"""Three matrices of 4 bytes a pair are then 1.2 GB, which the function's memory of 2 GiB holds."""
MAXIMUM_SECONDS = 300.0
"""The function has 900 for everything."""
FLOATS_AT_ONCE = 1 << 23
"""Scores or gathered weights held at a time: 32 MiB."""
PRODUCTS_PER_SECOND = 1e10
"""Multiply-adds of a matrix product on one vCPU, as a careful guess before the work is begun."""
SUMS_PER_SECOND = 5e8
"""Weights added on one vCPU, as careful a guess."""
ALS_PICKS_PER_SECOND = 15_000
"""Picks by which ALS is fitted, and lists made of it, on one vCPU, as careful a guess."""
ALS_PICKS = 10_000_000
"""They take 40 MB twice; their users' vectors 256 bytes each."""


@dataclass(frozen=True)
class SimpleModel:
    """Weights (items, items): row i is what an interaction with item i says of every item."""

    weights: Weights

    def top(self, liked: Interactions, seen: Interactions, k: int) -> Top:
        """The k items with the highest scores for every user, by what was seen and without it.

        Returns
        -------
        Top
            Equal scores are ordered by item; -1 stands where fewer than k items are left.
        """
        items = len(self.weights)
        top = Top(np.full((seen.users, k), -1, np.int64), np.full((seen.users, k), -np.inf, np.float32))
        for start, rows in seen.parts(FLOATS_AT_ONCE // max(items, 1)):
            scores = rows.sums(self.weights[rows.items])
            scores[np.repeat(np.arange(rows.users), rows.counts()), rows.items] = -np.inf
            best = _best(scores, k)
            values = np.take_along_axis(scores, best, axis=1)
            own = slice(start, start + rows.users)
            top.items[own, : best.shape[1]] = np.where(np.isfinite(values), best, -1)
            top.scores[own, : best.shape[1]] = values
        return top


class Ranks(Protocol):
    """What makes lists of users' histories."""

    def top(self, liked: Interactions, seen: Interactions, k: int) -> Top:
        """The k items with the highest scores for every user, without what was seen."""


def simple_models(
    seen: Callable[[], Iterable[Interactions]],
    liked: Callable[[], Iterable[Interactions]],
    items: int,
    *,
    interactions: int,
    picks: int,
    maximum_items: int = MAXIMUM_ITEMS,
    maximum_seconds: float = MAXIMUM_SECONDS,
) -> tuple[dict[str, Ranks], str]:
    """Fit what the limits allow, and say why not all.

    Parameters
    ----------
    seen, liked
        Iterate over blocks of users and what each interacted with, and liked, in training.
    items, interactions, picks
        How many there are; picks are interactions that were liked.
    maximum_items
        0 to fit none.
    maximum_seconds
        For all together. Estimated before anything is begun, lists included, and held while pairs are counted
        and ALS is fitted.

    Returns
    -------
    models
        By name: ``ease``, ``item_knn``, ``als``; those for which there was no limit.
    why
        A sentence where one is missing, otherwise empty.
    """
    if items > maximum_items:
        return (
            {},
            f"simple models weren't fitted: there are {items:,} items, and the limit is {maximum_items:,}",
        )
    until = time.monotonic() + maximum_seconds
    # For the first two a sum over every history, and before that the inverse.
    lists = 2 * float(items) * interactions / SUMS_PER_SECOND
    estimate = 3 * float(items) ** 3 / PRODUCTS_PER_SECOND + lists
    if estimate > maximum_seconds:
        return {}, (
            f"simple models weren't fitted: with {items:,} items and {interactions:,} interactions they take about "
            f"{estimate:,.0f} seconds, and the limit is {maximum_seconds:g}"
        )
    try:
        together = co_occurrences(seen(), items, until - estimate)
    except TimeoutError:
        return {}, (
            f"simple models weren't fitted: counting pairs of items takes more than the limit of {maximum_seconds:g} "
            "seconds leaves"
        )
    found: dict[str, Ranks] = {
        "ease": SimpleModel(ease(together)),
        "item_knn": SimpleModel(item_knn(together)),
    }
    del together
    remaining = until - time.monotonic() - lists
    estimate = picks / ALS_PICKS_PER_SECOND
    if picks > ALS_PICKS or estimate > remaining:
        return found, (
            f"ALS wasn't fitted: with {picks:,} interactions that were liked it takes about {estimate:,.0f} seconds, "
            f"and {max(remaining, 0):,.0f} of the limit of {maximum_seconds:g} are left; {ALS_PICKS:,} at most are held "
            "in memory"
        )
    try:
        found["als"] = fit(concatenate(list(liked())), items, until=time.monotonic() + remaining)
    except TimeoutError:
        return found, f"ALS wasn't fitted: it takes more than the limit of {maximum_seconds:g} seconds leaves"
    return found, ""


def ease(together: Weights, regularization: float = REGULARIZATION) -> Weights:
    """EASE's weights from co-occurrences (items, items)."""
    system = together.copy()
    system[np.diag_indices(len(system))] += np.float32(regularization)
    inverse = np.linalg.inv(system)
    inverse /= -np.diag(inverse)
    np.fill_diagonal(inverse, 0)
    return inverse


def item_knn(together: Weights, neighbours: int = NEIGHBOURS) -> Weights:
    """Cosines between items, of each only the nearest; ties at the edge are all kept."""
    norms = np.sqrt(np.maximum(np.diag(together), 1)).astype(np.float32)
    cosines: Weights = together / norms
    cosines /= norms[:, None]
    np.fill_diagonal(cosines, 0)
    if neighbours < len(cosines):
        step = max(1, FLOATS_AT_ONCE // len(cosines))
        for start in range(0, len(cosines), step):
            block = cosines[start : start + step]
            edge = np.partition(block, -neighbours, axis=1)[:, -neighbours, None]
            block[block < edge] = 0
    return cosines


def co_occurrences(histories: Iterable[Interactions], items: int, until: float = math.inf) -> Weights:
    """How many users interacted with both of two items, (items, items).

    Raises
    ------
    TimeoutError
        It isn't done by `until`, in the time of `time.monotonic`.
    """
    together = np.zeros((items, items), np.float32)
    for block in histories:
        step = max(1, FLOATS_AT_ONCE // items)
        for start in range(0, block.users, step):
            rows = block.take(np.arange(start, min(start + step, block.users)))
            present, places = np.unique(rows.items, return_inverse=True)
            dense = np.zeros((rows.users, len(present)), np.float32)
            dense[np.repeat(np.arange(rows.users), rows.counts()), places] = 1
            together[np.ix_(present, present)] += dense.T @ dense
            if time.monotonic() > until:
                raise TimeoutError
    return together


def _best(scores: Weights, k: int) -> npt.NDArray[np.int64]:
    """The columns of the k highest scores of every row, best first; equal scores by column."""
    items = scores.shape[1]
    k = min(k, items)
    if k < items:
        # Whatever equals the k-th score competes for its place.
        edge = np.partition(scores, items - k, axis=1)[:, items - k, None]
        candidates = np.where(scores >= edge, scores, -np.inf)
    else:
        candidates = scores
    width = int((candidates > -np.inf).sum(axis=1).max(initial=0))
    width = max(k, width)
    chosen = np.argpartition(-candidates, min(width, items) - 1, axis=1)[:, :width]
    chosen.sort(axis=1)
    order = np.argsort(-np.take_along_axis(candidates, chosen, axis=1), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(chosen, order, axis=1)
