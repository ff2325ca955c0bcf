"""What the page may ask: some routes of the API, signed and handed on, and what this machine knows.

Nothing is handed on that erases. Events are handed on only if that was asked for on the command line, because
the next run learns from them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fmrec.client import Client
from fmrec.errors import FmrecError, ForbiddenError, InputError, NotFoundError, ThrottledError
from fmrec.explore.deployment import Deployment
from fmrec.explore.item_names import ItemNames

API = "/api"
READING = (
    re.compile(r"GET /users/[^/]+/recommendations"),
    re.compile(r"POST /recommendations"),
    re.compile(r"GET /items/[^/]+/similar"),
    re.compile(r"GET /items/[^/]+/audience"),
    re.compile(r"GET /popular"),
)
STORING = (re.compile(r"POST /events"),)
NAMES_AT_MOST = 2000

Answer = tuple[int, dict[str, Any]]


@dataclass
class Routes:
    """Answers the page's requests; safe to call from several threads.

    ``store_clicks`` hands events on.
    """

    client: Client
    deployment: Deployment
    names: ItemNames = field(default_factory=ItemNames)
    store_clicks: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _about: dict[str, Any] | None = None

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Return a status and a document; errors are problem documents (RFC 9457), as the API's."""
        path, query = urlsplit(target).path, urlsplit(target).query
        own: dict[str, Callable[[], dict[str, Any]]] = {
            "GET /local/about": self.about,
            "GET /local/search": lambda: self._search(query),
            "POST /local/names": lambda: self._names(_parsed(body)),
        }
        try:
            if path.startswith(f"{API}/"):
                return HTTPStatus.OK, self._handed_on(method, target.removeprefix(API), path, body)
            if (found := own.get(f"{method} {path}")) is None:
                return problem(HTTPStatus.NOT_FOUND, f"no such route: {method} {path}")
            return HTTPStatus.OK, found()
        except FmrecError as error:
            return problem(_status(error), str(error))
        except Exception as error:
            # Such as credentials that have expired. A connection that just ends would say nothing of it.
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    def about(self) -> dict[str, Any]:
        """What serves, how good it is and what it costs; looked up once, and again as long as that fails."""
        with self._lock:
            if self._about is None or self._about["why"]:
                self._about = self.deployment.describe()
            return self._about | {"store_clicks": self.store_clicks, "names": len(self.names.names)}

    def _handed_on(self, method: str, target: str, path: str, body: bytes) -> dict[str, Any]:
        asked = f"{method} {path.removeprefix(API)}"
        if not any(route.fullmatch(asked) for route in (*READING, *(STORING if self.store_clicks else ()))):
            raise NotFoundError(f"this page does not ask the API for {asked}")
        if not target.isascii():
            raise InputError(f"the path {target!r} is not percent-encoded")
        return self.client.ask(method, target, _parsed(body) if body else None)

    def _search(self, query: str) -> dict[str, Any]:
        text = parse_qs(query).get("q", [""])[0]
        return {"items": [{"item_id": item_id} | self._named(item_id) for item_id in self.names.search(text)]}

    def _names(self, document: Any) -> dict[str, Any]:
        ids = document.get("ids") if isinstance(document, dict) else None
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            raise InputError('expected {"ids": [texts]}')
        if len(ids) > NAMES_AT_MOST:
            raise InputError(f"expected at most {NAMES_AT_MOST} ids, {len(ids)} were given")
        return {"names": {item_id: asdict(named) for item_id, named in self.names.of(ids).items()}}

    def _named(self, item_id: str) -> dict[str, str]:
        return asdict(self.names.names[item_id])


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
