"""Messages: rows packed by bucket, bounded, and the same after a way through Arrow; tallies that add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.artifacts.manifest import Dropped
from fmrec.encoding.row_types import IndexedRows
from fmrec.encoding.shuffle import messages as module
from fmrec.encoding.shuffle.buckets import Buckets
from fmrec.encoding.shuffle.messages import (
    Kind,
    Message,
    each_bucket,
    from_arrow,
    gathered,
    pack_rows,
    to_arrow,
)
from fmrec.encoding.tally import ChannelTally, Tally
from tests.unit.encoding.stage_rows import indexed


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 7))
def test_rows_are_packed_by_bucket_in_order_and_bounded(buckets: list[int], most: int) -> None:
    rows = indexed([(at, at, 1, 0) for at in range(len(buckets))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MESSAGE_ROWS", most)
        patch.setattr(module, "FLUSH_BYTES", 100)
        packed = list(pack_rows(Kind.ROWS, rows, np.array(buckets, np.int64)))
        again = list(from_arrow(to_arrow(packed)))
    found: dict[int, list[int]] = {}
    for bucket, arrived in each_bucket(again):
        assert bucket not in found
        pieces = [IndexedRows.from_bytes(message.payload).row.tolist() for message in arrived]
        assert max(map(len, pieces)) <= most
        found[bucket] = [row for piece in pieces for row in piece]
    expected = {
        bucket: [at for at, of in enumerate(buckets) if of == bucket] for bucket in sorted(set(buckets))
    }
    assert list(found.items()) == list(expected.items())


def test_small_batches_are_joined_and_none_are_lost() -> None:
    batches = [indexed([(at, at, 1, 0)] * size) for at, size in enumerate([2, 3, 0, 4, 1])]
    assert [len(batch) for batch in gathered(batches, 5)] == [5, 5]
    assert [len(batch) for batch in gathered(batches[:1], 5)] == [2]
    assert list(gathered(iter([]), 5)) == []


def test_lookups_come_before_rows_and_reports_of_tasks_before_both() -> None:
    assert sorted(Kind) == [
        Kind.TALLY, Kind.STORED_PART, Kind.SEEN_IDS, Kind.LOOKUP, Kind.ROWS, Kind.TRAIN, Kind.TEST, Kind.INDEX,
        Kind.SIDE_FEATURES,
    ]  # fmt: skip
    reports = {kind for kind in Kind if Message(kind, 0, b"").is_report}
    assert reports == {Kind.TALLY, Kind.STORED_PART, Kind.INDEX}


def test_buckets_hold_ranges_of_feature_ids() -> None:
    buckets = Buckets.even((10, 20), 3, 2)
    assert buckets.starts.tolist() == [10, 14, 17]
    assert buckets.of(np.array([10, 13, 14, 19, -1])).tolist() == [0, 0, 1, 2, 0]


def test_tallies_add_up_and_come_back_from_json() -> None:
    total = Tally()
    for _ in range(2):
        tally = Tally()
        tally.train.add(ChannelTally(5, 2, 3))
        tally.channel("test").encoded += 1
        tally.drop(Dropped.DUPLICATE, 4)
        tally.drop(Dropped.NOT_PICKED, 0)
        total.add(Tally.from_json(tally.to_json()))
    assert total == Tally(ChannelTally(10, 4, 6), ChannelTally(2), total.dropped)
    assert (total.train.records, total.dropped_reasons) == (20, {"duplicate of a later interaction": 8})
