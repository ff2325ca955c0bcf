"""MovieLens with what is known of users and movies, through the deployed Glue job, with binary labels."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from demo.movielens import MovieLens, fetch
from fmrec.manifest import Manifest

ROOT = Path(__file__).parents[2]
FEATURES = [
    {"name": "age", "of": "user", "kind": "numeric"},
    {"name": "gender", "of": "user"},
    {"name": "occupation", "of": "user"},
    {"name": "genre", "of": "item", "column": "genres", "kind": "multi-valued"},
    {"name": "year", "of": "item"},
]
LABELS: dict[str, dict[str, Any]] = {
    "binary": {"mode": "binary", "threshold": 4},
}


@pytest.fixture(scope="module")
def movielens(pipeline: Any) -> MovieLens:
    found = fetch(ROOT / "build/data/ml-100k")
    for path in (found.ratings, found.users, found.items):
        pipeline.upload(f"raw/movielens/{path.name}", path.read_text(encoding="utf-8"))
    return found


def run_job(pipeline: Any, document: dict[str, Any], run: str) -> Manifest:
    glue, bucket = pipeline.cloud.client("glue"), pipeline.outputs["DataBucket"]
    job = pipeline.outputs["EncodingJobName"]
    arguments = {
        "--dataset": json.dumps(document),
        "--raw": f"s3://{bucket}/raw/",
        "--output": f"s3://{bucket}/encoded/{run}/",
        "--run": run,
    }
    started = glue.start_job_run(JobName=job, Arguments=arguments)["JobRunId"]
    while True:
        found = glue.get_job_run(JobName=job, RunId=started)["JobRun"]
        if found["JobRunState"] not in ("STARTING", "RUNNING", "WAITING", "STOPPING"):
            break
        time.sleep(0.5)
    assert found["JobRunState"] == "SUCCEEDED", found.get("ErrorMessage")
    answer = pipeline.cloud.client("s3").get_object(Bucket=bucket, Key=f"encoded/{run}/manifest.json")
    return Manifest.from_json(answer["Body"].read())


@pytest.mark.parametrize("mode", LABELS)
def test_the_deployed_job_encodes_movielens_with_side_features(
    mode: str, pipeline: Any, movielens: MovieLens
) -> None:
    document = {
        "interactions": {"path": "movielens/ratings.csv"},
        "users": {"path": "movielens/users.csv"},
        "items": {"path": "movielens/items.csv"},
        "features": FEATURES,
        "label": LABELS[mode],
    }
    manifest = run_job(pipeline, document, f"sides-{mode}")

    ratings = list(csv.DictReader(movielens.ratings.read_text(encoding="utf-8").splitlines()))
    met: Counter[str] = Counter()
    picked = {"train": 0, "test": 0}
    for row in ratings:
        met[row["user_id"]] += 1
        picked["test" if met[row["user_id"]] <= 10 else "train"] += float(row["rating"]) >= 4
    users = list(csv.DictReader(movielens.users.read_text(encoding="utf-8").splitlines()))
    items = list(csv.DictReader(movielens.items.read_text(encoding="utf-8").splitlines()))
    sizes = {
        "user": 943,
        "item": 1682,
        "age": 1,
        "gender": 2,
        "occupation": len({user["occupation"] for user in users}),
        "genre": len({genre for item in items for genre in item["genres"].split("|") if genre}),
        "year": len({item["year"] for item in items if item["year"]}),
    }
    assert {name: end - start for name, (start, end) in manifest.ranges.items()} == sizes
    expected = {"train": 90_570, "test": 9_430} if mode != "implicit" else picked
    assert {"train": manifest.rows.train, "test": manifest.rows.test} == expected
    factor = 3 if mode == "implicit" else 1
    assert (manifest.train.rows, manifest.test.rows) == (
        factor * expected["train"], factor * expected["test"],
    )  # fmt: skip
    shares = {
        "binary": pytest.approx(picked["train"] / 90_570),
        "regression": None,
        "implicit": pytest.approx(1 / 3),
    }
    assert manifest.train.positive_share == shares[mode]
    listed = pipeline.cloud.client("s3").list_objects_v2(
        Bucket=pipeline.outputs["DataBucket"], Prefix=f"encoded/sides-{mode}/train/"
    )["Contents"]
    assert sum(entry["Size"] for entry in listed) == manifest.train.bytes
