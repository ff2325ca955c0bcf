"""How many neighbours k-NN is asked for."""

import pytest

from fmrec.recommendations.neighbours import neighbours_to_ask


@pytest.mark.parametrize(
    ("users", "items", "train_rows", "k"),
    [
        (943, 1682, 90_570, 10 + 289),  # three mean histories of 96.04
        (1000, 50, 100_000, 50),  # never more than there are
        (1000, 10**6, 10**6, 1024),  # never more than k-NN is good for
        (0, 5, 0, 5),
    ],
)
def test_k_covers_n_and_most_histories_within_bounds(users: int, items: int, train_rows: int, k: int) -> None:
    assert neighbours_to_ask(train_rows=train_rows, users=users, items=items, per_user=10) == k


def test_k_is_n_where_seen_items_may_come_back() -> None:
    assert neighbours_to_ask(train_rows=90_570, users=943, items=1682, per_user=10, exclude_seen=False) == 10
