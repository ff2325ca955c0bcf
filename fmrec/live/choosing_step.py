"""The workflow's choice of λ and c: made when a model's vectors are exported, and stored next to them.

The machines of an ensemble differ by their seeds only, so that the choice is made for the first of them.
Users left out of training are the ones to choose on (`fmrec.live.evaluation.choose`). Where nobody was left
out, half of the trained users stand in for them, folded in from their histories and compared by what was
held out of those; the other half judges (`fmrec.live.evaluation_step`). Time is bounded: the more items, the
fewer users.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.embedded_run import QueryPart, Run, open_run
from fmrec.artifacts.fold_in_parameters import DEFAULTS, Basis, FoldingIn, write_folding_in
from fmrec.artifacts.interactions import Interactions, concatenate
from fmrec.dataset.hashing import hashes, units
from fmrec.live.evaluation import MAXIMUM_USERS, choose, choose_on
from fmrec.live.fold_in import FoldIn
from fmrec.live.live_model import open_fold_in

MAXIMUM_SCORES = 50_000_000
"""Users × items of one trial; 24 of them then take about a minute in a function of 2 GiB."""
MINIMUM_USERS = 20
"""With fewer, a choice says more about them than about the model."""
HALF_SALT = 9

Among = Callable[[QueryPart, Interactions, Interactions], npt.NDArray[np.int64]]
"""Which users of a query part are meant, by their place in it, given what they liked and what is held out."""
Ordinals = npt.NDArray[np.int64]
NOTHING = Interactions(np.zeros(1, np.int64), np.zeros(0, np.int32))


def choose_and_store(manifest_uri: str, embeddings_uri: str, *, seed: int = 0) -> FoldingIn:
    """Choose λ and c for a run that is encoded and embedded, write folding_in.json, and fold in who was left
    out of training.

    Raises
    ------
    FormatError
        A file is not as docs/contracts.md says.
    """
    run = open_run(manifest_uri, embeddings_uri)
    fold_in = functools.cache(lambda: open_fold_in(run, DEFAULTS))
    found = choose_for(run, fold_in, seed=seed)
    write_folding_in(found, embeddings_uri)
    fold_in_left_out(run, found, fold_in)
    return found


def choose_for(run: Run, fold_in: Callable[[], FoldIn], *, seed: int = 0) -> FoldingIn:
    """Choose λ and c; the defaults, and why, where there are too few users or too many items."""
    items = run.manifest.items
    wanted = min(MAXIMUM_USERS, MAXIMUM_SCORES // max(items, 1))
    if wanted < MINIMUM_USERS:
        return FoldingIn(why=f"there are {items:,} items: comparing lists over all of them takes too long")
    random = np.random.default_rng(seed)
    out = users_left_out(run, wanted, random, minimum_liked=2)
    if len(out) >= MINIMUM_USERS:
        return choose(fold_in(), out.liked, out.seen, seed=seed)
    found = trained_users(run, wanted, random, choosing=True)
    if len(found) < MINIMUM_USERS:
        return FoldingIn(
            why=f"{len(found)} users have both a history and held-out interactions that they liked: expected "
            f"at least {MINIMUM_USERS} to choose on"
        )
    return choose_on(fold_in(), found.liked, found.seen, found.relevant, Basis.TRAINED, random)


def fold_in_left_out(run: Run, folding_in: FoldingIn, fold_in: Callable[[], FoldIn]) -> None:
    """Give users left out of training the query vectors that folding them in gives.

    Training has left their vectors at random numbers. With these they get lists as everybody does, from k-NN,
    the exact ranking and the endpoint. Who liked nothing gets zeros: the items' own weights rank.
    """
    if not run.manifest.left_out_share:
        return
    chosen = fold_in().with_parameters(folding_in.regularization, folding_in.negative_weight)
    for part in run.query_parts:
        users = run.left_out(part.first_user, part.end_user) - part.first_user
        if not len(users):
            continue
        queries, offsets = run.query_vectors(part).copy(), run.offsets(part).copy()
        liked = run.liked(part.first_user, part.end_user).take(users)
        queries[users, :-1] = chosen.user_vectors(liked)
        offsets[users] = float(run.bias or 0)
        run.replace_queries(part, queries, offsets)


def in_choosing_half(users: Ordinals) -> npt.NDArray[np.bool_]:
    """Whether λ and c may be chosen on each of these users; all others may judge."""
    return units(hashes(HALF_SALT, users)) < 0.5


@dataclass(frozen=True)
class Sample:
    """Some users who can be judged: ordinals, and below one row for each."""

    users: Ordinals
    liked: Interactions
    """In training."""
    seen: Interactions
    """In training."""
    relevant: Interactions
    """What each liked of what was held out."""

    def __len__(self) -> int:
        return len(self.users)


NOBODY = Sample(np.zeros(0, np.int64), NOTHING, NOTHING, NOTHING)


def trained_users(run: Run, wanted: int, random: np.random.Generator, *, choosing: bool) -> Sample:
    """Return some users of one half who have a history and held-out interactions that they liked; none of
    them was left out of training.
    """

    def among(part: QueryPart, liked: Interactions, relevant: Interactions) -> Ordinals:
        users = np.flatnonzero((relevant.counts() > 0) & (liked.counts() > 0))
        users = users[in_choosing_half(part.first_user + users) == choosing]
        out = run.left_out(part.first_user, part.end_user) - part.first_user
        return np.setdiff1d(users, out, assume_unique=True)

    return _drawn(run, wanted, random, among)


def users_left_out(
    run: Run, wanted: int, random: np.random.Generator, *, minimum_liked: int = 1, judged: bool = False
) -> Sample:
    """Return some users who were left out of training and liked at least so many items before what is held
    out; with ``judged`` those who liked something held out.
    """
    if not run.manifest.left_out_share:
        return NOBODY

    def among(part: QueryPart, liked: Interactions, relevant: Interactions) -> Ordinals:
        users = run.left_out(part.first_user, part.end_user) - part.first_user
        return users[(liked.counts()[users] >= minimum_liked) & (relevant.counts()[users] >= int(judged))]

    return _drawn(run, wanted, random, among)


def _drawn(run: Run, wanted: int, random: np.random.Generator, among: Among) -> Sample:
    """Read query parts in a random order until there are enough users: time doesn't grow with them."""
    found = NOBODY
    for number in random.permutation(len(run.query_parts)).tolist():
        part = run.query_parts[number]
        seen, liked = run.seen_and_liked(part.first_user, part.end_user)
        relevant = run.relevant(part.first_user, part.end_user)
        users = among(part, liked, relevant)
        missing = wanted - len(found)
        if len(users) > missing:
            users = np.sort(random.choice(users, missing, replace=False))
        found = Sample(
            np.concatenate([found.users, part.first_user + users]),
            concatenate([found.liked, liked.take(users)]),
            concatenate([found.seen, seen.take(users)]),
            concatenate([found.relevant, relevant.take(users)]),
        )
        if len(users) == missing:
            break
    return found
