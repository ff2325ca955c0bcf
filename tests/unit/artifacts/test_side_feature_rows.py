"""Rows of side features against SciPy, and exported vectors of side features against the model."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from fmrec import recordio
from fmrec.artifacts import side_feature_rows
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.artifacts.side_feature_rows import CompressedRows, SideRows, read_side_rows
from fmrec.errors import FormatError
from fmrec.model.embeddings import export
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.storage import object_store

USERS, ITEMS, SIDE = 23, 11, 9
DIM = USERS + ITEMS + SIDE


def write_rows(folder: Path, first: int, rows: Any, parts: int = 3) -> None:
    """As the encoding job does: in the order of columns, over several files and row groups."""
    folder.mkdir(parents=True)
    lists = [(first + at, rows[at].indices.tolist(), rows[at].data.tolist()) for at in range(rows.shape[0])]
    for number in range(parts):
        own, columns, values = zip(*_cut(lists, parts, number), strict=True)
        table = pa.table(
            {
                "column": pa.array(own, pa.int64()),
                "columns": pa.array(columns, pa.list_(pa.int64())),
                "values": pa.array(values, pa.list_(pa.float32())),
            }
        )
        pq.write_table(table, folder / f"part-{number:05d}.snappy.parquet", row_group_size=2)


def _cut(lists: list[Any], parts: int, number: int) -> list[Any]:
    return lists[len(lists) * number // parts : len(lists) * (number + 1) // parts]


def rows_of(first: int, count: int, side: slice, seed: int) -> Any:
    """Own columns, and about half of some side features."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((count, DIM), np.float32)
    rows[np.arange(count), first + np.arange(count)] = 1
    width = side.stop - side.start
    rows[:, side] = generator.random((count, width)) * (generator.random((count, width)) < 0.5)
    return sparse.csr_matrix(rows)


def manifest(**side_features: str) -> Manifest:
    ranges = {"user": (0, USERS), "item": (USERS, USERS + ITEMS), "side": (USERS + ITEMS, DIM)}
    return Manifest(
        run="r",
        created="2026-11-21T00:00:00Z",
        dataset={},
        feature_dim=DIM,
        nnz_per_row=4.0,
        users=USERS,
        items=ITEMS,
        ranges=ranges,
        rows=Rows(read=0, encoded=0, train=0, test=0),
        train=Channel("train/", 0, 0, 0, None),
        test=Channel("test/", 0, 0, 0, None),
        details={"side_features": side_features} if side_features else {},
    )


@settings(deadline=None)  # SciPy's first product takes its time
@given(st.integers(0, 9), st.floats(0, 1), st.integers(0, 2**32 - 1), st.data())
def test_compressed_rows_multiply_and_are_cut_as_scipy_s(
    count: int, density: float, seed: int, data: st.DataObject
) -> None:
    theirs = sparse.random(count, 7, density, format="csr", random_state=seed)
    ours = CompressedRows((theirs.data, theirs.indices, theirs.indptr), theirs.shape)
    start, end = (data.draw(st.integers(0, count)) for _ in range(2))
    dense = np.random.default_rng(seed).random((7, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side_feature_rows, "BLOCK_PRODUCTS", data.draw(st.integers(1, 40)))
        for mine, other in ((ours, theirs), (ours[start:end], theirs[start:end])):
            assert mine.shape == other.shape
            assert mine @ dense == pytest.approx(other @ dense)
            assert mine @ dense[:, 0] == pytest.approx(other @ dense[:, 0])


def test_any_range_of_rows_is_read_and_a_missing_row_is_named(tmp_path: Path) -> None:
    expected = rows_of(USERS, ITEMS, slice(USERS + ITEMS, DIM), 1)
    write_rows(tmp_path / "items", USERS, expected)
    rows = SideRows(str(tmp_path / "items"), (USERS, USERS + ITEMS), DIM)
    assert rows.shape == (ITEMS, DIM)
    for start, end in ((0, ITEMS), (3, 4), (0, 5), (7, ITEMS), (4, 4), (6, 99)):
        found = rows[start:end]
        wanted = expected[start:end]
        assert found.shape == wanted.shape
        for name in ("data", "indices", "indptr"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name))

    (tmp_path / "items/part-00001.snappy.parquet").unlink()
    with pytest.raises(FormatError, match="lacks rows of the columns 23 to 33: encode the data again"):
        SideRows(str(tmp_path / "items"), (USERS, USERS + ITEMS), DIM)[:]
    with pytest.raises(FormatError, match="has column 42: expected below 40"):
        SideRows(str(tmp_path / "items"), (USERS, USERS + 3), 40)[:]


