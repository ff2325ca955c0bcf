"""The API's routes on a small run, as API Gateway's events; the table is DynamoDB's emulator."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmrec.live.api import routes
from fmrec.recommendations.cold_start import publish_popular
from fmrec.registry import champion as records
from tests.fixtures.api_calls import Api, library, promote
from tests.fixtures.small_runs import SmallRun


@pytest.fixture
def api(small_run: SmallRun, dynamodb: Any, table: str) -> Api:
    return Api.over(small_run, table, dynamodb)


def test_a_session_gets_what_the_library_says_and_because_sums_to_the_score(
    api: Api, small_run: SmallRun
) -> None:
    ids, fold_in = small_run.item_ids, library(small_run)
    history = [{"item_id": ids[at]} for at in (0, 2)] + [{"item_id": "unheard-of"}]
    status, _, found = api.ask("POST", "/recommendations", {"history": history, "n": 2, "because": 2})
    assert (status, found["source"], found["ignored_items"]) == (200, "live", ["unheard-of"])
    expected = fold_in.recommend([0, 2], 2)
    assert [item["item_id"] for item in found["items"]] == [ids[at] for at in expected.items]
    assert [item["score"] for item in found["items"]] == pytest.approx(expected.scores.tolist(), abs=1e-4)
    parts = fold_in.contributions([0, 2], expected.items)
    for row, item in enumerate(found["items"]):
        told = {reason["item_id"]: reason["contribution"] for reason in item["because"]}
        mine = {ids[at]: parts.history[row, n] for n, at in enumerate((0, 2)) if parts.history[row, n] > 0}
        assert told == pytest.approx(mine, abs=1e-5)


def test_a_known_user_gets_the_published_list_unless_the_request_needs_a_live_one(
    api: Api, small_run: SmallRun
) -> None:
    run = small_run
    path = f"/users/{run.user_ids[0]}/recommendations"
    _, _, plain = api.ask("GET", path, query={"n": "2"})
    assert plain["source"] == "batch"
    assert [(item["item_id"], item["score"]) for item in plain["items"]] == [
        (run.item_ids[0], 0.5),
        (run.item_ids[1], 0.25),
    ]
    denied = run.item_ids[1]
    _, _, live = api.ask("GET", path, query={"n": "2", "deny": denied})
    seen = {run.item_ids[item] for item in run.seen.of(0)}
    assert live["source"] == "live"
    assert not {item["item_id"] for item in live["items"]} & {denied, *seen}


def test_an_unknown_user_gets_what_is_popular_and_the_answer_says_so(api: Api) -> None:
    status, _, found = api.ask("GET", "/users/nobody/recommendations", query={"n": "2"})
    assert (status, found["source"], len(found["items"])) == (200, "cold-start", 2)
    _, _, popular = api.ask("GET", "/popular", query={"n": "2"})
    assert popular["source"] == "popular"
    assert [item["item_id"] for item in popular["items"]] == [item["item_id"] for item in found["items"]]


def test_an_unknown_user_whom_the_runs_segments_name_gets_what_is_popular_there(
    api: Api, small_run: SmallRun, dynamodb: Any, table: str, tmp_path: Path
) -> None:
    young = [1, 4, 6, 11, 20]
    lines = ["user_id,segment", "nobody,young", "n.n.,young", "n.n.,gone"]
    path = tmp_path / "segments.csv"
    path.write_text("\n".join([*lines, *(f"{small_run.user_ids[n]},young" for n in young)]))
    publish_popular(
        manifest_uri=small_run.manifest_uri,
        table=table,
        per_user=5,
        model_version="m1",
        segments_uri=str(path),
        dynamodb=dynamodb,
    )
    counts = Counter(small_run.item_ids[item] for user in young for item in small_run.seen.of(user))
    status, _, found = api.ask("GET", "/users/nobody/recommendations", query={"n": "5"})
    assert (status, found["source"]) == (200, "cold-start")
    shares = [counts[item["item_id"]] / counts.total() for item in found["items"]]
    assert shares == sorted((count / counts.total() for count in counts.values()), reverse=True)[:5]
    assert [item["score"] for item in found["items"]] == pytest.approx(shares)
    everybody = api.ask("GET", "/users/unheard-of/recommendations", query={"n": "5"})[2]["items"]
    assert everybody != found["items"]
    # The last row of a user counts: nobody of this segment is known. What a caller says comes first.
    gone = api.ask("GET", "/users/n.n./recommendations", query={"n": "5"})[2]["items"]
    assert {item["score"] for item in gone} == {0}
    said = api.ask("GET", "/users/unheard-of/recommendations", query={"n": "5", "segment": "young"})
    assert said[2]["items"] == found["items"]
    # Read once for each run; a file that can't be read is nobody's segment.
    path.unlink()
    assert api.ask("GET", "/users/nobody/recommendations", query={"n": "5"})[2] == found
    other = Api(small_run.folder, table, dynamodb)
    assert other.ask("GET", "/users/nobody/recommendations", query={"n": "5"})[2]["items"] == everybody


def test_a_known_user_without_interactions_gets_what_suits_the_attributes(
    api: Api, small_run: SmallRun
) -> None:
    path = Path(small_run.manifest_uri)
    described = json.loads(path.read_text())
    described["details"] = {"side_features": {"user": "user_features/"}}
    path.write_text(json.dumps(described))
    user = next(at for at in range(23) if not len(small_run.seen.of(at)))
    status, _, found = api.ask("GET", f"/users/{small_run.user_ids[user]}/recommendations", query={"n": "4"})
    assert (status, found["source"]) == (200, "cold-start")
    scores = library(small_run).scores(small_run.user_vectors[user, :-1])
    best = np.argsort(-scores, kind="stable")[:4]
    assert [item["item_id"] for item in found["items"]] == [small_run.item_ids[at] for at in best]


def test_an_id_that_no_table_can_hold_is_an_unknown_user(api: Api) -> None:
    wide = "\N{GRINNING FACE}" * 1000
    model = api.champion
    assert model.published(wide) is None
    assert model.popular(wide) is None


def test_similar_items_and_ranks_are_the_librarys(api: Api, small_run: SmallRun) -> None:
    ids, fold_in = small_run.item_ids, library(small_run)
    _, _, similar = api.ask("GET", f"/items/{ids[1]}/similar", query={"n": "1"})
    cosines = fold_in.cosines(1)
    cosines[1] = -2
    assert similar["items"][0]["item_id"] == ids[int(np.argmax(cosines))]
    body = {"history": [{"item_id": ids[0]}], "item_ids": [ids[2], ids[1], "unheard-of"]}
    _, _, ranked = api.ask("POST", "/rank", body)
    scores = fold_in.scores(fold_in.user_vector([0]), [1, 2])
    best = [ids[1], ids[2]] if scores[0] > scores[1] else [ids[2], ids[1]]
    assert [item["item_id"] for item in ranked["items"]] == best
    assert ranked["ignored_items"] == ["unheard-of"]


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "status", "words"),
    [
        ("GET", "/users/1/recommendations", None, {"n": "0"}, 422, "greater than or equal to 1"),
        ("GET", "/users/1/recommendations", None, {"n": "many"}, 422, "valid integer"),
        ("GET", "/items/unheard-of/similar", None, None, 404, "item 'unheard-of' is not in model m1"),
        ("GET", "/nowhere", None, None, 404, "no such route"),
        ("POST", "/rank", {"item_ids": ["1"]}, None, 422, "either 'user_id' or 'history'"),
        ("POST", "/recommendations", "{", None, 400, "not JSON"),
        ("POST", "/recommendations", {"history": [{"item_id": 7}]}, None, 422, "valid string"),
        ("POST", "/recommendations", {"history": [], "wish": 1}, None, 422, "wish"),
        ("POST", "/recommendations", {"history": [{"item_id": "a"}] * 10001}, None, 422, "at most 10000"),
        ("POST", "/recommendations", " " * (1 << 20) + "{}", None, 413, "send it in parts"),
    ],
)
def test_bad_requests_are_refused_by_a_problem_document(
    api: Api, method: str, path: str, body: Any, query: Any, status: int, words: str
) -> None:
    found, kind, document = api.ask(method, path, body, query)
    assert (found, kind) == (status, "application/problem+json")
    assert document.keys() == {"type", "title", "status", "detail"}
    assert words in document["detail"]


@pytest.mark.parametrize(
    ("history", "source", "ignored"),
    [
        ([], "cold-start", []),
        ([{"item_id": "unheard-of"}, {"item_id": "unheard-of"}], "cold-start", ["unheard-of"]),
        ([{"item_id": "film 0"}] * 10_000, "live", []),
        ([{"item_id": "film 0"}] + [{"item_id": f"x{n}"} for n in range(9_999)], "live", None),
    ],
)
def test_histories_that_say_little_or_much_are_answered(
    api: Api, history: list[Any], source: str, ignored: list[str] | None
) -> None:
    status, _, found = api.ask("POST", "/recommendations", {"history": history, "n": 2})
    assert (status, found["source"], len(found["items"])) == (200, source, 2)
    assert found["ignored_items"] == (ignored if ignored is not None else [f"x{n}" for n in range(9_999)])


def test_another_champion_is_noticed_and_none_is_unavailable(api: Api, small_run: SmallRun) -> None:
    assert api.ask("GET", "/popular")[2]["model_version"] == "m1"
    promote(small_run, "m2")
    assert api.ask("GET", "/popular")[2]["model_version"] == "m1"
    api.now += 31
    assert api.ask("GET", "/popular")[2]["model_version"] == "m2"
    Path(records.place(str(small_run.folder))).unlink()
    api.now += 31
    status, kind, document = api.ask("GET", "/popular")
    assert (status, kind) == (503, "application/problem+json")
    assert "no run has published yet" in document["detail"]


def test_the_committed_openapi_document_is_that_of_the_routes() -> None:
    committed = Path(__file__).resolve().parents[4] / "docs" / "openapi.json"
    assert committed.read_text() == routes.openapi_document()
