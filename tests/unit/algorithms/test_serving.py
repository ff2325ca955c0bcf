"""The HTTP server of the stand-ins, asked by hand: lengths, damaged requests, and that it outlives them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.model.factorization_machine import FactorizationMachine

WIDTH = 3
BODY = b'{"instances": [{"features": [1, 0, 0.5]}]}'
RECORDIO = "application/x-recordio-protobuf"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., Any]) -> Any:
    root = tmp_path_factory.mktemp("served")
    (root / "model").mkdir()
    factors = np.ones((WIDTH, 2), np.float32)
    FactorizationMachine(0.5, np.ones(WIDTH, np.float32), factors, "regressor").save_model_algo(
        root / "model"
    )
    return serve("factorization_machines", root, MAX_CONTENT_LENGTH="2000")


def exchange(port: int, request: bytes, end: bool = True) -> tuple[int, bytes]:
    """Status and everything behind the head of the answer to bytes that need not be HTTP."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]) if head else 0, rest


def post(headers: str, body: bytes) -> bytes:
    return f"POST /invocations HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() + body


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ("", 411, b"no Content-Length"),
        ("Content-Length: -1\r\n", 400, b"Content-Length is '-1'"),
        ("Content-Length: abc\r\n", 400, b"Content-Length is 'abc'"),
        ("Content-Length: 1e3\r\n", 400, b"Content-Length is '1e3'"),
        ("Content-Length: +42\r\n", 400, b"Content-Length is '+42'"),
        ("Content-Length: 4_2\r\n", 400, b"Content-Length is '4_2'"),
        ("Content-Length: 42.0\r\n", 400, b"Content-Length is '42.0'"),
        ("Content-Length: 42, 42\r\n", 400, b"Content-Length is '42, 42'"),
        ("Content-Length:\r\n", 400, b"Content-Length is ''"),
        ("Content-Length: 42\r\nContent-Length: 41\r\n", 400, b"more than once"),
        ("Content-Length: 42\r\nTransfer-Encoding: chunked\r\n", 400, b"more than once"),
        ("Transfer-Encoding: chunked\r\n", 411, b"no Content-Length"),
        ("Content-Length: 9223372036854775808\r\n", 413, b"has 19 digits"),
        (f"Content-Length: {'9' * 5000}\r\n", 413, b"has 5000 digits"),
    ],
)
def test_a_length_that_is_none_is_refused_and_nothing_is_read(
    server: Any, headers: str, status: int, message: bytes
) -> None:
    """The client keeps its side open: a server that waited for a body would not answer."""
    found, reply = exchange(server.port, post(headers, BODY), end=False)
    assert (found, message in reply) == (status, True), reply


def test_a_body_that_ends_early_is_refused(server: Any) -> None:
    status, reply = exchange(server.port, post("Content-Length: 100\r\n", BODY))
    assert status == 400
    assert f"ends after {len(BODY)} of 100 bytes".encode() in reply


def test_a_body_far_too_large_ends_the_connection_after_a_bounded_read(server: Any) -> None:
    status, reply = exchange(server.port, post("Content-Length: 999999999999999999\r\n", BODY))
    assert status == 413
    assert b"999999999999999999 bytes, and at most 2000 are taken" in reply


def test_a_body_behind_a_get_is_not_taken_for_the_next_request(server: Any) -> None:
    request = (
        b"GET /ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 22\r\n\r\nGET /models HTTP/1.1\r\n\r\n"
    )
    assert exchange(server.port, request) == (200, b"\n")


def test_the_case_of_a_body_nested_once_more_is_refused_with_a_sentence(server: Any) -> None:
    status, reply, _ = server.invoke(b'{"instances":[{"features":[[0,0,1,0,0,0,0,1,0,0]]}]}')
    assert (status, reply) == (
        400,
        b"unable to evaluate payload provided: instance 0 has a list among its values, expected numbers in "
        b"one list",
    )


def test_a_score_beyond_float32_is_refused(server: Any) -> None:
    body = json.dumps({"instances": [{"features": [1, 1, 1]}, {"features": [3e38, 3e38, 3e38]}]}).encode()
    status, reply, _ = server.invoke(body)
    assert status == 400
    assert b"the score of record 1 is beyond float32" in reply


names = st.sampled_from(["Content-Length", "Content-Type", "Accept", "Transfer-Encoding", "Expect", "X"])
texts = st.sampled_from(
    [
        "0",
        "42",
        "-1",
        "x",
        "99999",
        "application/json",
        "application/jsonlines; verbose=true",
        RECORDIO,
        "*/*",
    ]
) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=12)
bodies = (
    st.just(BODY)
    | st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=3) | st.floats(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["features", "values"]), inner)
        ),
    ).map(lambda inner: json.dumps({"instances": [{"features": inner}]}).encode())
)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(
    method=st.sampled_from(["POST", "GET", "PUT", "BREW"]),
    path=st.sampled_from(["/invocations", "/ping", "/execution-parameters", "/", "*", "/\xff"]),
    headers=st.lists(st.tuples(names, texts), max_size=4),
    body=bodies,
    right_length=st.booleans(),
)
def test_no_request_is_an_internal_error_or_ends_the_server(
    server: Any, method: str, path: str, headers: list[tuple[str, str]], body: bytes, right_length: bool
) -> None:
    if right_length:
        headers = [(name, text) for name, text in headers if name != "Content-Length"]
        headers.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {text}\r\n" for name, text in headers)
    request = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
    status, reply = exchange(server.port, request)
    assert status in (0, 200, 204, 400, 404, 406, 411, 413, 415, 501, 505, 100), reply
    assert server.ask("GET", "/ping")[0] == 200
