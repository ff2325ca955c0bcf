import http.server
import json
from typing import Any

import boto3
import pytest

from fmrec.errors import FormatError, InputError, ServiceError
from fmrec.recommendations.knn_smoke_test import compare, smoke_test
from fmrec.recommendations.publish import publish
from fmrec.recordio import encode_dense
from tests.fixtures.serving import Serving


class Endpoint:
    """An HTTP server that answers as SageMaker's runtime, with the body that a test sets."""

    def __init__(self) -> None:
        self.body = b"{}"
        self.status = 200
        self.requests: list[tuple[str, bytes, str, str]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, body, self.headers["Content-Type"], self.headers["Accept"]))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=f"http://127.0.0.1:{self.server.server_port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def answers(self, lines: Any) -> None:
        self.body = json.dumps({"predictions": [json.loads(line) for line in lines]}).encode()


@pytest.fixture
def endpoint() -> Any:
    answering = Endpoint()
    with answering.server, Serving(answering.server):
        yield answering


@pytest.fixture
def published(small_run: Any, dynamodb: Any, table: Any, endpoint: Any) -> Any:
    for part in (0, 1):
        small_run.write_neighbours(part, small_run.answer(part, 5))
        publish(**small_run.arguments(part), table=table, dynamodb=dynamodb)
    return {
        "endpoint_name": "top",
        "manifest_uri": small_run.manifest_uri,
        "embeddings_uri": small_run.embeddings_uri,
        "table": table,
        "runtime": endpoint.client,
        "dynamodb": dynamodb,
    }


def test_the_same_answer_passes_with_the_users_own_record_asked(
    small_run: Any, published: Any, endpoint: Any
) -> None:
    endpoint.answers(small_run.answer(1, 5)[2:3])
    answer = smoke_test(**published, user=16)
    assert answer.passed
    assert answer.user_id == small_run.user_ids[16]
    assert answer.published == tuple(small_run.item_ids[i] for i in small_run.ranking(16)[:3])
    assert answer.answered == answer.published
    assert "the same 3 items in the same order" in answer.sentence
    assert endpoint.requests == [
        (
            "/endpoints/top/invocations",
            bytes(encode_dense(small_run.user_vectors[16:17])),
            "application/x-recordio-protobuf",
            "application/json; verbose=true",
        )
    ]


@pytest.mark.parametrize("k", [3, 12])
def test_seen_and_denied_items_of_the_answer_are_not_compared(
    small_run: Any, published: Any, endpoint: Any, dynamodb: Any, table: Any, k: Any
) -> None:
    rules: dict[str, Any] = {"exclude_seen": True, "filters": {"deny": small_run.item_ids[:2]}}
    publish(**small_run.arguments(1), table=table, dynamodb=dynamodb, **rules)
    endpoint.answers(small_run.answer(1, k)[2:3])
    answer = smoke_test(**published, user=16, **rules)
    met = set(small_run.seen.of(16).tolist()) | {0, 1}
    left = [small_run.item_ids[i] for i in small_run.ranking(16)[:k] if i not in met]
    assert 0 < len(left[:3]) == len(answer.answered)
    assert answer.passed
    assert list(answer.answered) == left[:3]
    assert list(answer.published[: len(left)]) == left[:3]


def test_another_users_answer_fails_and_says_where(small_run: Any, published: Any, endpoint: Any) -> None:
    endpoint.answers(small_run.answer(1, 12)[0:1])
    answer = smoke_test(**published, user=16)
    assert not answer.passed
    assert f"disagree for user '{small_run.user_ids[16]}': rank " in answer.sentence
    assert set(answer.to_document()) == {"passed", "sentence", "user_id", "published", "answered"}


def test_an_endpoint_that_fails_is_named(published: Any, endpoint: Any) -> None:
    endpoint.status = 400
    with pytest.raises(ServiceError, match="endpoint top did not answer"):
        smoke_test(**published)


@pytest.mark.parametrize(
    "body",
    [b"\xff", b"[]", b"{}", b'{"predictions": []}', b'{"predictions": [{"predicted_label": 1.0}]}'],
)
def test_an_answer_of_another_form_is_refused(published: Any, endpoint: Any, body: Any) -> None:
    endpoint.body = body
    with pytest.raises(FormatError, match="endpoint top"):
        smoke_test(**published)


def test_a_user_that_does_not_exist_is_refused(published: Any) -> None:
    with pytest.raises(InputError, match=r"no user 23: .* has 23, from 0"):
        smoke_test(**published, user=23)


def test_equal_products_may_change_places_others_not() -> None:
    assert compare("u", ["a", "b"], ["b", "a", "c"], [1.0, 1.0, 0.5]).passed
    assert compare("u", ["a", "b"], ["b", "a", "c"], [1.0 + 1e-7, 1.0, 0.5]).passed
    assert not compare("u", ["a", "b"], ["b", "a", "c"], [1.001, 1.0, 0.5]).passed


@pytest.mark.parametrize(
    ("published", "answered", "words"),
    [
        ([], ["a"], "nothing is published"),
        (["a", "b"], [], "only items that this user may not get"),
        (["a", "x"], ["a", "b"], "item 'x', published at rank 2, is not in the endpoint's answer"),
        (["b", "a"], ["a", "b"], "rank 1 is 'b' in the table and 'a' at the endpoint"),
    ],
)
def test_what_differs_is_said(published: Any, answered: Any, words: Any) -> None:
    answer = compare("u", published, answered, [2.0, 1.0][: len(answered)])
    assert not answer.passed
    assert words in answer.sentence
