"""The handlers, each in its own bundle and with nothing that a Lambda function lacks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def test_check_quality_judges(invoke: Any) -> None:
    event = {"metrics": {"test:rmse": 1.2}, "thresholds": {"rmse": 1.0}, "evaluation": None}
    answer = invoke("check_quality", event)

    assert answer["passed"] is False
    assert "rmse is 1.2" in answer["sentence"]


@pytest.fixture
def held_out(small_run: Any) -> None:
    """What the encoding tells of who met and liked what: everybody met item 0 and liked the
    held-out item 1.
    """
    for folder, item in (("seen", 7), ("heldout", 8)):
        place = small_run.folder / "encoded" / folder
        place.mkdir()
        pairs = {
            "user_column": pa.array(range(7), pa.int64()),
            "item_column": pa.array([item] * 7, pa.int64()),
            "relevant": [True] * 7,
        }
        pq.write_table(pa.table(pairs), place / "part-00000.parquet")


@pytest.fixture
def published(invoke: Any, small_run: Any, cloud: Any, held_out: None) -> Any:
    """Embeddings exported, k-NN answered by hand, top-2 published."""
    exported = invoke(
        "export_embeddings",
        {
            "model_uris": [small_run.uri("model.tar.gz")],
            "manifest_uri": small_run.uri("encoded/manifest.json"),
            "output_uri": small_run.uri("embeddings/"),
            "co_occurrence": 0.3,
            "folding_in": True,
        },
    )
    products = small_run.scores - small_run.model.bias - small_run.model.linear[:7, None]
    folder = small_run.folder / "neighbours"
    folder.mkdir()
    lines = []
    for row in products:
        best = np.argsort(row)[-2:]
        lines.append({"labels": best.astype(float).tolist(), "distances": row[best].tolist()})
    (folder / "part-00000.pbr.out").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cloud[0].neighbours = lines[0] | {"predicted_label": 0.0}
    written = invoke(
        "publish_recommendations",
        {
            "manifest_uri": small_run.uri("encoded/manifest.json"),
            "embeddings_uri": exported["uri"],
            "neighbours_uri": str(folder) + "/",
            "output_uri": small_run.uri("recommendations/"),
            "table": "t",
            "parts": [0, exported["query_parts"]],
            "per_user": 2,
            "model_version": "m-1",
            "exclude_seen": False,
            "filters": {},
        },
    )
    return exported, written


def test_export_embeddings_answers_sizes_and_not_the_parts(published: Any) -> None:
    exported, _ = published

    assert {key: exported[key] for key in ("dim", "users", "items", "query_parts")} == {
        "dim": 4,
        "users": 7,
        "items": 5,
        "query_parts": 1,
    }
    assert exported["uri"].endswith("embeddings/embeddings.json")
    folding_in = json.loads(Path(exported["uri"]).with_name("folding_in.json").read_text())
    assert (folding_in["regularization"], folding_in["negative_weight"]) == (2, 0.05)
    assert "users have both a history and held-out interactions" in folding_in["why"]


def test_a_trial_is_exported_and_judged_without_what_only_a_model_needs(
    invoke: Any, small_run: Any, held_out: None
) -> None:
    exported = invoke(
        "export_embeddings",
        {
            "model_uris": [small_run.uri("model.tar.gz")],
            "manifest_uri": small_run.uri("encoded/manifest.json"),
            "output_uri": small_run.uri("embeddings/trials/1/"),
            "co_occurrence": 0.3,
            "folding_in": False,
        },
    )
    assert not Path(exported["uri"]).with_name("folding_in.json").exists()
    judged = invoke(
        "evaluate_ranking",
        {
            "manifest_uri": small_run.uri("encoded/manifest.json"),
            "embeddings_uri": exported["uri"],
            "champion_uri": None,
            "output_uri": small_run.uri("evaluations/trials/1/ranking.json"),
        },
        SIMPLE_MODELS="{}",
    )

    assert 0 < judged["model"]["metrics"]["ndcg_at_10"] <= 1
    assert (judged["champion"], judged["simple_models"], judged["folded_in"]) == (None, {}, None)


def test_publish_recommendations_writes_everyones_best(published: Any, small_run: Any, cloud: Any) -> None:
    _, written = published

    assert written["users"] == 7
    assert written["recommendations"] == 14
    table = pq.read_table(small_run.folder / "recommendations/part-00000.parquet").to_pylist()
    best = np.argsort(-small_run.scores, axis=1)[:, :2]
    assert [row["item_id"] for row in table] == [f"i{n}" for n in best.ravel()]
    assert len(cloud[0].items) == 7
    first = cloud[0].items["u0"]["recommendations"]["L"][0]["M"]
    expected = 1 / (1 + np.exp(-small_run.scores[0].max()))
    assert float(first["score"]["N"]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_lists_are_measured_beside_popularity_and_the_champion_and_judged(
    published: Any, invoke: Any, small_run: Any, held_out: Any
) -> None:
    exported, _ = published
    places = {"manifest_uri": small_run.uri("encoded/manifest.json"), "embeddings_uri": exported["uri"]}
    event = places | {
        "champion_uri": small_run.uri("champion/model.json"),
        "output_uri": small_run.uri("evaluations/ranking.json"),
    }

    first = invoke("evaluate_ranking", event, SIMPLE_MODELS="{}")
    assert first["users"] == 7
    assert first["champion"] is None
    written = json.loads((small_run.folder / "evaluations/ranking.json").read_text())
    assert first == written | {"judged_against": ""}
    serving = places | {"run": "small", "task": "recommend", "model_version": "m", "model_uri": "u"}
    serving["execution_arn"] = "arn:monday"
    (small_run.folder / "champion").mkdir()
    (small_run.folder / "champion/model.json").write_text(json.dumps(serving))
    second = invoke("evaluate_ranking", event, SIMPLE_MODELS="{}")
    assert second["champion"]["metrics"] == second["model"]["metrics"]
    assert second["judged_against"] == "arn:monday"
    verdict = invoke("check_quality", {"metrics": {}, "thresholds": {}, "evaluation": second})
    assert "popularity's NDCG@10" in verdict["sentence"]
    assert {check["metric"] for check in verdict["checks"]} == {
        "popularity_ndcg_at_10",
        "champion_ndcg_at_10",
    }


def test_publish_popular_writes_a_list_for_strangers(invoke: Any, small_run: Any, cloud: Any) -> None:
    event = {
        "manifest_uri": small_run.uri("encoded/manifest.json"),
        "table": "t",
        "per_user": 3,
        "model_version": "m-1",
        "filters": {},
        "segments_uri": None,
    }

    assert invoke("publish_popular", event) == {"lists": 1}
    refused = invoke("publish_popular", event | {"segments_uri": "/etc/passwd"})
    assert refused["errorType"] == "SettingsError"
    assert "serving.segments is '/etc/passwd': expected the s3:// URI of a file" in refused["errorMessage"]
    assert len(cloud[0].items["*"]["recommendations"]["L"]) == 3


@pytest.mark.slow
def test_smoke_test_endpoint_compares_the_endpoint_with_the_table(
    published: Any, invoke: Any, small_run: Any, cloud: Any
) -> None:
    exported, _ = published
    event = {
        "endpoint_name": "fmrec-knn",
        "manifest_uri": small_run.uri("encoded/manifest.json"),
        "embeddings_uri": exported["uri"],
        "table": "t",
        "exclude_seen": False,
        "filters": {},
    }

    assert invoke("smoke_test_endpoint", event)["passed"] is True
    cloud[0].neighbours["labels"].reverse()
    answer = invoke("smoke_test_endpoint", event)
    assert answer["passed"] is False
    assert "disagree" in answer["sentence"]


def test_explain_failure_says_what_and_where(invoke: Any) -> None:
    answer = invoke(
        "explain_failure",
        {
            "failure": {
                "state": "Encode the interactions",
                "log": "glue",
                "name": "job",
                "error": {"Error": "States.TaskFailed", "Cause": json.dumps({"ErrorMessage": "no rows"})},
            },
            "execution_arn": "arn:aws:states:eu-west-1:000000000000:execution:m:r-1",
        },
        REQUEST_QUOTA_INCREASES="false",
    )

    assert "no rows" in answer["sentence"]
    assert "Glue job job" in answer["sentence"]
    assert answer["subject"] == "Run r-1 failed: Encode the interactions"


def test_write_report_writes_and_answers_with_a_message(invoke: Any, small_run: Any) -> None:
    report: dict[str, Any] = {
        "run": "r-1",
        "chosen": {},
        "jobs": {},
        "refusals": [],
        "verdict": {"sentence": "Good enough."},
        "tuned": None,
        "model_package": {"group": "fmrec-recommend", "version": 3},
        "published": {"users": 7, "recommendations": 14, "table": "t"},
        "decision": None,
        "endpoint": {"name": "e", "status": "NotWanted", "why": "serving.endpoint is false."},
    }
    champion = {
        "run": "r-1",
        "task": "recommend",
        "model_version": "m",
        "model_uri": "s3://b/m",
        "manifest_uri": "s3://b/e",
        "embeddings_uri": "s3://b/v",
        "model_package_arn": "arn:aws:sagemaker:eu-west-1:000000000000:model-package/fmrec-recommend/3",
        "execution_arn": "arn:aws:states:eu-west-1:000000000000:execution:m:r-1",
    }
    answer = invoke(
        "write_report",
        {
            "report": report,
            "report_uri": small_run.uri("runs/report.json"),
            "champion": champion | {"previous": "champion/history/before.json"},
            "champion_uri": small_run.uri("champion/model.json"),
            "served": None,
            "served_uri": small_run.uri("champion/predict-rating.json"),
        },
    )

    assert not (small_run.folder / "champion/predict-rating.json").exists()
    promoted = json.loads((small_run.folder / "champion/model.json").read_text())
    assert {name: promoted[name] for name in champion} == champion
    assert promoted["previous"] == "champion/history/before.json"
    assert json.loads(Path(promoted["kept_at"]).read_text()) == promoted
    assert answer["subject"] == "Run r-1 succeeded: 7 users have recommendations"
    assert json.loads((small_run.folder / "runs/report.json").read_text())["run"] == "r-1"


def test_register_model_makes_a_version_and_keeps_its_record(invoke: Any, cloud: Any, small_run: Any) -> None:
    record_uri = small_run.uri("evaluations/r-1/model.json")
    answer = invoke(
        "register_model",
        {
            "model": {
                "run": "r-1",
                "task": "recommend",
                "model_version": "fm-1",
                "model_uri": "s3://b/models/fm-1/output/model.tar.gz",
                "manifest_uri": small_run.uri("encoded/manifest.json"),
                "embeddings_uri": None,
                "hyperparameters": {"num_factors": "3"},
                "serving": {"recommendations_per_user": 2},
                "execution_arn": "arn:aws:states:eu-west-1:000000000000:execution:m:r-1",
            },
            "verdict": {"passed": False, "sentence": "Popularity is better.", "metrics": {"ndcg_at_10": 0.1}},
            "group": "fmrec-recommend",
            "image": "factorization-machines:1",
            "record_uri": record_uri,
            "evaluation_uri": None,
        },
    )

    assert (answer["version"], answer["status"]) == (4, "Rejected")
    (package,) = cloud[0].packages
    assert package["ModelApprovalStatus"] == "Rejected"
    assert package["ApprovalDescription"] == "Popularity is better."
    assert json.loads(Path(record_uri).read_text())["model_package_arn"] == answer["arn"]


@pytest.mark.parametrize("allowed", [True, False])
def test_explain_failure_asks_for_a_quota_only_where_settings_allow_it(
    invoke: Any, cloud: Any, allowed: Any
) -> None:
    refusal = (
        "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances, with current "
        "utilization of 0 Instances and a request delta of 1 Instances."
    )
    failure = {
        "state": "Is an instance candidate left for FM training?",
        "log": "",
        "name": "",
        "error": {"Error": "NoInstanceLeft", "Cause": ""},
        "planned": {"no_candidate": None, "quota_increase": None},
        "refused": [{"instance_type": "ml.m5.large", "cause": refusal}],
    }
    answer = invoke(
        "explain_failure",
        {"failure": failure, "execution_arn": "arn:aws:states:eu-west-1:000000000000:execution:m:r-1"},
        REQUEST_QUOTA_INCREASES=json.dumps(allowed),
    )

    assert "request-service-quota-increase" in answer["sentence"]
    assert any("ServiceQuotas" in call for call in cloud[0].asked) is allowed
    assert ("The increase couldn't be requested" in answer["sentence"]) is allowed
