"""The codec's bytes, its errors and its two ways of encoding and decoding."""

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fmrec import recordio
from fmrec.errors import FormatError, InputError

HEAD = "0a23d7ce"

# What sagemaker 2.257.7 writes: (array, labels, hex).
GOLDEN: dict[str, tuple[Any, Any, str]] = {
    "sparse float32 with label": (
        sparse.csr_matrix((np.ones(2, np.float32), ([0, 0], [1, 300])), shape=(1, 2625)),
        np.array([1], np.float32),
        f"{HEAD}350000000a1f0a0676616c756573121512130a080000803f0000803f120301ac021a02c114"
        "12120a0676616c756573120812060a040000803f000000",
    ),
    "dense float32 with label": (
        np.array([[0.5, -1, 2]], np.float32),
        np.array([7], np.float32),
        f"{HEAD}300000000a1a0a0676616c7565731210120e0a0c0000003f000080bf00000040"
        "12120a0676616c756573120812060a040000e040",
    ),
    "dense float32 without label": (
        np.array([[0.5, -1, 2]], np.float32),
        None,
        f"{HEAD}1c0000000a1a0a0676616c7565731210120e0a0c0000003f000080bf00000040",
    ),
    "a row with nothing in it keeps its label": (
        sparse.csr_matrix((1, 5), dtype=np.float32),
        np.array([0], np.float32),
        f"{HEAD}250000000a0f0a0676616c756573120512031a010512120a0676616c756573120812060a0400000000000000",
    ),
    "no columns, sparse": (
        sparse.csr_matrix((1, 0), dtype=np.float32),
        None,
        f"{HEAD}110000000a0f0a0676616c756573120512031a0100000000",
    ),
    "no columns, dense": (
        np.zeros((1, 0), np.float32),
        None,
        f"{HEAD}0e0000000a0c0a0676616c756573120212000000",
    ),
    "int64 is written as Int32, negative numbers as ten bytes, sparse": (
        sparse.csr_matrix(np.array([[0, -1, 2**31 - 1, 300]])),
        np.array([-5]),
        f"{HEAD}430000000a270a0676616c756573121d3a1b0a11ffffffffffffffffff01ffffffff07ac02"
        "12030102031a010412180a0676616c756573120e3a0c0a0afbffffffffffffffff0100",
    ),
    "int64 is written as Int32, dense": (
        np.array([[0, -1, 2**31 - 1, 300]]),
        np.array([-5]),
        f"{HEAD}3c0000000a200a0676616c75657312163a140a1200ffffffffffffffffff01ffffffff07ac02"
        "12180a0676616c756573120e3a0c0a0afbffffffffffffffff01",
    ),
    "float64": (
        sparse.csr_matrix(np.array([[0, -1.0, 2**31 - 1, 300]])),
        np.array([5.0]),
        f"{HEAD}480000000a2e0a0676616c75657312241a220a18000000000000f0bf0000c0ffffffdf41"
        "0000000000c0724012030102031a010412160a0676616c756573120c1a0a0a080000000000001440",
    ),
    "unsorted and repeated columns and a stored zero stay as they are": (
        sparse.csr_matrix(
            (np.array([1, 2, 0, 4], np.float32), np.array([3, 1, 3, 0]), np.array([0, 4])), shape=(1, 5)
        ),
        None,
        f"{HEAD}290000000a270a0676616c756573121d121b0a100000803f000000400000000000008040"
        "1204030103001a0105000000",
    ),
}


def written(array: Any, labels: Any) -> bytes:
    file = io.BytesIO()
    if sparse.issparse(array):
        recordio.write_spmatrix_to_sparse_tensor(file, array, labels)
    else:
        recordio.write_numpy_to_dense_tensor(file, array, labels)
    return file.getvalue()


@pytest.mark.parametrize(("array", "labels", "expected"), GOLDEN.values(), ids=GOLDEN.keys())
def test_bytes_are_those_of_sdk_v2(array: Any, labels: Any, expected: str) -> None:
    assert written(array, labels).hex() == expected


@pytest.mark.parametrize(("array", "labels", "expected"), GOLDEN.values(), ids=GOLDEN.keys())
def test_many_equal_rows_are_as_many_times_the_bytes_of_one(array: Any, labels: Any, expected: str) -> None:
    rows = 300
    many = sparse.vstack([array] * rows).tocsr() if sparse.issparse(array) else np.repeat(array, rows, axis=0)
    many_labels = None if labels is None else np.repeat(labels, rows)
    assert written(many, many_labels) == bytes.fromhex(expected) * rows


