"""The HTTP API as deployed: signed requests, the function's own role, the champion of the workflow's run."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from demo import cloud as local
from demo.cloud import REGION
from fmrec.client import Client
from fmrec.errors import NotFoundError
from fmrec.execution.state_machine import stack_outputs
from fmrec.live.live_model import LiveModel, open_live_model
from fmrec.registry import champion

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def outputs(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The API's stack, deployed to what the other tests share; its access log needs the storage's key."""
    local.cdk(
        pipeline.cloud,
        *("deploy", "FmRecStorage", "FmRecApi", "--exclusively", "--require-approval", "never"),
        *("--context", "fmrec.api={}", "--output", str(tmp_path_factory.mktemp("synthesis"))),
        on_line=lambda _line: None,
    )
    found: dict[str, str] = pipeline.outputs | stack_outputs(
        pipeline.cloud.client("cloudformation"), "FmRecApi"
    )
    return found


@pytest.fixture(scope="module")
def model(pipeline: Any, encoded_run: str) -> LiveModel:
    """What the API is to serve, loaded by the library."""
    assert encoded_run
    with pytest.MonkeyPatch.context() as patch:
        for name, value in pipeline.cloud.environment.items():
            patch.setenv(name, value)
        record = champion.read(champion.place(f"s3://{pipeline.outputs['DataBucket']}"))
        assert record is not None
        return open_live_model(record.manifest_uri, record.embeddings_uri, record.model_version)


@pytest.fixture(scope="module")
def caller(pipeline: Any, outputs: dict[str, str]) -> Credentials:
    """A user who may call the API, and nothing else."""
    iam = pipeline.cloud.client("iam")
    iam.create_user(UserName="api-caller")
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": outputs["ApiCallArn"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="api-caller", PolicyName="call", PolicyDocument=policy)
    return _key(iam, "api-caller")


@pytest.fixture(scope="module")
def ask(pipeline: Any, outputs: dict[str, str], caller: Credentials) -> Ask:
    where = urllib.parse.urlparse(pipeline.cloud.endpoint_url)
    base = f"/_aws/execute-api/{outputs['ApiId']}/$default"

    def ask(method: str, path: str, body: Any = None, who: Credentials | None = caller) -> tuple[int, Any]:
        content = None if body is None else json.dumps(body)
        headers = {"Host": where.netloc, "Content-Type": "application/json"}
        request = AWSRequest(method, f"http://{where.netloc}{base}{path}", data=content, headers=headers)
        if who is not None:
            SigV4Auth(who, "execute-api", REGION).add_auth(request)
        connection = http.client.HTTPConnection(where.netloc, timeout=60)
        connection.request(method, base + path, content, dict(request.headers))
        response = connection.getresponse()
        text = response.read()
        answered = json.loads(text) if text.startswith(b"{") else text
        connection.close()
        return response.status, answered

    return ask


def _key(iam: Any, user: str) -> Credentials:
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_three_interactions_of_a_stranger_give_the_librarys_list_and_not_what_is_popular(
    ask: Ask, model: LiveModel
) -> None:
    history = ["2", "4", "6"]
    body = {"history": [{"item_id": item} for item in history], "n": 5, "because": 3}
    status, found = ask("POST", "/recommendations", body)
    assert (status, found["source"], found["run"]) == (200, "live", model.run)
    ordinals = [model.ordinal(item) for item in history]
    expected = model.fold_in.recommend(ordinals, 5)
    assert ids(found) == [model.item_ids[item] for item in expected.items]
    assert [item["score"] for item in found["items"]] == pytest.approx(expected.scores.tolist(), abs=1e-4)
    assert all(reason["item_id"] in history for item in found["items"] for reason in item["because"])
    status, popular = ask("GET", "/popular?n=5")
    assert (status, popular["source"]) == (200, "popular")
    assert ids(popular) != ids(found)


def test_users_get_their_published_list_or_a_live_one_and_a_new_user_what_is_popular(
    ask: Ask, pipeline: Any
) -> None:
    table = pipeline.outputs["RecommendationsTable"]
    stored = pipeline.cloud.client("dynamodb").get_item(TableName=table, Key={"user_id": {"S": "7"}})["Item"]
    status, batch = ask("GET", "/users/7/recommendations?n=5")
    assert (status, batch["source"]) == (200, "batch")
    assert ids(batch) == [item["M"]["item_id"]["S"] for item in stored["recommendations"]["L"]][:5]
    status, live = ask("GET", f"/users/7/recommendations?n=5&deny={ids(batch)[0]}")
    assert (status, live["source"]) == (200, "live")
    assert ids(batch)[0] not in ids(live)
    assert ask("GET", "/users/nobody/recommendations?n=5")[1]["source"] == "cold-start"


def test_the_client_signs_its_requests_and_gets_the_same_lists(
    ask: Ask, pipeline: Any, outputs: dict[str, str], caller: Credentials
) -> None:
    session = botocore.session.Session()
    session.set_credentials(caller.access_key, caller.secret_key)
    base = f"{pipeline.cloud.endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default"
    client = Client(base, region=REGION, session=session)
    _, found = ask("POST", "/recommendations", {"history": [{"item_id": "4"}], "n": 4})
    assert [item.item_id for item in client.recommend(["4"], n=4).items] == ids(found)
    assert client.recommendations("7", n=5).source == "batch"
    with pytest.raises(NotFoundError, match="item 'a b' is not in model"):
        client.similar("a b")


def test_similar_items_and_ranks_agree_with_the_library(ask: Ask, model: LiveModel) -> None:
    status, similar = ask("GET", "/items/2/similar?n=3")
    assert status == 200
    cosines = model.fold_in.cosines(model.ordinal("2"))
    cosines[model.ordinal("2")] = -2
    assert ids(similar) == [model.item_ids[item] for item in (-cosines).argsort(kind="stable")[:3]]
    items = [model.item_ids[at] for at in (7, 0, 12, 4)]
    status, ranked = ask("POST", "/rank", {"history": [{"item_id": "2"}], "item_ids": items})
    ordinals = [model.ordinal(item) for item in items]
    scores = model.fold_in.scores(model.fold_in.user_vector([model.ordinal("2")]), ordinals)
    assert status == 200
    assert ids(ranked) == [items[at] for at in (-scores).argsort(kind="stable")]


def test_requests_are_refused_without_a_permission_and_errors_are_problem_documents(
    ask: Ask, pipeline: Any
) -> None:
    iam = pipeline.cloud.client("iam")
    iam.create_user(UserName="api-outsider")
    assert ask("GET", "/popular", who=None)[0] == 403
    assert ask("GET", "/popular", who=_key(iam, "api-outsider"))[0] == 403
    status, problem = ask("GET", "/items/unheard-of/similar")
    assert (status, problem["title"], problem["status"]) == (404, "Not Found", 404)
    assert "item 'unheard-of' is not in model" in problem["detail"]
    assert ask("POST", "/recommendations", {"history": 7})[0] == 422
