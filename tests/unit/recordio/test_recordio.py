"""The codec's bytes, its errors and its two ways of encoding and decoding."""

import io
import re
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fmrec import recordio
from fmrec.errors import FormatError
from tests.unit.recordio.writing import written

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


def test_a_value_that_looks_like_a_record_s_start_is_a_value() -> None:
    magic = np.frombuffer(bytes.fromhex(HEAD), np.float32)[0]
    array = np.full((1000, 7), magic, np.float32)
    array[::3] = 1
    matrix, _ = recordio.decode(written(array, np.full(1000, magic)))
    assert (matrix == array).all()
    lonely, _ = recordio.decode(written(array[:1], None))
    assert (lonely == array[:1]).all()