@pytest.mark.parametrize(("array", "labels", "expected"), GOLDEN.values(), ids=GOLDEN.keys())
def test_golden_bytes_are_read_back(array: Any, labels: Any, expected: str) -> None:
    matrix, found_labels = recordio.decode(bytes.fromhex(expected))
    if sparse.issparse(array):
        assert matrix.indices.tolist() == array.indices.tolist()
        assert matrix.data.tolist() == array.data.tolist()
    else:
        assert matrix.tolist() == array.tolist()
    assert matrix.shape == array.shape
    assert (found_labels is None) == (labels is None)
    if labels is not None:
        assert found_labels is not None
        assert found_labels.tolist() == labels.tolist()


def test_types_are_read_as_they_were_written() -> None:
    for dtype, read_as in ((np.float32, np.float32), (np.float64, np.float64), (np.int64, np.int32)):
        matrix, labels = recordio.decode(written(np.ones((2, 3), dtype), np.ones(2, dtype)))
        assert matrix.dtype == read_as
        assert labels is not None
        assert labels.dtype == read_as


def test_records_read_like_the_sdks() -> None:
    array, labels, _ = GOLDEN["sparse float32 with label"]
    (record,) = recordio.read_records(io.BytesIO(written(array, labels)))
    tensor = record.features["values"].float32_tensor
    assert tensor.values.tolist() == [1, 1]
    assert tensor.keys.tolist() == [1, 300]
    assert tensor.shape == (2625,)
    assert record.label["values"].float32_tensor.values.tolist() == [1]
    assert record.features["values"].float64_tensor.values.tolist() == []
    assert record.features["values"].int32_tensor.shape == ()
    assert record.uid == ""


def test_csr_slices_are_encoded_where_they_lie() -> None:
    matrix = sparse.random(50, 1000, density=0.01, format="csr", dtype=np.float32, random_state=1)
    labels = np.arange(50, dtype=np.float32)
    part = recordio.encode_csr(matrix.indptr[10:31], matrix.indices, matrix.data, 1000, labels[10:30])
    assert part.tobytes() == written(matrix[10:30], labels[10:30])


