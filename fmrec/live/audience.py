"""Which trained users are likely to want an item: one pass over all users' vectors, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from fmrec.artifacts import layout
from fmrec.artifacts.embedded_run import Run
from fmrec.errors import InputError
from fmrec.live.answers import audience
from fmrec.live.live_model import LiveModel

MAXIMUM_USERS = 1_000_000
"""More than that can't be read while a request waits; 64 factors of a million users are 260 MB."""
SPARE = 20
"""Users who are looked at in addition to those that are asked for, since some may be erased."""

Names = Callable[[Sequence[int]], list[str]]
"""Users' ids by ordinal."""
Erased = Callable[[Sequence[str]], Collection[str]]
"""Those of some users who are erased since the model's interactions were read."""


def likely_users(
    model: LiveModel, run: Run, item_id: str, count: int, names: Names, erased: Erased
) -> list[tuple[str, float]]:
    """Users who have not interacted with the item in training, and their scores, best first.

    Raises
    ------
    NotFoundError
        The model doesn't know the item.
    InputError
        There are more users than `MAXIMUM_USERS`.
    """
    item = model.ordinal(item_id)
    if run.manifest.users > MAXIMUM_USERS:
        raise InputError(
            f"the model has {run.manifest.users} users: an audience is found among up to {MAXIMUM_USERS}; for more "
            f"users read {layout.RECOMMENDATIONS} with Amazon Athena or the like"
        )
    wanted = count + SPARE
    while True:
        best = _best(model, run, item_id, item, wanted)
        ids = names([user for user, _ in best])
        gone = erased(ids)
        left = [(name, score) for name, (_, score) in zip(ids, best, strict=True) if name not in gone]
        if len(left) >= count or len(best) < wanted:
            return left[:count]
        wanted *= 4


def _best(model: LiveModel, run: Run, item_id: str, item: int, count: int) -> list[tuple[int, float]]:
    best: list[tuple[int, float]] = []
    for part in run.query_parts:
        seen = run.seen(part.first_user, part.end_user)
        seen_by = np.zeros(part.rows, np.bool_)
        seen_by[np.repeat(np.arange(part.rows), seen.counts())[seen.items == item]] = True
        found = audience(model, item_id, run.query_vectors(part), run.offsets(part), seen_by, count)
        best += [(part.first_user + user, score) for user, score in found]
        best = sorted(best, key=lambda each: (-each[1], each[0]))[:count]
    return best
