"""Exported vectors against the model that they come from, and against docs/contracts.md."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fmrec import recordio
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.errors import InputError
from fmrec.model import embeddings
from fmrec.model.embeddings import export
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.storage import object_store


def manifest(users: int, items: int, side: int = 0) -> Manifest:
    columns = users + items
    ranges = {"user": (0, users), "item": (users, columns)}
    if side:
        ranges["genre"] = (columns, columns + side)
    return Manifest(
        run="r1",
        created="2026-11-21T00:00:00Z",
        dataset={},
        feature_dim=columns + side,
        nnz_per_row=2.0,
        users=users,
        items=items,
        ranges=ranges,
        rows=Rows(read=0, encoded=0, train=0, test=0),
        train=Channel("train/", 0, 0, 0, None),
        test=Channel("test/", 0, 0, 0, None),
    )


def machine(feature_dim: int, num_factors: int) -> FactorizationMachine:
    generator = np.random.default_rng(1)
    return FactorizationMachine(
        0.5,
        generator.standard_normal(feature_dim).astype(np.float32),
        generator.standard_normal((feature_dim, num_factors)).astype(np.float32),
        "binary_classifier",
    )


def read_parts(folder: str, parts: list[dict[str, Any]]) -> tuple[Any, Any]:
    matrices: list[Any] = []
    labels: list[Any] = []
    for part in parts:
        with object_store.open_input(object_store.join(folder, part["key"])) as file:
            matrix, own = recordio.read_matrix(file)
        assert matrix.shape[0] == part["rows"]
        matrices.append(matrix)
        labels.append(own)
    return np.concatenate(matrices), None if labels[0] is None else np.concatenate(labels)


def read_offsets(folder: str, parts: list[dict[str, Any]]) -> Any:
    found = []
    for part in parts:
        with object_store.open_input(object_store.join(folder, part["offsets_key"])) as file:
            found.append(np.load(file))
    return np.concatenate(found)


def two_hot(users: int, items: int) -> Any:
    """Every user with every item."""
    rows = users * items
    columns = np.stack([np.repeat(np.arange(users), items), users + np.tile(np.arange(items), users)], axis=1)
    return sparse.csr_matrix(
        (np.ones(2 * rows), columns.ravel(), np.arange(0, 2 * rows + 1, 2)), shape=(rows, users + items)
    )


def test_products_and_offsets_are_the_model_s_scores(tmp_path: Path) -> None:
    users, items, num_factors = 25, 17, 8
    model = machine(users + items, num_factors)
    document = export(model, manifest(users, items), str(tmp_path), queries_per_part=10)
    vectors, labels = read_parts(str(tmp_path), document["item_parts"])
    queries, no_labels = read_parts(str(tmp_path), document["query_parts"])
    offsets = read_offsets(str(tmp_path), document["query_parts"])
    assert vectors.dtype == queries.dtype == np.float32
    assert offsets.dtype == np.float64
    assert labels.tolist() == list(range(items))
    assert no_labels is None
    assert (queries[:, -1] == 1).all()
    scores = queries.astype(float) @ vectors.T.astype(float) + offsets[:, None]
    assert scores.ravel() == pytest.approx(model.scores(two_hot(users, items)), abs=1e-6)


def test_the_document_says_where_everything_is(tmp_path: Path) -> None:
    document = export(machine(42, 4), manifest(25, 17), str(tmp_path), queries_per_part=10)
    assert json.loads((tmp_path / "embeddings.json").read_text()) == document
    assert {key: document[key] for key in ("dim", "items", "users")} == {"dim": 5, "items": 17, "users": 25}
    assert [part["key"] for part in document["item_parts"]] == ["items/part-00000.pbr"]
    assert [
        (part["key"], part["offsets_key"], part["first_user"], part["rows"])
        for part in document["query_parts"]
    ] == [
        ("queries/part-00000.pbr", "query_offsets/part-00000.npy", 0, 10),
        ("queries/part-00001.pbr", "query_offsets/part-00001.npy", 10, 10),
        ("queries/part-00002.pbr", "query_offsets/part-00002.npy", 20, 5),
    ]
    stored = {
        stored.uri.removeprefix(f"{tmp_path}/"): stored.size
        for stored in object_store.list_objects(str(tmp_path))
    }
    parts = document["item_parts"] + document["query_parts"]
    assert {part["key"]: part["bytes"] for part in parts} == {
        key: size for key, size in stored.items() if key.endswith(".pbr")
    }
    assert set(stored) == {
        "embeddings.json",
        *(part["key"] for part in parts),
        *(part["offsets_key"] for part in document["query_parts"]),
    }


def test_an_export_goes_to_s3_from_the_artifact_there(bucket: str) -> None:
    model = machine(42, 4)
    model.save(f"s3://{bucket}/model.tar.gz")
    loaded = FactorizationMachine.load(f"s3://{bucket}/model.tar.gz")
    document = export(loaded, manifest(25, 17), f"s3://{bucket}/embeddings/r1/")
    vectors, _ = read_parts(f"s3://{bucket}/embeddings/r1", document["item_parts"])
    assert np.array_equal(vectors[:, :-1], model.factors[25:])
    assert np.array_equal(vectors[:, -1], model.linear[25:])


def test_side_features_are_folded_so_that_scores_stay_exact(tmp_path: Path) -> None:
    users, items, side = 12, 9, 6
    model = machine(users + items + side, 5)
    generator = np.random.default_rng(2)

    def rows_of(first: int, count: int, side_columns: slice) -> Any:
        rows = np.zeros((count, model.feature_dim))
        rows[np.arange(count), first + np.arange(count)] = 1
        rows[:, side_columns] = generator.random((count, side_columns.stop - side_columns.start))
        return sparse.csr_matrix(rows)

    user_rows = rows_of(0, users, slice(21, 23))
    item_rows = rows_of(users, items, slice(23, 27))
    document = export(
        model, manifest(users, items, side), str(tmp_path), item_rows=item_rows, user_rows=user_rows
    )
    vectors, _ = read_parts(str(tmp_path), document["item_parts"])
    queries, _ = read_parts(str(tmp_path), document["query_parts"])
    scores = queries @ vectors.T + read_offsets(str(tmp_path), document["query_parts"])[:, None]
    pairs = sparse.vstack(
        [user_rows[[user]] + item_rows[[item]] for user in range(users) for item in range(items)]
    )
    assert scores.ravel() == pytest.approx(model.scores(pairs), abs=1e-5)


def test_parts_stay_below_their_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "MAX_ITEM_PART", 4000)
    monkeypatch.setattr(embeddings, "MAX_QUERY_PART", 3000)
    document = export(machine(300, 8), manifest(150, 150), str(tmp_path))
    assert len(document["item_parts"]) > 2
    assert len(document["query_parts"]) > 2
    assert max(part["bytes"] for part in document["item_parts"]) <= 4000
    assert max(part["bytes"] for part in document["query_parts"]) <= 3000
    vectors, labels = read_parts(str(tmp_path), document["item_parts"])
    assert labels.tolist() == list(range(150))
    assert len(vectors) == 150
    assert [part["first_user"] for part in document["query_parts"]] == np.cumsum(
        [0, *(part["rows"] for part in document["query_parts"][:-1])]
    ).tolist()


@pytest.mark.slow
def test_memory_does_not_grow_with_users(tmp_path: Path) -> None:
    peaks = []
    for users in (40_000, 160_000):
        folder = tmp_path / str(users)
        folder.mkdir()
        machine(users + 10, 32).save(folder / "model.tar.gz")
        tracemalloc.start()
        export(FactorizationMachine.load(folder / "model.tar.gz"), manifest(users, 10), str(folder))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"manifest": manifest(25, 18)}, "the model has 42 features, the manifest 43"),
        ({"queries_per_part": 0}, "queries_per_part is 0: expected at least 1"),
        (
            {"item_rows": sparse.csr_matrix((25, 42))},
            r"item rows have the shape \(25, 42\): expected .* \(17, 42\)",
        ),
        ({"user_rows": sparse.csr_matrix((25, 41))}, r"user rows have the shape \(25, 41\)"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, arguments: dict[str, Any], sentence: str) -> None:
    arguments = {"manifest": manifest(25, 17), **arguments}
    with pytest.raises(InputError, match=sentence):
        export(machine(42, 4), arguments.pop("manifest"), str(tmp_path), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_more_items_than_labels_can_tell_apart_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "MAX_ITEMS", 16)
    with pytest.raises(InputError, match="there are 17 items: k-NN's float32 labels tell at most 16 apart"):
        export(machine(42, 4), manifest(25, 17), str(tmp_path))
