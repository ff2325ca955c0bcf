"""Metrics of ranked lists with binary relevance, one number a user and metric.

=========== ======================================================================================
ndcg        Σ over hits of 1/log2(rank + 1), divided by the same of the best possible list. K. Järvelin
            and J. Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, ACM TOIS 20(4),
            2002; cut off as trec_eval's ``ndcg_cut``
recall      hits / relevant items (trec_eval ``recall``)
precision   hits / k (trec_eval ``P``), also where fewer than k items were ranked
hit_rate    1 if there is a hit (trec_eval ``success``)
map         average precision: Σ over hits of precision at their rank, divided by the number of relevant
            items; its mean over users is MAP. C. Buckley and E. Voorhees, *Evaluating evaluation
            measure stability*, SIGIR 2000; cut off as trec_eval's ``map_cut``
novelty     mean over the list of -log2(share of users who interacted with the item in training). S. Vargas
            and P. Castells, *Rank and relevance in novelty and diversity metrics for recommender
            systems*, RecSys 2011; an item that nobody interacted with counts as one user's
coverage    share of the catalogue that is in at least one list; a number of the whole evaluation.
            M. Ge, C. Delgado-Battenfeld and D. Jannach, *Beyond accuracy: evaluating recommender
            systems by coverage and serendipity*, RecSys 2010
=========== ======================================================================================

Users without a relevant item have no recall or ndcg and are left out before these functions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmrec.errors import InputError

PER_USER = ("ndcg", "recall", "precision", "hit_rate", "map", "novelty")

Floats = npt.NDArray[np.float64]


def accuracy_metrics(hits: npt.NDArray[np.bool_], relevant: npt.NDArray[np.integer]) -> dict[str, Floats]:
    """Compute ndcg, recall, precision, hit_rate and map of each user.

    Parameters
    ----------
    hits
        (users, k) whether the item at each rank, best first, is relevant.
    relevant
        (users,) how many relevant items each user has, ranked or not; at least 1.

    Returns
    -------
    dict
        Metric → float64 (users,).

    Raises
    ------
    InputError
        A user has no relevant item, or fewer than hits.
    """
    users, k = hits.shape
    found = hits.sum(axis=1)
    if relevant.shape != (users,) or (relevant < np.maximum(found, 1)).any():
        raise InputError("every user needs at least one relevant item, and at least as many as hits")
    ranks = np.arange(1, k + 1)
    discount = 1.0 / np.log2(ranks + 1)
    ideal = np.cumsum(discount)[np.minimum(relevant, k) - 1]
    precision_at_hits = np.where(hits, np.cumsum(hits, axis=1) / ranks, 0.0)
    return {
        "ndcg": (hits * discount).sum(axis=1) / ideal,
        "recall": found / relevant,
        "precision": found / k,
        "hit_rate": (found > 0).astype(np.float64),
        "map": precision_at_hits.sum(axis=1) / relevant,
    }


def novelty(items: npt.NDArray[np.int64], met_by: npt.NDArray[np.integer], users: int) -> Floats:
    """Mean self-information, in bits, of each user's list.

    Parameters
    ----------
    items
        (users, k) item ordinals, -1 for none.
    met_by
        (items,) how many of the training users interacted with each item.
    users
        How many training users there are.

    Returns
    -------
    numpy.ndarray
        float64 (users,); 0 for an empty list.
    """
    information = -np.log2(np.maximum(met_by, 1) / users)
    ranked = items >= 0
    values = np.where(ranked, information[items], 0.0)
    mean: Floats = values.sum(axis=1) / np.maximum(ranked.sum(axis=1), 1)
    return mean


def coverage(recommended: npt.NDArray[np.bool_]) -> float:
    """Share of the catalogue that `recommended` (items,) says was in at least one list."""
    return float(np.count_nonzero(recommended)) / len(recommended)
