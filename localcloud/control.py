"""The control API under ``/_localcloud/``: what runs, what is to go wrong, what the logs say.

Made for tests and demos; docs/contracts.md has the paths and documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from localcloud.faults import Faults, ServiceFault
from localcloud.gateway import Response
from localcloud.home import Home
from localcloud.quotas import Quotas

PREFIX = "/_localcloud"
_NAME = re.compile(r"[A-Za-z0-9_.:@+=-]+")


class Control:
    """Answers the control API."""

    def __init__(
        self,
        home: Home,
        about: dict[str, Any],
        faults: Faults,
        quotas: Quotas,
        processes: Callable[[], list[dict[str, Any]]],
        take_jvm: Callable[[Any], dict[str, Any]],
    ) -> None:
        self._home = home
        self._routes: dict[tuple[str, str], Callable[[bytes], Any]] = {
            ("GET", ""): lambda body: about,
            ("GET", "processes"): lambda body: processes(),
            ("GET", "faults"): lambda body: faults.get(),
            ("PUT", "faults"): lambda body: faults.put(_document(body)),
            ("GET", "quotas"): lambda body: quotas.as_dict(),
            ("PUT", "quotas"): lambda body: quotas.put(_document(body)),
            ("POST", "glue/jvms"): lambda body: take_jvm(_document(body)),
        }

    def handle(self, method: str, path: str, body: bytes) -> Response:
        """Answer one request; ``path`` starts with ``PREFIX``."""
        try:
            return self._route(method, path.removeprefix(PREFIX).strip("/").split("/"), body)
        except ServiceFault as fault:
            return _json({"error": fault.code, "message": fault.message}, fault.status)

    def _route(self, method: str, parts: list[str], body: bytes) -> Response:
        if method == "GET" and parts[0] == "logs" and len(parts) == 3:
            return self._log(parts[1], parts[2])
        route = self._routes.get((method, "/".join(parts)))
        if route is None:
            raise ServiceFault("NotFound", f"there is no {method} {PREFIX}/{'/'.join(parts)}", 404)
        return _json(route(body))

    def _log(self, kind: str, name: str) -> Response:
        if not _NAME.fullmatch(kind) or not _NAME.fullmatch(name) or ".." in (kind, name):
            raise ServiceFault("NotFound", f"{kind}/{name} is not the name of a log", 404)
        file = self._home.logs / kind / f"{name}.log"
        if not file.exists():
            raise ServiceFault("NotFound", f"there is no log of {kind} {name!r}", 404)
        return 200, {"Content-Type": "text/plain; charset=utf-8"}, file.read_bytes()


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise ServiceFault("ValidationException", f"the body is not JSON: {error}") from error


def _json(document: Any, status: int = 200) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()
