"""Storing events over HTTP, and the lists that they change at once."""

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmrec.events.event import Event
from fmrec.events.event_files import EventFiles
from fmrec.events.event_table import EventTable
from fmrec.live.api import event_routes
from fmrec.live.api.application import answer
from fmrec.registry import champion as records
from tests.fixtures.api_calls import Api, Context, library, request
from tests.fixtures.small_runs import SmallRun

DOCUMENT = {"interactions": {"path": "a/", "columns": {"user": "u", "item": "i", "timestamp": "t"}}}


class Store:
    """POST /events over a table of events."""

    def __init__(self, table: EventTable) -> None:
        self.app = event_routes.build(table, EventFiles.of(DOCUMENT), 90)

    def post(self, body: Any) -> tuple[int, Any]:
        found = answer(self.app, request("POST", "/events", body), Context())
        return found["statusCode"], json.loads(found["body"])


@pytest.fixture
def events(dynamodb: Any, event_table: str) -> EventTable:
    return EventTable(event_table, client=dynamodb)


@pytest.fixture
def store(events: EventTable) -> Store:
    return Store(events)


@pytest.fixture
def api(small_run: SmallRun, dynamodb: Any, table: str, events: EventTable) -> Api:
    return Api.over(small_run, table, dynamodb, events)


def posted(event_id: str, user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": user, "item_id": item} | more


def test_events_of_a_new_user_give_the_librarys_list_at_once(
    api: Api, store: Store, small_run: SmallRun
) -> None:
    ids = small_run.item_ids
    path = "/users/someone new/recommendations"
    assert api.ask("GET", path, query={"n": "2"})[2]["source"] == "cold-start"
    batch = {"events": [posted(str(at), "someone new", ids[at]) for at in (0, 2)]}
    assert store.post(batch) == (200, {"stored": 2, "duplicates": 0})
    assert store.post(batch) == (200, {"stored": 0, "duplicates": 2})
    assert store.post(posted("x", "someone new", "unheard-of"))[1] == {"stored": 1, "duplicates": 0}
    _, _, found = api.ask("GET", path, query={"n": "2", "because": "1"})
    expected = library(small_run).recommend([0, 2], 2)
    assert (found["source"], found["ignored_items"]) == ("live", ["unheard-of"])
    assert [item["item_id"] for item in found["items"]] == [ids[at] for at in expected.items]
    assert {item["item_id"] for item in found["items"]} & {ids[0], ids[2]} == set()
    body = {"user_id": "someone new", "item_ids": [ids[1]]}
    assert api.ask("POST", "/rank", body)[2]["source"] == "live"


def test_a_known_users_published_list_is_served_until_an_event_says_something_new(
    api: Api, store: Store, small_run: SmallRun
) -> None:
    run, user = small_run, small_run.user_ids[0]
    path, ids = f"/users/{user}/recommendations", small_run.item_ids
    store.post(posted("1", user, ids[0]))  # which training knows as liked
    assert api.ask("GET", path, query={"n": "2"})[2]["source"] == "batch"
    store.post(posted("unheard", user, "unheard-of"))
    _, _, batch = api.ask("GET", path, query={"n": "2"})
    assert (batch["source"], batch["ignored_items"]) == ("batch", ["unheard-of"])
    # All but the item 5 are seen. The event is late, and all the same the list doesn't know it.
    assert not {5} & set(run.seen.of(0).tolist())
    store.post(posted("2", user, ids[5], at="2020-01-01T00:00:00Z"))
    _, _, live = api.ask("GET", path, query={"n": "2"})
    assert (live["source"], live["items"]) == ("live", [])
    _, _, live = api.ask("GET", path, query={"n": "12", "include_seen": "true"})
    expected = library(run).recommend([0, 2, 4, 5, 6, 8, 10], 12, seen=[])
    assert [item["item_id"] for item in live["items"]] == [ids[at] for at in expected.items]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"events": []}, 422, "body.events: List should have at least 1 item"),
        ({"events": [{}]}, 422, "body.events.0.event_id: Field required"),
        (
            {"events": [posted("1", "u", "i"), posted("2", "u", "7") | {"item_id": 7}]},
            422,
            "body.events.1.item_id: ",
        ),
        (
            {"events": [posted("1", "u", "i"), posted("2", "u", "a\nb")]},
            422,
            "body.events.1.item_id has a control",
        ),
        ([], 422, "body"),
        (posted("1", "u", "i", value=3), 422, "body.events.0.value is not known in this data set"),
        (posted("1", "u", "i", value="NaN"), 422, "body.events.0.value"),
        (posted("1", "u", "i", at="2026-01-01T00:00:00"), 422, "timezone"),
        (posted("1", "u", "i", at="2099-01-01T00:00:00Z"), 422, "body.events.0.at is in the future"),
        (posted("1", "u", "i", at="1950-01-01T00:00:00Z"), 422, "body.events.0.at is not between"),
        (posted("1", "\ud800", "i"), 422, "body.events.0.user_id"),
        (posted("1", "u", "i", wish=1), 422, "wish"),
        ({"events": [posted(str(n), "u", "i") for n in range(10_000)]}, 422, "at most 1000 items"),
        ({"events": [posted("x" * 2000, "u", "i" * 100)] * 600}, 413, "send it in parts"),
        ("{", 400, "not JSON"),
    ],
)
def test_bad_events_are_refused_with_their_place_and_none_of_them_is_stored(
    store: Store, events: EventTable, body: Any, status: int, sentence: str
) -> None:
    found, problem = store.post(body)
    assert (found, problem["status"]) == (status, status)
    assert sentence in problem["detail"]
    assert events.of("u").events == ()


