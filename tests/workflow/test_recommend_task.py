"""The `recommend` task through the deployed workflow: judged by ranking, and nothing seen twice.

Users pick items of their own group only, and rate them by chance: ratings say nothing of what somebody
will pick, picks say everything. So the explicit recipe can't beat popularity here, and implicit feedback can.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from fmrec.artifacts.embedded_run import open_run
from fmrec.cli import main
from fmrec.execution.step_functions import Execution
from fmrec.live.live_model import open_live_model
from fmrec.storage import s3_client

USERS, ITEMS, RATED, HELD_OUT, WANTED, LIKED = 150, 60, 12, 4, 5, 4
INTERACTIONS = {"path": "groups/", "format": "csv", "header": True}
INPUT: dict[str, Any] = {
    "task": "recommend",
    "dataset": {"interactions": INTERACTIONS, "split": {"method": "leave-first-n", "n": HELD_OUT}},
    "hyperparameters": {
        "num_factors": 4,
        "epochs": 10,
        "mini_batch_size": 100,
        "linear_lr": 0.02,
        "factors_lr": 0.05,
        "factors_init_sigma": 0.1,
    },
    "serving": {"recommendations_per_user": WANTED, "endpoint": True},
}


def ratings() -> list[tuple[int, int, int]]:
    """(user, item, rating) in the order in which they were given; items with small numbers are popular."""
    chance = random.Random(7)  # noqa: S311 - data, not secrets
    found = []
    for user in range(1, USERS + 1):
        group = [item for item in range(1, ITEMS + 1) if item % 2 == user % 2]
        # Weighted sampling without replacement (Efraimidis and Spirakis 2006): keys u^(1/w), w = 1/item.
        picked = sorted(group, key=lambda item: -(chance.random() ** item))[:RATED]
        chance.shuffle(picked)
        found += [(user, item, chance.choice((2, 5))) for item in picked]
    return found


def lists(pipeline: Any) -> dict[str, Any]:
    """What the table serves, by user."""
    pages = (
        pipeline.cloud.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=pipeline.outputs["RecommendationsTable"])
    )
    return {item["user_id"]["S"]: item for page in pages for item in page["Items"]}


def read(pipeline: Any, key: str) -> Any:
    body = pipeline.cloud.client("s3").get_object(Bucket=pipeline.outputs["DataBucket"], Key=key)["Body"]
    return json.loads(body.read())


def as_csv(rows: Iterable[tuple[Any, Any, int]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["user_id", "item_id", "rating", "timestamp"])
    writer.writerows((*row, 1_000_000 + at) for at, row in enumerate(rows))
    return text.getvalue()


@pytest.fixture(scope="module")
def uploaded(pipeline: Any) -> None:
    """The ratings, in the data bucket."""
    pipeline.upload("raw/groups/ratings.csv", as_csv(ratings()))


@pytest.fixture(scope="module")
def recommended(pipeline: Any, encoded_run: str, uploaded: None) -> Execution:
    """A run of the task that is good enough; ``encoded_run`` has been before."""
    run: Execution = pipeline.run(INPUT)
    assert run.status == "SUCCEEDED", run.cause
    return run


def test_a_model_that_beats_popularity_is_served_and_nothing_seen_is_in_its_lists(
    pipeline: Any, recommended: Execution
) -> None:
    report = read(pipeline, f"runs/{recommended.name}/report.json")
    ranking = read(pipeline, f"evaluations/{recommended.name}/ranking.json")
    assert "popularity's NDCG@10" in report["verdict"]["sentence"]
    assert report["evaluation"]["model"] == ranking["model"]
    assert ranking["comparisons"]["most_rated"]["ndcg_at_10"]["low"] > 0
    page = pipeline.cloud.client("s3").get_object(
        Bucket=pipeline.outputs["DataBucket"], Key=f"runs/{recommended.name}/report.html"
    )["Body"]
    shown = page.read().decode()
    assert f"{ranking['model']['metrics']['ndcg_at_10']:.4f}" in shown
    # Nobody was left out of training: half of the users chose λ and c, the others judge them.
    folded_in = ranking["folded_in"]
    stored = read(pipeline, f"embeddings/{recommended.name}/folding_in.json")
    assert (folded_in["basis"], stored["basis"]) == ("trained", "trained")
    likes: dict[int, list[bool]] = {}
    for user, _, rating in ratings():
        likes.setdefault(user, []).append(rating >= LIKED)
    # Who liked nothing of what is held out can't be judged, who liked nothing else can't be folded in.
    judged = sum(any(found[:HELD_OUT]) and any(found[HELD_OUT:]) for found in likes.values())
    assert folded_in["users"] + stored["users"] == judged < USERS
    assert folded_in["regularization"] == stored["regularization"]
    assert folded_in["ndcg_ratio"] > 1
    assert "trained users in place of new ones" in shown
    assert f"{folded_in['by_interactions']['3']['metrics']['ndcg_at_10']:.4f}" in shown
    assert read(pipeline, "champion/model.json")["run"] == recommended.name

    seen: dict[str, list[str]] = {}
    for user, item, _ in ratings():
        seen.setdefault(str(user), []).append(str(item))
    served = lists(pipeline)
    assert set(seen) <= set(served)
    assert len(served["*"]["recommendations"]["L"]) == WANTED
    for user_id, met in seen.items():
        items = [entry["M"]["item_id"]["S"] for entry in served[user_id]["recommendations"]["L"]]
        assert len(items) == len(set(items)) == WANTED
        assert not set(items) & set(met[HELD_OUT:])


def test_users_left_out_of_training_are_judged_and_get_lists_from_their_histories(
    pipeline: Any, uploaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = INPUT["serving"] | {"endpoint": False}
    run = pipeline.run(INPUT | {"name": "left-out", "left_out_users": 0.3, "serving": serving})
    assert run.status == "SUCCEEDED", run.cause

    for name, value in pipeline.cloud.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    s3_client.forget_client()
    bucket = pipeline.outputs["DataBucket"]
    embedded = open_run(
        f"s3://{bucket}/encoded/{run.name}/manifest.json",
        f"s3://{bucket}/embeddings/{run.name}/embeddings.json",
    )
    out = embedded.left_out(0, USERS)
    assert 25 < len(out) < 65
    dropped = embedded.manifest.dropped_reasons["user left out of training"]
    assert dropped == len(out) * RATED
    ranking, stored = (
        read(pipeline, key)
        for key in (f"evaluations/{run.name}/ranking.json", f"embeddings/{run.name}/folding_in.json")
    )
    assert (ranking["folded_in"]["basis"], stored["basis"]) == ("left-out", "left-out")
    assert 20 <= ranking["folded_in"]["users"] <= len(out)
    assert ranking["folded_in"]["ndcg_ratio"] > 1
    # Everybody has a list; of those left out it is the library's, from what they liked.
    served = lists(pipeline)
    model = open_live_model(embedded.manifest_uri, embedded.embeddings_uri, "1")
    assert model.fold_in.regularization == stored["regularization"]
    names = embedded.feature_index.names(0, USERS).to_pylist()
    assert {f"/left-out/{name}" for name in names} <= set(served)
    liked, seen = embedded.liked(0, USERS), embedded.seen(0, USERS)
    for user in out.tolist():
        entries = served[f"/left-out/{names[user]}"]["recommendations"]["L"]
        expected = model.fold_in.scores(model.fold_in.user_vector(liked.of(user)))
        expected[seen.of(user)] = -np.inf
        found = [model.ordinal(entry["M"]["item_id"]["S"]) for entry in entries]
        best = -np.sort(-expected)[:WANTED]
        assert expected[found] == pytest.approx(best, abs=5e-2)
    s3_client.forget_client()


def test_drifted_data_stops_with_its_sentence_and_the_champion_serves_on(
    pipeline: Any, recommended: Execution, encoded_input: dict[str, Any]
) -> None:
    before = lists(pipeline), read(pipeline, "champion/model.json")
    run = pipeline.run(encoded_input | {"drift": {"stop": {"fewer_items": 0.2}}})

    assert (run.status, run.error) == ("FAILED", "DriftError")
    known, had = (
        read(pipeline, f"encoded/{name}/manifest.json")["items"]
        for name in (encoded_input["encoded"], recommended.name)
    )
    assert f"{known} items where the champion's data had {had}" in str(run.cause)
    assert "What is served stays as it is." in str(run.cause)
    assert "Train the factorization machine" not in [state.name for state in run.states]
    assert (lists(pipeline), read(pipeline, "champion/model.json")) == before


def test_another_catalogue_is_refused_before_it_is_paid_for_and_the_champion_serves_on(
    pipeline: Any, recommended: Execution
) -> None:
    before = lists(pipeline), read(pipeline, "champion/model.json")
    others = ((f"reader-{user}", f"book-{item}", rating) for user, item, rating in ratings())
    pipeline.upload("raw/books/ratings.csv", as_csv(others))
    dataset = INPUT["dataset"] | {"interactions": INTERACTIONS | {"path": "books/"}}
    run = pipeline.run(INPUT | {"dataset": dataset})

    assert (run.status, run.error) == ("FAILED", "InputError")
    assert f"{recommended.name}" in str(run.cause)
    assert '"replace_catalogue": true' in str(run.cause).replace("\\", "")
    assert "Train the factorization machine" not in [state.name for state in run.states]
    assert (lists(pipeline), read(pipeline, "champion/model.json")) == before


def test_status_and_endpoints_say_what_serves_and_what_is_wrong(
    pipeline: Any,
    recommended: Execution,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in pipeline.cloud.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    s3_client.forget_client()
    code = main(["status", "--json", "--runs", "50"])
    found = json.loads(capsys.readouterr().out)
    assert code == (1 if found["wrong"] else 0)
    assert found["champion"]["run"] == recommended.name
    ranking = read(pipeline, f"evaluations/{recommended.name}/ranking.json")
    assert f"NDCG@10 {ranking['model']['metrics']['ndcg_at_10']:.4f}" in found["quality"]
    (run,) = (each for each in found["runs"] if each["name"] == recommended.name)
    assert (run["status"], run["started_by"]) == ("SUCCEEDED", "a person")
    assert run["usd"] == read(pipeline, f"runs/{recommended.name}/report.json")["spent"]["usd"]
    assert main(["endpoints", "--json"]) == 0
    endpoints = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert endpoints["fmrec-knn"]["status"] == "InService"
    assert endpoints["fmrec-knn"]["usd_per_month"] > 0
    # The smoke test has called it.
    assert endpoints["fmrec-knn"]["calls"] >= 1
    assert main(["status"]) == code
    assert f"serves     {found['champion']['model_version']}" in capsys.readouterr().out
    s3_client.forget_client()


def test_the_explicit_recipe_is_refused_and_the_champion_goes_on_serving(
    pipeline: Any, recommended: Execution
) -> None:
    before = lists(pipeline), read(pipeline, "champion/model.json")
    explicit = INPUT["dataset"] | {"label": {"mode": "binary", "threshold": 4}}
    run = pipeline.run(INPUT | {"dataset": explicit})

    assert (run.status, run.error) == ("FAILED", "QualityError")
    assert "popularity's NDCG@10 is 0." in str(run.cause)
    assert "implicit feedback with sampled negatives" in str(run.cause)
    assert "Publish the recommendations" not in [state.name for state in run.states]
    ranking = read(pipeline, f"evaluations/{run.name}/ranking.json")
    assert ranking["champion"]["metrics"]["ndcg_at_10"] > ranking["model"]["metrics"]["ndcg_at_10"]
    assert (lists(pipeline), read(pipeline, "champion/model.json")) == before
