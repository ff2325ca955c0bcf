"""The model's algebra against its definition, and its artifact against both published layouts."""

import contextlib
import hashlib
import io
import itertools
import json
import math
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from fmrec.artifacts.side_feature_rows import CompressedRows
from fmrec.errors import FormatError, InputError
from fmrec.model import mxnet_params
from fmrec.model.factorization_machine import CHUNK_PRODUCTS, FactorizationMachine

# Scores that MXNet 1.9.1 gives for these parameters.
SAMPLE = FactorizationMachine(
    bias=0.25,
    linear=np.array([-0.5, -0.25, 0, 0.25, 0.5, 0.75], np.float32),
    factors=np.linspace(-1, 1.125, 18, dtype=np.float32).reshape(6, 3),
    predictor_type="binary_classifier",
)
TWO_ROWS = sparse.csr_matrix((np.ones(4, np.float32), ([0, 0, 1, 1], [0, 3, 1, 5])), shape=(2, 6))


def machine(feature_dim: int, num_factors: int, predictor_type: str = "regressor") -> FactorizationMachine:
    generator = np.random.default_rng(feature_dim)
    return FactorizationMachine(
        0.5,
        generator.standard_normal(feature_dim).astype(np.float32),
        generator.standard_normal((feature_dim, num_factors)).astype(np.float32),
        predictor_type,
    )


def score_by_definition(model: FactorizationMachine, row: Any) -> float:
    """w0 + Σ w_i x_i + Σ_{i<j} <v_i, v_j> x_i x_j, one by one."""
    active = np.flatnonzero(row)
    score = model.bias + math.fsum(float(model.linear[i]) * float(row[i]) for i in active)
    factors = model.factors.astype(np.float64)
    return score + math.fsum(
        float(factors[i] @ factors[j]) * float(row[i]) * float(row[j])
        for i, j in itertools.combinations(active, 2)
    )


def archive(model_algo: bytes, name: str = "model_algo-1") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(model_algo)
        tar.addfile(member, io.BytesIO(model_algo))
    return file.getvalue()


def model_algo(parameters: dict[str, Any], meta: Any = None, symbol: Any = None, **row_sparse: Any) -> bytes:
    params = io.BytesIO()
    mxnet_params.save(params, parameters, **row_sparse)
    meta = {"training_parameters": {"predictor_type": "regressor"}} if meta is None else meta
    symbol = {"nodes": [{"op": "LinearRegressionOutput"}]} if symbol is None else symbol
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("meta.json", json.dumps(meta))
        opened.writestr("symbol.json", json.dumps(symbol))
        opened.writestr("params", params.getvalue())
    return file.getvalue()


def test_scores_are_those_of_mxnet() -> None:
    assert SAMPLE.scores(TWO_ROWS).tolist() == [-0.625, -0.71875]
    assert SAMPLE.predict(TWO_ROWS).round(6).tolist() == [0.348645, 0.327668]


def test_a_regressor_predicts_its_score() -> None:
    regressor = FactorizationMachine(0.25, SAMPLE.linear, SAMPLE.factors, "regressor")
    assert regressor.predict(TWO_ROWS).tolist() == [-0.625, -0.71875]