@pytest.mark.parametrize("sides", [("user", "item"), ("item",), ("user",)])
def test_products_and_offsets_are_the_model_s_scores_with_all_features(
    sides: tuple[str, ...], tmp_path: Path
) -> None:
    generator = np.random.default_rng(4)
    model = FactorizationMachine(
        0.5,
        generator.standard_normal(DIM).astype(np.float32),
        generator.standard_normal((DIM, 5)).astype(np.float32),
        "binary_classifier",
    )
    middle = USERS + ITEMS + 4
    side_columns = {"user": slice(USERS + ITEMS, middle), "item": slice(middle, DIM)}
    none = slice(DIM, DIM)
    user_rows = rows_of(0, USERS, side_columns["user"] if "user" in sides else none, 2)
    item_rows = rows_of(USERS, ITEMS, side_columns["item"] if "item" in sides else none, 3)
    for side, first, rows in (("user", 0, user_rows), ("item", USERS, item_rows)):
        if side in sides:
            write_rows(tmp_path / f"encoded/{side}_features", first, rows)
    known = manifest(**{side: f"{side}_features/" for side in sides})
    uri = str(tmp_path / "encoded/manifest.json")
    document = export(
        model,
        known,
        str(tmp_path / "embeddings"),
        queries_per_part=7,
        item_rows=read_side_rows(known, uri, "item"),
        user_rows=read_side_rows(known, uri, "user"),
    )

    def read(key: str) -> Any:
        with object_store.open_input(str(tmp_path / "embeddings" / key)) as file:
            return np.load(file) if key.endswith(".npy") else recordio.read_matrix(file)[0]

    items = np.concatenate([read(part["key"]) for part in document["item_parts"]])
    queries = np.concatenate([read(part["key"]) for part in document["query_parts"]])
    offsets = np.concatenate([read(part["offsets_key"]) for part in document["query_parts"]])
    pairs = sparse.vstack(
        [user_rows[[user]] + item_rows[[item]] for user in range(USERS) for item in range(ITEMS)]
    )
    scores = queries.astype(float) @ items.T.astype(float) + offsets[:, None]
    assert scores.ravel() == pytest.approx(model.scores(pairs), abs=1e-5)
    assert len(document["query_parts"]) == 4


@pytest.mark.slow
def test_memory_does_not_grow_with_users(tmp_path: Path) -> None:
    peaks = []
    for users in (30_000, 120_000):
        folder = tmp_path / str(users)
        folder.mkdir()
        own = np.arange(users, dtype=np.int64)
        columns = np.stack([own, users + own % 10], axis=1).ravel()
        offsets = pa.array(np.arange(users + 1) * 2, pa.int32())
        lists = [
            pa.ListArray.from_arrays(offsets, pa.array(values))
            for values in (columns, np.ones(2 * users, np.float32))
        ]
        table = pa.Table.from_arrays([pa.array(own), *lists], names=["column", "columns", "values"])
        pq.write_table(table, folder / "part-00000.snappy.parquet", row_group_size=10_000)
        ranges = {"user": (0, users), "item": (users, users + 10), "side": (users + 10, users + 20)}
        known = replace(manifest(), feature_dim=users + 20, users=users, items=10, ranges=ranges)
        random = np.random.default_rng(0)
        factors = random.random((users + 20, 16), np.float32)
        FactorizationMachine(0.0, factors[:, 0], factors, "regressor").save(folder / "model.tar.gz")
        tracemalloc.start()
        model = FactorizationMachine.load(folder / "model.tar.gz")
        export(model, known, str(folder), user_rows=SideRows(str(folder), (0, users), users + 20))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_without_side_features_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert read_side_rows(manifest(), str(tmp_path / "manifest.json"), "user") is None
