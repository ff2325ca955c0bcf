"""What events and training together say of a user, whatever order events come in."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fmrec.events.event import Event
from fmrec.live.user_history import NOTHING, EventWeights, Trained, merge_history

ORDINAL_OF = {f"i{n}": n for n in range(10)}
TRAINED = Trained(np.array([2, 5]), np.array([2, 5, 7]), user=3)


def event(
    number: int, item: str, at: float = 0, kind: str | None = None, value: float | None = None
) -> Event:
    return Event(f"e{number}", "u", item, at, kind, value)


def test_events_are_added_to_what_training_knows() -> None:
    found = merge_history(TRAINED, [event(1, "i9", 30), event(2, "i0", 20)], ORDINAL_OF)
    assert found.ordinals.tolist() == [0, 2, 5, 9]
    assert found.weights.tolist() == [1, 1, 1, 1]
    assert found.seen.tolist() == [0, 2, 5, 7, 9]
    assert found.known


def test_an_event_counts_once_by_its_id_and_an_item_once_by_its_largest_weight() -> None:
    weights = EventWeights(by_event={"view": 0.2, "purchase": 3})
    events = [
        event(1, "i1", 10, "view"),
        event(1, "i1", 11, "view"),
        event(2, "i1", 12, "purchase"),
        event(3, "i2", 13, "view"),
    ]
    found = merge_history(TRAINED, events, ORDINAL_OF, weights)
    assert dict(zip(found.ordinals.tolist(), found.weights.tolist(), strict=True)) == {1: 3, 2: 1, 5: 1}
    assert found.duplicates == 1


def test_what_is_below_the_threshold_or_of_a_kind_that_does_not_count_is_seen_but_not_liked() -> None:
    found = merge_history(
        NOTHING, [event(1, "i1", value=2), event(2, "i3", value=4)], ORDINAL_OF, EventWeights(threshold=4)
    )
    assert found.ordinals.tolist() == [3]
    assert found.seen.tolist() == [1, 3]
    found = merge_history(
        NOTHING, [event(1, "i1", kind="hover")], ORDINAL_OF, EventWeights(by_event={"buy": 1})
    )
    assert not len(found.ordinals)
    assert found.seen.tolist() == [1]


def test_items_that_the_model_does_not_know_are_named_once_and_add_nothing() -> None:
    events = [event(1, "new", 50), event(2, "i1", 20), event(3, "new", 60), event(4, "newer", 10)]
    found = merge_history(NOTHING, events, ORDINAL_OF)
    assert found.unknown_items == ("newer", "new")
    assert merge_history(TRAINED, [event(1, "new", 50)], ORDINAL_OF).adds_nothing
    assert not found.known


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9), st.integers(0, 5)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_repeated_late_and_shuffled_events_change_nothing(
    raw: list[tuple[int, int, int]], shuffled: random.Random
) -> None:
    first_of = {number: event(number, f"i{item}", at) for number, item, at in reversed(raw)}
    events = list(first_of.values())
    again = events + events
    shuffled.shuffle(again)
    once, twice = (merge_history(TRAINED, given_, ORDINAL_OF) for given_ in (events, again))
    assert once.ordinals.tolist() == twice.ordinals.tolist()
    assert once.seen.tolist() == twice.seen.tolist()
    assert twice.duplicates == len(events)
