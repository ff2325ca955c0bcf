"""The workflow's choice of λ and c: made when a model's vectors are exported, and stored next to them.

Users left out of training are the ones to choose on (`fmrec.live.evaluation.choose`). Where nobody was left
out, half of the trained users stand in for them, folded in from their histories and compared by what was
held out of those; the other half judges (`fmrec.live.evaluation_step`). Time is bounded: the more items, the
fewer users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.embedded_run import Run, open_run
from fmrec.artifacts.folding_in import DEFAULTS, Basis, FoldingIn, write_folding_in
from fmrec.artifacts.interactions import Interactions, concatenate
from fmrec.dataset.hashing import hashes, units
from fmrec.live.evaluation import MAXIMUM_USERS, choose_on
from fmrec.live.live_model import open_fold_in

MAXIMUM_SCORES = 50_000_000
"""Users × items of one trial; 24 of them then take about a minute in a function of 2 GiB."""
MINIMUM_USERS = 20
"""With fewer, a choice says more about them than about the model."""
HALF_SALT = 9

Ordinals = npt.NDArray[np.int64]
NOTHING = Interactions(np.zeros(1, np.int64), np.zeros(0, np.int32))


def choose_and_store(manifest_uri: str, embeddings_uri: str, *, seed: int = 0) -> FoldingIn:
    """Choose λ and c for a run that is encoded and embedded, and write folding_in.json.

    Raises
    ------
    FormatError
        A file is not as docs/contracts.md says.
    """
    found = choose_for(open_run(manifest_uri, embeddings_uri), seed=seed)
    write_folding_in(found, embeddings_uri)
    return found


def choose_for(run: Run, *, seed: int = 0) -> FoldingIn:
    """Choose λ and c; the defaults, and why, where there are too few users or too many items."""
    items = run.manifest.items
    wanted = min(MAXIMUM_USERS, MAXIMUM_SCORES // max(items, 1))
    if wanted < MINIMUM_USERS:
        return FoldingIn(why=f"there are {items:,} items: comparing lists over all of them takes too long")
    random = np.random.default_rng(seed)
    found = trained_users(run, wanted, random, choosing=True)
    if len(found) < MINIMUM_USERS:
        return FoldingIn(
            why=f"{len(found)} users have both a history and held-out interactions that they liked: expected "
            f"at least {MINIMUM_USERS} to choose on"
        )
    fold_in = open_fold_in(run, DEFAULTS)
    return choose_on(fold_in, found.liked, found.seen, found.relevant, Basis.TRAINED, random)


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


def trained_users(run: Run, wanted: int, random: np.random.Generator, *, choosing: bool) -> Sample:
    """Return some users of one half who have a history and held-out interactions that they liked.

    Query parts are read in a random order until there are enough users, so that time doesn't grow with them.
    """
    found = Sample(np.zeros(0, np.int64), NOTHING, NOTHING, NOTHING)
    for number in random.permutation(len(run.query_parts)).tolist():
        part = run.query_parts[number]
        liked, relevant = (read(part.first_user, part.end_user) for read in (run.liked, run.relevant))
        users = np.flatnonzero((relevant.counts() > 0) & (liked.counts() > 0))
        users = users[in_choosing_half(part.first_user + users) == choosing]
        missing = wanted - len(found)
        if len(users) > missing:
            users = np.sort(random.choice(users, missing, replace=False))
        seen = run.seen(part.first_user, part.end_user)
        found = Sample(
            np.concatenate([found.users, part.first_user + users]),
            concatenate([found.liked, liked.take(users)]),
            concatenate([found.seen, seen.take(users)]),
            concatenate([found.relevant, relevant.take(users)]),
        )
        if len(users) == missing:
            break
    return found
