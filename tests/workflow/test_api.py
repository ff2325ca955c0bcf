"""The HTTP API as deployed: signed requests, the function's own role, the champion of the workflow's run."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from demo.cloud import REGION
from demo.explored import RECORD, end_exploring, explore
from demo.movielens import MovieLens
from fmrec.client import Client
from fmrec.deployment.defaults import DATASET
from fmrec.errors import NotFoundError
from fmrec.execution.step_functions import stack_outputs
from fmrec.explore.server import TOKEN_HEADER
from fmrec.live.live_model import LiveModel, open_live_model
from fmrec.recordio import decode
from fmrec.registry import champion
from tests.workflow.conftest import SMALL_ITEMS, SMALL_USERS

Ask = Callable[..., tuple[int, Any]]
NEW_USER = "new, or so"
RATINGS = SMALL_USERS * SMALL_ITEMS // 2


@pytest.fixture(scope="module")
def outputs(pipeline: Any) -> dict[str, str]:
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


def test_the_page_signs_what_it_asks_and_knows_the_run_that_serves(
    outputs: dict[str, str], pipeline: Any, model: LiveModel, ask: Ask, tmp_path: Path
) -> None:
    assert outputs["ApiUrl"]
    names = MovieLens(tmp_path)
    names.items.write_text("item_id,title,year,genres\n2,The second,1995,Action|Crime\n")
    address = explore(pipeline.cloud, tmp_path, names)
    try:
        page, _, token = address.partition("#")
        found = {}
        for path in ("api/popular?n=5", "config.json", "api/model", "api/report", "api/items?search=second"):
            asked = urllib.request.Request(page + path, headers={TOKEN_HEADER: token})
            with urllib.request.urlopen(asked, timeout=60) as answer:
                found[path] = json.loads(answer.read())
    finally:
        end_exploring(tmp_path)
    assert found["api/popular?n=5"] == ask("GET", "/popular?n=5")[1]
    served = found["api/model"]
    assert (served["run"], served["click"]) == (model.run, {"value": 4.0, "event": None})
    assert (served["names"], found["config.json"]["store_clicks"]) == (True, True)
    assert found["api/items?search=second"]["items"][0]["details"] == "1995 · Action, Crime"
    # Who signs may read the report by the function's role, with no access to the bucket.
    assert found["api/report"]["run"] == model.run
    assert {step["step"] for step in found["api/report"]["instances"]} >= {"fm training"}
    assert not (tmp_path / RECORD).exists()


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


def test_a_new_users_events_give_the_librarys_list_within_two_seconds_and_land_once(
    ask: Ask, pipeline: Any, model: LiveModel
) -> None:
    """Nobody trained on knows the user; each event lands in raw/ once, however often it is posted."""
    event = {"user_id": NEW_USER, "value": 5}
    posted = [
        event | {"event_id": f"e{item}", "item_id": item, "at": f"2026-01-0{day}T09:00:00Z"}
        for item, day in (("2", 3), ("4", 1), ("6", 2))
    ]
    assert ask("GET", "/users/new%2C%20or%20so/recommendations?n=5")[1]["source"] == "cold-start"
    assert ask("POST", "/events", {"events": posted}) == (200, {"stored": 3, "duplicates": 0})
    began = time.monotonic()
    status, found = ask("GET", "/users/new%2C%20or%20so/recommendations?n=5")
    seconds = time.monotonic() - began
    assert (status, found["source"]) == (200, "live")
    expected = model.fold_in.recommend([model.ordinal(item) for item in ("2", "4", "6")], 5)
    assert ids(found) == [model.item_ids[item] for item in expected.items]
    assert seconds < 2
    assert ids(found) != ids(ask("GET", "/popular?n=5")[1])
    assert ask("POST", "/events", {"events": posted}) == (200, {"stored": 0, "duplicates": 3})
    assert ask("POST", "/events", posted[0] | {"event_id": "late", "at": "2001-01-01T00:00:00Z"})[0] == 200
    status, problem = ask("POST", "/events", {"events": [posted[0], posted[1] | {"value": None}]})
    assert (status, problem["detail"].partition(" is missing")[0]) == (422, "body.events.1.value")

    rows = landed(pipeline, 4)
    assert len(rows) == 4
    assert {(row["user_id"], row["item_id"], row["rating"]) for row in rows} == {
        (NEW_USER, item, "5") for item in ("2", "4", "6")
    }
    assert "978307200" in {row["timestamp"] for row in rows}


def landed(pipeline: Any, expected: int) -> list[dict[str, str]]:
    """The rows of all files of events in raw/, once there are so many."""
    s3, bucket = pipeline.cloud.client("s3"), pipeline.outputs["DataBucket"]
    deadline = time.monotonic() + 60
    while True:
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="raw/interactions/events-").get("Contents", [])
        texts = [s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read().decode() for each in listed]
        rows = [row for text in texts for row in csv.DictReader(io.StringIO(text))]
        if len(rows) >= expected or time.monotonic() > deadline:
            return rows
        time.sleep(0.2)


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


def test_the_next_run_trains_on_the_posted_events_and_publishes_a_list_for_the_new_user(
    ask: Ask, pipeline: Any, small_input: dict[str, Any]
) -> None:
    """Events are those of the test above. From here on another model serves than `model`."""
    s3, bucket = pipeline.cloud.client("s3"), pipeline.outputs["DataBucket"]
    ratings = f"{bucket}/raw/small/ratings.csv"
    s3.copy_object(Bucket=bucket, Key="raw/interactions/ratings.csv", CopySource=ratings)
    label = small_input["dataset"]["label"]
    posted = landed(pipeline, 4)
    document = DATASET | {"label": label, "split": {"method": "leave-last-n", "n": 1}}
    serving = small_input["serving"] | {"endpoint": False}
    try:
        execution = pipeline.run(small_input | {"dataset": document, "serving": serving})
    finally:  # other tests have interactions there
        for listed in s3.list_objects_v2(Bucket=bucket, Prefix="raw/interactions/")["Contents"]:
            s3.delete_object(Bucket=bucket, Key=listed["Key"])
    assert execution.status == "SUCCEEDED", execution.cause
    run = execution.name

    manifest = json.loads(s3.get_object(Bucket=bucket, Key=f"encoded/{run}/manifest.json")["Body"].read())
    files = manifest["details"]["files"]
    of_events = [found for name, found in files.items() if "/events-" in name]
    assert sum(found["read"] for found in of_events) == len(posted)
    assert not any(found["quarantined"] for found in of_events)
    assert manifest["rows"]["read"] == sum(found["read"] for found in files.values()) == RATINGS + len(posted)
    new = {row["user_id"] for row in posted} - {str(user) for user in range(1, SMALL_USERS + 1)}
    assert NEW_USER in new
    assert manifest["users"] == SMALL_USERS + len(new)

    index = parquet(pipeline, f"encoded/{run}/feature_index/")
    names = dict(zip(index["column"].to_pylist(), index["name"].to_pylist(), strict=True))
    column = next(at for at, name in names.items() if name == NEW_USER)
    trained_on: Counter[str] = Counter()
    for part in objects(pipeline, f"encoded/{run}/train/"):
        matrix, labels = decode(part)
        rows = np.flatnonzero(matrix[:, [column]].toarray().ravel() * labels)
        trained_on.update(names[at] for at in matrix[rows].indices if at != column)
    assert trained_on == {"2": 1, "4": 1, "6": 1}  # the last event of two with item 2 is held out

    deadline = time.monotonic() + 60  # another champion may go unnoticed for half a minute
    path = f"/users/{urllib.parse.quote(NEW_USER)}/recommendations?n=3"
    while (found := ask("GET", path)[1])["run"] != run:
        assert time.monotonic() < deadline, found
        time.sleep(1)
    assert found["source"] == "batch"
    assert len(found["items"]) == 3
    assert not set(ids(found)) & set(trained_on)


def test_an_erased_user_is_unknown_at_once_and_the_javascript_example_brings_events_and_a_list(
    ask: Ask, pipeline: Any, outputs: dict[str, str], caller: Credentials
) -> None:
    example = Path(__file__).resolve().parents[2] / "docs" / "examples" / "api.mjs"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "API_URL": f"{pipeline.cloud.endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": caller.access_key,
        "AWS_SECRET_ACCESS_KEY": caller.secret_key,
    }
    command = ["node", str(example), "by JavaScript", "2", "4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    stored, found = map(json.loads, done.stdout.splitlines())
    assert (stored, found["source"]) == ({"stored": 2, "duplicates": 0}, "live")
    assert {reason["item_id"] for item in found["items"] for reason in item["because"]} <= {"2", "4"}
    status, receipt = ask("DELETE", "/users/by%20JavaScript")
    assert (status, receipt["removed"]) == (200, {"lists": 0, "events": 2})
    assert ask("GET", "/users/by%20JavaScript/recommendations")[1]["source"] == "cold-start"
    bucket = pipeline.outputs["DataBucket"]
    notes = pipeline.cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="raw/erasures/default/")
    assert len(notes["Contents"]) == 1
    pipeline.cloud.client("s3").delete_object(Bucket=bucket, Key=notes["Contents"][0]["Key"])


def objects(pipeline: Any, prefix: str) -> list[bytes]:
    """What lies under a prefix, by name."""
    s3, bucket = pipeline.cloud.client("s3"), pipeline.outputs["DataBucket"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    return [s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed]


def parquet(pipeline: Any, prefix: str) -> pa.Table:
    bodies = [body for body in objects(pipeline, prefix) if body.startswith(b"PAR1")]
    return pa.concat_tables([pq.read_table(io.BytesIO(body)) for body in bodies])
