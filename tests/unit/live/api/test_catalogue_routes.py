"""The routes about the model that serves and its items, as API Gateway's events."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fmrec.client import Client, ItemName, Model
from fmrec.client_answers import AttributeCount, AttributeValues, ChosenInstance, Click, Figure
from fmrec.dataset.clicks import click
from fmrec.deployment.defaults import DATASET
from fmrec.errors import InputError, NotFoundError
from fmrec.live.api import routes
from fmrec.live.item_names import StoredNames
from fmrec.live.served_model import Champion
from fmrec.registry import champion as records
from tests.fixtures.api_calls import Api
from tests.fixtures.serving import serving
from tests.fixtures.taste_runs import TasteRun, write_attribute, write_taste_run
from tests.fixtures.wsgi_gateway import Gateway

TASTES = ("Comedy", "Western", "Horror", "Musical")
CHOSEN = {
    "instance_type": "ml.m5.large",
    "instance_count": 2,
    "usd_per_hour": 0.115,
    "why": "the cheapest that fits",
}


@pytest.fixture
def run(tmp_path: Path) -> TasteRun:
    run = write_taste_run(tmp_path)
    write_attribute(run, "genre", TASTES)
    record = records.Champion(
        "r", "recommend", "m1", "", run.manifest_uri, run.embeddings_uri, since="2026-01-01"
    )
    path = Path(records.place(str(tmp_path)))
    path.parent.mkdir()
    path.write_text(json.dumps(asdict(record)))
    return run


@pytest.fixture
def api(run: TasteRun) -> Api:
    return api_over(run, names=None)


def api_over(run: TasteRun, names: StoredNames | None) -> Api:
    """Without a table, which these routes don't read."""
    api = Api(run.folder, "none", None)
    api.champion = Champion(str(run.folder), "none", names=names, client=None)
    api.app = routes.build(api.champion)
    return api


def test_items_are_found_by_words_of_their_names_and_named_by_their_ids(run: TasteRun) -> None:
    path = run.folder / "films.csv"
    rows = [f"i{n},{TASTES[n % 4]} number {n},{1900 + n}" for n in range(121)]
    path.write_text("\n".join(["item_id,title,year", *rows]))
    api = api_over(run, StoredNames(str(path), ["item_id", "title", "year"]))
    status, _, found = api.ask("GET", "/items", query={"search": "number western", "n": "2"})
    assert status == 200
    assert found["items"] == [
        {"item_id": "i1", "name": "Western number 1", "details": "1901"},
        {"item_id": "i5", "name": "Western number 5", "details": "1905"},
    ]
    # The model doesn't know the item i120.
    body = {"item_ids": ["i119", "unheard-of", "i120", "i0"]}
    _, _, found = api.ask("POST", "/items/names", body)
    assert [item["name"] for item in found["items"]] == ["Musical number 119", "Comedy number 0"]
    assert api.ask("GET", "/model")[2]["names"] is True
    for query in ({"search": ""}, {"search": "a", "n": "101"}, {}):
        assert api.ask("GET", "/items", query=query)[0] == 422
    status, _, refused = api.ask("POST", "/items/names", {"item_ids": ["i"] * 1001})
    assert (status, "at most 1000 items" in refused["detail"]) == (422, True)


def test_without_a_file_no_item_has_a_name_and_with_a_broken_one_that_is_said(
    run: TasteRun, api: Api
) -> None:
    assert api.ask("GET", "/items", query={"search": "a"})[2] == {"items": []}
    assert api.ask("POST", "/items/names", {"item_ids": ["i1"]})[2] == {"items": []}
    assert api.ask("GET", "/model")[2]["names"] is False
    broken = api_over(run, StoredNames(str(run.folder / "none.csv")))
    status, _, found = broken.ask("POST", "/items/names", {"item_ids": ["i1"]})
    assert (status, "setting api.item_names" in found["detail"]) == (503, True)
    assert broken.ask("GET", "/popular")[0] == 200


def test_attributes_come_with_their_most_frequent_values(api: Api) -> None:
    _, _, found = api.ask("GET", "/attributes", query={"n": "2"})
    values = [{"value": "Comedy", "items": 30}, {"value": "Western", "items": 30}]
    assert found == {"attributes": [{"name": "genre", "values": values, "distinct": 4}]}
    assert api.ask("GET", "/attributes", query={"n": "201"})[0] == 422


