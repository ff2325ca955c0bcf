"""How many neighbours k-NN is asked for. Nothing heavy is imported: planning uses it as well."""

from __future__ import annotations

import math

MAXIMUM_K = 1024
"""k-NN's k is good up to here (its tuning range)."""
HISTORIES = 3.0
"""Neighbours to ask for beyond N, in mean history lengths: about 95 % of users have a shorter history,
these lengths being about exponential; the others cost an exact ranking each."""


def neighbours_to_ask(
    *, train_rows: int, users: int, items: int, per_user: int, exclude_seen: bool = True
) -> int:
    """K for k-NN: what is published plus what will probably have to be left out."""
    if not exclude_seen:
        return min(per_user, items)
    history = train_rows / max(users, 1)
    return min(items, MAXIMUM_K, per_user + math.ceil(HISTORIES * history))