def test_probabilities_neither_overflow_nor_vanish() -> None:
    model = FactorizationMachine(
        0.0, np.array([1000, -700, 0], np.float32), np.zeros((3, 1), np.float32), "binary_classifier"
    )
    assert model.predict(np.eye(3)).tolist() == [1.0, pytest.approx(math.exp(-700), rel=1e-12), 0.5]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_scores_follow_the_definition(feature_dim: int, num_factors: int, seed: int) -> None:
    model = machine(feature_dim, num_factors)
    rows = sparse.random(20, feature_dim, density=0.3, format="csr", dtype=np.float32, random_state=seed)
    expected = [score_by_definition(model, row) for row in rows.toarray()]
    assert model.scores(rows) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert model.scores(rows.toarray()) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert model.scores(sparse.coo_array(rows)).tolist() == model.scores(rows).tolist()


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 9), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_a_column_stored_twice_scores_as_the_dense_row(feature_dim: int, stored: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    model = machine(feature_dim, 4)
    values = generator.standard_normal(stored).astype(np.float32)
    indptr = np.sort(np.concatenate([[0, stored], generator.integers(0, stored + 1, 6)]))
    rows = sparse.csr_matrix(
        (values, generator.integers(0, feature_dim, stored), indptr), shape=(7, feature_dim)
    )
    assert model.scores(rows).tolist() == model.scores(rows.toarray()).tolist()
    compressed = CompressedRows((rows.data, rows.indices.astype(np.uint32), rows.indptr), rows.shape)
    assert model.scores(compressed) == pytest.approx(model.scores(rows), rel=1e-9, abs=1e-9)
    assert rows.nnz == stored  # what was given stays as it was


def test_a_row_s_score_does_not_depend_on_the_rows_beside_it() -> None:
    model = machine(500, 64)
    rows = sparse.random(300, 500, density=0.02, format="csr", dtype=np.float32, random_state=5)
    together = model.scores(rows)
    assert [float(model.scores(rows[row])[0]) for row in range(300)] == together.tolist()


def test_rows_beyond_one_chunk_are_scored_alike() -> None:
    model = machine(50, 2**14)
    rows = sparse.random(3 * CHUNK_PRODUCTS // 2**14, 50, density=0.1, format="csr", random_state=6)
    scores = model.scores(rows)
    assert len(scores) == rows.shape[0]
    assert float(scores[-1]) == float(model.scores(rows[-1:])[0])
    assert float(scores[300]) == float(model.scores(rows[300])[0])


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_folded_queries_and_items_give_back_the_score(feature_dim: int, num_factors: int, seed: int) -> None:
    model = machine(feature_dim, num_factors)
    rows = sparse.random(20, feature_dim, density=0.5, format="csr", random_state=seed).toarray()
    split = np.random.default_rng(seed).integers(1, feature_dim)
    query, item = rows.copy(), rows.copy()
    query[:, split:] = 0
    item[:, :split] = 0
    query_vectors, query_constants = model.fold(query)
    item_vectors, item_constants = model.fold(item)
    products = (query_vectors * item_vectors).sum(axis=1)
    assert model.bias + query_constants + item_constants + products == pytest.approx(model.scores(rows))


def test_one_feature_folds_to_its_own_parameters() -> None:
    vectors, constants = SAMPLE.fold(sparse.identity(6, format="csr"))
    assert np.array_equal(vectors, SAMPLE.factors)
    assert np.array_equal(constants, SAMPLE.linear)


def test_no_rows_have_no_scores() -> None:
    assert SAMPLE.scores(sparse.csr_matrix((0, 6))).tolist() == []
    assert SAMPLE.fold(sparse.csr_matrix((0, 6)))[0].shape == (0, 3)


def test_rows_of_another_feature_space_are_refused() -> None:
    with pytest.raises(InputError, match="rows have 5 columns, but the model has 6 features"):
        SAMPLE.scores(sparse.csr_matrix((1, 5)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"linear": np.zeros(5, np.float32)}, r"linear weights have the shape \(5,\) and factors \(6, 3\)"),
        ({"factors": np.zeros(6, np.float32)}, r"factors \(6,\): expected \(n,\) and \(n, k\)"),
        ({"predictor_type": "ranker"}, "predictor_type is 'ranker': expected binary_classifier or regressor"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(changes: dict[str, Any], sentence: str) -> None:
    parts = {"bias": 0.0, "linear": SAMPLE.linear, "factors": SAMPLE.factors, "predictor_type": "regressor"}
    with pytest.raises(InputError, match=sentence):
        FactorizationMachine(**{**parts, **changes})


def assert_same(found: FactorizationMachine, expected: FactorizationMachine) -> None:
    assert found.bias == expected.bias
    assert np.array_equal(found.linear, expected.linear)
    assert np.array_equal(found.factors, expected.factors)
    assert found.linear.dtype == found.factors.dtype == np.float32
    assert found.predictor_type == expected.predictor_type


@pytest.mark.parametrize("row_sparse", [True, False])
@pytest.mark.parametrize("predictor_type", ["binary_classifier", "regressor"])
def test_a_saved_model_is_loaded_from_path_and_file(
    tmp_path: Path, predictor_type: str, row_sparse: bool
) -> None:
    model = machine(100, 8, predictor_type)
    path = tmp_path / "model.tar.gz"
    model.save(path, row_sparse=row_sparse)
    assert_same(FactorizationMachine.load(path), model)
    assert_same(FactorizationMachine.load(str(path)), model)
    assert_same(FactorizationMachine.load(path.as_uri()), model)
    assert_same(FactorizationMachine.load(io.BytesIO(path.read_bytes())), model)
    with path.open("rb") as file:
        assert_same(FactorizationMachine.load(file), model)


def test_a_model_goes_to_s3_and_back(bucket: str) -> None:
    model = machine(1000, 16)
    uri = f"s3://{bucket}/models/job/output/model.tar.gz"
    model.save(uri)
    assert_same(FactorizationMachine.load(uri), model)


def test_what_training_leaves_is_loaded_from_folder_and_zip(tmp_path: Path) -> None:
    SAMPLE.save_model_algo(tmp_path, {"epochs": "20"})
    assert_same(FactorizationMachine.load(tmp_path), SAMPLE)
    assert_same(FactorizationMachine.load(tmp_path / "model_algo-1"), SAMPLE)
    with zipfile.ZipFile(tmp_path / "model_algo-1") as opened:
        assert [entry.filename for entry in opened.infolist()] == ["meta.json", "symbol.json", "params"]
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}
        meta = json.loads(opened.read("meta.json"))
    assert meta["training_parameters"] == {
        "epochs": "20",
        "feature_dim": "6",
        "num_factors": "3",
        "predictor_type": "binary_classifier",
    }


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        SAMPLE.save(tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_symbol_names_the_shapes_and_the_head(tmp_path: Path) -> None:
    machine(100, 8).save_model_algo(tmp_path)
    with zipfile.ZipFile(tmp_path / "model_algo-1") as opened:
        nodes = {node["name"]: node for node in json.loads(opened.read("symbol.json"))["nodes"]}
    assert nodes["v"]["attrs"] == {"__shape__": "(100, 8)", "__storage_type__": "1"}
    assert nodes["w1_weight"]["attrs"]["__shape__"] == "(100, 1)"
    assert nodes["out"]["op"] == "LinearRegressionOutput"


def test_a_model_trained_on_dense_data_has_its_factors_transposed() -> None:
    model = machine(7, 3)
    parameters = {
        "arg:v": model.factors.T,
        "arg:Linear_Plus_Bias_weight": model.linear.reshape(1, -1),
        "arg:Linear_Plus_Bias_bias": np.array([model.bias], np.float32),
    }
    assert_same(FactorizationMachine.load(io.BytesIO(archive(model_algo(parameters)))), model)


PARAMETERS = {
    "arg:v": SAMPLE.factors,
    "arg:w1_weight": SAMPLE.linear.reshape(-1, 1),
    "arg:w0_weight": np.array([0.25], np.float32),
}


def test_the_archive_may_hold_more_and_call_its_members_dot_slash() -> None:
    data = archive(model_algo(PARAMETERS), name="./model_algo-1")
    assert FactorizationMachine.load(io.BytesIO(data)).feature_dim == 6


def test_without_a_predictor_type_the_network_s_head_tells() -> None:
    for head, expected in (
        ("LogisticRegressionOutput", "binary_classifier"),
        ("LinearRegressionOutput", "regressor"),
    ):
        symbol = {"nodes": [{"op": "dot"}, {"op": head}]}
        data = model_algo(PARAMETERS, meta={"training_parameters": {"feature_dim": 6}}, symbol=symbol)
        assert FactorizationMachine.load(io.BytesIO(data)).predictor_type == expected


def test_loaded_parameters_are_mapped_not_held(tmp_path: Path) -> None:
    SAMPLE.save(tmp_path / "model.tar.gz")
    base: Any = FactorizationMachine.load(tmp_path / "model.tar.gz").factors
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert type(base).__name__ == "mmap"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it starts with b'': expected model.tar.gz"),
        (b"PAR1" * 10, r"it starts with b'PA' \(this seems to be another algorithm's artifact\)"),
        (archive(b"PK")[:40], "the archive is damaged"),
        (archive(b"PK"), "the archive is damaged: File is not a zip file"),
        (
            archive(model_algo(PARAMETERS), "model_algo-2"),
            "it holds model_algo-2; expected a Factorization Machines model's model_algo-1",
        ),
        (model_algo(PARAMETERS, meta=[]), "meta.json has no object training_parameters"),
        (
            model_algo(PARAMETERS, meta={"training_parameters": {"predictor_type": "ranker"}}),
            "meta.json names the predictor_type 'ranker'",
        ),
        (model_algo(PARAMETERS, meta={"padding": "0" * (17 << 20)}), "meta.json unpacks to 17825807 bytes"),
        (model_algo(PARAMETERS, meta={}, symbol={"nodes": 5}), "meta.json names the predictor_type None"),
        (model_algo(PARAMETERS, meta={}, symbol={"nodes": [1, None]}), "the operators \\[\\]"),
        (model_algo(PARAMETERS, meta={}, symbol={"nodes": [{"op": [{}]}]}), "the operators"),
        (model_algo(PARAMETERS, meta={}, symbol=[]), "meta.json names the predictor_type None"),
        (
            model_algo({"arg:v": SAMPLE.factors}),
            r"the parameters are \['arg:v'\]: expected v, w1_weight and w0_weight",
        ),
        (
            model_algo({**PARAMETERS, "arg:w1_weight": np.zeros((5, 1), np.float32)}),
            r"shapes don't fit: factors \(6, 3\), linear \(5, 1\), bias \(1,\)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_model_is_refused_with_its_reason(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=sentence) as refusal:
        FactorizationMachine.load(path)
    assert str(path) in str(refusal.value)


def test_damaged_parameters_are_named_with_archive_and_byte(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("meta.json", '{"training_parameters": {"predictor_type": "regressor"}}')
        opened.writestr("symbol.json", "{}")
        opened.writestr("params", bytes(100))
    path = tmp_path / "model.tar.gz"
    path.write_bytes(archive(file.getvalue()))
    with pytest.raises(FormatError, match=r"model.tar.gz: byte 0: an NDArray list starts with 0x112"):
        FactorizationMachine.load(path)


def test_a_zip_without_parameters_says_what_it_holds(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("meta.json", "{}")
    with pytest.raises(FormatError, match=r"holds \['meta.json'\], but not \['params', 'symbol.json'\]"):
        FactorizationMachine.load(io.BytesIO(file.getvalue()))


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing/model\.tar\.gz"):
        FactorizationMachine.load(tmp_path / "nothing" / "model.tar.gz")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5), st.booleans())
def test_a_damaged_artifact_is_loaded_or_refused_but_never_crashes(
    changes: list[tuple[int, int]], compressed: bool
) -> None:
    file = io.BytesIO()
    SAMPLE.save(file)
    data = bytearray(file.getvalue() if compressed else model_algo(PARAMETERS))
    for at, byte in changes:
        data[at % len(data)] = byte
    with contextlib.suppress(InputError):  # anything else fails the test
        FactorizationMachine.load(io.BytesIO(bytes(data)))
