"""MovieLens 100k through the whole job, against pandas computing the same independently."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as pads
import pytest
from pyspark.sql import SparkSession
from scipy.sparse import csr_matrix

from demo.movielens import MovieLens
from fmrec.artifacts.manifest import Manifest
from fmrec.recordio import decode

FEATURES: list[dict[str, Any]] = [
    {"name": "age", "of": "user", "kind": "numeric"},
    {"name": "age_group", "column": "age", "of": "user", "kind": "bucket", "buckets": 5},
    {"name": "gender", "of": "user"},
    {"name": "occupation", "of": "user"},
    {"name": "genre", "of": "item", "column": "genres", "kind": "multi-valued"},
    {"name": "year", "of": "item", "scale": 0.5},
    {"name": "hour", "of": "interaction", "column": "timestamp", "kind": "date-part", "part": "hour"},
]
SIDES: dict[str, Any] = {
    "interactions": {"path": "ratings.csv"},
    "users": {"path": "users.csv"},
    "items": {"path": "items.csv"},
    "features": FEATURES,
}


@pytest.fixture(scope="session")
def ratings(movielens: MovieLens) -> pd.DataFrame:
    frame = pd.read_csv(movielens.ratings)
    return frame.assign(test=frame.groupby("user_id").cumcount() < 10, row=range(len(frame)))


def read(folder: Path) -> tuple[csr_matrix, np.ndarray]:
    matrix, labels = decode(b"".join(path.read_bytes() for path in sorted(folder.iterdir())))
    assert isinstance(matrix, csr_matrix)
    assert labels is not None
    return matrix, labels


def sorted_rows(matrix: csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Rows in an order that doesn't depend on how they were shuffled."""
    table = np.column_stack([matrix.indices.reshape(len(labels), -1), labels])
    return table[np.lexsort(table.T)]


