"""What the writers take: lists, frames, every sparse matrix; and what they refuse, with a sentence."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fmrec import recordio
from fmrec.errors import InputError
from tests.unit.recordio.writing import written

TWO_HOT = sparse.csr_matrix((np.ones(4, np.float32), ([0, 0, 1, 1], [0, 2, 1, 3])), shape=(2, 4))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: written(TWO_HOT, np.ones(4, np.float32)),
            r"labels have the shape \(4,\): expected one per row",
        ),
        (lambda: written(TWO_HOT, np.ones((2, 1), np.float32)), r"labels have the shape \(2, 1\)"),
        (lambda: written(TWO_HOT, np.ones(2, np.int32)), "unsupported dtype int32 on labels"),
        (lambda: written(TWO_HOT.astype(np.int32), None), "unsupported dtype int32 on array"),
        (lambda: written(np.ones((2, 2), np.float16), None), "unsupported dtype float16 on array"),
        (lambda: written(np.ones((2, 2), bool), None), "unsupported dtype bool on array"),
        (lambda: written(np.ones(2, np.float32), None), "this array has 1 dimensions"),
        (lambda: written(np.array([[2**31]]), None), "values go from 2147483648 to 2147483648"),
        (lambda: written(np.array([[1]]), np.array([-(2**31) - 1])), "values go from -2147483649"),
        (
            lambda: recordio.write_spmatrix_to_sparse_tensor(io.BytesIO(), np.ones((2, 2))),
            "a sparse matrix is expected, this is a ndarray",
        ),
        (
            lambda: recordio.encode_csr(np.array([0, 1]), np.array([4]), np.ones(1, np.float32), 4),
            "columns go from 4 to 4: expected 0 to feature_dim - 1 = 3",
        ),
        (
            lambda: recordio.encode_csr(np.array([0, 1]), np.array([-1]), np.ones(1, np.float32), 4),
            "columns go from -1",
        ),
        (
            lambda: recordio.encode_csr(np.array([0, 2]), np.array([1]), np.ones(1, np.float32), 4),
            "row boundaries don't fit 1 columns and 1 values",
        ),
        (
            lambda: recordio.encode_csr(np.array([0, 1, 0, 1]), np.array([1]), np.ones(1, np.float32), 4),
            "row boundaries descend at row 1",
        ),
        (
            lambda: recordio.encode_csr(np.array([0, 1]), np.array([0.0]), np.ones(1, np.float32), 4),
            "columns are float64: expected integers",
        ),
        (
            lambda: recordio.encode_csr(np.array([0]), np.empty(0, int), np.empty(0, np.float32), 2**63),
            "feature_dim is 9223372036854775808",
        ),
        (lambda: list(recordio.read_batches(io.BytesIO(), 0)), "batch_rows is 0: expected at least 1"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_a_sentence(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call()


def test_lists_and_frames_are_written_as_the_arrays_that_they_hold() -> None:
    array = np.array([[1.5, 0], [2, 3]])
    labels = np.array([0.5, 1])
    expected = recordio.encode_dense(array, labels).tobytes()
    frame = pd.DataFrame(array, columns=["a", "b"])
    assert recordio.encode_dense(array.tolist(), labels.tolist()).tobytes() == expected
    assert recordio.encode_dense(frame, pd.Series(labels, index=[7, 3])).tobytes() == expected
    rows = recordio.encode_csr([0, 1], [2], np.ones(1, np.float32), np.int64(4), [1.0])  # type: ignore[arg-type]
    assert (
        rows.tobytes()
        == recordio.encode_csr(
            np.array([0, 1]), np.array([2]), np.ones(1, np.float32), 4, np.ones(1)
        ).tobytes()
    )


@pytest.mark.parametrize("kind", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
@pytest.mark.parametrize("family", ["matrix", "array"])
def test_every_kind_of_sparse_matrix_is_written_alike(kind: str, family: str) -> None:
    rows = getattr(sparse, f"{kind}_{family}")(TWO_HOT)
    assert written(rows, None) == written(TWO_HOT, None)


@pytest.mark.parametrize(
    ("array", "labels", "sentence"),
    [
        (np.array([[1, None]], object), None, "unsupported dtype object on array"),
        (np.array([["a"]]), None, "unsupported dtype <U1 on array"),
        ([[1.0], [1.0, 2.0]], None, "array: a list is no array of numbers"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), None, "unsupported dtype object on array"),
        ([1.0, 2.0], None, "a matrix is expected, this array has 1 dimensions"),
        (None, None, "a matrix is expected, this array has 0 dimensions"),
        (np.ma.masked_array(np.ones((1, 1)), [[True]]), None, "array are a masked array"),
        (sparse.eye_array(2, format="csr"), None, "a dense matrix is expected, this is a csr_array"),
        (sparse.coo_matrix((2, 2)), None, "a dense matrix is expected, this is a coo_matrix"),
        ([[1.0]], [None], "unsupported dtype object on labels"),
        ([[1.0]], 1.0, r"labels have the shape \(\): expected one per row, \(1,\)"),
        ([[1.0]], sparse.eye_array(1), "labels are a dia_array"),
        ([[1.0]], [[1.0], [1.0, 2.0]], "labels: a list is no array of numbers"),
    ],
)
def test_other_objects_are_refused_by_the_dense_writer(array: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        recordio.write_numpy_to_dense_tensor(io.BytesIO(), array, labels)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        ([[1.0]], "a sparse matrix is expected, this is a list: use write_numpy_to_dense_tensor"),
        (pd.DataFrame({"a": [1.0]}), "a sparse matrix is expected, this is a DataFrame"),
        (sparse.csr_matrix(np.ones((1, 1), np.complex64)), "unsupported dtype complex64 on array"),
        (sparse.csr_matrix(np.ones((1, 1), bool)), "unsupported dtype bool on array"),
        (sparse.coo_array(np.ones(3)), "a matrix is expected, this array has 1 dimensions"),
    ],
)
def test_other_objects_are_refused_by_the_sparse_writer(array: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        recordio.write_spmatrix_to_sparse_tensor(io.BytesIO(), array)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([0.0, 1.0], [0], [1.0], 4), "row boundaries are float64: expected integers"),
        (([0, 1], [0], [1.0], 4.0), "feature_dim is 4.0: expected an integer"),
        (([0, 1], [0], [1.0], "4"), "feature_dim is '4': expected an integer"),
        (([0, 1], [0], [None], 4), "unsupported dtype object on array"),
        (([[0, 1]], [0], [1.0], 4), "one dimension is expected of row boundaries"),
        (([0, 1], 0, [1.0], 4), "one dimension is expected of columns"),
        (([], [], np.ones(0), 4), "row boundaries are float64"),
    ],
)
def test_other_arguments_are_refused_by_the_encoder(arguments: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        recordio.encode_csr(*arguments)