def test_a_table_that_fails_is_unavailable(dynamodb: Any) -> None:
    status, problem = Store(EventTable("nowhere", client=dynamodb)).post(posted("1", "u", "i"))
    assert (status, problem["title"]) == (503, "Service Unavailable")


def test_times_are_kept_to_the_millisecond_and_are_now_by_default(store: Store, events: EventTable) -> None:
    before = datetime.datetime.now(datetime.UTC).timestamp()
    store.post(
        {"events": [posted("1", "u", "i"), posted("2", "u", "i", at="2026-01-01T01:00:00.1234+01:00")]}
    )
    now, then = events.of("u").events
    assert now.at >= before - 0.001
    assert then.at == datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp() + 0.123


def test_the_document_says_one_event_or_several() -> None:
    document = json.loads((Path(__file__).resolve().parents[4] / "docs" / "openapi.json").read_text())
    several, one = document["components"]["schemas"]["EventsRequest"]["anyOf"]
    assert several["properties"]["events"]["maxItems"] == 1000
    assert one == {"$ref": "#/components/schemas/PostedEvent"}


def test_an_audience_is_the_trained_users_with_the_best_scores_who_have_not_seen_the_item(
    api: Api, events: EventTable, small_run: SmallRun
) -> None:
    run, item = small_run, 5
    scores = audience_scores(run, item)
    unseen = [user for user in np.argsort(-scores, kind="stable") if item not in run.seen.of(int(user))]
    _, _, found = api.ask("GET", f"/items/{run.item_ids[item]}/audience", query={"n": "6"})
    assert [user["user_id"] for user in found["users"]] == [run.user_ids[user] for user in unseen[:6]]
    assert [user["score"] for user in found["users"]] == pytest.approx(
        [scores[user] for user in unseen[:6]], abs=1e-5
    )
    events.erase(run.user_ids[unseen[1]])
    _, _, found = api.ask("GET", f"/items/{run.item_ids[item]}/audience", query={"n": "500"})
    left = [run.user_ids[user] for at, user in enumerate(unseen) if at != 1]
    assert [user["user_id"] for user in found["users"]] == left
    assert api.ask("GET", "/items/unheard-of/audience")[0] == 404


def test_who_is_erased_is_said_of_the_model_that_answers_also_when_another_serves_meanwhile(
    api: Api, events: EventTable, small_run: SmallRun
) -> None:
    model, (user, other) = api.champion.model(), small_run.user_ids[:2]
    events.erase(user)
    Path(records.place(str(small_run.folder))).unlink()
    api.now += 31
    assert api.champion.erased(model, [user, other]) == {user}


def audience_scores(run: SmallRun, item: int) -> Any:
    vector, weight = run.item_vectors[item, :-1], run.item_vectors[item, -1]
    return run.user_vectors[:, :-1] @ vector + weight + run.offsets


@pytest.mark.parametrize("user", ["\N{GRINNING FACE}", '"', "50%25", "a b", "é?#&", "*x", "{user_id}"])
def test_ids_of_any_characters_reach_the_routes(api: Api, events: EventTable, user: str) -> None:
    """API Gateway decodes all but the percent sign itself."""
    events.put([Event("1", user.replace("%25", "%"), api.champion.model().live.item_ids[3], 5.0)], 7)
    assert api.ask("GET", f"/users/{user}/recommendations", query={"n": "2"})[2]["source"] == "live"
