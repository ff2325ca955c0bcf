"""What the table knows of a user: each event once, at once, until the user is erased."""

import time
from typing import Any

import pytest

from fmrec.events.event import Event
from fmrec.events.event_table import EventTable, StoredEvents, to_event, to_item


@pytest.fixture
def table(dynamodb: Any, event_table: str) -> EventTable:
    return EventTable(event_table, client=dynamodb)


def test_an_event_counts_once_by_its_id_and_user_and_what_came_first_stays(table: EventTable) -> None:
    first, other = Event("e", "u", "1", 5.0, "view", 0.1), Event("e", "u", "2", 6.0)
    assert table.put([first], 7) == [True]
    assert table.put([other, Event("e", "v", "2", 6.0), Event("f", "u", "2", 6.5)], 7) == [False, True, True]
    assert table.of("u") == StoredEvents((first, Event("f", "u", "2", 6.5)))
    assert table.of("nobody") == StoredEvents()


def test_the_table_forgets_events_when_they_are_old(table: EventTable, dynamodb: Any) -> None:
    table.put([Event("e", "u", "1", 5.0)], keep_days=7)
    (item,) = dynamodb.scan(TableName=table.table)["Items"]
    assert int(item["expires"]["N"]) == pytest.approx(time.time() + 7 * 86_400, abs=60)


def test_erasing_deletes_events_and_is_remembered_as_later_than_all_of_them(table: EventTable) -> None:
    ahead = time.time() + 200
    table.put([Event(str(n), "u", "1", ahead) for n in range(30)], 7)
    table.put([Event("e", "v", "1", ahead)], 7)
    at, removed = table.erase("u")
    assert removed == 30
    assert at > ahead
    found = table.of("u")
    assert found.events == ()
    assert found.erased_at == pytest.approx(at, abs=1e-3)
    assert len(table.of("v").events) == 1
    assert table.erase("u")[1] == 0


@pytest.mark.parametrize("user", ["42", "*x", "/y", "a/b"])
@pytest.mark.parametrize("dataset", ["default", "books"])
def test_keys_are_the_recommendations_tables(user: str, dataset: str) -> None:
    event = Event("e#1", user, "i", 12.345, "view", 1e-300)
    assert to_event(to_item(event, dataset)) == event
