"""What holds for the codec whatever the matrix, and whatever befell the file."""

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

from fmrec import recordio
from fmrec.errors import FormatError
from fmrec.recordio import encode_general, encode_uniform
from fmrec.recordio.row_arrays import Rows
from fmrec.recordio.wire import TENSOR_TYPES

DTYPES = st.sampled_from([np.float32, np.float64, np.int64])
FEATURE_DIMS = st.one_of(
    st.integers(1, 300),
    st.sampled_from([127, 128, 129, 16384, 16385, 2**21, 2**28 + 1, 2**31, 2**40, 2**56 + 7, 2**63 - 1]),
)


def some_values(generator: np.random.Generator, count: int, dtype: Any) -> Any:
    if dtype is np.int64:
        powers = generator.integers(0, 32, count)
        return (generator.integers(-(2**31), 2**31, count) >> powers).astype(np.int64)
    return generator.standard_normal(count).astype(dtype)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[Any, Any]:
    """A sparse matrix and its labels: two-hot, ragged or empty rows, keys of one to nine bytes."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = draw(st.integers(1, 300))
    feature_dim = draw(FEATURE_DIMS)
    most = draw(st.sampled_from([0, 1, 2, 7, 60, 200]))
    even = draw(st.booleans())
    counts = np.full(rows, most) if even else generator.integers(0, most + 1, rows)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    spread = generator.random(indptr[-1]) ** draw(st.sampled_from([1, 4, 20]))
    columns = np.minimum((spread * feature_dim).astype(np.int64), feature_dim - 1)
    values = some_values(generator, len(columns), draw(DTYPES))
    label_type = draw(st.none() | DTYPES)
    labels = None if label_type is None else some_values(generator, rows, label_type)
    return sparse.csr_matrix((values, columns, indptr), shape=(rows, feature_dim)), labels


def encoded(matrix: Any, labels: Any) -> bytes:
    file = io.BytesIO()
    recordio.write_spmatrix_to_sparse_tensor(file, matrix, labels)
    return file.getvalue()


@settings(deadline=None, max_examples=80)
@given(matrices(), st.integers(1, 400))
def test_sparse_rows_come_back_as_they_were(case: tuple[Any, Any], batch_rows: int) -> None:
    matrix, labels = case
    data = encoded(matrix, labels)
    decoded, found_labels = recordio.decode(data)
    assert decoded.shape == matrix.shape
    assert np.array_equal(decoded.indptr, matrix.indptr)
    assert np.array_equal(decoded.indices, matrix.indices)
    assert np.array_equal(decoded.data, matrix.data)
    assert (found_labels is None) == (labels is None)
    assert labels is None or np.array_equal(found_labels, labels)  # type: ignore[arg-type]  # not None, see above
    batches = list(recordio.read_batches(io.BytesIO(data), batch_rows))
    assert np.array_equal(np.concatenate([batch.indices for batch, _ in batches]), matrix.indices)
    assert np.array_equal(
        np.concatenate([np.diff(batch.indptr) for batch, _ in batches]), np.diff(matrix.indptr)
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 200), st.integers(0, 90), DTYPES, st.none() | DTYPES, st.integers(0, 2**32))
def test_dense_rows_come_back_as_they_were(
    rows: int, width: int, dtype: Any, label_type: Any, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    array = some_values(generator, rows * width, dtype).reshape(rows, width)
    labels = None if label_type is None else some_values(generator, rows, label_type)
    data = recordio.encode_dense(array, labels).tobytes()
    if rows == 0:
        assert data == b""
        return
    decoded, found_labels = recordio.decode(data)
    assert np.array_equal(decoded, array)
    assert labels is None or np.array_equal(found_labels, labels)  # type: ignore[arg-type]  # as many as rows


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.lists(st.integers(1, 30), max_size=3), st.integers(1, 40))
def test_a_last_record_may_be_smaller_or_larger_than_all_before_it(
    width: int, widths: list[int], rows: int
) -> None:
    """Records of one size are found by their distance; what follows them is not part of another one."""
    every = [width] * rows + widths
    indptr = np.concatenate([[0], np.cumsum(every)])
    keys = np.concatenate([np.arange(count) for count in every])
    values = np.arange(indptr[-1], dtype=np.float32)
    matrix, _ = recordio.decode(recordio.encode_csr(indptr, keys, values, 40).tobytes())
    assert np.diff(matrix.indptr).tolist() == every
    assert np.array_equal(matrix.data, values)


@settings(deadline=None, max_examples=60)
@given(matrices())
def test_records_one_by_one_are_the_same_as_in_batches(case: tuple[Any, Any]) -> None:
    matrix, labels = case
    head = slice(0, 40)
    matrix, labels = matrix[head], None if labels is None else labels[head]
    records = recordio.read_records(io.BytesIO(encoded(matrix, labels)))
    tensors = [record.features["values"].tensor for record in records]
    assert [tensor.keys.tolist() for tensor in tensors] == [
        matrix.indices[start:end].tolist()
        for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    ]
    assert np.array_equal(np.concatenate([tensor.values for tensor in tensors]), matrix.data)
    assert {tensor.shape for tensor in tensors} == {(matrix.shape[1],)}
    if labels is not None:
        assert [record.label["values"].tensor.values.tolist() for record in records] == [
            [own] for own in labels
        ]


@settings(deadline=None, max_examples=80)
@given(matrices())
def test_both_ways_of_encoding_lead_to_the_same_bytes(case: tuple[Any, Any]) -> None:
    matrix, labels = case
    by_dtype = {tensor.dtype.kind + str(tensor.dtype.itemsize): tensor for tensor in TENSOR_TYPES.values()}
    by_dtype["i8"] = by_dtype["i4"]
    rows = Rows(
        counts=np.diff(matrix.indptr),
        values=matrix.data,
        value_type=by_dtype[matrix.data.dtype.str[1:]],
        keys=matrix.indices,
        feature_dim=matrix.shape[1],
        labels=labels,
        label_type=None if labels is None else by_dtype[labels.dtype.str[1:]],
    )
    by_layout = encode_uniform.encode(rows)
    if by_layout is not None:
        assert by_layout.tobytes() == encode_general.encode(rows).tobytes()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file of some records in which bytes were changed, cut out, put in or cut off."""
    if draw(st.booleans()):
        matrix, labels = draw(matrices())
        data = bytearray(encoded(matrix[:80], None if labels is None else labels[:80]))
    else:
        data = bytearray(recordio.encode_dense(np.ones((80, draw(st.integers(0, 5))), np.float32)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "set", "cut", "insert", "end"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and data:
            data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x12, 0x1A]))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 8))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            del data[at:]
    return bytes(data)


