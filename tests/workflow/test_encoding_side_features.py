"""A third of MovieLens with what is known of users and movies, through the deployed workflow, with each kind
of label.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array

from demo import results
from demo.movielens import MovieLens
from fmrec.artifacts.encoded_run import open_encoded
from fmrec.artifacts.manifest import Manifest
from fmrec.live.attributes import EncodedAttributes
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.recordio import decode
from tests.workflow.conftest import SOME_USERS

FEATURES = [
    {"name": "age", "of": "user", "kind": "numeric"},
    {"name": "gender", "of": "user", "scale": 0.1},
    {"name": "occupation", "of": "user", "scale": 0.1},
    {"name": "genre", "of": "item", "column": "genres", "kind": "multi-valued", "scale": 0.1},
    {"name": "year", "of": "item", "scale": 0.1},
]
NEGATIVES = 2
LABELS: dict[str, dict[str, Any]] = {
    "binary": {"mode": "binary", "threshold": 4},
    "regression": {"mode": "regression"},
    "implicit": {"mode": "implicit", "threshold": 4, "negatives_per_positive": NEGATIVES},
}

TASKS: dict[str, dict[str, Any]] = {
    "binary": {"task": "predict-rating"},
    "regression": {"task": "predict-rating", "hyperparameters": {"predictor_type": "regressor"}},
    "implicit": {"task": "recommend"},
}
NEW_USER = SOME_USERS + 1
"""Has rated nothing, and the film neither."""
NEW_FILM = 1682
CHECKED_USERS = 60
"""Whose lists are compared with scores of every film, which takes no time to speak of for so many."""


@pytest.fixture(scope="module")
def movielens(pipeline: Any, some_movielens: MovieLens) -> MovieLens:
    found = some_movielens
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
def test_the_workflow_takes_movielens_with_side_features_from_raw_files_to_its_end(
    mode: str,
    pipeline: Any,
    movielens: MovieLens,
    ratings: pd.DataFrame,
    index: list[tuple[str, str, int]],
) -> None:
    document: dict[str, Any] = {
        "interactions": {"path": "movielens/ratings.csv"},
        "users": {"path": "movielens/users.csv"},
        "items": {"path": "movielens/items.csv"},
        "features": FEATURES,
        "label": LABELS[mode],
    }
    new = 1 if mode == "implicit" else 0
    users, films = np.unique(ratings.user_id), np.unique(ratings.item_id)
    if new:
        document |= described_only(pipeline, movielens, films)
        users, films = np.append(users, NEW_USER), np.append(films, NEW_FILM)
        order = list(dict.fromkeys(namespace for namespace, _, _ in index))
        index = [*index, ("user", str(NEW_USER), 0), ("item", str(NEW_FILM), 0)]
        index.sort(key=lambda entry: order.index(entry[0]))
    # Lists are compared with the model's own scores.
    serving = {"endpoint": False, "recommendations_per_user": 10, "co_occurrence": 0}
    execution = pipeline.run({**TASKS[mode], "dataset": document, "serving": serving})
    assert execution.status == "SUCCEEDED", execution.cause
    run = execution.name
    manifest = Manifest.from_json(read(pipeline, f"encoded/{run}/manifest.json")[0])

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
    assert (manifest.rows.read, manifest.rows.quarantined) == (len(ratings), 0)
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
        items = len(users) + np.searchsorted(films[: len(films) - new], side.item_id)
        assert sorted(pairs) == sorted(zip(side.user_id - 1, items, strict=True))

    # What lists are made of: everybody's features, the own column first.
    people = table(pipeline, f"encoded/{run}/user_features/").to_pylist()
    ages = pd.read_csv(movielens.users).age.to_numpy(np.float64)
    weights = 0.1 * (ages - ages.mean()) / ages.std()
    age = manifest.ranges["age"][0]
    rated = len(users) - new
    assert [row["columns"][:2] for row in people[:rated]] == [[user, age] for user in range(rated)]
    assert [row["values"][1] for row in people[:rated]] == pytest.approx(weights.tolist(), rel=1e-5)
    # Who is as the first user is, but has rated nothing, is described by the same without an own column.
    assert [row["columns"] for row in people[rated:]] == [people[0]["columns"][1:]] * new
    assert [row["values"] for row in people[rated:]] == [people[0]["values"][1:]] * new
    assert manifest.details.get("without_interactions") == ({"user": 1, "item": 1} if new else None)
    movies = table(pipeline, f"encoded/{run}/item_features/")
    assert movies.column("column").to_pylist() == list(range(*manifest.ranges["item"]))
    check_attributes(
        pipeline, f"s3://{pipeline.outputs['DataBucket']}/encoded/{run}/manifest.json", movielens
    )

    model = results.load_model(pipeline.cloud, results.fm_training_job(pipeline.cloud, execution.jobs))
    assert model.feature_dim == len(index)
    report = json.loads(read(pipeline, f"runs/{run}/report.json")[0])
    if mode == "implicit":
        check_lists(pipeline, model, people, movies.to_pylist(), ratings[~ratings.test], films)
    else:
        check_figures(report, mode, model, matrix, labels)


def described_only(
    pipeline: Any, movielens: MovieLens, films: npt.NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    """Upload attributes also of a user and a film without ratings, and say that they are to be indexed."""
    header, first, *others = movielens.users.read_text(encoding="utf-8").splitlines()
    text = "\n".join([header, first, *others, f"{NEW_USER},{first.partition(',')[2]}", ""])
    pipeline.upload("raw/movielens/described/users.csv", text)
    header, *rows = movielens.items.read_text(encoding="utf-8").splitlines()
    wanted = {*films.tolist(), NEW_FILM}
    text = "\n".join([header, *(row for row in rows if int(row.partition(",")[0]) in wanted), ""])
    pipeline.upload("raw/movielens/described/items.csv", text)
    return {
        side: {"path": f"movielens/described/{side}.csv", "without_interactions": True}
        for side in ("users", "items")
    }


def check_attributes(pipeline: Any, manifest_uri: str, movielens: MovieLens) -> None:
    """The HTTP API filters by the genres that the file of movies has."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in pipeline.cloud.environment.items():
            patch.setenv(name, value)
        run = open_encoded(manifest_uri)
        genre = EncodedAttributes(run)["genre"]
        ids = run.feature_index.names(*run.manifest.ranges["item"]).to_pylist()
    genres = pd.read_csv(movielens.items, dtype=str).set_index("item_id").genres
    names = genre.values.to_pylist()
    found = {item: {names[at] for at in genre.of.of(n)} for n, item in enumerate(ids)}
    rated = [item for item in ids if item in genres.index]
    assert {item: found[item] for item in rated} == {item: set(genres[item].split("|")) for item in rated}


