"""The `predict-rating` task through the deployed workflow: pairs scored in batch and at an endpoint."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fmrec import cli
from fmrec.execution.step_functions import Execution
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.predictions.scoring_smoke_test import compare
from fmrec.predictions.threshold_and_calibration import threshold_curve
from fmrec.recordio import encode_csr, read_matrix

HELD_OUT = 4


def keys(pipeline: Any, prefix: str) -> list[str]:
    pages = (
        pipeline.cloud.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=pipeline.outputs["DataBucket"], Prefix=prefix)
    )
    return [stored["Key"] for page in pages for stored in page.get("Contents", [])]


def read(pipeline: Any, key: str) -> bytes:
    answer = pipeline.cloud.client("s3").get_object(Bucket=pipeline.outputs["DataBucket"], Key=key)
    body: bytes = answer["Body"].read()
    return body


def champion(pipeline: Any) -> bytes | None:
    key = "champion/model.json"
    return read(pipeline, key) if keys(pipeline, key) else None


def served_users(pipeline: Any) -> int:
    table = pipeline.outputs["RecommendationsTable"]
    count: int = pipeline.cloud.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"]
    return count


@pytest.fixture(scope="module")
def before(pipeline: Any) -> Any:
    return champion(pipeline), served_users(pipeline)


@pytest.fixture(scope="module")
def scored(pipeline: Any, before: Any, ratings_input: Any) -> Execution:
    """A run of the task that is good enough."""
    run: Execution = pipeline.run(ratings_input)
    assert run.status == "SUCCEEDED", run.cause
    return run


@pytest.fixture(scope="module")
def ratings_input() -> dict[str, Any]:
    """Ratings follow what users and items have in common; the small ratings are uploaded."""
    return {
        "task": "predict-rating",
        "dataset": {
            "interactions": {
                "path": "small/",
                "format": "csv",
                "header": True,
                "columns": {
                    "user": "user_id",
                    "item": "item_id",
                    "value": "rating",
                    "timestamp": "timestamp",
                },
            },
            "label": {"mode": "binary", "threshold": 4},
            "split": {"method": "leave-first-n", "n": HELD_OUT},
        },
        "hyperparameters": {
            "num_factors": 4,
            "epochs": 30,
            "mini_batch_size": 100,
            "linear_lr": 0.02,
            "factors_lr": 0.05,
            "factors_init_sigma": 0.1,
        },
    }


@pytest.fixture(scope="module")
def held_out(pipeline: Any, scored: Execution) -> Any:
    """The test channel's rows and labels."""
    (part,) = keys(pipeline, f"encoded/{scored.name}/test/")
    return read_matrix(io.BytesIO(read(pipeline, part)))


@pytest.fixture(scope="module")
def machine(pipeline: Any, scored: Execution) -> FactorizationMachine:
    report = json.loads(read(pipeline, f"runs/{scored.name}/report.json"))
    model = report["model_uri"].split("/", 3)[3]
    return FactorizationMachine.load(io.BytesIO(read(pipeline, model)))


@pytest.fixture(scope="module")
def pairs(pipeline: Any, scored: Execution) -> Any:
    (part,) = keys(pipeline, f"predictions/{scored.name}/pairs/")
    return pq.read_table(io.BytesIO(read(pipeline, part))).to_pandas()


def test_every_held_out_pair_is_scored_as_the_model_scores(
    pipeline: Any, scored: Execution, held_out: Any, machine: FactorizationMachine, pairs: Any
) -> None:
    rows, labels = held_out
    manifest = json.loads(read(pipeline, f"encoded/{scored.name}/manifest.json"))
    assert len(pairs) == manifest["test"]["rows"] == manifest["rows"]["test"] == 60 * HELD_OUT
    np.testing.assert_allclose(pairs["score"], machine.predict(rows), atol=1e-6)
    assert pairs["label"].tolist() == labels.tolist()
    (index,) = (
        key for key in keys(pipeline, f"encoded/{scored.name}/feature_index/") if key.endswith(".parquet")
    )
    names = pq.read_table(io.BytesIO(read(pipeline, index)))["name"].to_numpy()
    columns = rows.indices.reshape(-1, 2)
    assert pairs["user_id"].tolist() == names[columns[:, 0]].tolist()
    assert pairs["item_id"].tolist() == names[columns[:, 1]].tolist()


def test_the_threshold_is_chosen_on_held_out_pairs_and_in_the_report_with_its_curve(
    pipeline: Any, scored: Execution, pairs: Any
) -> None:
    decision = json.loads(read(pipeline, f"predictions/{scored.name}/decision.json"))
    report = json.loads(read(pipeline, f"runs/{scored.name}/report.json"))

    curve = threshold_curve(pairs["score"], pairs["label"])
    served = ((pairs["score"] >= decision["threshold"]) == pairs["label"]).mean()
    assert curve.best()[1] - 0.05 <= served <= curve.best()[1]
    assert decision["curve"] == curve.to_document()
    assert decision["rows"]["scored"] == len(pairs)
    assert (pairs["predicted"] == (pairs["score"] >= decision["threshold"])).all()
    usual = ((pairs["score"] >= 0.5) == pairs["label"]).mean()
    assert decision["judged"]["usual"]["accuracy"] == pytest.approx(usual)
    assert report["metrics"]["test:binary_classification_accuracy"] == pytest.approx(usual, abs=0.01)
    assert {key: report["decision"][key] for key in decision} == decision
    assert len(report["decision"]["curve"]["threshold"]) == 101
    assert scored.output is not None
    assert scored.output["decision"] == decision["sentence"]


