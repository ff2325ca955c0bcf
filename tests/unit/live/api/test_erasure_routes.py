"""An erased user is nobody the API knows, whatever training knew, until new events come."""

import json
import time
from typing import Any

import pytest

from fmrec.events.erasure import Eraser, kept
from fmrec.events.event import Event
from fmrec.events.event_table import EventTable
from fmrec.live.api import erasure_routes
from fmrec.live.api.application import answer
from tests.fixtures.api_calls import Api, Context, library, request
from tests.fixtures.small_runs import SmallRun


@pytest.fixture
def events(dynamodb: Any, event_table: str) -> EventTable:
    return EventTable(event_table, client=dynamodb)


def test_an_erased_user_is_unknown_at_once_and_the_receipt_says_what_is_left(
    small_run: SmallRun, dynamodb: Any, table: str, events: EventTable
) -> None:
    run, user = small_run, small_run.user_ids[0]
    ids, path = run.item_ids, f"/users/{small_run.user_ids[0]}/recommendations"
    api = Api.over(run, table, dynamodb, events)
    events.put([Event("1", user, ids[5], time.time())], 7)
    assert api.ask("GET", path, query={"n": "2", "deny": ids[1]})[2]["source"] == "live"
    app = erasure_routes.build(Eraser(str(run.folder), table, events, "default"), kept(90, 30))
    found = answer(app, request("DELETE", f"/users/{user}"), Context())
    receipt = json.loads(found["body"])
    assert (found["statusCode"], receipt["user_id"]) == (200, user)
    assert receipt["removed"] == {"lists": 1, "events": 1}
    assert {"raw/", "models/, recommendations/, predictions/"} <= {
        each["where"] for each in receipt["pending"]
    }
    # Without a history, though training knew one; a list that a run publishes now is not served.
    Api.over(run, table, dynamodb, events)
    for query in ({"n": "2"}, {"n": "2", "deny": ids[1]}):
        assert api.ask("GET", path, query=query)[2]["source"] == "cold-start"
    assert api.ask("POST", "/rank", {"user_id": user, "item_ids": ids[:2]})[2]["source"] == "popular"
    # Late events from before don't count, new ones do.
    erased_at = events.of(user).erased_at
    assert erased_at is not None
    events.put([Event("2", user, ids[3], erased_at - 9), Event("3", user, ids[4], erased_at + 1)], 7)
    _, _, live = api.ask("GET", path, query={"n": "3"})
    expected = library(run).recommend([4], 3)
    assert [item["item_id"] for item in live["items"]] == [ids[at] for at in expected.items]


def test_ids_that_no_table_can_hold_are_refused(events: EventTable) -> None:
    app = erasure_routes.build(Eraser("", "", events, "default"), [])
    found = answer(app, request("DELETE", "/users/" + "é" * 600), Context())
    assert found["statusCode"] == 422
