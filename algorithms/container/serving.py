"""The HTTP side of the container contract: /ping, /invocations, /execution-parameters.

Source: SageMaker developer guide, "Use your own inference code"; status codes and the 6 MiB cap
follow AWS's open serving layer that is forked from the built-in algorithms' (sagemaker-rl-container).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

from algorithms.container import log
from algorithms.container.media_types import JSON, JSON_LINES, MediaType, choose_reply_type
from fmrec.errors import InputError

MEBIBYTE = 1024 * 1024
DEFAULT_MAX_PAYLOAD_BYTES = 6 * MEBIBYTE
_DISCARDED_BYTES = 256 * MEBIBYTE
"""A client reads the answer only when it has sent its body, so a body that is too large is read up to here.
"""


class Model(Protocol):
    """What an algorithm offers to serve."""

    request_types: Sequence[str]
    reply_types: Sequence[str]

    def answer(self, body: bytes, content_type: MediaType, accept: MediaType) -> bytes:
        """Score a request's records.

        Raises
        ------
        InputError
            The body is not what its content type says, or doesn't fit the model.
        """
        ...


def serve(model_folder: Path, host: str, port: int, load: Callable[[Path], Model]) -> None:
    """Load a model and answer requests until the process is stopped.

    As in the images, a model that can't be loaded doesn't keep the server from starting: /ping and
    /invocations then answer 500 and say why.

    Environment variables: ``SAGEMAKER_BATCH`` (``true`` in batch transform: replies default to JSON
    Lines), ``SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT`` (type of replies to requests without Accept),
    ``MAX_CONTENT_LENGTH`` (largest request body in bytes).
    """
    try:
        model: Model | str = load(model_folder)
    except (InputError, OSError, KeyError, ValueError) as error:
        model = f"unable to load model: {error}"
        log.info(model, level="ERROR")
    batch = os.environ.get("SAGEMAKER_BATCH", "").lower() == "true"
    default_accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or (JSON_LINES if batch else JSON)
    max_payload_bytes = int(os.environ.get("MAX_CONTENT_LENGTH") or DEFAULT_MAX_PAYLOAD_BYTES)

    class Handler(_Handler):
        pass

    Handler.model = model
    Handler.default_accept = default_accept
    Handler.max_payload_bytes = max_payload_bytes
    with _Server((host, port), Handler) as server:
        log.info(f"Listening at: http://{host}:{server.server_address[1]}")
        server.serve_forever(poll_interval=0.1)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "SageMaker"
    disable_nagle_algorithm = True  # head and body are two writes: Nagle would hold back the second
    timeout = 600
    model: Model | str
    default_accept: str
    max_payload_bytes: int

    def do_GET(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body that nobody reads would be taken for the next request
        if self.path == "/ping":
            if isinstance(self.model, str):
                self._reply(500, self.model)
            else:
                self._reply(200, b"\n", JSON)
        elif self.path == "/execution-parameters":
            parameters = {
                "MaxConcurrentTransforms": 1,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": max(1, self.max_payload_bytes // MEBIBYTE),
            }
            self._reply(200, json.dumps(parameters).encode(), JSON)
        else:
            self._reply(404, f"there is nothing at GET {self.path}: ask /ping or /execution-parameters")

    def do_POST(self) -> None:
        length = self._body_length()
        if length is None:
            return None
        if length > self.max_payload_bytes:
            self._discard(length)  # a client that is still sending wouldn't read the answer
            text = f"the request body has {length} bytes, and at most {self.max_payload_bytes} are taken"
            return self._reply(413, f"{text}: send fewer records at a time")
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return self._reply(400, f"the request body ends after {len(body)} of {length} bytes")
        if self.path != "/invocations":
            return self._reply(404, f"there is nothing at POST {self.path}: post to /invocations")
        return self._invoke(body)

    def _body_length(self) -> int | None:
        """The request's Content-Length, or None if the request was refused for it and the connection ends.

        Without a length, or with one that can be read in two ways, it isn't known where the body ends, so
        nothing of it is read.
        """
        given = self.headers.get_all("Content-Length", [])
        if not given:
            return self._length_refused(
                411, "the request has no Content-Length: send the body's size in bytes"
            )
        if "Transfer-Encoding" in self.headers or len(set(given)) > 1:
            return self._length_refused(400, "the request gives its body's length more than once")
        text = given[0].strip()
        if not re.fullmatch("[0-9]+", text):
            shown = ascii(text[:40])
            return self._length_refused(400, f"Content-Length is {shown}, expected the body's size in bytes")
        if len(text) > 18:
            return self._length_refused(413, f"Content-Length has {len(text)} digits: send fewer records")
        return int(text)

    def _length_refused(self, status: int, text: str) -> int | None:
        self.close_connection = True
        self._reply(status, text)
        return None

    def _discard(self, length: int) -> None:
        """Read a body that is too large away; one that is far too large ends the connection instead."""
        if length > _DISCARDED_BYTES:
            self.close_connection = True
        length = min(length, _DISCARDED_BYTES)
        while length > 0 and (piece := self.rfile.read(min(length, MEBIBYTE))):
            length -= len(piece)

    def _invoke(self, body: bytes) -> None:
        if isinstance(self.model, str):
            return self._reply(500, self.model)
        content_type = MediaType.parse(self.headers.get("Content-Type") or JSON)
        offered = self.model.request_types
        if content_type.name not in offered:
            text = f"content-type {content_type.name} not supported: send one of {', '.join(offered)}"
            return self._reply(415, text)
        accept = choose_reply_type(self.headers.get("Accept"), self.model.reply_types, self.default_accept)
        if accept is None:
            offered = self.model.reply_types
            text = f"accept type {self.headers['Accept']} not supported: ask for one of {', '.join(offered)}"
            return self._reply(406, text)
        if not body:
            return self._reply(204, b"")
        return self._evaluate(self.model, body, content_type, accept)

    def _evaluate(self, model: Model, body: bytes, content_type: MediaType, accept: MediaType) -> None:
        try:
            reply = model.answer(body, content_type, accept)
        except InputError as error:
            return self._reply(400, f"unable to evaluate payload provided: {error}")
        except Exception as error:  # the server must outlive a request, as the image's workers do
            return self._reply(500, f"{type(error).__name__}: {error}")
        return self._reply(200, reply, accept.name)

    def _reply(self, status: int, body: bytes | str, content_type: str = "text/plain; charset=utf-8") -> None:
        if status >= 400:
            log.info(f"{self.command} {self.path} {status}: {body!s}", level="ERROR")
        content = body.encode(errors="backslashreplace") if isinstance(body, str) else body
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if status != 204:
            self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of successes: a batch transform makes thousands of requests."""
