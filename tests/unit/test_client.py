"""The API's client against a server that keeps what it was asked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest

from fmrec.client import Client, Event, Interaction, LikelyUser, Pending, Stored
from fmrec.errors import ForbiddenError, InputError, NotFoundError, ServiceError, ThrottledError
from tests.fixtures.serving import Serving

LIST = {
    "source": "live",
    "items": [
        {"item_id": "7", "score": 1.5, "rank": 1, "because": [{"item_id": "2", "contribution": 0.5}]},
        {"item_id": "8", "score": 1.25, "rank": 2},
    ],
    "model_version": "3",
    "run": "r-1",
    "ignored_items": ["x"],
}


@dataclass
class Server:
    url: str = ""
    status: int = 200
    text: str = json.dumps(LIST)
    asked: list[tuple[str, str, Any, str]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            document = json.loads(body) if body else None
            state.asked.append((self.command, self.path, document, self.headers["Authorization"]))
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(state.text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening, Serving(listening):
        state.url = f"http://127.0.0.1:{listening.server_port}/stage"
        yield state


@pytest.fixture
def client(server: Server) -> Client:
    session = botocore.session.Session()
    session.set_credentials("AKID", "secret")
    return Client(server.url, region="eu-west-1", session=session)


def test_a_history_is_posted_signed_and_its_list_comes_typed(server: Server, client: Client) -> None:
    found = client.recommend(["2", Interaction("3", value=4.5)], n=2, because=1)
    ((method, path, body, signature),) = server.asked
    assert (method, path) == ("POST", "/stage/recommendations")
    assert body["history"] == [{"item_id": "2"}, {"item_id": "3", "value": 4.5}]
    assert (body["n"], body["because"], body["allow"]) == (2, 1, None)
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/eu-west-1/execute-api/aws4_request" in signature
    assert (found.source, found.ignored_items) == ("live", ("x",))
    assert [(item.item_id, item.rank) for item in found.items] == [("7", 1), ("8", 2)]
    assert [reason.contribution for reason in found.items[0].because] == [0.5]


def test_ids_and_settings_are_quoted_into_the_address(server: Server, client: Client) -> None:
    client.recommendations("a b/c", n=3, deny=["1", "2"])
    client.similar("é")
    client.popular(allow=[])
    client.rank(["1"], user_id="u")
    client.popular(where={"genre": ["a,b", "c:d"]}, where_not={"genre": ["e"]}, maximum_per={"genre": 2})
    client.recommend([], where={"genre": ["a,b"]}, maximum_per={"genre": 2})
    paths = [path for _, path, _, _ in server.asked]
    assert paths[0] == "/stage/users/a%20b%2Fc/recommendations?n=3&deny=1%2C2&diversity=0.0&because=0"
    assert paths[1:4] == ["/stage/items/%C3%A9/similar?n=10", "/stage/popular?n=10&allow=", "/stage/rank"]
    assert parse_qs(urlsplit(paths[4]).query) == {
        "n": ["10"],
        "where": ["genre:a\\,b,genre:c:d"],
        "where_not": ["genre:e"],
        "maximum_per": ["genre:2"],
    }
    body = server.asked[5][2]
    assert (body["where"], body["maximum_per"]) == ({"genre": ["a,b"]}, {"genre": 2})
    assert server.asked[3][2] == {"item_ids": ["1"], "user_id": "u"}


def test_a_token_is_sent_in_place_of_a_signature_and_asked_for_each_time(server: Server) -> None:
    Client(server.url, token="abc").popular()
    tokens = iter(["first", "second"])
    client = Client(server.url, token=lambda: next(tokens))
    client.popular()
    client.recommendations("ann")
    assert [sent for *_, sent in server.asked] == ["Bearer abc", "Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (422, InputError),
        (429, ThrottledError),
        (503, ServiceError),
    ],
)
def test_problems_are_raised_with_their_sentence(
    server: Server, client: Client, status: int, kind: type[Exception]
) -> None:
    server.status, server.text = status, json.dumps({"detail": "what to do"})
    with pytest.raises(kind, match=f"answered {status}: what to do"):
        client.popular()


def test_what_is_no_api_is_said(server: Server, client: Client) -> None:
    server.text = "<html>"
    with pytest.raises(ServiceError, match="not JSON"):
        client.popular()
    with pytest.raises(InputError, match="expected https://"):
        Client("elsewhere", region="eu-west-1")
    nowhere = Client("http://127.0.0.1:9", region="eu-west-1", session=client._session)
    with pytest.raises(ServiceError, match="can't be asked"):
        nowhere.popular()


def test_events_are_posted_without_what_they_do_not_say(server: Server, client: Client) -> None:
    server.text = json.dumps({"stored": 1, "duplicates": 1})
    assert client.store(
        [Event("1", "ann", "7", value=4.5), Event("1", "ann", "7", "2026-01-01T00:00:00Z")]
    ) == (Stored(1, 1))
    ((method, path, body, _),) = server.asked
    assert (method, path) == ("POST", "/stage/events")
    assert body == {
        "events": [
            {"event_id": "1", "user_id": "ann", "item_id": "7", "value": 4.5},
            {"event_id": "1", "user_id": "ann", "item_id": "7", "at": "2026-01-01T00:00:00Z"},
        ]
    }


def test_erasing_gives_a_typed_receipt(server: Server, client: Client) -> None:
    pending = {"where": "w", "what": "x", "ends": "y"}
    removed = {"lists": 1, "events": 2}
    server.text = json.dumps(
        {"user_id": "a/b", "erased_at": "2026-01-01T00:00:00Z", "removed": removed, "pending": [pending]}
    )
    receipt = client.erase("a b")
    assert (receipt.removed, receipt.pending) == (removed, (Pending("w", "x", "y"),))
    assert server.asked[0][:3] == ("DELETE", "/stage/users/a%20b", None)


def test_an_audience_is_users_with_scores(server: Server, client: Client) -> None:
    server.text = json.dumps({"item_id": "7", "users": [{"user_id": "u", "score": 0.5, "rank": 1}]})
    assert client.audience("7", n=3) == (LikelyUser("u", 0.5, 1),)
    assert server.asked[0][:2] == ("GET", "/stage/items/7/audience?n=3")