def check_lists(
    pipeline: Any,
    model: FactorizationMachine,
    users: list[dict[str, Any]],
    movies: list[dict[str, Any]],
    train: pd.DataFrame,
    films: npt.NDArray[np.int64],
) -> None:
    """Lists are the best of all scores with side features, and hold nothing that was rated in train."""
    served = results.served(pipeline.cloud, pipeline.outputs["RecommendationsTable"])
    seen = train.groupby("user_id").item_id.agg(set)
    assert set(map(str, seen.index)) <= set(served)
    ordinal = {film: at for at, film in enumerate(films.tolist())}
    for user in (*range(1, CHECKED_USERS + 1), NEW_USER):
        pairs = [
            {
                column: value
                for row in (users[user - 1], movie)
                for column, value in zip(row["columns"], row["values"], strict=True)
            }
            for movie in movies
        ]
        indptr = np.cumsum([0, *map(len, pairs)])
        columns = np.concatenate([list(pair) for pair in pairs])
        values = np.concatenate([list(pair.values()) for pair in pairs])
        scores = model.scores(csr_array((values, columns, indptr), (len(movies), model.feature_dim)))
        items = [int(item) for item in served[str(user)].items]
        ours = scores[[ordinal[item] for item in items]]
        hidden = seen.get(user, set())
        scores[[ordinal[item] for item in hidden]] = -np.inf
        assert len(set(items)) == 10
        assert not set(items) & hidden
        assert ours == pytest.approx(-np.sort(-scores)[:10], abs=1e-4)


def check_figures(
    report: dict[str, Any], mode: str, model: FactorizationMachine, matrix: Any, labels: Any
) -> None:
    """The figures that the run reports are those of its model on the rows held out."""
    metrics, scores = report["metrics"], model.scores(matrix)
    assert report["verdict"]["passed"]
    if mode == "binary":
        right = (scores >= 0) == (labels == 1)
        assert metrics["test:binary_classification_accuracy"] == pytest.approx(right.mean(), abs=1e-3)
        assert right.mean() > 0.65  # always saying the same is right for 0.56 of the rows
    else:
        error = np.sqrt(np.mean((scores - labels) ** 2))
        assert metrics["test:rmse"] == pytest.approx(error, rel=1e-3)
        assert error < min(1, 0.95 * labels.std())  # 0.92 on all users, 1.02 to 1.12 for means