def test_the_default_document_gives_the_published_figures(
    movielens: MovieLens, ratings: pd.DataFrame, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = encode_document({"interactions": {"path": "ratings.csv"}}, movielens.folder, tmp_path)
    assert (manifest.feature_dim, manifest.users, manifest.items) == (2625, 943, 1682)
    assert (manifest.train.rows, manifest.test.rows) == (90_570, 9_430)
    assert manifest.train.bytes == 5_796_480
    assert manifest.train.positive_share == pytest.approx(0.551, abs=5e-4)
    assert manifest.test.positive_share == pytest.approx(0.580, abs=5e-4)
    for name, test in (("train", False), ("test", True)):
        expected = ratings[ratings.test == test]
        table = np.column_stack([expected.user_id - 1, 942 + expected.item_id, expected.rating >= 4])
        assert np.array_equal(sorted_rows(*read(tmp_path / name)), table[np.lexsort(table.T)])
    index = pads.dataset(tmp_path / "feature_index").to_table().to_pandas()
    assert list(index.column) == list(range(2625))
    assert list(index.name) == [str(user) for user in range(1, 944)] + [str(item) for item in range(1, 1683)]
    assert list(index.interactions[943:]) == list(ratings.item_id.value_counts().sort_index())
    for name, test in (("seen", False), ("heldout", True)):
        pairs = pads.dataset(tmp_path / name).to_table()
        assert dict(zip(pairs.schema.names, map(str, pairs.schema.types), strict=True)) == {
            "user_column": "int64", "item_column": "int64", "value": "float", "relevant": "bool",
        }  # fmt: skip
        side = ratings[ratings.test == test].sort_values(["user_id", "item_id"])
        wanted = {
            "user_column": side.user_id - 1,
            "item_column": side.item_id + 942,
            "value": side.rating,
            "relevant": side.rating >= 4,
        }
        for column, values in wanted.items():
            assert pairs.column(column).to_pylist() == values.tolist()


def test_training_rows_are_shuffled_and_the_same_however_spark_cuts_the_file(
    movielens: MovieLens, spark: SparkSession, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    document = {"interactions": {"path": "ratings.csv"}, "parts": 3}
    encode_document(document, movielens.folder, tmp_path / "one")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "150000")
    try:
        encode_document(document, movielens.folder, tmp_path / "many")
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")
    for part in (
        "train/part-00000.pbr",
        "train/part-00001.pbr",
        "train/part-00002.pbr",
        "test/part-00000.pbr",
    ):
        assert (tmp_path / "one" / part).read_bytes() == (tmp_path / "many" / part).read_bytes()
    users = read(tmp_path / "one/train")[0].indices[::2]
    assert abs(np.corrcoef(users[1:], users[:-1])[0, 1]) < 0.02


def test_side_features_have_the_columns_and_values_that_pandas_computes(
    movielens: MovieLens, ratings: pd.DataFrame, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = encode_document(SIDES, movielens.folder, tmp_path)
    index = pads.dataset(tmp_path / "feature_index").to_table().to_pandas()
    columns: dict[tuple[str, str], int] = {
        (str(namespace), str(name)): int(column)
        for namespace, name, column in zip(index.namespace, index.name, index.column, strict=True)
    }
    users = pd.read_csv(movielens.users).set_index("user_id")
    items = pd.read_csv(movielens.items, dtype={"year": "Int64"}).set_index("item_id")
    years = users["age"].to_numpy(np.float64)
    age = dict(zip(users.index, 0.1 * (years - years.mean()) / years.std(), strict=True))
    edges = np.quantile(years, [0.2, 0.4, 0.6, 0.8], method="inverted_cdf")
    assert list(manifest.ranges) == ["user", "item", *(feature["name"] for feature in FEATURES)]
    assert manifest.ranges["gender"][1] - manifest.ranges["gender"][0] == 2
    assert manifest.ranges["genre"][1] - manifest.ranges["genre"][0] == 19
    groups = [name for namespace, name in columns if namespace == "age_group"]

    expected: dict[tuple[int, int], dict[int, float]] = {}
    test = ratings[ratings.test]
    user_of, item_of = ({row.Index: row for row in side.itertuples()} for side in (users, items))
    for row in test.itertuples():
        user, item = user_of[row.user_id], item_of[row.item_id]
        genres = item.genres.split("|")
        group = groups[int((edges < user.age).sum())]
        found = {
            columns["user", str(row.user_id)]: 1.0,
            columns["item", str(row.item_id)]: 1.0,
            columns["age", "age"]: age[row.user_id],
            columns["age_group", group]: 0.1,
            columns["gender", user.gender]: 0.1,
            columns["occupation", user.occupation]: 0.1,
            columns["hour", str(pd.Timestamp(row.timestamp, unit="s").hour)]: 0.1,
            **{columns["genre", genre]: 0.1 / len(genres) for genre in genres},
        }
        if not pd.isna(item.year):
            found[columns["year", str(item.year)]] = 0.5
        expected[row.user_id - 1, row.item_id + 942] = found
    matrix, labels = read(tmp_path / "test")
    assert matrix.shape == (9430, manifest.feature_dim)
    for row in range(0, matrix.shape[0], 7):
        indices = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        assert (np.diff(indices) > 0).all()
        wanted = expected[indices[0], indices[1]]
        assert dict(zip(indices.tolist(), values.tolist(), strict=True)) == pytest.approx(wanted, rel=1e-5)
    assert labels.mean() == pytest.approx((test.rating >= 4).mean())
    assert manifest.nnz_per_row == pytest.approx(read(tmp_path / "train")[0].nnz / 90_570)


def test_regression_labels_are_the_ratings(
    movielens: MovieLens, ratings: pd.DataFrame, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    document = SIDES | {"features": [], "label": {"mode": "regression"}, "split": {"method": "none"}}
    manifest = encode_document(document, movielens.folder, tmp_path)
    assert manifest.train.positive_share is None
    assert (manifest.train.rows, manifest.test.rows, manifest.test.parts) == (100_000, 0, 0)
    table = np.column_stack([ratings.user_id - 1, 942 + ratings.item_id, ratings.rating])
    assert np.array_equal(sorted_rows(*read(tmp_path / "train")), table[np.lexsort(table.T)])


def test_implicit_feedback_pairs_each_pick_with_items_that_the_user_never_met(
    movielens: MovieLens, ratings: pd.DataFrame, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    label = {"mode": "implicit", "threshold": 4, "negatives_per_positive": 3, "seed": 5}
    document = SIDES | {"label": label, "features": FEATURES[4:5]}
    manifest = encode_document(document, movielens.folder, tmp_path)
    picked = ratings[ratings.rating >= 4]
    assert manifest.rows.train == (~picked.test).sum()
    assert manifest.rows.test == picked.test.sum()
    assert manifest.dropped_reasons == {"met, but not picked": len(ratings) - len(picked)}
    assert manifest.train.rows == 4 * manifest.rows.train
    assert manifest.train.positive_share == 0.25
    assert manifest.details["negatives"] == {"train": 3 * manifest.rows.train, "test": 3 * manifest.rows.test}
    heldout = pads.dataset(tmp_path / "heldout").to_table()
    judged = ratings[ratings.test].sort_values(["user_id", "item_id"])
    assert heldout.column("item_column").to_pylist() == (judged.item_id + 942).tolist()
    assert heldout.column("relevant").to_pylist() == (judged.rating >= 4).tolist()
    assert heldout.column("value").null_count == len(judged), "it has become a weight"
    for name, wanted, known in (
        ("train", picked[~picked.test], ratings[~ratings.test]),
        ("test", picked[picked.test], ratings),
    ):
        matrix, labels = read(tmp_path / name)
        pairs = matrix.indices[matrix.indptr[:-1]], matrix.indices[matrix.indptr[:-1] + 1]
        rows = list(zip(*(column.tolist() for column in pairs), labels.tolist(), strict=True))
        positives = {(user, item) for user, item, label in rows if label == 1}
        assert positives == set(zip(wanted.user_id - 1, wanted.item_id + 942, strict=True))
        met = set(zip(known.user_id - 1, known.item_id + 942, strict=True))
        assert not met & {(user, item) for user, item, label in rows if label == 0}
        # Negatives carry their own item's genres.
        genres = pd.read_csv(movielens.items).set_index("item_id")["genres"].str.split("|").str.len()
        assert list(np.diff(matrix.indptr) - 2) == [genres[item - 942] for _, item, _ in rows]


def test_the_manifest_tells_what_was_read_from_which_file(
    movielens: MovieLens, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    lines = movielens.ratings.read_text().splitlines()
    (raw / "b.csv").write_text("\n".join([lines[0], *lines[1:501]]))
    (raw / "a.csv").write_text("\n".join([lines[0], "", *lines[501:901], "oops"]) + "\n")
    document = {"interactions": {"path": "*.csv"}, "split": {"method": "random", "share": 0.5}}
    encode_document(document, raw, tmp_path / "out")
    details = json.loads((tmp_path / "out/manifest.json").read_text())["details"]
    counts = {Path(name).name: entry for name, entry in details["files"].items()}
    assert counts == {
        "a.csv": {"read": 401, "quarantined": 1, "skipped": 2},
        "b.csv": {"read": 500, "quarantined": 0, "skipped": 1},
    }
