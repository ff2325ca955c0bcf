"""The report says what the figures say, and stands alone in one file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo import results
from demo.report import Report


@pytest.fixture
def document() -> dict[str, Any]:
    return {
        "dataset": {"train_rows": 90570, "test_rows": 9430, "feature_dim": 2625, "train_bytes": 5796480},
        "metrics": {
            "binary_classification_accuracy": 0.7118,
            "binary_classification_cross_entropy": 0.5588,
            "binary_f_beta": 0.7611,
        },
        "ranking": {
            "ndcg_at_10": 0.3012,
            "recall_at_10": 0.21,
            "hit_rate_at_10": 0.8,
            "coverage": 0.345,
            "popularity_ndcg_at_10": 0.1333,
            "als_ndcg_at_10": 0.3021,
            "explicit_ndcg_at_10": 0.0702,
            "users": 940,
        },
        "recommendations": {"users": 943, "per_user": 10},
        "execution": {"status": "SUCCEEDED", "seconds": 40.0},
        "endpoint": {"instance_type": "ml.m5.large", "status": "InService"},
        "instances": [
            {
                "step": "batch_transform",
                "instance_type": "ml.m5.xlarge",
                "why": "fits",
                "passed_over": ["ml.m5.large: quota is 0"],
                "refused": [],
            }
        ],
        "checks": [{"passed": False, "sentence": "3 users' lists differ"}],
        "deploy_seconds": 12.0,
    }


@pytest.mark.slow
def test_the_page_shows_figures_lists_and_failed_checks_and_needs_nothing_else(
    document: dict[str, Any], tmp_path: Path
) -> None:
    from demo import plots

    users = [{"user": "7", "lists": {"liked": ["Fargo (1996)"], "recommended": ["Tom & Jerry"]}}]
    curve = plots.learning_curve([0.67, 0.55, 0.48], 0.56, "cross entropy")
    report = Report(document, {"Learning curve": curve}, users, [("Train", 0.0, 7.5)])
    as_json, as_html = report.write(tmp_path / "out")
    assert json.loads(as_json.read_text()) == document
    page = as_html.read_text()
    for text in (
        "90,570",
        "0.5588",
        "943 × 10",
        "940 users",
        "34.5% of the catalogue",
        "Tom &amp; Jerry",
        "3 users&#x27; lists differ",
        "7.5 s",
        "<svg",
        "quota is 0",
    ):
        assert text in page, text
    ranked = [page.index(text) for text in ("0.3021", "0.3012", "0.1333", "0.0702")]
    assert ranked == sorted(ranked), "best first"
    assert "<script" not in page
    assert 'src="http' not in page


def test_the_decision_s_plot_names_the_cut() -> None:
    from demo import plots

    curve = {"threshold": [0.1, 0.5, 0.9], "accuracy": [0.5, 0.7, 0.6], "precision": [0.5, 0.7, 0.9]}
    svg = plots.decision_curve(curve | {"recall": [1.0, 0.8, 0.2]}, 0.473)
    for text in ("0.473", "accuracy", "precision", "recall"):
        assert text in svg, text


def test_a_map_of_items_draws_every_item_once() -> None:
    from demo import plots

    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    genres = [["Comedy"]] * 10 + [["Action", "Drama"]] * 10 + [["Drama"]] * 10
    svg = plots.item_map(vectors, genres, np.arange(30))
    assert svg.count("fill-opacity: 0.75") >= 30
    assert "Comedy" in svg
    assert "other" in svg


def test_instances_tell_only_smaller_types_of_the_family_that_were_passed_over() -> None:
    def rejected(name: str) -> dict[str, str]:
        return {"instance_type": name, "why": f"{name}: quota is 0"}

    report = {
        "plan": {
            "steps": {
                "batch_transform": {
                    "rejected": [rejected(f"ml.{name}") for name in ("m5.large", "m5.12xlarge", "c6i.large")]
                }
            }
        },
        "refusals": [],
        "chosen": {"batch_transform": {"instance_type": "ml.m5.2xlarge", "why": "fits"}},
    }
    (row,) = results.instances(report)
    assert row["passed_over"] == ["ml.m5.large: quota is 0"]
