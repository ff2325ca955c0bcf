"""The handlers of `predict-rating`, each in its own bundle and with nothing that a Lambda function lacks."""

import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fmrec.recordio import encode_csr

USERS = [0, 2, 3, 5, 6]
ITEMS = [1, 4, 0, 0, 3]
SCORES = [0.9, 0.3, 0.8, 0.2, 0.7]


@pytest.fixture
def scored(small_run: Any) -> Any:
    """The small run with five held-out pairs and the batch transform's scores of them."""
    keys = np.array([[user, 7 + item] for user, item in zip(USERS, ITEMS, strict=True)]).ravel()
    labels = np.array([1, 0, 1, 0, 0], np.float32)
    rows = encode_csr(np.arange(0, 11, 2), keys, np.ones(10, np.float32), 12, labels)
    (small_run.folder / "encoded/test/part-00000.pbr").write_bytes(bytes(rows))
    (small_run.folder / "scores").mkdir()
    lines = [json.dumps({"score": score, "predicted_label": float(score >= 0.5)}) for score in SCORES]
    (small_run.folder / "scores/part-00000.pbr.out").write_text("\n".join(lines) + "\n")
    return small_run


def test_choose_threshold_writes_the_pairs_and_answers_the_decision(invoke: Any, scored: Any) -> None:
    answer = invoke(
        "choose_threshold",
        {
            "manifest_uri": scored.uri("encoded/manifest.json"),
            "scores_uri": scored.uri("scores/"),
            "output_uri": scored.uri("predictions/"),
            "model_version": "m",
        },
    )

    assert 0.7 < answer["threshold"] < 0.8
    assert answer["judged"]["usual"]["accuracy"] == 0.8
    assert answer["uri"] == scored.uri("predictions/decision.json")
    written = pq.read_table(scored.folder / "predictions/pairs").to_pylist()
    assert [(row["user_id"], row["item_id"]) for row in written] == [
        ("u0", "i1"),
        ("u2", "i4"),
        ("u3", "i0"),
        ("u5", "i0"),
        ("u6", "i3"),
    ]
    assert [row["predicted"] for row in written] == [True, False, True, False, False]


def test_choose_threshold_says_what_is_wrong_with_the_scores(invoke: Any, scored: Any) -> None:
    (scored.folder / "scores/part-00000.pbr.out").write_text('{"score": 0.5}\n')
    answer = invoke(
        "choose_threshold",
        {
            "manifest_uri": scored.uri("encoded/manifest.json"),
            "scores_uri": scored.uri("scores/"),
            "output_uri": scored.uri("predictions/"),
            "model_version": "m",
        },
    )

    assert answer["errorType"] == "FormatError"
    assert "has 1 scores, fewer than its part has records" in answer["errorMessage"]


@pytest.mark.parametrize(("score", "passed"), [(0.9, True), (0.8, False)])
def test_smoke_test_scoring_compares_the_endpoint_with_the_batch(
    invoke: Any, scored: Any, cloud: Any, score: float, passed: bool
) -> None:
    cloud[0].neighbours = {"score": score, "predicted_label": 1.0}
    answer = invoke(
        "smoke_test_scoring",
        {
            "endpoint_name": "fmrec-fm",
            "manifest_uri": scored.uri("encoded/manifest.json"),
            "scores_uri": scored.uri("scores/"),
        },
    )

    assert answer["passed"] is passed
    assert (answer["user_id"], answer["item_id"], answer["scored"]) == ("u0", "i1", 0.9)
    assert [path for path in cloud[0].asked if "fmrec-fm" in path] == ["/endpoints/fmrec-fm/invocations"] * 2


def test_write_report_records_what_serves_pairs_and_no_champion(invoke: Any, small_run: Any) -> None:
    served = {
        "run": "r-1",
        "model_version": "m",
        "model_uri": "s3://b/m",
        "manifest_uri": "s3://b/e",
        "decision_uri": "s3://b/d",
        "endpoint_name": "fmrec-fm",
    }
    report: dict[str, Any] = {
        "run": "r-1",
        "chosen": {},
        "jobs": {},
        "refusals": [],
        "verdict": {"sentence": "Good enough."},
        "tuned": None,
        "model_package": {"group": "fmrec-predict-rating", "version": 1},
        "published": {"users": 0, "recommendations": 0, "table": "t"},
        "decision": {"sentence": "A score of 0.5 or more means yes."},
        "endpoint": {"name": "fmrec-fm", "status": "InService"},
    }
    answer = invoke(
        "write_report",
        {
            "report": report,
            "report_uri": small_run.uri("runs/report.json"),
            "champion": None,
            "champion_uri": small_run.uri("champion/model.json"),
            "served": served,
            "served_uri": small_run.uri("champion/predict-rating.json"),
        },
    )

    assert json.loads((small_run.folder / "champion/predict-rating.json").read_text()) == served
    assert not (small_run.folder / "champion/model.json").exists()
    assert "A score of 0.5 or more means yes." in answer["message"]
