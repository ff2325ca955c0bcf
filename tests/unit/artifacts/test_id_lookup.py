"""Ids are found in whatever order the feature index has them."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.artifacts.id_lookup import IdLookup, Ids, Ordinals


@given(st.lists(st.text(max_size=6), unique=True, max_size=40), st.text(max_size=6))
def test_every_id_is_found_and_no_other(ids: list[str], other: str) -> None:
    ids = [name.encode("utf-8", "ignore").decode() for name in ids]
    ids = list(dict.fromkeys(ids))
    for order in (ids, sorted(ids), sorted(ids, key=lambda name: (len(name.encode()), name))):
        lookup = IdLookup(pa.array(order, pa.string()))
        assert [lookup.find(name) for name in order] == list(range(len(order)))
        assert (lookup.find(other) is None) == (other not in order)


@pytest.mark.parametrize(
    ("ids", "permuted"),
    [
        ([str(n) for n in range(1, 2000)], False),  # as numbers
        (sorted(f"user {n}" for n in range(2000)), False),  # as texts
        ([f"user {n}" for n in range(2000, 0, -1)], True),
    ],
)
def test_only_ids_in_another_order_are_sorted(ids: list[str], permuted: bool) -> None:
    lookup = IdLookup(pa.array(ids, pa.string()))
    assert (lookup._order is not None) == permuted
    assert [lookup.find(name) for name in (ids[0], ids[777], ids[-1])] == [0, 777, len(ids) - 1]
    assert lookup.find("\ud800") is None
    assert lookup.find("") is None


def test_ids_and_ordinals_are_as_a_list_and_a_dictionary() -> None:
    names = ["b", "a", "10", "9"]
    ids = Ids(pa.array(names))
    ordinals = Ordinals(ids)
    assert (list(ids), ids[2], ids[1:3], len(ids)) == (names, "10", ["a", "10"], 4)
    assert dict(ordinals) == {name: at for at, name in enumerate(names)}
    assert (len(ordinals), ordinals.get("c"), "9" in ordinals, "c" in ordinals) == (4, None, True, False)
