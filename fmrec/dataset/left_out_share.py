"""How many users are left out of training, so that lists for new users can be judged and λ and c be chosen.

Who it is says `fmrec.dataset.hashing.left_out`.
"""

from __future__ import annotations

MAXIMUM_SHARE = 0.5
MAXIMUM_USERS, MAXIMUM_SCORES = 20_000, 2_000_000_000
"""No more users than that, and users × items, are left out: they are folded in within minutes, and make means
exact enough."""


def share_left_out(wanted: float, users: int, items: int) -> float:
    """The share of the users who are left out, at most what is wanted."""
    most = min(MAXIMUM_USERS, MAXIMUM_SCORES / max(items, 1))
    return min(wanted, most / max(users, 1))
