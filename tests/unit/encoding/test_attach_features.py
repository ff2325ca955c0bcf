"""Rows get side features where they meet the lookup, and what train has not seen follows the policy."""

from collections.abc import Iterator

import numpy as np
import pytest

from fmrec.encoding.attach_features import AttachFeatures, attach_features
from fmrec.encoding.row_types import UNKNOWN, FeatureLookup, LabelledRows
from fmrec.encoding.shuffle.messages import Kind, Message
from fmrec.encoding.tally import ChannelTally, Tally
from fmrec.encoding.unknown_ids import POLICIES
from tests.unit.encoding.stage_rows import labelled, lists, sparse

LOOKUP = FeatureLookup(
    np.array([1, 2, 3]), np.array([True, False, True]), sparse([[(50, 0.5)], [(51, 1)], []])
)
ROWS = [(1, 9, 1, False), (2, 9, 1, False), (2, 8, 0, True), (3, 9, 1, False)]


@pytest.mark.parametrize(
    ("policy", "users", "features", "counts", "dropped"),
    [
        ("index", [1, 2, 2, 3], [[(7, 1), (50, 0.5)], [(51, 1)], [(51, 1)], []], ChannelTally(), {}),
        ("drop", [1, 3], [[(7, 1), (50, 0.5)], []], ChannelTally(-1, 0, -1), {"user met in test only": 1}),
        ("features-only", [1, UNKNOWN, UNKNOWN, 3], [[(7, 1), (50, 0.5)], [(51, 1)], [(51, 1)], []], ChannelTally(), {}),
    ],
)  # fmt: skip
def test_each_policy_for_unknown_ids_does_what_it_says(
    policy: str,
    users: list[int],
    features: list[list[tuple[int, float]]],
    counts: ChannelTally,
    dropped: dict[str, int],
) -> None:
    tally = Tally()
    rows = labelled(ROWS, [[(7, 1)], [], [], []])
    found = attach_features(rows, LOOKUP, "user", POLICIES[policy], "test", tally)
    assert found.user.tolist() == users
    assert lists(found.features) == features
    assert (tally.test, tally.train, tally.dropped_reasons) == (counts, ChannelTally(), dropped)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_train_has_seen_stays_as_it_is(policy: str) -> None:
    tally = Tally()
    rows = labelled([ROWS[0], ROWS[3]])
    found = attach_features(rows, LOOKUP, "user", POLICIES[policy], "train", tally)
    assert (found.user.tolist(), lists(found.features), tally) == ([1, 3], [[(50, 0.5)], []], Tally())


def test_items_are_looked_up_by_their_own_ids_and_dropped_for_their_own_reason() -> None:
    tally = Tally()
    found = attach_features(labelled([(9, 2, 1, False)]), LOOKUP, "item", POLICIES["drop"], "test", tally)
    assert len(found) == 0
    assert tally.dropped_reasons == {"item met in test only": 1}


def test_the_stage_joins_lookups_of_a_bucket_and_passes_reports_on() -> None:
    def route(rows: LabelledRows, kind: Kind) -> Iterator[Message]:
        yield Message(kind, 77, rows.to_bytes())

    stage = AttachFeatures("user", POLICIES["drop"], route)
    report = Message(Kind.STORED_PART, 0, b"{}")
    messages = [
        report,
        Message(Kind.LOOKUP, 4, LOOKUP.take(np.array([2])).to_bytes()),
        Message(Kind.LOOKUP, 4, LOOKUP.take(np.array([1, 0])).to_bytes()),
        Message(Kind.TRAIN, 4, labelled(ROWS[:1]).to_bytes()),
        Message(Kind.TEST, 4, labelled(ROWS).to_bytes()),
    ]
    first, train, test, last = stage(messages, 0)
    assert first == report
    assert [(message.kind, message.bucket) for message in (train, test)] == [
        (Kind.TRAIN, 77),
        (Kind.TEST, 77),
    ]
    assert LabelledRows.from_bytes(test.payload).user.tolist() == [1, 3]
    assert Tally.from_json(last.payload).test == ChannelTally(-1, 0, -1)
