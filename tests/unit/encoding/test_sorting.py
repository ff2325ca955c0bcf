"""Sorting whole arrays: the same order as comparing gives, whatever keys look like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.encoding.sorting import grouped, in_order, in_order_of_hashes, order_of_some

INT64 = st.integers(-(2**63), 2**63 - 1)
KEYS = st.one_of(
    st.lists(st.tuples(st.integers(0, 3), INT64), max_size=50),
    st.lists(st.tuples(st.integers(-70_000, 70_000), st.integers(0, 300)), max_size=50),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=50),
)


@given(KEYS)
def test_rows_are_sorted_by_all_keys_and_ties_stay_as_they_stand(rows: list[tuple[int, int]]) -> None:
    keys = np.array(rows, np.int64).reshape(-1, 2).T
    assert in_order(*keys).tolist() == sorted(range(len(rows)), key=lambda place: rows[place])


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-5, 5) | st.integers(0, 2).map(float)), max_size=50))
def test_rows_are_sorted_by_floats(rows: list[tuple[int, float]]) -> None:
    users, times = np.array([user for user, _ in rows], np.int64), np.array([time for _, time in rows])
    assert in_order(users, times).tolist() == sorted(range(len(rows)), key=lambda place: rows[place])


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(2**63, 2**63 + 9), max_size=50))
def test_hashes_are_sorted(hashes: list[int]) -> None:
    found = np.array(hashes, np.uint64)
    order = in_order_of_hashes(found)
    assert sorted(order.tolist()) == list(range(len(hashes)))
    assert found[order].tolist() == sorted(hashes)


@pytest.mark.parametrize("bits", [33, 64])
def test_many_hashes_with_the_same_first_bits_are_sorted(bits: int) -> None:
    random = np.random.default_rng(0)
    found = random.integers(0, 2**bits, 100_000, dtype=np.uint64, endpoint=bits < 64)
    found[::2] |= np.uint64(1 << bits - 1)
    found[::3] &= ~np.uint64((1 << bits - 9) - 4)
    assert (found[in_order_of_hashes(found)] == np.sort(found)).all()


def test_values_are_grouped_in_order() -> None:
    order, values, starts = grouped(np.array([3, 1, 3, 2, 1]))
    assert (order.tolist(), values.tolist(), starts.tolist()) == ([1, 4, 3, 0, 2], [1, 2, 3], [0, 2, 3, 5])
    order, values, starts = grouped(np.zeros(0, np.int64))
    assert (order.tolist(), values.tolist(), starts.tolist()) == ([], [], [0])


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=30))
def test_the_order_of_some_rows_is_theirs_in_the_order_of_all(rows: list[tuple[int, bool]]) -> None:
    keys, chosen = (
        np.array([key for key, _ in rows], np.int64),
        np.array([mine for _, mine in rows], np.bool_),
    )
    assert order_of_some(in_order(keys), chosen).tolist() == in_order(keys[chosen]).tolist()
