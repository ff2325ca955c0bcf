"""MovieLens with what is known of users and movies, through the deployed Glue job, with each kind of label."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.movielens import MovieLens, fetch
from fmrec.manifest import Manifest
from fmrec.recordio import decode

ROOT = Path(__file__).parents[2]
FEATURES = [
    {"name": "age", "of": "user", "kind": "numeric"},
    {"name": "gender", "of": "user"},
    {"name": "occupation", "of": "user"},
    {"name": "genre", "of": "item", "column": "genres", "kind": "multi-valued"},
    {"name": "year", "of": "item"},
]
NEGATIVES = 2
LABELS: dict[str, dict[str, Any]] = {
    "binary": {"mode": "binary", "threshold": 4},
    "regression": {"mode": "regression"},
    "implicit": {"mode": "implicit", "threshold": 4, "negatives_per_positive": NEGATIVES},
}


@pytest.fixture(scope="module")
def movielens(pipeline: Any) -> MovieLens:
    found = fetch(ROOT / "build/data/ml-100k")
    for path in (found.ratings, found.users, found.items):
        pipeline.upload(f"raw/movielens/{path.name}", path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def ratings(movielens: MovieLens) -> pd.DataFrame:
    frame = pd.read_csv(movielens.ratings)
    return frame.assign(test=frame.groupby("user_id").cumcount() < 10, picked=frame.rating >= 4)


@pytest.fixture(scope="module")
def index(movielens: MovieLens, ratings: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Every column's namespace and name, and how often it occurs, as pandas computes it."""
    users = pd.read_csv(movielens.users, dtype={"user_id": int})
    items = pd.read_csv(movielens.items, dtype={"item_id": int, "year": "Int64"})
    items = items[items.item_id.isin(ratings.item_id)]
    genres = items.genres.dropna().str.split("|").explode()
    found: list[tuple[str, str, int]] = []
    for namespace, values in (
        ("user", ratings.user_id),
        ("item", ratings.item_id),
        ("age", pd.Series(["age"] * len(users))),
        ("gender", users.gender),
        ("occupation", users.occupation),
        ("genre", genres),
        ("year", items.year.dropna()),
    ):
        counts = values.value_counts().sort_index()
        found += [(namespace, str(name), int(count)) for name, count in counts.items()]
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
    return Manifest.from_json(read(pipeline, f"encoded/{run}/manifest.json")[0])


def read(pipeline: Any, prefix: str) -> list[bytes]:
    """The objects under a prefix, by name."""
    s3, bucket = pipeline.cloud.client("s3"), pipeline.outputs["DataBucket"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    bodies = [s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"] for entry in listed]
    return [body.read() for body in bodies]


def table(pipeline: Any, prefix: str) -> pa.Table:
    parts = [part for part in read(pipeline, prefix) if part.startswith(b"PAR1")]
    return pa.concat_tables([pq.read_table(io.BytesIO(part)) for part in parts])


@pytest.mark.parametrize("mode", LABELS)
def test_the_deployed_job_encodes_movielens_with_side_features(
    mode: str,
    pipeline: Any,
    movielens: MovieLens,
    ratings: pd.DataFrame,
    index: list[tuple[str, str, int]],
) -> None:
    document = {
        "interactions": {"path": "movielens/ratings.csv"},
        "users": {"path": "movielens/users.csv"},
        "items": {"path": "movielens/items.csv"},
        "features": FEATURES,
        "label": LABELS[mode],
    }
    run = f"sides-{mode}"
    manifest = run_job(pipeline, document, run)

    found = table(pipeline, f"encoded/{run}/feature_index/").sort_by("column").to_pylist()
    assert [(row["namespace"], row["name"], row["interactions"]) for row in found] == index
    assert [row["column"] for row in found] == list(range(len(index)))
    namespaces = [namespace for namespace, _, _ in index]
    assert {name: tuple(bounds) for name, bounds in manifest.ranges.items()} == {
        name: (namespaces.index(name), namespaces.index(name) + namespaces.count(name))
        for name in dict.fromkeys(namespaces)
    }

    kept = ratings[ratings.picked] if mode == "implicit" else ratings
    rows = {"train": int((~kept.test).sum()), "test": int(kept.test.sum())}
    assert {"train": manifest.rows.train, "test": manifest.rows.test} == rows
    assert (manifest.rows.read, manifest.rows.quarantined) == (100_000, 0)
    assert manifest.dropped_reasons == (
        {"met, but not picked": int((~ratings.picked).sum())} if mode == "implicit" else {}
    )
    width = len(FEATURES) + 1  # a movie has several genres
    for name, channel in (("train", manifest.train), ("test", manifest.test)):
        matrix, labels = decode(b"".join(read(pipeline, f"encoded/{run}/{name}/")))
        side = kept[kept.test == (name == "test")]
        assert labels is not None
        if mode == "implicit":
            # Nobody in this data has met so many movies that negatives would run out.
            assert len(labels) == (1 + NEGATIVES) * len(side)
            assert channel.positive_share == pytest.approx(1 / (1 + NEGATIVES))
            assert labels.sum() == len(side)
        else:
            wanted = side.rating if mode == "regression" else side.picked
            assert sorted(labels) == sorted(wanted)
            assert channel.positive_share == (None if mode == "regression" else wanted.mean())
        assert (channel.rows, channel.bytes > 0) == (len(labels), True)
        assert matrix.shape == (len(labels), len(index))
        assert np.diff(matrix.indptr).min() >= width - 1
        positives = matrix[np.flatnonzero(labels)] if mode == "implicit" else matrix
        pairs = zip(*(positives.indices[positives.indptr[:-1] + at] for at in (0, 1)), strict=True)
        assert sorted(pairs) == sorted(zip(side.user_id - 1, side.item_id + 942, strict=True))

    # What lists are made of: everybody's features, the own column first.
    users = table(pipeline, f"encoded/{run}/user_features/").to_pylist()
    ages = pd.read_csv(movielens.users).age.to_numpy(np.float64)
    weights = 0.1 * (ages - ages.mean()) / ages.std()
    age = manifest.ranges["age"][0]
    assert [row["columns"][:2] for row in users] == [[user, age] for user in range(943)]
    assert [row["values"][1] for row in users] == pytest.approx(weights.tolist(), rel=1e-5)
    movies = table(pipeline, f"encoded/{run}/item_features/")
    assert movies.column("column").to_pylist() == list(range(*manifest.ranges["item"]))
