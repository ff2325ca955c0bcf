"""The page's server: on 127.0.0.1 alone, for one browser, with this machine's AWS credentials behind it.

So nobody else may reach what is behind it:

- other machines: it listens on the loopback address;
- other users and programs of this machine: requests for data need a token, which is in the address that is
  printed, behind its ``#``, so that it is in no request line, log or ``Referer``;
- other pages in the same browser: the token is no cookie, which a browser would send by itself; ``Host`` must
  be the server's own, so that no name rebound to 127.0.0.1 (DNS rebinding) reaches it; ``Origin`` and
  ``Sec-Fetch-Site`` must say the same origin; nothing is shared by CORS;
- what comes from data, such as names of items: the page runs no script but its own files
  (Content-Security-Policy), and no request can go to another host.
"""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from fmrec.errors import InputError
from fmrec.explore import page_files
from fmrec.explore.page_files import STATIC
from fmrec.explore.routes import Answer, Routes, problem

ADDRESS = "127.0.0.1"
TOKEN_HEADER = "X-Explore-Token"  # noqa: S105 - a header's name
LARGEST_BODY = 1 << 20
IDLE_SECONDS = 30
HEADERS = page_files.HEADERS | {
    "Content-Security-Policy": page_files.content_security_policy(),
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves the page and answers its requests by `routes`; port 0 takes a free one.

    Raises
    ------
    InputError
        The port is taken, or not allowed.
    """

    daemon_threads = True

    def __init__(self, routes: Routes, port: int = 0) -> None:
        self.routes, self.token = routes, secrets.token_urlsafe(24)
        try:
            super().__init__((ADDRESS, port), Handler)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"the page can't be served on port {port}: {error}; choose another with --port"
            ) from error
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        return f"http://{ADDRESS}:{self.server_port}/#{self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone away."""


class Handler(BaseHTTPRequestHandler):
    """One connection of the browser's."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fmrec", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer with a file of the page, or with data."""
        path = urlsplit(self.path).path
        self.close_connection |= "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        if (refused := self._refused_place()) is not None:
            self._send_document(refused)
        elif path in STATIC:
            name, kind = STATIC[path]
            self._send(HTTPStatus.OK, kind, page_files.read(name))
        else:
            self._send_data(b"")

    do_HEAD = do_GET  # noqa: N815 - http.server's names

    def do_POST(self) -> None:
        """Answer with data."""
        refused = self._refused_place() or self._refused_token() or self._refused_body()
        if refused is not None:
            self.close_connection = True  # its body has not been read
            self._send_document(refused)
            return
        self._send_data(self.rfile.read(int(self.headers["Content-Length"])))

    def _send_data(self, body: bytes) -> None:
        self._send_document(self._refused_token() or self.server.routes.answer(self.command, self.path, body))

    def _refused_place(self) -> Answer | None:
        """Whether the request comes from another place than the server's own page."""
        host = self.headers.get("Host", "")
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site")
        if host not in self.server.hosts:
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST, "this server is asked by another name than its own"
            )
        if origin not in (None, f"http://{host}") or site not in (None, "same-origin", "none"):
            return problem(HTTPStatus.FORBIDDEN, "this server answers to its own page only")
        return None

    def _refused_token(self) -> Answer | None:
        given = self.headers.get(TOKEN_HEADER, "")
        if secrets.compare_digest(given.encode(), self.server.token.encode()):
            return None
        return problem(HTTPStatus.UNAUTHORIZED, "open the address that `fmrec explore` has printed")

    def _refused_body(self) -> Answer | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            return problem(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length) > LARGEST_BODY:
            return problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {LARGEST_BODY} bytes"
            )
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind != "application/json":
            return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        return None

    def _send_document(self, answer: Answer) -> None:
        status, document = answer
        kind = "application/json" if status == HTTPStatus.OK else "application/problem+json"
        self._send(status, kind, json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            *HEADERS.items(),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """Keep no record of who looked at whom."""
