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
diversity   mean over the pairs of the list of 1 - cosine of their item vectors, here the judged model's.
            C.-N. Ziegler, S. McNee, J. Konstan and G. Lausen, *Improving recommendation lists through
            topic diversification*, WWW 2005; 0 for a list of fewer than two items
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

VALUES_AT_ONCE = 1 << 20
"""Of item vectors, gathered for the lists of some users: 8 MiB."""

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


def diversity(items: npt.NDArray[np.int64], vectors: npt.NDArray[np.floating]) -> Floats:
    """Mean distance, 1 - cosine, of the pairs of items in each user's list.

    Parameters
    ----------
    items
        (users, k) item ordinals, -1 for none.
    vectors
        (items, factors); a vector of length 0 is at the distance 1 from all others.

    Returns
    -------
    numpy.ndarray
        float64 (users,), from 0 to 2; 0 for fewer than two items.
    """
    users, k = items.shape
    found = np.zeros(users)
    step = max(1, VALUES_AT_ONCE // max(1, k * vectors.shape[1]))
    for start in range(0, users, step):
        block = items[start : start + step]
        ranked = block >= 0
        own = vectors[block] * ranked[:, :, None]
        lengths = np.sqrt(np.einsum("uid,uid->ui", own, own, dtype=np.float64))
        own = own / np.where(lengths > 0, lengths, 1)[:, :, None]
        # The sum over all ordered pairs, from which each item's product with itself is taken.
        together = (own.sum(axis=1) ** 2).sum(axis=1) - (lengths > 0).sum(axis=1)
        count = ranked.sum(axis=1)
        pairs = count * (count - 1)
        found[start : start + step] = np.where(pairs > 0, 1 - together / np.maximum(pairs, 1), 0)
    return found


def coverage(recommended: npt.NDArray[np.bool_]) -> float:
    """Share of the catalogue that `recommended` (items,) says was in at least one list."""
    return float(np.count_nonzero(recommended)) / len(recommended)
