"""Who may ask for which users: tokens as API Gateway hands them over, at every route that names users."""

from typing import Any

import pytest

from fmrec.errors import ForbiddenError
from fmrec.events.erasure import Eraser, kept
from fmrec.events.event_files import EventFiles
from fmrec.events.event_table import EventTable
from fmrec.live.api import erasure_routes, event_routes, routes
from fmrec.live.api.application import answer
from fmrec.live.api.callers import Callers
from tests.fixtures.api_calls import Api, Context, request
from tests.fixtures.small_runs import SmallRun

CALLERS = Callers("sub", "lists/any-user")


def event(**claims: str) -> dict[str, Any]:
    return {"requestContext": {"authorizer": {"jwt": {"claims": claims, "scopes": None}}}}


def test_a_token_speaks_for_its_own_user_alone() -> None:
    CALLERS.check(event(sub="ann"), ["ann"])
    CALLERS.check(event(sub="ann"), ["ann", "ann"])
    for asked in (["bob"], ["ann", "bob"], [""], ["Ann"]):
        with pytest.raises(ForbiddenError, match="is not the caller: the token's claim 'sub' has another id"):
            CALLERS.check(event(sub="ann"), asked)
    with pytest.raises(ForbiddenError, match="about many users"):
        CALLERS.check_all(event(sub="ann"))


@pytest.mark.parametrize("found", [event(), event(sub=""), {}, {"requestContext": {"authorizer": None}}])
def test_who_is_not_named_may_ask_for_nobody(found: dict[str, Any]) -> None:
    with pytest.raises(ForbiddenError, match="no claim 'sub'"):
        CALLERS.check(found, [""])
    with pytest.raises(ForbiddenError):
        CALLERS.check_all(found)


def test_a_scope_lets_ask_for_anybody() -> None:
    for claims in ({"scope": "openid lists/any-user"}, {"scp": "[lists/any-user openid]"}):
        CALLERS.check(event(**claims), ["ann", "bob"])
        CALLERS.check_all(event(**claims))
    for claims in ({"scope": "lists/any"}, {"sub": "lists/any-user"}):
        with pytest.raises(ForbiddenError):
            CALLERS.check(event(**claims), ["ann"])
    with pytest.raises(ForbiddenError):
        Callers("sub").check(event(scope="None lists/any-user"), ["ann"])


def test_without_a_claim_everybody_may_ask_for_everybody() -> None:
    Callers().check({}, ["ann"])
    Callers().check_all({})


def test_every_route_that_names_a_user_looks_at_the_token(
    small_run: SmallRun, dynamodb: Any, table: str, event_table: str
) -> None:
    events = EventTable(event_table, client=dynamodb)
    api = Api.over(small_run, table, dynamodb, events)
    reading = routes.build(api.champion, CALLERS)
    storing = event_routes.build(events, EventFiles.of({}), 90, CALLERS)
    eraser = Eraser(str(small_run.folder), table, events, "default")
    erasing = erasure_routes.build(eraser, kept(90, 30), CALLERS)
    item = small_run.item_ids[0]

    def status(app: Any, method: str, path: str, body: Any = None, **claims: str) -> int:
        asked = request(method, path, body)
        asked["requestContext"]["authorizer"] = event(**claims)["requestContext"]["authorizer"]
        return int(answer(app, asked, Context())["statusCode"])

    def posted(*users: str) -> dict[str, Any]:
        return {
            "events": [{"event_id": user, "user_id": user, "item_id": item, "value": 5} for user in users]
        }

    user = {"sub": "50%"}
    assert status(reading, "GET", "/users/50%25/recommendations", **user) == 200
    assert status(reading, "GET", "/users/ann/recommendations", **user) == 403
    assert status(reading, "POST", "/rank", {"item_ids": [item], "user_id": "50%"}, **user) == 200
    assert status(reading, "POST", "/rank", {"item_ids": [item], "user_id": "ann"}, **user) == 403
    assert status(reading, "POST", "/rank", {"item_ids": [item], "history": []}, **user) == 200
    assert status(reading, "POST", "/recommendations", {"history": []}, **user) == 200
    assert status(reading, "GET", f"/items/{item}/audience", **user) == 403
    assert status(reading, "GET", f"/items/{item}/audience", scope="lists/any-user") == 200
    assert status(reading, "GET", "/report", **user) == 403
    assert status(reading, "GET", "/report", scope="lists/any-user") == 404
    assert status(reading, "GET", "/model", **user) == 200
    assert status(storing, "POST", "/events", posted("50%"), **user) == 200
    assert status(storing, "POST", "/events", posted("50%", "ann"), **user) == 403
    assert not events.of("ann").events
    assert status(erasing, "DELETE", "/users/ann", **user) == 403
    assert status(erasing, "DELETE", "/users/50%25", **user) == 200
    assert not events.of("50%").events
