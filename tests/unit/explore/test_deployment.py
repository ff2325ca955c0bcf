"""What the page says of a deployment."""

import json
from dataclasses import asdict
from typing import Any

import boto3
import pytest

from fmrec.deployment.defaults import DATASET
from fmrec.explore import deployment
from fmrec.explore.deployment import Deployment
from fmrec.registry.champion import Champion
from tests.fixtures.small_runs import SmallRun


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
    assert deployment.click(document) == {"value": value, "event": event}


def test_a_bucket_without_a_model_or_a_report_says_so(bucket: str, small_run: SmallRun) -> None:
    assert "no model serves yet" in Deployment("default", bucket).describe()["why"]
    s3 = boto3.client("s3")
    places = [f"s3://{bucket}/{name}.json" for name in ("manifest", "embeddings")]
    s3.put_object(Bucket=bucket, Key="manifest.json", Body=small_run.manifest.to_json())
    record = json.dumps(asdict(Champion("r1", "recommend", "m1", "", *places)))
    s3.put_object(Bucket=bucket, Key="champion/model.json", Body=record)
    found = Deployment("default", bucket).describe()
    assert found["why"] == "the report of run r1 can't be read"
    assert (found["run"], found["model_version"]) == ("r1", "m1")
    s3.put_object(Bucket=bucket, Key="runs/r1/report.json", Body=b'{"chosen": 7}')
    assert "not as expected" in Deployment("default", bucket).describe()["why"]
