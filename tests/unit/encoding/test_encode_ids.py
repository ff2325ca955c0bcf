"""Codes of texts become feature ids; rows of rare users and items are dropped and counted."""

import numpy as np

from fmrec.encoding.encode_ids import CodeLookup, EncodeIds, index_rows
from fmrec.encoding.row_numbers import RowNumbers
from fmrec.encoding.row_types import UNKNOWN, CodedRows, CodeTable, IndexedRows
from fmrec.encoding.shuffle.buckets import Buckets
from fmrec.encoding.shuffle.messages import Kind, Message
from fmrec.encoding.tally import Tally
from tests.unit.encoding.stage_rows import lists, sparse

NUMBERS = RowNumbers(np.array([0, 1000]), np.array([0, -990]))
"""Positions from 1000 on are rows from 10 on."""
TABLE = CodeTable(
    np.array([1, 0, 0, 2, 1, 0]),
    np.array([0, 0, 1, 1, 5, 5]),
    sparse([[(11, 1)], [(10, 1)], [(20, 1)], [(22, 1)], [(31, 0.5), (32, 0.5)], [(30, 1)]]),
)
"""Users 0 and 1 are 10 and 11, items 0 and 2 are 20 and 22; of namespace 5 code 1 stands for two features."""


def coded(rows: list[tuple[int, int, int]]) -> CodedRows:
    """Return rows of user, item and context codes; their value is their place."""
    codes = np.array(rows, np.int64).reshape(-1, 3)
    places = np.arange(len(rows), dtype=np.float64)
    return CodedRows(codes[:, 0], codes[:, 1], places, places, 1000 + np.arange(len(rows)), codes[:, 2:])


def test_codes_become_feature_ids_and_what_has_none_is_dropped_and_counted() -> None:
    tally = Tally()
    rows = coded([(0, 0, 1), (1, 2, 0), (2, 0, 0), (0, 1, 0), (9, 9, 0), (1, 0, UNKNOWN), (1, 0, 7)])
    found = index_rows(rows, CodeLookup([TABLE]), [5], NUMBERS, tally)
    assert found.user.tolist() == [10, 11, 11, 11]
    assert found.item.tolist() == [20, 22, 20, 20]
    assert found.row.tolist() == [10, 11, 15, 16]
    assert found.value.tolist() == [0, 1, 5, 6]
    assert lists(found.context) == [[(31, 0.5), (32, 0.5)], [(30, 1)], [], []]
    assert tally.dropped_reasons == {"item below the minimum": 1, "user below the minimum": 2}


def test_a_namespace_without_any_feature_id_brings_none() -> None:
    lookup = CodeLookup([TABLE])
    assert lookup.feature_ids(3, np.array([0, 1])).tolist() == [UNKNOWN, UNKNOWN]
    assert lists(lookup.entries(3, np.array([0, 1]))) == [[], []]


def test_the_stage_sends_rows_to_their_users_buckets_and_ends_with_its_tally() -> None:
    stage = EncodeIds([5], NUMBERS, Buckets(np.array([10, 11]), 2))
    rows = coded([(1, 0, 0), (0, 2, 0), (1, 2, 1), (5, 0, 0)])
    table, other = TABLE.take(np.arange(3)), TABLE.take(np.arange(3, 6))
    messages = [
        Message(Kind.LOOKUP, 3, table.to_bytes()),
        Message(Kind.LOOKUP, 3, other.to_bytes()),
        Message(Kind.ROWS, 3, rows.to_bytes()),
        Message(Kind.LOOKUP, 8, TABLE.to_bytes()),
        Message(Kind.ROWS, 8, rows.to_bytes()),
    ]
    *found, last = stage(messages, 0)
    assert [(message.kind, message.bucket) for message in found] == [(Kind.ROWS, 0), (Kind.ROWS, 1)]
    users = [IndexedRows.from_bytes(message.payload).user.tolist() for message in found]
    assert users == [[10, 10], [11] * 4]
    assert Tally.from_json(last.payload).dropped == {"user below the minimum": 2}