@pytest.mark.parametrize("index_type", [np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_any_integer_type_serves_for_columns(index_type: type[np.integer[Any]]) -> None:
    columns = np.array([1, 2, 100, 127])
    expected = recordio.encode_csr(np.array([0, 2, 4]), columns, np.ones(4, np.float32), 128)
    encoded = recordio.encode_csr(
        np.array([0, 2, 4]), columns.astype(index_type), np.ones(4, np.float32), 128
    )
    assert encoded.tobytes() == expected.tobytes()


def test_other_sparse_formats_and_layouts_are_taken() -> None:
    dense = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = written(sparse.csr_matrix(dense), None)
    for convert in (sparse.coo_matrix, sparse.csc_matrix, sparse.lil_matrix, sparse.csr_array):
        assert written(convert(dense), None) == expected
    assert written(np.asfortranarray(dense), None) == written(dense, None)
    assert written(dense[::-1, ::2], None) == written(dense[::-1, ::2].copy(), None)


def test_no_rows_are_no_bytes() -> None:
    assert written(sparse.csr_matrix((0, 5), dtype=np.float32), None) == b""
    assert written(np.zeros((0, 5), np.float32), None) == b""
    assert list(recordio.read_batches(io.BytesIO(b""), 10)) == []
    assert recordio.read_records(io.BytesIO(b"")) == []
    with pytest.raises(FormatError, match="no record in the file"):
        recordio.decode(b"")


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


GOOD = bytes.fromhex(GOLDEN["sparse float32 with label"][2])
DENSE = bytes.fromhex(GOLDEN["dense float32 with label"][2])


def with_bytes(data: bytes, at: int, content: bytes) -> bytes:
    return data[:at] + content + data[at + len(content) :]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            b"PAR1" + bytes(60),
            "byte 0: a record starts with 0x31524150: expected the magic number 0xced7230a",
        ),
        (b"ab", "byte 0: a record starts with 0x00006261"),
        (with_bytes(GOOD * 3, 128, b"\x00"), "byte 128: a record starts with 0xced72300"),
        (GOOD + b"\0\0\0\0\0\0\0\0", "byte 64: a record starts with 0x00000000"),
        (GOOD[:-1], "byte 0: the last record is cut off: it takes 64 bytes or more, 63 are left"),
        ((GOOD * 2)[:-10], "byte 64: the last record is cut off: it takes 64 bytes or more, 54 are left"),
        (GOOD + GOOD[:3], "byte 64: the last record is cut off"),
        (with_bytes(GOOD * 2, 71, b"\x80"), "byte 68: a record's length is 2147483701"),
        (with_bytes(GOOD * 2, 126, b"\x01"), "byte 125: the padding after a record isn't zero"),
        (with_bytes(GOOD * 2, 68, b"\x34"), "byte 105: field 2 ends 1 bytes after what it lies in"),
        (with_bytes(GOOD * 2, 72, b"\x0b"), "byte 72: field 1 has wire type 3"),
        (with_bytes(GOOD * 2, 73, b"\x7f"), "byte 72: field 1 ends"),
        (with_bytes(GOOD * 2, 76, b"w"), "byte 72: a record's features are .'walues'.: expected one tensor"),
        (
            with_bytes(GOOD * 2, 84, b"\x1a"),
            "byte 72: a record has a Float64 tensor, the first record a Float32",
        ),
        (
            with_bytes(GOOD * 2, 99, b"\xff\x7f"),
            "byte 72: a record has the key 16383: expected below its dimension",
        ),
        (with_bytes(GOOD * 2, 99, b"\x7f\x02"), "byte 72: a record has 2 values but 3 keys"),
        (
            with_bytes(GOOD * 2, 104, b"\x13"),
            r"byte 72: a record has the shape \[2497\], the first record \[2625\]",
        ),
        (
            with_bytes(GOOD * 2, 117, b"\x3a"),
            "byte 72: a record's label is Int32, the first record's Float32",
        ),
        (GOOD + DENSE, "byte 72: a record has 3 values but 0 keys"),
        (DENSE + GOOD, "byte 64: a record has 2 values and 2 keys, the first record is dense with 3"),
        (DENSE + bytes.fromhex(GOLDEN["dense float32 without label"][2]), "byte 64: a record's label are"),
        (bytes.fromhex(GOLDEN["dense float32 without label"][2]) + DENSE, "byte 44: a record has a label"),
        (bytes.fromhex(f"{HEAD}00000000"), "byte 8: a record's features are ..: expected one tensor"),
        (bytes.fromhex(f"{HEAD}010000000a000000"), "byte 9: a varint is cut off"),
        (bytes.fromhex(f"{HEAD}0c0000000affffffffffffffffffff01"), "byte 9: a varint has more than 10 bytes"),
    ],
)
def test_damage_is_named_with_its_byte(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        recordio.decode(data)


def test_damage_far_into_a_large_file_is_named_with_its_byte() -> None:
    rows = 200_000
    data = with_bytes(GOOD * rows, 64 * 150_000 + 12, b"w")
    with pytest.raises(FormatError, match=rf"byte {64 * 150_000 + 8}: a record's features are \['walues'\]"):
        recordio.decode(data)


def record_of(*fields: bytes) -> bytes:
    payload = b"".join(fields)
    return bytes.fromhex(HEAD) + len(payload).to_bytes(4, "little") + payload + bytes(-len(payload) % 4)


def test_other_writers_records_are_read_too() -> None:
    features, label = GOOD[8:41], GOOD[41:61]
    uid, unknown = bytes.fromhex("1a03616263"), bytes.fromhex("5001")
    unpacked = bytes.fromhex("0a1f0a0676616c756573121512130d0000803f0d0000803f100110ac021a02c114")
    long_varint = bytes.fromhex("0a200a0676616c756573121612140a080000803f0000803f12048100ac021a02c114")
    data = b"".join(
        [
            record_of(features, label),
            record_of(label, features),
            record_of(uid, features, unknown, label),
            record_of(unpacked, label),
            record_of(long_varint, label),
        ]
        * 100
    )
    matrix, labels = recordio.decode(data)
    assert matrix.shape == (500, 2625)
    assert (matrix.indices.reshape(-1, 2) == [1, 300]).all()
    assert (matrix.data == 1).all()
    assert labels is not None
    assert set(labels.tolist()) == {1}
    assert recordio.read_records(io.BytesIO(data))[2].uid == "abc"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (with_bytes(GOOD, 35, b"\x7f\x02"), "a record has 2 values but 3 keys"),
        (with_bytes(GOOD, 35, b"\xff\x7f"), "a record has the key 16383"),
        (with_bytes(GOOD, 37, b"\x80"), "a record has the shape"),
        (with_bytes(GOOD, 53, b"\x3a"), "a record's label is Int32"),
    ],
)
@pytest.mark.parametrize("copies", [1, 200])
def test_a_wrong_record_is_named_also_next_to_an_irregular_one(
    wrong: bytes, sentence: str, copies: int
) -> None:
    irregular = record_of(GOOD[41:61], GOOD[8:41])
    before = (GOOD + irregular) * copies
    for data in (before + wrong + GOOD * copies, before + irregular + wrong, before + wrong + wrong):
        with pytest.raises(FormatError, match=rf"byte \d+: .*{sentence}|byte \d+: a varint") as refusal:
            recordio.decode(data)
        at = int(re.findall(r"byte (\d+)", str(refusal.value))[0])
        start = data.index(wrong)
        assert start <= at < start + len(wrong)


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


def test_a_value_that_looks_like_a_record_s_start_is_a_value() -> None:
    magic = np.frombuffer(bytes.fromhex(HEAD), np.float32)[0]
    array = np.full((1000, 7), magic, np.float32)
    array[::3] = 1
    matrix, _ = recordio.decode(written(array, np.full(1000, magic)))
    assert (matrix == array).all()
    lonely, _ = recordio.decode(written(array[:1], None))
    assert (lonely == array[:1]).all()
