"""What stands between the HTTP server and the emulator: control API, saving of state, faults of S3."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from xml.sax.saxutils import escape

from localcloud.control import PREFIX
from localcloud.faults import Faults
from localcloud.hooks.binding import find
from localcloud.hooks.persistence import StateSaver
from localcloud.s3_faults import S3Request, S3Rule, keys_to_delete, parse_request

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_READING = (b"Describe", b"Get", b"List", b"BatchGet", b"Query", b"Scan", b"Head")
_CREDENTIAL = re.compile(rb"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/")
_S3_QUERY = re.compile(rb"X-Amz-Credential=[^&]*(?:/|%2F)s3(?:/|%2F)")


def controlled(application: Application, control: Callable[[str, str, bytes], Any]) -> Application:
    """Answer the control API and pass everything else on."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await application(scope, receive, send)
            return
        body = await _read(receive)
        status, headers, content = await asyncio.to_thread(control, scope["method"], scope["path"], body)
        await _answer(send, status, headers, content)

    return handle


def saving(application: Application, saver: StateSaver) -> Application:
    """Write the state of a service before a request that may have changed it is answered."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, _then_start(saver, send))
            return
        service = _changed_service(scope) if scope["type"] == "http" else None
        if service is None:
            await application(scope, receive, send)
            return

        async def send_when_saved(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                key = saver.due(service)
                if key is not None:
                    await asyncio.to_thread(saver.save, key)
            await send(message)

        await application(scope, receive, send_when_saved)

    return handle


def _then_start(saver: StateSaver, send: Send) -> Send:
    """Save from when the emulator has loaded what was saved before."""

    async def send_started(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            saver.start()
        await send(message)

    return send_started


def _headers(scope: Scope) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in scope["headers"]}


def _changed_service(scope: Scope) -> str | None:
    """The service, as in the signature's scope, that a request may change; None for one that only reads."""
    headers = _headers(scope)
    operation = headers.get(b"x-amz-target", b"").rpartition(b".")[2]
    if scope["method"] in ("GET", "HEAD", "OPTIONS") or operation.startswith(_READING):
        return None
    credential = _CREDENTIAL.search(headers.get(b"authorization", b""))
    return credential[1].decode("latin-1") if credential else ""


def faulty_s3(application: Application, faults: Faults) -> Application:
    """Let S3 requests go wrong as the faults document orders."""
    connections = _Connections()

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not faults.s3 or not _is_s3(scope):
            await application(scope, receive, send)
            return
        body = b""
        if scope["method"] == "POST" and b"delete" in scope["query_string"]:
            body = await _read(receive)
            receive = _again(body)
        request = _s3_request(scope, body)
        rule = faults.s3.fault(request)
        if rule is None:
            await application(scope, receive, send)
        elif rule.fault == "latency":
            await asyncio.sleep(rule.seconds)
            await application(scope, receive, send)
        elif rule.fault in ("reset", "lost-answer"):
            if rule.fault == "lost-answer":
                await application(scope, receive, _into_nothing)
            connections.reset(scope["client"])
        else:
            await _read(receive)  # a client that is still sending wouldn't read the answer
            status, content = _error(rule, request, keys_to_delete(body))
            await _answer(send, status, {"Content-Type": "application/xml"}, content)

    return handle


def _is_s3(scope: Scope) -> bool:
    credential = _CREDENTIAL.search(_headers(scope).get(b"authorization", b""))
    if credential is not None:
        return bool(credential[1] == b"s3")
    return _S3_QUERY.search(scope["query_string"]) is not None


def _s3_request(scope: Scope, body: bytes) -> S3Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in _headers(scope).items()}
    return parse_request(
        scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, body
    )


def _error(rule: S3Rule, request: S3Request, keys: list[str]) -> tuple[int, bytes]:
    internal = (
        "<Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message>"
    )
    if rule.fault == "slow-down":
        reduce = "<Code>SlowDown</Code><Message>Please reduce your request rate.</Message>"
        return 503, _document(f"<Error>{reduce}<RequestId>localcloud</RequestId></Error>")
    if rule.fault == "key-errors":
        errors = "".join(f"<Error><Key>{escape(key)}</Key>{internal}</Error>" for key in keys)
        return 200, _document(f"<DeleteResult>{errors}</DeleteResult>")
    status = 200 if rule.fault == "error-in-answer" else 500
    return status, _document(f"<Error>{internal}<RequestId>localcloud</RequestId></Error>")


def _document(content: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{content}'.encode()


class _Connections:
    """The server's open connections by their client's address, which ASGI keeps from an application."""

    def __init__(self) -> None:
        server = find("hypercorn.asyncio.tcp_server", "TCPServer", type)
        original = server.run
        self._writers: dict[Any, asyncio.StreamWriter] = {}

        async def run(connection: Any) -> None:
            address = connection.writer.get_extra_info("peername")
            self._writers[address] = connection.writer
            try:
                await original(connection)
            finally:
                self._writers.pop(address, None)

        server.run = run

    def reset(self, client: Any) -> None:
        """End a connection with RST, as a load balancer does that gives up."""
        writer = self._writers[tuple(client)]
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()


async def _into_nothing(message: dict[str, Any]) -> None:
    """Send nothing to nobody."""


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes) -> Receive:
    """Receive a body that has been read already."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _answer(send: Send, status: int, headers: dict[str, str], content: bytes) -> None:
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    lines.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})
