"""The page's server: who may ask it, and for what."""

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fmrec.client import Client
from fmrec.errors import ForbiddenError, InputError, NotFoundError, ServiceError, ThrottledError
from fmrec.explore.page_files import STATIC
from fmrec.explore.routes import Routes
from fmrec.explore.server import LARGEST_BODY, TOKEN_HEADER, Server
from fmrec.live.item_names import ItemNames, Named


class Api(Client):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.error: Exception | None = None

    def ask(self, method: str, target: str, body: Any = None) -> dict[str, Any]:
        self.asked.append((method, target, body))
        if self.error is not None:
            raise self.error
        return {"items": []}


@dataclass
class Page:
    server: Server
    api: Api

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask as the page does; headers named here are added or, if None, left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        given = {TOKEN_HEADER: self.server.token, "Host": f"127.0.0.1:{self.server.server_port}"}
        given |= (
            {} if body is None else {"Content-Type": "application/json", "Content-Length": str(len(body))}
        )
        for name, value in headers.items():
            given[name.replace("_", "-")] = value  # type: ignore[assignment]
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        found = response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        connection.close()
        return found


@pytest.fixture
def page() -> Iterator[Page]:
    api = Api()
    names = ItemNames({"7": Named("Fargo", "1996")})
    with Server(Routes(api, names)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield Page(server, api)
        server.shutdown()
        thread.join()


def detail(text: bytes) -> str:
    return str(json.loads(text)["detail"])


def test_the_pages_files_are_served_with_a_policy_that_forbids_everything_else(page: Page) -> None:
    for path, (_, kind) in STATIC.items():
        status, headers, text = page.ask("GET", path, X_Explore_Token=None)
        assert (status, headers["content-type"]) == (200, kind), path
        assert text
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "access-control-allow-origin" not in headers
        assert b"//" not in text.replace(b"http://www.w3.org/2000/svg", b"").replace(b"// ", b""), path


def test_data_needs_the_token_that_is_behind_the_hash_of_the_address(page: Page) -> None:
    assert page.server.url == f"http://127.0.0.1:{page.server.server_port}/#{page.server.token}"
    for token in (None, "", "x" * 32, "é"):
        status, _, text = page.ask("GET", "/api/popular?n=3", X_Explore_Token=token)
        assert status == 401
        assert "open the address" in detail(text)
    assert page.ask("POST", "/api/items/names", b'{"item_ids": []}', X_Explore_Token=None)[0] == 401
    assert page.api.asked == []
    assert page.ask("GET", "/api/popular?n=3")[0] == 200
    assert page.api.asked == [("GET", "/popular?n=3", None)]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": None}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_another_page_reaches_nothing_even_with_the_token(
    page: Page, headers: dict[str, str | None], status: int
) -> None:
    assert page.ask("GET", "/api/popular", None, **headers)[0] == status
    assert page.ask("GET", "/", None, **headers)[0] == status
    assert page.ask("POST", "/api/recommendations", b"{}", **headers)[0] == status
    assert page.api.asked == []


def test_its_own_page_may_ask_by_either_name(page: Page) -> None:
    port = page.server.server_port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
        assert page.ask("POST", "/api/recommendations", b'{"history": []}', **headers)[0] == 200
    assert page.api.asked == [("POST", "/recommendations", {"history": []})] * 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/api/users/ann", None),
        ("POST", "/api/events", b"{}"),
        ("GET", "/api/users/a/b/recommendations", None),
        ("GET", "/api/", None),
        ("GET", "/../../etc/passwd", None),
        ("GET", "/server.py", None),
        ("POST", "/api/popular", b"{}"),
    ],
)
def test_what_the_page_has_no_need_of_is_not_asked_for(
    page: Page, method: str, path: str, body: bytes | None
) -> None:
    assert page.ask(method, path, body)[0] in (404, 501)
    assert page.api.asked == []


def test_events_are_handed_on_only_where_that_was_asked_for(page: Page) -> None:
    page.server.routes = replace(page.server.routes, store_clicks=True)
    assert page.ask("POST", "/api/events", b'{"event_id": "1"}')[0] == 200
    assert page.api.asked == [("POST", "/events", {"event_id": "1"})]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 422),
        (b"{}", {"Content_Type": "text/plain"}, 415),
        (b"{}", {"Content_Length": "-1"}, 411),
        (b"{}", {"Content_Length": None}, 411),
        (b"", {"Content_Length": str(LARGEST_BODY + 1)}, 413),
        (b'{"item_ids": 7}', {}, 422),
        (b"[" * 100_000, {}, 422),
    ],
)
def test_bodies_that_are_none_are_refused(
    page: Page, body: bytes, headers: dict[str, str | None], status: int
) -> None:
    assert page.ask("POST", "/api/items/names", body, **headers)[0] == status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("no item 7"), 404),
        (ForbiddenError("not this user"), 403),
        (InputError("n is 0"), 422),
        (ThrottledError("slowly"), 429),
        (ServiceError("gone"), 502),
        (ValueError("credentials"), 500),
    ],
)
def test_errors_of_the_api_come_as_problem_documents_with_their_sentence(
    page: Page, error: Exception, status: int
) -> None:
    page.api.error = error
    found, headers, text = page.ask("GET", "/api/popular")
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert (json.loads(text)["status"], detail(text)) == (
        status,
        str(error) if status != 500 else "ValueError: credentials",
    )


def test_names_are_this_machines_where_it_has_a_file_and_else_the_apis(page: Page) -> None:
    named = {"items": [{"item_id": "7", "name": "Fargo", "details": "1996"}]}
    _, _, text = page.ask("POST", "/api/items/names", b'{"item_ids": ["7", "8"]}')
    assert json.loads(text) == named
    _, _, text = page.ask("GET", "/api/items?search=far")
    assert json.loads(text) == named
    assert page.api.asked == []
    _, _, text = page.ask("GET", "/api/model")
    assert json.loads(text)["names"] is True

    page.server.routes = Routes(page.api)
    assert json.loads(page.ask("GET", "/api/model")[2])["names"] is False
    page.ask("GET", "/api/items?search=far")
    page.ask("POST", "/api/items/names", b'{"item_ids": ["7"]}')
    assert page.api.asked[-2:] == [
        ("GET", "/items?search=far", None),
        ("POST", "/items/names", {"item_ids": ["7"]}),
    ]


def test_the_page_is_told_where_it_is_at_home_and_of_an_api_that_is_older(page: Page) -> None:
    _, _, text = page.ask("GET", "/config.json")
    assert json.loads(text) == {"api": "/api", "store_clicks": False, "sign_in": None}
    assert page.ask("GET", "/config.json", X_Explore_Token=None)[0] == 401
    page.api.error = NotFoundError("the API answered 404: Not Found")
    status, _, text = page.ask("GET", "/api/model")
    assert (status, detail(text).endswith("of an earlier version: deploy it again")) == (404, True)


def test_a_port_that_is_taken_is_said(page: Page) -> None:
    with pytest.raises(InputError, match="--port"):
        Server(page.server.routes, page.server.server_port)
    with pytest.raises(InputError, match="70000"):
        Server(page.server.routes, 70_000)
