"""What the page may ask: some routes of the API, signed and handed on, and what this machine knows.

Nothing is handed on that erases. Events are handed on only if that was asked for on the command line, because
the next run learns from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fmrec.client import Client
from fmrec.errors import FmrecError, ForbiddenError, InputError, NotFoundError, ThrottledError
from fmrec.explore.page_files import CONFIG
from fmrec.live.item_names import ItemNames

API = "/api"
READING = (
    re.compile(r"GET /users/[^/]+/recommendations"),
    re.compile(r"POST /recommendations"),
    re.compile(r"GET /items/[^/]+/similar"),
    re.compile(r"GET /items/[^/]+/audience"),
    re.compile(r"GET /popular"),
    re.compile(r"GET /items"),
    re.compile(r"POST /items/names"),
    re.compile(r"GET /attributes"),
    re.compile(r"GET /model"),
    re.compile(r"GET /report"),
)
STORING = (re.compile(r"POST /events"),)
NAMES_AT_MOST = 1000

Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Routes:
    """Answers the page's requests; safe to call from several threads.

    ``names``, where there are any, are known in place of the API's; ``store_clicks`` hands events on.
    """

    client: Client
    names: ItemNames = field(default_factory=ItemNames)
    store_clicks: bool = False

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Return a status and a document; errors are problem documents (RFC 9457), as the API's."""
        path, query = urlsplit(target).path, urlsplit(target).query
        asked = f"{method} {path}"
        own: dict[str, Callable[[], dict[str, Any]]] = {
            f"GET {CONFIG}": lambda: {"api": API, "store_clicks": self.store_clicks, "sign_in": None},
            f"GET {API}/model": self._model,
        }
        if self.names.names:
            own |= {
                f"GET {API}/items": lambda: self._search(query),
                f"POST {API}/items/names": lambda: self._named(_parsed(body)),
            }
        try:
            if asked in own:
                return HTTPStatus.OK, own[asked]()
            if path.startswith(f"{API}/"):
                return HTTPStatus.OK, self._handed_on(method, target.removeprefix(API), path, body)
            return problem(HTTPStatus.NOT_FOUND, f"no such route: {asked}")
        except FmrecError as error:
            return problem(_status(error), str(error))
        except Exception as error:
            # Such as credentials that have expired. A connection that just ends would say nothing of it.
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    def _model(self) -> dict[str, Any]:
        """The API's answer; names of this machine count, too."""
        try:
            found = self.client.ask("GET", "/model")
        except NotFoundError as error:
            raise NotFoundError(
                f"{error}; an API without the route /model is of an earlier version: deploy it again"
            ) from error
        return found | {"names": bool(found.get("names")) or bool(self.names.names)}

    def _handed_on(self, method: str, target: str, path: str, body: bytes) -> dict[str, Any]:
        asked = f"{method} {path.removeprefix(API)}"
        if not any(route.fullmatch(asked) for route in (*READING, *(STORING if self.store_clicks else ()))):
            raise NotFoundError(f"this page does not ask the API for {asked}")
        if not target.isascii():
            raise InputError(f"the path {target!r} is not percent-encoded")
        return self.client.ask(method, target, _parsed(body) if body else None)

    def _search(self, query: str) -> dict[str, Any]:
        return self._listed(self.names.search(parse_qs(query).get("search", [""])[0]))

    def _named(self, document: Any) -> dict[str, Any]:
        ids = document.get("item_ids") if isinstance(document, dict) else None
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            raise InputError('expected {"item_ids": [texts]}')
        if len(ids) > NAMES_AT_MOST:
            raise InputError(f"expected at most {NAMES_AT_MOST} ids, {len(ids)} were given")
        return self._listed(self.names.of(ids))

    def _listed(self, item_ids: Iterable[str]) -> dict[str, Any]:
        return {"items": [{"item_id": item_id} | asdict(self.names.names[item_id]) for item_id in item_ids]}


def problem(status: HTTPStatus, detail: str) -> Answer:
    """An error as a problem document."""
    return status, {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request's body is not JSON: {error}") from error


def _status(error: FmrecError) -> HTTPStatus:
    if isinstance(error, NotFoundError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, ForbiddenError):
        return HTTPStatus.FORBIDDEN
    if isinstance(error, ThrottledError):
        return HTTPStatus.TOO_MANY_REQUESTS
    return HTTPStatus.UNPROCESSABLE_ENTITY if isinstance(error, InputError) else HTTPStatus.BAD_GATEWAY
