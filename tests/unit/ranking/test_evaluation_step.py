"""The evaluation step on MovieLens 100k: its files, its figures, its champion."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.errors import InputError
from fmrec.ranking.evaluation_step import evaluate
from fmrec.recordio import encode_dense

pytestmark = pytest.mark.slow

USERS, ITEMS, DIM = 943, 1682, 9

Vectors = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass
class Ratings:
    """MovieLens 100k by ordinal, split as its ua files: the first ten ratings of each user are held out."""

    train: pd.DataFrame
    test: pd.DataFrame


@pytest.fixture(scope="session")
def ratings(movielens_100k: Any) -> Ratings:
    rows = pd.read_csv(movielens_100k.ratings)
    rows = pd.DataFrame(
        {"user": rows.user_id - 1, "item": rows.item_id - 1, "value": rows.rating.astype("float32")}
    )
    held = rows.groupby("user").cumcount() < 10
    return Ratings(rows[~held].sort_values(["user", "item"]), rows[held].sort_values(["user", "item"]))


def write_run(
    folder: Path,
    ratings: Ratings,
    queries: npt.NDArray[np.floating],
    items: npt.NDArray[np.floating],
    user_ids: list[str],
    item_ids: list[str],
) -> dict[str, str]:
    """Write what the encoding job and export_embeddings leave; users in two parts."""
    encoded, embedded = folder / "encoded/r", folder / "embeddings/r"
    for name in ("feature_index", "seen", "heldout"):
        (encoded / name).mkdir(parents=True)
    (embedded / "queries").mkdir(parents=True)
    names = [*user_ids, *item_ids]
    index = pa.table({"column": np.arange(len(names)), "name": names})
    pq.write_table(index, encoded / "feature_index/part-00000.parquet", row_group_size=500)
    for name, rows in (("seen", ratings.train), ("heldout", ratings.test)):
        pairs = {"user_column": rows.user.to_numpy(), "item_column": rows.item.to_numpy() + len(user_ids)}
        if name == "heldout":
            pairs["value"] = rows.value.to_numpy()
        table = pa.table(pairs | {"relevant": rows.value.to_numpy() >= 4})
        pq.write_table(table, encoded / name / "part-00000.parquet", row_group_size=5000)
    users, count = len(user_ids), len(item_ids)
    manifest = Manifest(
        run="r", created="", dataset={}, feature_dim=users + count, nnz_per_row=2.0, users=users, items=count,
        ranges={"user": (0, users), "item": (users, users + count)},
        rows=Rows(100_000, 100_000, len(ratings.train), len(ratings.test)),
        train=Channel("train/", len(ratings.train), 1, 1, 0.55), test=Channel("test/", 9430, 1, 1, 0.58),
    )  # fmt: skip
    (encoded / "manifest.json").write_text(manifest.to_json())
    parts = []
    for number, (start, end) in enumerate(((0, 500), (500, users))):
        data = bytes(encode_dense(queries[start:end].astype(np.float32)))
        (embedded / f"queries/part-{number:05d}.pbr").write_bytes(data)
        parts.append(
            {"key": f"queries/part-{number:05d}.pbr", "offsets_key": "none", "first_user": start, "rows": end - start, "bytes": len(data)}
        )  # fmt: skip
    labels = np.arange(count, dtype=np.float32)
    (embedded / "items.pbr").write_bytes(bytes(encode_dense(items.astype(np.float32), labels)))
    document = {"dim": items.shape[1], "users": users, "items": count, "item_parts": [{"key": "items.pbr"}], "query_parts": parts}  # fmt: skip
    (embedded / "embeddings.json").write_text(json.dumps(document))
    return {
        "manifest_uri": str(encoded / "manifest.json"),
        "embeddings_uri": str(embedded / "embeddings.json"),
    }


@pytest.fixture(scope="session")
def vectors(ratings: Ratings) -> Vectors:
    """A recommender worth its name: a truncated SVD of who rated what."""
    pairs = (np.ones(len(ratings.train)), (ratings.train.user, ratings.train.item))
    left, values, right = svds(csr_array(pairs, shape=(USERS, ITEMS)), k=DIM, random_state=0)
    return (left * values).astype(np.float32), right.T.astype(np.float32)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, ratings: Ratings, vectors: Vectors) -> Any:
    user_ids, item_ids = [f"u{n}" for n in range(USERS)], [f"i{n}" for n in range(ITEMS)]
    queries, items = vectors
    return write_run(tmp_path_factory.mktemp("run"), ratings, queries, items, user_ids, item_ids)


@pytest.fixture(scope="session")
def report_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("report") / "ranking.json")


@pytest.fixture(scope="session")
def report(run: Any, report_uri: str) -> Any:
    return evaluate(**run, k=10, output_uri=report_uri)


def by_hand(ratings: Ratings, scores: Any) -> Any:
    """NDCG@10 of each user with a relevant test rating, by sorting every score."""
    found = []
    relevant = ratings.test[ratings.test.value >= 4].groupby("user")["item"].apply(set)
    seen = ratings.train.groupby("user")["item"].apply(list)
    for user, wanted in relevant.items():
        row = scores[user].astype(float).copy()
        row[seen[user]] = -np.inf
        top = np.lexsort((np.arange(ITEMS), -row))[:10]
        gain = sum(1 / np.log2(rank + 2) for rank, item in enumerate(top) if item in wanted)
        found.append(gain / sum(1 / np.log2(rank + 2) for rank in range(min(10, len(wanted)))))
    return np.array(found)


def test_popularity_has_the_published_figures(report: Any) -> None:
    # Measured by others on the same protocol, three decimals; equal counts may be ordered otherwise.
    rated = report["baselines"]["most_rated"]["metrics"]
    liked = report["baselines"]["most_liked"]["metrics"]
    assert report["users"] == 934
    names = [f"{name}_at_10" for name in ("ndcg", "recall", "precision", "hit_rate", "coverage")]
    assert [rated[name] for name in names] == pytest.approx([0.133, 0.149, 0.083, 0.577, 0.05], abs=0.005)
    assert [liked[name] for name in names] == pytest.approx([0.127, 0.134, 0.074, 0.525, 0.05], abs=0.005)
    assert rated["ndcg_at_10"] == pytest.approx(0.13331866243137713, abs=1e-12)
    assert liked["ndcg_at_10"] == pytest.approx(0.1269899143750782, abs=1e-12)


def test_the_model_is_ranked_over_all_unseen_items(report: Any, ratings: Ratings, vectors: Vectors) -> None:
    expected = by_hand(ratings, vectors[0] @ vectors[1].T)
    model = report["model"]
    assert model["users"] == len(expected)
    assert model["metrics"]["ndcg_at_10"] == pytest.approx(expected.mean(), abs=1e-6)
    low, high = model["intervals"]["ndcg_at_10"]
    assert low < expected.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * expected.std() / np.sqrt(len(expected)), rel=0.1)
    versus = report["comparisons"]["most_rated"]["ndcg_at_10"]
    popularity = report["baselines"]["most_rated"]["metrics"]["ndcg_at_10"]
    assert versus["difference"] == pytest.approx(expected.mean() - popularity, abs=1e-6)
    assert 0 < versus["low"] < versus["difference"] < versus["high"]


def test_simple_models_are_judged_on_the_same_users(report: Any, ratings: Ratings) -> None:
    x = np.zeros((USERS, ITEMS))
    x[ratings.train.user, ratings.train.item] = 1
    inverse = np.linalg.inv(x.T @ x + 300 * np.eye(ITEMS))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    expected = by_hand(ratings, x @ weights)

    ease, knn, als = (
        report["simple_models"][name]["metrics"]["ndcg_at_10"] for name in ("ease", "item_knn", "als")
    )
    assert ease == pytest.approx(expected.mean(), abs=5e-4)  # float32 orders near ties otherwise
    assert ease == pytest.approx(0.311, abs=0.005)
    assert report["baselines"]["most_rated"]["metrics"]["ndcg_at_10"] < knn < ease
    assert als == pytest.approx(0.302, abs=0.005)  # on what was liked; `implicit` reaches 0.302
    model = report["model"]["metrics"]["ndcg_at_10"]
    versus = report["comparisons"]["ease"]["ndcg_at_10"]
    assert versus["difference"] == pytest.approx(model - ease, abs=1e-9)
    assert report["simple_models_why"] == ""


def test_without_simple_models_nothing_else_changes(run: Any, report: Any) -> None:
    without = evaluate(**run, maximum_items=ITEMS - 1)

    assert without["simple_models"] == {}
    assert without["simple_models_why"].startswith("simple models weren't fitted: there are 1,682 items")
    for name in ("model", "baselines"):
        assert without[name] == report[name]


def test_diversity_is_of_the_models_vectors_for_everybodys_lists(
    report: Any, ratings: Ratings, vectors: Vectors
) -> None:
    queries, items = vectors
    seen = ratings.train.groupby("user")["item"].apply(list)
    unit = items[:, :-1] / np.maximum(np.linalg.norm(items[:, :-1], axis=1, keepdims=True), 1e-30)
    popularity = np.bincount(ratings.train.item, minlength=ITEMS).astype(float)
    for scores, found in (
        (queries @ items.T, report["model"]),
        (np.tile(popularity, (USERS, 1)), report["baselines"]["most_rated"]),
    ):
        expected = []
        for user in ratings.test[ratings.test.value >= 4].user.unique():
            row = scores[user].astype(float).copy()
            row[seen[user]] = -np.inf
            own = unit[np.lexsort((np.arange(ITEMS), -row))[:10]]
            expected.append(1 - (own @ own.T)[np.triu_indices(10, 1)].mean())
        assert found["metrics"]["diversity_at_10"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert "diversity_at_10" in report["comparisons"]["most_rated"]


def test_segments_divide_users_and_items(report: Any, ratings: Ratings) -> None:
    activity = report["model"]["segments"]["user_activity"]
    assert [row["segment"] for row in activity] == ["light", "medium", "heavy"]
    assert sum(row["users"] for row in activity) == 934
    assert activity[0]["history"][1] < activity[1]["history"][0]
    mean = sum(row["users"] * row["ndcg_at_10"] for row in activity) / 934
    assert mean == pytest.approx(report["model"]["metrics"]["ndcg_at_10"])
    popularity = report["baselines"]["most_rated"]["segments"]["item_popularity"]
    assert [row["segment"] for row in popularity] == ["head", "middle", "tail"]
    assert sum(row["items"] for row in popularity) == ITEMS
    assert sum(row["relevant"] for row in popularity) == (ratings.test.value >= 4).sum()
    assert popularity[0]["items"] < popularity[1]["items"] < popularity[2]["items"]
    assert popularity[0]["share_of_recommendations"] == 1.0
    assert popularity[2]["recall_at_10"] == 0.0


def test_the_report_is_written_as_json(report: Any, report_uri: str) -> None:
    assert json.loads(Path(report_uri).read_text()) == report


def test_lists_are_as_long_as_asked_for(run: Any) -> None:
    report = evaluate(**run, k=5, maximum_items=1)
    assert "ndcg_at_5" in report["model"]["metrics"]


def test_a_sample_of_users_is_judged_where_there_are_many(run: Any, report: Any) -> None:
    sampled = evaluate(**run, maximum_users=300, maximum_items=1)
    assert sampled["users"] == sampled["model"]["users"] == 300
    low, high = sampled["model"]["intervals"]["ndcg_at_10"]
    assert low < report["model"]["metrics"]["ndcg_at_10"] < high
    assert sampled == evaluate(**run, maximum_users=300, maximum_items=1) | {"seconds": sampled["seconds"]}


def test_a_champion_is_matched_by_id_and_judged_on_the_same_users(
    run: Any, report: Any, ratings: Ratings, vectors: Vectors, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    users, items = random.permutation(USERS), random.permutation(ITEMS)
    # The same vectors under the same ids, but other ordinals; user u7 and the item i49 are unknown to it.
    user_ids = ["nobody" if n == 7 else f"u{n}" for n in users]
    item_ids = ["nothing" if n == 49 else f"i{n}" for n in items]
    champion = write_run(tmp_path, ratings, vectors[0][users], vectors[1][items], user_ids, item_ids)
    found = evaluate(**run, champion=champion, maximum_items=1)
    scores = vectors[0] @ vectors[1].T
    scores[:, 49] = -np.inf
    expected = by_hand(ratings, scores)
    judged = sorted(ratings.test[ratings.test.value >= 4].user.unique())
    expected[judged.index(7)] = 0
    assert found["champion"]["metrics"]["ndcg_at_10"] == pytest.approx(expected.mean(), abs=1e-6)
    versus = found["comparisons"]["champion"]["ndcg_at_10"]
    model = report["model"]["metrics"]["ndcg_at_10"]
    assert versus["difference"] == pytest.approx(model - expected.mean(), abs=1e-6)
    assert found["model"] == report["model"]


def test_nothing_held_out_is_refused(ratings: Ratings, vectors: Vectors, tmp_path: Path) -> None:
    user_ids, item_ids = [f"u{n}" for n in range(USERS)], [f"i{n}" for n in range(ITEMS)]
    disliked = Ratings(ratings.train, ratings.test.assign(value=np.float32(1)))
    queries, items = vectors
    uris = write_run(tmp_path, disliked, queries, items, user_ids, item_ids)
    with pytest.raises(InputError, match="no user has a held-out item that they liked"):
        evaluate(manifest_uri=uris["manifest_uri"], embeddings_uri=uris["embeddings_uri"])
    with pytest.raises(InputError, match="k is 0"):
        evaluate(manifest_uri=uris["manifest_uri"], embeddings_uri=uris["embeddings_uri"], k=0)
