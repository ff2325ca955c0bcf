"""Real MXNet loads and scores what we save, and we load and score what it saves."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from bench.oracles.environments import Oracle
from fmrec.model import mxnet_params
from fmrec.model.factorization_machine import FactorizationMachine

HEADS = {"binary_classifier": "LogisticRegressionOutput", "regressor": "LinearRegressionOutput"}


def rows_of(count: int, feature_dim: int) -> Any:
    rows = sparse.random(count, feature_dim, density=0.1, format="csr", dtype=np.float32, random_state=1)
    rows.sort_indices()
    return rows


def as_question(rows: Any) -> dict[str, Any]:
    return {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr, "shape": rows.shape}


def unpack(archive: Path, folder: Path) -> Path:
    """What users do before Module.load: untar, unzip, rename."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        member = tar.extractfile("model_algo-1")
        assert member is not None
        (folder / "model_algo-1").write_bytes(member.read())
    with zipfile.ZipFile(folder / "model_algo-1") as opened:
        (folder / "model-symbol.json").write_bytes(opened.read("symbol.json"))
        (folder / "model-0000.params").write_bytes(opened.read("params"))
    return folder / "model"


@pytest.mark.parametrize("row_sparse", [True, False])
@pytest.mark.parametrize("predictor_type", HEADS)
def test_mxnet_loads_and_scores_what_is_saved_here(
    mxnet: Oracle, tmp_path: Path, predictor_type: str, row_sparse: bool
) -> None:
    generator = np.random.default_rng(2)
    model = FactorizationMachine(
        0.25,
        generator.normal(0, 0.5, 120).astype(np.float32),
        generator.normal(0, 0.5, (120, 10)).astype(np.float32),
        predictor_type,
    )
    model.save(tmp_path / "model.tar.gz", row_sparse=row_sparse)
    rows = rows_of(50, 120)
    answer = mxnet.ask(
        ask="score", prefix=str(unpack(tmp_path / "model.tar.gz", tmp_path)), **as_question(rows)
    )
    assert np.array_equal(answer["v"], model.factors)
    assert np.array_equal(answer["w1_weight"].ravel(), model.linear)
    assert answer["w0_weight"].tolist() == [0.25]
    assert answer["scores"] == pytest.approx(model.predict(rows), abs=1e-5)


@pytest.mark.parametrize("predictor_type", HEADS)
def test_a_model_trained_and_saved_by_mxnet_is_loaded_and_scored_here(
    mxnet: Oracle, tmp_path: Path, predictor_type: str
) -> None:
    rows = rows_of(40, 90)
    labels = np.random.default_rng(3).integers(0, 2, 40).astype(np.float32)
    prefix = str(tmp_path / "model")
    stypes = mxnet.ask(
        ask="save checkpoint",
        prefix=prefix,
        head=HEADS[predictor_type],
        num_factors=7,
        labels=labels,
        **as_question(rows),
    )
    assert str(stypes["stype v"]) == "row_sparse"
    with zipfile.ZipFile(tmp_path / "model_algo-1", "w") as opened:
        opened.writestr("meta.json", '{"training_parameters": {"feature_dim": "90"}}')
        opened.write(f"{prefix}-symbol.json", "symbol.json")
        opened.write(f"{prefix}-0000.params", "params")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "model_algo-1", "model_algo-1")
    model = FactorizationMachine.load(tmp_path / "model.tar.gz")
    assert model.predictor_type == predictor_type
    assert model.factors.shape == (90, 7)
    answer = mxnet.ask(ask="score", prefix=prefix, **as_question(rows))
    assert np.array_equal(model.factors, answer["v"])
    assert model.predict(rows) == pytest.approx(answer["scores"], abs=1e-5)


ARRAYS = {
    "dense": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "double": np.array([1.5, -2.5]),
    "half": np.array([1.5, -2.5], np.float16),
    "byte": np.array([[1, 255]], np.uint8),
    "int": np.array([-1, 2**31 - 1], np.int32),
    "short": np.array([-128, 127], np.int8),
    "long": np.array([-1, 2**62], np.int64),
}
HOLES = np.array([[0, 0], [1, 2], [0, 0], [0, 3]], np.float32)


def test_lists_saved_by_mxnet_are_loaded_here(mxnet: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "params"
    kinds = {f"default {name}": array for name, array in ARRAYS.items()}
    mxnet.ask(ask="save list", path=str(path), **kinds, **{"row_sparse rows": HOLES, "csr csr": HOLES})
    found = mxnet_params.load(path)
    assert list(found) == [*ARRAYS, "rows", "csr"]
    for name, array in {**ARRAYS, "rows": HOLES, "csr": HOLES}.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_lists_saved_here_are_mxnet_s_bytes_and_load_there(mxnet: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "params"
    full = np.arange(1, 9, dtype=np.float32).reshape(4, 2)
    file = io.BytesIO()
    mxnet_params.save(file, {**ARRAYS, "rows": full}, row_sparse=["rows"])
    kinds = {f"default {name}": array for name, array in ARRAYS.items()}
    mxnet.ask(ask="save list", path=str(path), **kinds, **{"row_sparse rows": full})
    assert file.getvalue() == path.read_bytes()
    path.write_bytes(file.getvalue())
    loaded = mxnet.ask(ask="load list", path=str(path))
    for name, array in {**ARRAYS, "rows": full}.items():
        assert np.array_equal(loaded[name], array)
