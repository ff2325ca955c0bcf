"""Side features as they are written for retrieval, against the rows that training reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import pytest
from scipy import sparse

from fmrec import recordio
from fmrec.artifacts.manifest import Manifest
from fmrec.artifacts.side_feature_rows import read_side_rows
from fmrec.encoding import job
from fmrec.encoding.features import side_table
from fmrec.model.embeddings import export
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.recordio import decode
from fmrec.storage import object_store

USERS, ITEMS = 40, 25
DOCUMENT: dict[str, Any] = {
    "interactions": {"path": "rows.csv"},
    "users": {"path": "users.csv"},
    "items": {"path": "items.csv"},
    "features": [
        {"name": "age", "of": "user", "kind": "numeric"},
        {"name": "tag", "of": "item", "column": "tags", "kind": "multi-valued"},
        {"name": "town", "of": "user"},
        {"name": "colour", "of": "item"},
    ],
    "split": {"method": "time-cut", "at": 500},
    "parts": 2,
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users and items of which some are met in test only, some lack attributes."""
    folder = tmp_path_factory.mktemp("raw")
    random = np.random.default_rng(3)
    lines = ["user_id,item_id,rating,timestamp"]
    for _ in range(900):
        user, item, time = random.integers(USERS), random.integers(ITEMS), random.integers(1000)
        late = user >= USERS - 5 or item >= ITEMS - 3
        lines.append(f"u{user},i{item},{random.integers(1, 6)},{max(time, 500) if late else time}")
    (folder / "rows.csv").write_text("\n".join(lines))
    users = [f"u{user},{random.integers(18, 80)},town {user % 4}" for user in range(0, USERS, 2)]
    (folder / "users.csv").write_text("\n".join(["user_id,age,town", *users, "stranger,30,town 9"]))
    tags = ["a", "b|a", "", "c|b|a"]
    items = [f"i{item},{tags[item % 4]},{'red' if item % 3 else ''}" for item in range(3, ITEMS)]
    new = ["i90,b|z,red", "i91, ,", "i92,z,"]
    (folder / "items.csv").write_text("\n".join(["item_id,tags,colour", *items, *new]))
    return folder


def records(folder: Path) -> tuple[Any, Any]:
    return decode(b"".join(path.read_bytes() for path in sorted(folder.iterdir())))


def scipy_rows(manifest: Manifest, folder: Path, side: str) -> Any:
    rows = read_side_rows(manifest, str(folder / "manifest.json"), side)
    assert rows is not None
    found = rows[:]
    return sparse.csr_matrix((found.data, found.indices, found.indptr), shape=found.shape)


