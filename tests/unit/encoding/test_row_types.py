"""Rows as sets of arrays: taken, cut, joined and packed as lists are."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.encoding.row_types import CodedRows, CodeTable, FeatureLookup, IndexedRows, LabelledRows
from tests.unit.encoding.stage_rows import indexed, labelled, lists, sparse

entries = st.lists(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1, width=32)), max_size=3), max_size=8)


@settings(deadline=None)
@given(entries, st.data())
def test_sparse_rows_are_taken_joined_and_sorted_as_lists_are(
    found: list[list[tuple[int, float]]], data: Any
) -> None:
    places = data.draw(st.lists(st.integers(0, len(found) - 1), max_size=8)) if found else []
    assert lists(sparse(found).take(np.array(places, np.int64))) == [found[at] for at in places]
    assert lists(sparse(found).hstack(sparse(found[::-1]))) == [
        left + right for left, right in zip(found, found[::-1], strict=True)
    ]
    assert [sorted(row, key=lambda entry: entry[0]) for row in found] == lists(sparse(found).sorted())
    own = np.array([row[0][0] if row else 0 for row in found], np.int64)
    assert lists(sparse(found).without(own)) == [
        [entry for entry in row if entry[0] != key] for row, key in zip(found, own, strict=True)
    ]


@settings(deadline=None)
@given(entries, st.integers(1, 5))
def test_rows_come_back_from_bytes_and_pieces(found: list[list[tuple[int, float]]], step: int) -> None:
    rows = labelled([(at, at % 3, at % 2, at % 2 == 0) for at in range(len(found))], found)
    again = LabelledRows.from_bytes(rows.to_bytes())
    joined = LabelledRows.concatenate([LabelledRows.empty(), *again.cut(step)])
    assert [len(piece) for piece in rows.cut(step)][:-1] == [step] * ((len(found) - 1) // step)
    for name in ("user", "item", "label", "is_negative", "sort_key"):
        assert getattr(joined, name).dtype == getattr(rows, name).dtype
        assert getattr(joined, name).tolist() == getattr(rows, name).tolist()
    assert lists(joined.features) == found


def test_each_type_of_row_comes_back_from_bytes() -> None:
    coded = CodedRows(*(np.arange(3),) * 2, *(np.arange(3) / 2,) * 2, np.arange(3), np.array([[1, -1]] * 3))
    assert CodedRows.from_bytes(coded.to_bytes()).context.tolist() == [[1, -1]] * 3
    bare = coded.with_(context=np.zeros((3, 0), np.int64))
    assert CodedRows.from_bytes(bare.to_bytes()).context.shape == (3, 0)
    assert IndexedRows.from_bytes(indexed([(1, 2, 3, 4)]).to_bytes()).time.tolist() == [4.0]
    table = CodeTable(np.array([0, 1]), np.array([1, 1]), sparse([[(5, 1)], []]))
    assert lists(CodeTable.from_bytes(table.to_bytes()).entries) == [[(5, 1)], []]
    lookup = FeatureLookup(np.array([9, 4]), np.array([True, False]), sparse([[], [(7, 0.5)]]))
    again = FeatureLookup.from_bytes(lookup.to_bytes()).sorted()
    assert (again.feature_id.tolist(), again.known.tolist()) == ([4, 9], [False, True])


def test_a_lookup_says_of_each_id_whether_it_is_known_and_what_it_brings() -> None:
    lookup = FeatureLookup(np.array([4, 9]), np.array([False, True]), sparse([[(7, 0.5)], []]))
    known, features = lookup.find(np.array([9, 4, 4]))
    assert known.tolist() == [True, False, False]
    assert lists(features) == [[], [(7, 0.5)], [(7, 0.5)]]
