"""The codec writes what SageMaker SDK v2 writes, byte for byte, on matrices that hypothesis makes up."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from bench.oracles.environments import Oracle
from fmrec import recordio
from fmrec.errors import InputError

DTYPES = st.sampled_from([np.float32, np.float64, np.int64])
FEATURE_DIMS = st.integers(1, 300) | st.sampled_from(
    [127, 128, 129, 2**14, 2**21 + 1, 2**28, 2**31, 2**35, 2**40]
)


def some_values(generator: np.random.Generator, count: int, dtype: Any) -> Any:
    if dtype is np.int64:
        return (generator.integers(-(2**31), 2**31, count) >> generator.integers(0, 32, count)).astype(dtype)
    return generator.standard_normal(count).astype(dtype)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[Any, Any]:
    """A sparse matrix of 0 to 70 rows with none to many non-zeros each, and its labels."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = draw(st.integers(0, 70))
    feature_dim = draw(FEATURE_DIMS)
    most = draw(st.sampled_from([0, 1, 2, 5, 40, 150]))
    even = draw(st.booleans())
    counts = np.full(rows, most) if even else generator.integers(0, most + 1, rows)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    spread = generator.random(indptr[-1]) ** draw(st.sampled_from([1, 4, 20]))
    columns = np.minimum((spread * feature_dim).astype(np.int64), feature_dim - 1)
    values = some_values(generator, len(columns), draw(DTYPES))
    label_type = draw(st.none() | DTYPES)
    labels = None if label_type is None else some_values(generator, rows, label_type)
    return sparse.csr_matrix((values, columns, indptr), shape=(rows, feature_dim)), labels


def of_sdk(sdk_v2: Oracle, matrix: Any, labels: Any) -> bytes:
    question = {"labels": labels} if labels is not None else {}
    if sparse.issparse(matrix):
        answer = sdk_v2.ask(
            ask="write sparse",
            data=matrix.data,
            indices=matrix.indices,
            indptr=matrix.indptr,
            shape=matrix.shape,
            **question,
        )
    else:
        answer = sdk_v2.ask(ask="write dense", array=matrix, **question)
    return bytes(answer["content"])


@settings(deadline=None, max_examples=200)
@given(case=matrices())
def test_sparse_bytes_are_the_sdk_s(sdk_v2: Oracle, case: tuple[Any, Any]) -> None:
    matrix, labels = case
    file = io.BytesIO()
    recordio.write_spmatrix_to_sparse_tensor(file, matrix, labels)
    assert file.getvalue() == of_sdk(sdk_v2, matrix, labels)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(0, 80),
    width=st.integers(0, 90),
    dtype=DTYPES,
    label_type=st.none() | DTYPES,
    seed=st.integers(0, 2**32),
)
def test_dense_bytes_are_the_sdk_s(
    sdk_v2: Oracle, rows: int, width: int, dtype: Any, label_type: Any, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    array = some_values(generator, rows * width, dtype).reshape(rows, width)
    labels = None if label_type is None else some_values(generator, rows, label_type)
    file = io.BytesIO()
    recordio.write_numpy_to_dense_tensor(file, array, labels)
    assert file.getvalue() == of_sdk(sdk_v2, array, labels)


@pytest.mark.parametrize("feature_dim", [2625, 2**17, 2**23, 2**40])
def test_thousands_of_two_hot_rows_are_the_sdk_s(sdk_v2: Oracle, feature_dim: int) -> None:
    rows = 5000
    generator = np.random.default_rng(feature_dim)
    columns = generator.integers(0, feature_dim, 2 * rows)
    matrix = sparse.csr_matrix(
        (np.ones(2 * rows, np.float32), columns, np.arange(0, 2 * rows + 1, 2)), shape=(rows, feature_dim)
    )
    labels = generator.integers(0, 2, rows).astype(np.float32)
    file = io.BytesIO()
    recordio.write_spmatrix_to_sparse_tensor(file, matrix, labels)
    assert file.getvalue() == of_sdk(sdk_v2, matrix, labels)


@pytest.mark.parametrize("dtype", ["int32", "float16", "uint8", "bool", "uint64", ">f4"])
def test_types_that_the_sdk_refuses_are_refused(sdk_v2: Oracle, dtype: str) -> None:
    array = np.ones((2, 2), dtype)
    with pytest.raises(RuntimeError, match="ValueError: Unsupported dtype"):
        of_sdk(sdk_v2, array, None)
    with pytest.raises(InputError, match="unsupported dtype"):
        recordio.encode_dense(array)


def test_answers_are_read_by_the_sdk(sdk_v2: Oracle) -> None:
    tensors = {
        "predicted_label": np.array([[1], [0]], np.float32),
        "distances": np.arange(200, dtype=np.float32).reshape(2, 100),
        "labels": np.zeros((2, 1), np.float32),
    }
    answer = sdk_v2.ask(ask="read labels", content=recordio.encode_label_tensors(tensors))
    assert {name: array.tolist() for name, array in answer.items()} == {
        name: array.tolist() for name, array in tensors.items()
    }