def test_the_model_that_serves_is_described(api: Api) -> None:
    status, _, found = api.ask("GET", "/model")
    assert (status, found) == (
        200,
        {
            "dataset": "default", "run": "r", "model_version": "m1", "since": "2026-01-01", "users": 90, "items": 120,
            "click": {"value": None, "event": None}, "names": False,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("document", "value", "event"),
    [
        ({}, None, None),
        (DATASET | {"label": {"mode": "implicit", "threshold": 4}}, 4.0, None),
        (DATASET | {"label": {"mode": "implicit"}}, 1.0, None),
        (
            {
                "interactions": {"columns": {"user": "u", "item": "i", "event": "kind"}},
                "label": {"mode": "implicit", "event_weights": {"view": 0.2, "buy": 3, "return": 0}},
            },
            None,
            ["buy", "view"],
        ),
    ],
)
def test_a_click_is_what_counts_as_liked_in_the_data_set(
    document: dict[str, Any], value: float | None, event: list[str] | None
) -> None:
    assert click(document) == {"value": value, "event": event}


def test_the_report_has_quality_instances_and_cost_of_the_run_that_serves(run: TasteRun, api: Api) -> None:
    status, _, found = api.ask("GET", "/report")
    assert (status, found["detail"]) == (404, "the report of run r can't be read")
    path = run.folder / "runs/r/report.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"chosen": 7}))
    status, _, found = api.ask("GET", "/report")
    assert (status, found["detail"]) == (
        503,
        "the report of run r is not as expected: see the function's log",
    )

    write_report(run)
    status, _, found = api.ask("GET", "/report")
    assert status == 200
    assert (found["run"], found["verdict"], found["new_users"]) == ("r", "Good.", None)
    assert found["quality"]["rows"][0] == {"name": "this model", "value": 0.3}
    assert found["quality"]["own"] == "this model"
    training, endpoint = found["instances"]
    assert (training["instance"], training["usd_per_hour"]) == ("2 × ml.m5.large", 0.115)
    assert training["refused"] == ["ml.m5.xlarge: the quota is 0"]
    assert endpoint["instance"] == "serverless, 2048 MB"


def test_the_client_has_typed_answers_of_every_route(run: TasteRun) -> None:
    path = run.folder / "films.csv"
    path.write_text(
        "\n".join(["item_id,title,year", *(f"i{n},Film & number {n},{1900 + n}" for n in range(120))])
    )
    api = api_over(run, StoredNames(str(path), ["item_id", "title", "year"]))
    with serving(Gateway(api.app, api.app, api.app)) as url:
        client = Client(url, token="any")
        assert client.search("& 11", n=2) == (
            ItemName("i11", "Film & number 11", "1911"),
            ItemName("i110", "Film & number 110", "2010"),
        )
        assert client.names(["i3", "unheard-of"]) == {"i3": ItemName("i3", "Film & number 3", "1903")}
        with pytest.raises(InputError, match="at most 1000 items"):
            client.names(["i"] * 1001)
        genres = (AttributeCount("Comedy", 30),)
        assert client.attributes(n=1) == (AttributeValues("genre", genres, 4),)
        assert client.model() == Model("default", "r", "m1", "2026-01-01", 90, 120, Click(None, None), True)
        with pytest.raises(NotFoundError, match="the report of run r can't be read"):
            client.report()
        write_report(run)
        found = client.report()
    assert (found.run, found.verdict, found.new_users) == ("r", "Good.", None)
    assert found.quality is not None
    assert found.quality.rows[0] == Figure("this model", 0.3)
    assert found.instances[0] == ChosenInstance(
        "fm training",
        "2 × ml.m5.large",
        "the cheapest that fits",
        ("ml.m5.xlarge: the quota is 0",),
        0.115,
        None,
    )


def write_report(run: TasteRun) -> None:
    """Of a training that one instance was refused for, and a serverless endpoint."""
    serverless = {"instance_type": "serverless", "memory_mb": 2048, "why": "by the settings"}
    metrics = {"metrics": {"ndcg_at_10": 0.3}}
    report = {
        "chosen": {"fm_training": CHOSEN, "knn_endpoint": serverless},
        "refusals": [{"step": "fm_training", "instance_type": "ml.m5.xlarge", "cause": "the quota is 0"}],
        "verdict": {"sentence": "Good."},
        "evaluation": {
            "k": 10, "users": 90, "model": metrics, "champion": None,
            "baselines": {"most_rated": {"metrics": {"ndcg_at_10": 0.1}}},
        },
    }  # fmt: skip
    path = run.folder / "runs/r/report.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report))
