"""How good lists are for users whom training never saw, and which λ and c make them so.

Users are folded in from all, 10, 5, 3 or 1 of the interactions that they liked, and judged on interactions
that were held out, as trained users are. λ and c are chosen on users left out of training, on items hidden
from their histories: what was held out for judging stays unseen until the choice is made. Where nobody was
left out, they are chosen on trained users and what was held out of theirs, and others must judge
(`choose_on`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.fold_in_parameters import Basis, FoldingIn, Trial
from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.live.fold_in import FoldIn
from fmrec.ranking.evaluation import Judge
from fmrec.ranking.metrics import accuracy_metrics
from fmrec.ranking.popularity import most_popular

REGULARIZATIONS = (1.0, 2.0, 4.0, 8.0)
NEGATIVE_WEIGHTS = (0.02, 0.05, 0.15)
LENGTHS: tuple[int | None, ...] = (None, 10, 5, 3, 1)
"""Interactions that users are folded in from; None for all."""
CHOOSING_LENGTHS: tuple[int | None, ...] = (None, 5)
"""A choice must be good for long histories and for short ones."""
HIDDEN_SHARE = 0.25
MAXIMUM_USERS = 500
"""Users that the choice is made on."""


def choose(
    fold_in: FoldIn,
    liked: Interactions,
    seen: Interactions,
    *,
    regularizations: Sequence[float] = REGULARIZATIONS,
    negative_weights: Sequence[float] = NEGATIVE_WEIGHTS,
    maximum_users: int = MAXIMUM_USERS,
    seed: int = 0,
) -> FoldingIn:
    """Choose λ and c on users who were left out of training.

    A quarter of what each user liked is hidden, one item at least, and lists from the rest are judged on it.

    Parameters
    ----------
    fold_in
        The model; its own λ and c don't matter.
    liked
        What each of these users liked, without what is held out for judging.
    seen
        All that each has interacted with, also without it.

    Raises
    ------
    InputError
        No user liked two items.
    """
    random = np.random.default_rng(seed)
    users = np.flatnonzero(liked.counts() >= 2)
    if not len(users):
        raise InputError("no user left out of training liked two items: λ and c can't be chosen on anybody")
    if len(users) > maximum_users:
        users = np.sort(random.choice(users, maximum_users, replace=False))
    history, hidden = hide(liked.take(users), HIDDEN_SHARE, random)
    met = _without(seen.take(users), hidden)
    return choose_on(fold_in, history, met, hidden, Basis.LEFT_OUT, random, regularizations, negative_weights)


def choose_on(
    fold_in: FoldIn,
    history: Interactions,
    seen: Interactions,
    relevant: Interactions,
    basis: Basis,
    random: np.random.Generator,
    regularizations: Sequence[float] = REGULARIZATIONS,
    negative_weights: Sequence[float] = NEGATIVE_WEIGHTS,
) -> FoldingIn:
    """Choose λ and c by lists from some users' histories, and from an ensemble by those of its first machine.

    On trained users ``relevant`` must be what training didn't see: items have learned to suit the histories
    that they were trained with, so that items hidden from those are found with too small a λ.

    Parameters
    ----------
    history
        What each of these users is folded in from.
    seen
        What each is not to get.
    relevant
        What each liked besides; at least one item each.
    """
    fold_in = fold_in.first_machine()
    shortened = [first(history, length, random) for length in CHOOSING_LENGTHS]
    trials = []
    for regularization in regularizations:
        for negative_weight in negative_weights:
            trial = fold_in.with_parameters(regularization, negative_weight)
            tops = [trial.rank(part, 10, seen=seen) for part in shortened]
            ndcg = [
                float(accuracy_metrics(_hits(relevant, top.items), relevant.counts())["ndcg"].mean())
                for top in tops
            ]
            trials.append(Trial(regularization, negative_weight, *ndcg))
    best = max(trials, key=lambda trial: trial.score)
    return FoldingIn(best.regularization, best.negative_weight, basis, history.users, trials=tuple(trials))


def judge(
    fold_in: FoldIn,
    liked: Interactions,
    seen: Interactions,
    relevant: Interactions,
    met_by: npt.NDArray[np.int64],
    training_users: int,
    *,
    k: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge lists for users left out of training, by how many interactions they are folded in from.

    Parameters
    ----------
    liked, seen
        As for `choose`, one row for each left-out user.
    relevant
        Held-out items that each liked; users without any are not judged.
    met_by
        (items,) how many training users have interacted with each item.

    Returns
    -------
    dict
        ``users``; ``popularity`` and ``by_interactions``: ``all``, ``10``, ``5``, ``3``, ``1``, each as
        `Judge.report`; ``comparison``, of all with popularity, as `Judge.compare`.

    Raises
    ------
    InputError
        No left-out user has a history and a held-out item that they liked.
    """
    users = np.flatnonzero((relevant.counts() > 0) & (liked.counts() > 0))
    if not len(users):
        raise InputError(
            "no user left out of training has a history and a held-out item that they liked: choose a split "
            "that holds interactions out, or leave more users out"
        )
    random = np.random.default_rng(seed)
    liked, seen, relevant = (pairs.take(users) for pairs in (liked, seen, relevant))
    judges = {}
    for length in LENGTHS:
        name = "all" if length is None else str(length)
        judges[name] = Judge(k, met_by, training_users)
        judges[name].add(fold_in.rank(first(liked, length, random), k, seen=seen), relevant, seen.counts())
    popularity = Judge(k, met_by, training_users)
    popularity.add(most_popular(met_by, k, seen), relevant, seen.counts())
    return {
        "users": len(users),
        "regularization": fold_in.regularization,
        "negative_weight": fold_in.negative_weight,
        "by_interactions": {name: found.report() for name, found in judges.items()},
        "popularity": popularity.report(),
        "comparison": judges["all"].compare(popularity),
    }


def first(pairs: Interactions, length: int | None, random: np.random.Generator) -> Interactions:
    """Keep at most ``length`` random items of each user; None keeps all."""
    if length is None:
        return pairs
    return _parted(pairs, np.minimum(pairs.counts(), length), random)[0]


def hide(pairs: Interactions, share: float, random: np.random.Generator) -> tuple[Interactions, Interactions]:
    """Split each user's items at random: what stays, and what is hidden, one at least of each user."""
    counts = pairs.counts()
    hidden = np.where(counts > 0, np.maximum(1, np.rint(counts * share).astype(np.int64)), 0)
    return _parted(pairs, counts - hidden, random)


def _parted(
    pairs: Interactions, kept: npt.NDArray[np.int64], random: np.random.Generator
) -> tuple[Interactions, Interactions]:
    owners = np.repeat(np.arange(pairs.users), pairs.counts())
    order = np.lexsort((random.random(len(owners)), owners))
    place = np.empty(len(owners), np.int64)
    place[order] = np.arange(len(owners)) - pairs.indptr[owners]
    stays = place < kept[owners]
    return _where(pairs, owners, stays), _where(pairs, owners, ~stays)


def _where(pairs: Interactions, owners: npt.NDArray[np.int64], which: npt.NDArray[np.bool_]) -> Interactions:
    counts = np.bincount(owners[which], minlength=pairs.users)
    return Interactions(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), pairs.items[which])


def _without(pairs: Interactions, others: Interactions) -> Interactions:
    owners = np.repeat(np.arange(pairs.users), pairs.counts())
    return _where(pairs, owners, ~others.contains(owners, pairs.items.astype(np.int64)))


def _hits(relevant: Interactions, items: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return relevant.contains(np.arange(relevant.users)[:, None], items)