def test_the_endpoint_answers_json_and_recordio_as_the_batch_did(
    pipeline: Any, scored: Execution, held_out: Any, pairs: Any
) -> None:
    name = pipeline.outputs["FmEndpointName"]
    runtime = pipeline.cloud.client("sagemaker-runtime")
    rows = held_out[0][:20]
    instances = [
        {"data": {"features": {"keys": row.indices.tolist(), "shape": [rows.shape[1]], "values": [1.0, 1.0]}}}
        for row in rows
    ]
    requests = {
        "application/json": json.dumps({"instances": instances}).encode(),
        "application/x-recordio-protobuf": bytes(
            encode_csr(rows.indptr, rows.indices, rows.data, rows.shape[1])
        ),
    }
    for content_type, body in requests.items():
        answer = runtime.invoke_endpoint(
            EndpointName=name, ContentType=content_type, Accept="application/json", Body=body
        )
        predictions = json.loads(answer["Body"].read())["predictions"]
        np.testing.assert_allclose([p["score"] for p in predictions], pairs["score"][:20], atol=1e-6)

    report = json.loads(read(pipeline, f"runs/{scored.name}/report.json"))
    assert report["endpoint"]["name"] == name
    assert report["endpoint"]["answer"]["passed"]
    first = pairs.iloc[0]
    asked = report["endpoint"]["answer"]
    again = compare(
        first["user_id"], first["item_id"], first["score"], asked["as_json"], asked["as_recordio"]
    )
    assert again.to_document() == asked


def test_the_instances_were_planned_for_this_task(pipeline: Any, scored: Execution) -> None:
    report = json.loads(read(pipeline, f"runs/{scored.name}/report.json"))

    assert set(report["chosen"]) == {"fm_training", "fm_transform", "fm_endpoint"}
    assert set(report["spent"]["steps"]) == {"fm_training", "fm_transform"}
    needed = {step for step, plan in report["plan"]["steps"].items() if plan["needed"]}
    assert needed == {"fm_training", "fm_transform", "fm_endpoint"}


def test_no_lists_are_published_and_the_champion_of_lists_stays(
    pipeline: Any, scored: Execution, before: Any
) -> None:
    assert (champion(pipeline), served_users(pipeline)) == before
    for prefix in ("embeddings", "neighbours", "recommendations"):
        assert not keys(pipeline, f"{prefix}/{scored.name}/")
    record = json.loads(read(pipeline, "champion/predict-rating.json"))
    assert (record["run"], record["endpoint_name"]) == (scored.name, "fmrec-fm")
    assert not [state.name for state in scored.states if "k-NN" in state.name]


def test_a_person_asks_for_a_pair_by_its_ids(
    pipeline: Any, scored: Execution, pairs: Any, monkeypatch: Any, capsys: Any
) -> None:
    for name, value in pipeline.cloud.environment.items():
        monkeypatch.setenv(name, value)
    pair = pairs.iloc[7]

    assert cli.main(["predict", pair["user_id"], pair["item_id"], "--json"]) == 0

    (answer,) = json.loads(capsys.readouterr().out)["predictions"]
    assert answer["score"] == pytest.approx(pair["score"], abs=1e-6)
    assert answer["probability"] == pytest.approx(pair["probability"], abs=1e-5)
    assert answer["yes"] == pair["predicted"]
    assert cli.main(["predict", "nobody", pair["item_id"]]) == 2
    assert "doesn't know the user 'nobody'" in capsys.readouterr().err


def test_a_regressor_says_how_likely_a_high_rating_is_and_without_an_endpoint_what_serves_stays(
    pipeline: Any, scored: Execution, ratings_input: dict[str, Any]
) -> None:
    dataset = ratings_input["dataset"] | {"label": {"mode": "regression", "threshold": 4}}
    hyperparameters = ratings_input["hyperparameters"] | {"predictor_type": "regressor", "bias_lr": 0.05}
    serving = {"endpoint": False}
    run = pipeline.run(
        {
            **ratings_input,
            "dataset": dataset,
            "hyperparameters": hyperparameters,
            "serving": serving,
        }
    )

    assert run.status == "SUCCEEDED", run.cause
    decision = json.loads(read(pipeline, f"predictions/{run.name}/decision.json"))
    (part,) = keys(pipeline, f"predictions/{run.name}/pairs/")
    pairs = pq.read_table(io.BytesIO(read(pipeline, part))).to_pandas()
    assert (decision["predictor_type"], decision["level"]) == ("regressor", 4.0)
    assert set(pairs["label"]) == {1.0, 5.0}
    high = pairs["label"] >= 4
    assert pairs["probability"][high].mean() > 0.8 > 0.2 > pairs["probability"][~high].mean()
    assert decision["judged"]["chosen"]["accuracy"] > 0.85
    assert 1 < decision["threshold"] < 5
    assert json.loads(read(pipeline, "champion/predict-rating.json"))["run"] == scored.name
