from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.artifacts.interactions import from_pairs
from fmrec.errors import InputError

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=40)


@given(pairs)
def test_rows_hold_each_pair_once_in_order(given_pairs: Any) -> None:
    users, items = (np.array([pair[n] for pair in given_pairs], int) for n in (0, 1))
    rows = from_pairs(users, items, 7)
    for user in range(7):
        assert rows.of(user).tolist() == sorted({i for u, i in given_pairs if u == user})
    assert rows.counts().tolist() == [len({i for u, i in given_pairs if u == n}) for n in range(7)]


@given(pairs, st.lists(st.integers(0, 6), max_size=12))
def test_taken_rows_are_the_rows_in_the_order_asked(given_pairs: Any, wanted: Any) -> None:
    rows = from_pairs(
        np.array([u for u, _ in given_pairs], int), np.array([i for _, i in given_pairs], int), 7
    )
    taken = rows.take(np.array(wanted, int))
    assert [taken.of(n).tolist() for n in range(len(wanted))] == [rows.of(u).tolist() for u in wanted]


@given(pairs)
def test_containment_is_exact(given_pairs: Any) -> None:
    rows = from_pairs(
        np.array([u for u, _ in given_pairs], int), np.array([i for _, i in given_pairs], int), 7
    )
    found = rows.contains(np.arange(7)[:, None], np.arange(-1, 12)[None, :])
    assert found.tolist() == [[(u, i) in given_pairs for i in range(-1, 12)] for u in range(7)]


def test_pairs_out_of_range_are_refused() -> None:
    for users, items in (([7], [0]), ([-1], [0]), ([0], [-1])):
        with pytest.raises(InputError, match="users from 0 below 7 and items from 0"):
            from_pairs(np.array(users), np.array(items), 7)
    with pytest.raises(InputError, match="2 users and 1 items"):
        from_pairs(np.array([0, 1]), np.array([0]), 7)