def test_a_user_s_and_an_item_s_rows_make_up_what_is_encoded_and_rank_as_brute_force(
    raw: Path, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = encode_document(DOCUMENT, raw, tmp_path)
    assert manifest.details["side_features"] == {"user": "user_features/", "item": "item_features/"}
    user_rows, item_rows = (scipy_rows(manifest, tmp_path, side) for side in ("user", "item"))
    for folder in ("train", "test"):
        matrix, _ = records(tmp_path / folder)
        user, item = (matrix.indices[matrix.indptr[:-1] + at] for at in (0, 1))
        assert abs(user_rows[user] + item_rows[item - manifest.users] - matrix).max() == 0
        assert matrix.has_sorted_indices
    # Known in test only, and still with a row of their own.
    assert user_rows.shape == (manifest.users, manifest.feature_dim) == (USERS, manifest.feature_dim)
    assert (user_rows[:, :USERS].diagonal() == 1).all()

    generator = np.random.default_rng(9)
    model = FactorizationMachine(
        0.1,
        generator.standard_normal(manifest.feature_dim).astype(np.float32),
        generator.standard_normal((manifest.feature_dim, 6)).astype(np.float32),
        "regressor",
    )
    uri = str(tmp_path / "manifest.json")
    document = export(
        model,
        manifest,
        str(tmp_path / "embeddings"),
        item_rows=read_side_rows(manifest, uri, "item"),
        user_rows=read_side_rows(manifest, uri, "user"),
    )

    def read(key: str) -> Any:
        with object_store.open_input(str(tmp_path / "embeddings" / key)) as file:
            return np.load(file) if key.endswith(".npy") else recordio.read_matrix(file)[0]

    items, queries = (read(document[name][0]["key"]) for name in ("item_parts", "query_parts"))
    offsets = read(document["query_parts"][0]["offsets_key"])
    found = queries.astype(float) @ items.T.astype(float) + offsets[:, None]
    user_ordinals, item_ordinals = (axis.ravel() for axis in np.mgrid[: manifest.users, : manifest.items])
    pairs = user_rows[user_ordinals] + item_rows[item_ordinals]
    expected = model.scores(pairs).reshape(found.shape)
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(np.argsort(-found, axis=1)[:, :10], np.argsort(-expected, axis=1)[:, :10])

    plain = {key: value for key, value in DOCUMENT.items() if key not in ("users", "items", "features")}
    assert "side_features" not in encode_document(plain, raw, tmp_path).details
    assert not [path for path in tmp_path.glob("*_features/*") if path.suffix == ".parquet"]


def test_large_tables_meet_rows_in_buckets_and_give_the_same_bytes(
    raw: Path, encode_document: Callable[..., Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = {"mode": "implicit", "threshold": 3, "negatives_per_positive": 2}
    document = DOCUMENT | {"label": label}
    encode_document(document, raw, tmp_path / "small")
    monkeypatch.setattr(job, "fits_one_task", lambda *_: False)
    monkeypatch.setattr(side_table, "SMALL_BYTES", 0)
    encode_document(document, raw, tmp_path / "large")
    for part in ("train/part-00000.pbr", "train/part-00001.pbr", "test/part-00000.pbr"):
        assert (tmp_path / "small" / part).read_bytes() == (tmp_path / "large" / part).read_bytes()


def test_features_alone_describe_who_train_never_met_and_plain_ids_need_no_tables(
    raw: Path, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = encode_document(DOCUMENT | {"unknown": "features-only"}, raw, tmp_path / "alone")
    user_rows, item_rows = (scipy_rows(manifest, tmp_path / "alone", side) for side in ("user", "item"))
    trained, _ = records(tmp_path / "alone/train")
    own = np.concatenate([user_rows[:, :USERS].diagonal(), item_rows[:, USERS : USERS + ITEMS].diagonal()])
    met = np.zeros(USERS + ITEMS)
    met[np.unique(trained.indices[trained.indices < USERS + ITEMS])] = 1
    assert 0 < met.sum() < USERS + ITEMS
    assert own.tolist() == met.tolist()
    untrained = int(np.flatnonzero(met[:USERS:2] == 0)[0]) * 2
    names = pads.dataset(tmp_path / "alone/feature_index").to_table().to_pandas().name
    assert names[untrained].startswith("u")

    manifest = encode_document({"interactions": {"path": "rows.csv"}}, raw, tmp_path / "plain")
    assert "side_features" not in manifest.details
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == [
        "feature_index", "heldout", "manifest.json", "quarantine", "seen", "test", "train",
    ]  # fmt: skip


def test_who_has_no_interactions_gets_a_row_of_known_features_and_training_stays_as_it_was(
    raw: Path, encode_document: Callable[..., Manifest], tmp_path: Path
) -> None:
    label = {"mode": "implicit", "threshold": 3, "negatives_per_positive": 3}
    usual = encode_document(DOCUMENT | {"label": label}, raw, tmp_path / "usual")
    also = {side: DOCUMENT[side] | {"without_interactions": True} for side in ("users", "items")}
    manifest = encode_document(DOCUMENT | also | {"label": label}, raw, tmp_path / "all")
    # i91 is described by nothing.
    assert (manifest.users, manifest.items) == (USERS + 1, ITEMS + 2)
    assert manifest.details["without_interactions"] == {"user": 1, "item": 2}
    assert manifest.details["attributes"] == usual.details["attributes"]
    assert manifest.details["feature_values"] == usual.details["feature_values"]
    index = pads.dataset(tmp_path / "all/feature_index").to_table().to_pandas()
    new = [USERS, USERS + 1 + ITEMS, USERS + 2 + ITEMS]
    assert index.name[new].tolist() == ["stranger", "i90", "i92"]
    assert index.interactions[new].tolist() == [0, 0, 0]
    for folder in ("train", "test"):
        before, labels = records(tmp_path / "usual" / folder)
        matrix, same_labels = records(tmp_path / "all" / folder)
        assert matrix[:, new].nnz == 0
        rest = np.delete(np.arange(manifest.feature_dim), new)
        assert manifest.feature_dim == usual.feature_dim + len(new)  # neither town 9 nor z is a feature
        pairs = [(before, labels), (matrix[:, rest], same_labels)]
        usual_rows, rows = (np.column_stack([label, found.toarray()]).tolist() for found, label in pairs)
        assert sorted(rows) == sorted(usual_rows)

    user_rows, item_rows = (scipy_rows(manifest, tmp_path / "all", side) for side in ("user", "item"))
    names = list(zip(index.namespace, index.name, strict=True))
    described = (raw / "users.csv").read_text().splitlines()[1:-1]  # the last one is the stranger
    ages = np.array([line.split(",")[1] for line in described], float)
    weight = 0.1 * (30 - ages.mean()) / ages.std()
    stranger = {names[at]: value for at, value in zip(user_rows[-1].indices, user_rows[-1].data, strict=True)}
    assert stranger == {("age", "age"): pytest.approx(weight, abs=1e-6)}
    found = [dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)) for row in item_rows[-2:]]
    tag, colour = names.index(("tag", "b")), names.index(("colour", "red"))
    assert found == [{tag: pytest.approx(0.05), colour: pytest.approx(0.1)}, {}]

    generator = np.random.default_rng(5)
    linear = generator.standard_normal(manifest.feature_dim).astype(np.float32)
    factors = generator.standard_normal((manifest.feature_dim, 3)).astype(np.float32)
    model = FactorizationMachine(0.0, linear, factors, "binary_classifier")
    uri = str(tmp_path / "all/manifest.json")
    rows = read_side_rows(manifest, uri, "item")
    document = export(model, manifest, str(tmp_path / "embeddings"), item_rows=rows)
    vectors, _ = decode((tmp_path / "embeddings" / document["item_parts"][0]["key"]).read_bytes())
    assert vectors[-2, :-1] == pytest.approx(0.05 * factors[tag] + 0.1 * factors[colour], abs=1e-6)
    own = 0.05 * linear[tag] + 0.1 * linear[colour] + 0.005 * factors[tag] @ factors[colour]
    assert vectors[-2, -1] == pytest.approx(own, abs=1e-6)
