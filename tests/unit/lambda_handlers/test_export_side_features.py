"""The export of a model with side features, in its own bundle and without what a Lambda function lacks."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from fmrec import recordio
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.model.factorization_machine import FactorizationMachine

USERS, ITEMS, DIM = 6, 4, 15
TOWNS, COLOURS = (10, 12), (12, 15)


def write_features(folder: Path, first: int, lists: list[list[int]], weights: list[list[float]]) -> None:
    folder.mkdir(parents=True)
    table = pa.table(
        {
            "column": pa.array(range(first, first + len(lists)), pa.int64()),
            "columns": pa.array(lists, pa.list_(pa.int64())),
            "values": pa.array(weights, pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, folder / "part-00000.snappy.parquet", row_group_size=3)


@pytest.mark.slow
def test_vectors_hold_all_features_of_users_and_items(invoke: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    model = FactorizationMachine(
        -0.5,
        random.normal(size=DIM).astype(np.float32),
        random.normal(size=(DIM, 3)).astype(np.float32),
        "binary_classifier",
    )
    model.save(str(tmp_path / "model.tar.gz"))
    columns_of = {
        "user": [[user, TOWNS[0] + user % 2] for user in range(USERS)],
        "item": [[USERS + item, *range(COLOURS[0], COLOURS[0] + item)] for item in range(ITEMS)],
    }
    weights = {side: [[1.0] + [0.1] * (len(row) - 1) for row in rows] for side, rows in columns_of.items()}
    rows = {}
    for side, first in (("user", 0), ("item", USERS)):
        write_features(tmp_path / f"encoded/{side}_features", first, columns_of[side], weights[side])
        dense = np.zeros((len(columns_of[side]), DIM), np.float32)
        for at, (columns, values) in enumerate(zip(columns_of[side], weights[side], strict=True)):
            dense[at, columns] = values
        rows[side] = dense
    manifest = Manifest(
        run="sides",
        created="2026-11-21T10:00:00Z",
        dataset={"label": {"mode": "binary"}},
        feature_dim=DIM,
        nnz_per_row=4.0,
        users=USERS,
        items=ITEMS,
        ranges={"user": (0, USERS), "item": (USERS, USERS + ITEMS), "town": TOWNS, "colour": COLOURS},
        rows=Rows(read=0, encoded=0, train=0, test=0),
        train=Channel("train/", 0, 0, 0, 0.5),
        test=Channel("test/", 0, 0, 0, 0.5),
        details={"side_features": {"user": "user_features/", "item": "item_features/"}},
    )
    (tmp_path / "encoded/manifest.json").write_text(manifest.to_json())
    for name in ("seen", "heldout"):
        nobody = {"user_column": pa.array([], pa.int64()), "item_column": pa.array([], pa.int64())}
        (tmp_path / "encoded" / name).mkdir()
        pq.write_table(
            pa.table(nobody | {"relevant": pa.array([], pa.bool_())}),
            tmp_path / "encoded" / name / "part-00000.parquet",
        )

    answer = invoke(
        "export_embeddings",
        {
            "model_uris": [str(tmp_path / "model.tar.gz")],
            "manifest_uri": str(tmp_path / "encoded/manifest.json"),
            "output_uri": f"{tmp_path}/embeddings/",
            "co_occurrence": 0.3,
            "folding_in": True,
        },
    )

    assert {key: answer[key] for key in ("dim", "users", "items")} == {
        "dim": 4,
        "users": USERS,
        "items": ITEMS,
    }
    folder = tmp_path / "embeddings"
    items, queries = (
        recordio.read_matrix(io.BytesIO((folder / name / "part-00000.pbr").read_bytes()))[0]
        for name in ("items", "queries")
    )
    offsets = np.load(folder / "query_offsets/part-00000.npy")
    pairs = sparse.csr_matrix((rows["user"][:, None, :] + rows["item"][None, :, :]).reshape(-1, DIM))
    expected = model.scores(pairs).reshape(USERS, ITEMS)
    assert queries @ items.T + offsets[:, None] == pytest.approx(expected, abs=1e-5)