def refusal(read: Callable[[bytes], Any], data: bytes) -> str | None:
    """What the reader says against the data; any other exception passes."""
    try:
        read(data)
    except FormatError as error:
        return str(error)
    return None


@pytest.mark.slow
@settings(deadline=None, max_examples=250)
@given(damaged() | st.binary(max_size=200))
@example(b"\x0a\x23\xd7\xce\xff\xff\xff\x1f")
def test_damage_is_decoded_or_named_with_its_byte_but_never_crashes(data: bytes) -> None:
    for read in (
        recordio.decode,
        lambda content: recordio.read_records(io.BytesIO(content)),
        recordio.decode_label_tensors,
        lambda content: list(recordio.read_batches(io.BytesIO(content), 7)),
    ):
        sentence = refusal(read, data)
        assert sentence is None or re.match(r"byte \d+: ", sentence)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(damaged())
def test_what_batches_decode_is_what_the_records_hold(data: bytes) -> None:
    """The quick ways must not accept, or misread, what the careful one refuses or reads."""
    try:
        matrix, labels = recordio.decode(data)
    except FormatError:
        return
    records = recordio.read_records(io.BytesIO(data))
    tensors = [record.features["values"].tensor for record in records]
    values = np.concatenate([tensor.values for tensor in tensors])
    found = matrix.data if sparse.issparse(matrix) else matrix.ravel()
    assert found.tobytes() == values.tobytes()
    if sparse.issparse(matrix):
        assert np.array_equal(matrix.indices, np.concatenate([tensor.keys for tensor in tensors]))
    if labels is not None:
        own = np.concatenate([record.label["values"].tensor.values for record in records])
        assert labels.tobytes() == own.tobytes()


@pytest.mark.parametrize("copies", [1, 3000])
@settings(deadline=None, max_examples=20)
@given(case=matrices(), seed=st.integers(0, 2**32))
def test_one_bad_record_among_many_is_found(copies: int, case: tuple[Any, Any], seed: int) -> None:
    matrix, labels = case
    one = encoded(matrix[:1], None if labels is None else labels[:1])
    bad = bytearray(one)
    bad[one.index(b"values")] ^= 1
    before = int(np.random.default_rng(seed).integers(1, copies + 1))
    data = one * before + bytes(bad) + one * (copies - before)
    with pytest.raises(FormatError, match=rf"byte {len(one) * before + 8}: a record's features are"):
        recordio.decode(data)
