"""NDArray lists: golden bytes of MXNet 1.9.1, every version of header, damage."""

import io
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.errors import FormatError, InputError
from fmrec.model import mxnet_params

# Written by MXNet 1.9.1: a factorization machine of six features and three factors.
SAMPLE = bytes.fromhex(
    "120100000000000000000000000000000300000000000000c9fa93f90000000002000000060000000000000003000000"
    "00000000010000000000000000000000000080bf000060bf000040bf000020bf000000bf0000c0be000080be000000be"
    "000000000000003e0000803e0000c03e0000003f0000203f0000403f0000603f0000803f0000903fc9fa93f900000000"
    "020000000600000000000000010000000000000001000000000000000000000000"
    "0000bf000080be000000000000803e0000003f0000403fc9fa93f900000000"
    "010000000100000000000000010000000000000000000000"
    "0000803e030000000000000005000000000000006172673a760d000000000000006172673a77315f776569676874"
    "0d000000000000006172673a77305f776569676874"
)
FACTORS = np.arange(-8, 10, dtype=np.float32).reshape(6, 3) / 8
LINEAR = np.arange(-2, 4, dtype=np.float32).reshape(6, 1) / 4


def saved(arrays: dict[str, Any], row_sparse: tuple[str, ...] = ()) -> bytes:
    file = io.BytesIO()
    mxnet_params.save(file, arrays, row_sparse)
    return file.getvalue()


def array_list(*arrays: bytes, names: tuple[bytes, ...] = ()) -> bytes:
    head = struct.pack("<QQQ", 0x112, 0, len(arrays))
    tail = struct.pack("<Q", len(names)) + b"".join(struct.pack("<Q", len(name)) + name for name in names)
    return head + b"".join(arrays) + tail


def test_the_sample_has_its_299_bytes() -> None:
    assert len(SAMPLE) == 299


@pytest.mark.parametrize("kind", ["bytes", "memoryview", "path", "str", "file", "stream"])
def test_the_sample_loads_from_every_source(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "params"
    path.write_bytes(SAMPLE)
    sources: dict[str, Any] = {
        "bytes": SAMPLE,
        "memoryview": memoryview(bytearray(SAMPLE)),
        "path": path,
        "str": str(path),
        "stream": io.BytesIO(SAMPLE),
    }
    if kind == "file":
        with path.open("rb") as file:
            arrays = mxnet_params.load(file)
    else:
        arrays = mxnet_params.load(sources[kind])
    assert list(arrays) == ["arg:v", "arg:w1_weight", "arg:w0_weight"]
    assert np.array_equal(arrays["arg:v"], FACTORS)
    assert np.array_equal(arrays["arg:w1_weight"], LINEAR)
    assert arrays["arg:w0_weight"].tolist() == [0.25]
    assert not arrays["arg:v"].flags.writeable


def test_saving_the_sample_gives_mxnets_bytes(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "arg:v": FACTORS,
        "arg:w1_weight": LINEAR,
        "arg:w0_weight": np.array([0.25], np.float32),
    }
    assert saved(arrays) == SAMPLE
    mxnet_params.save(tmp_path / "params", arrays)
    assert (tmp_path / "params").read_bytes() == SAMPLE


def test_a_row_sparse_array_is_written_as_mxnet_writes_it() -> None:
    # mx.nd.array([[1], [2]]).tostype("row_sparse"), saved by MXNet 1.9.1
    expected = (
        "c9fa93f9 01000000 02000000 0200000000000000 0100000000000000 02000000 0200000000000000"
        "0100000000000000 01000000 00000000 00000000 06000000 01000000 0200000000000000"
        "0000803f 00000040 0000000000000000 0100000000000000"
    )
    data = saved({"w": np.array([[1], [2]], np.float32)}, row_sparse=("w",))
    assert data == array_list(bytes.fromhex(expected), names=(b"w",))
    assert mxnet_params.load(data)["w"].tolist() == [[1], [2]]


def test_rows_that_are_not_stored_are_zero() -> None:
    stored = bytes.fromhex(
        "c9fa93f9 01000000 02000000 0200000000000000 0100000000000000 02000000 0500000000000000"
        "0100000000000000 01000000 00000000 00000000 06000000 01000000 0200000000000000"
        "0000803f 00000040 0100000000000000 0400000000000000"
    )
    assert mxnet_params.load(array_list(stored))["0"].tolist() == [[0], [1], [0], [0], [2]]


def test_a_csr_array_is_made_dense() -> None:
    # mx.nd.array([[0, 5, 0], [0, 0, 0], [7, 0, 8]]).tostype("csr"): three values under two indices
    stored = struct.pack("<Iiiqiqqiii", 0xF993FAC9, 2, 1, 3, 2, 3, 3, 1, 0, 0)
    stored += struct.pack("<iiqiiq", 6, 1, 4, 6, 1, 3)
    stored += struct.pack("<3f4q3q", 5, 7, 8, 0, 1, 1, 3, 1, 0, 2)
    assert mxnet_params.load(array_list(stored))["0"].tolist() == [[0, 5, 0], [0, 0, 0], [7, 0, 8]]


@pytest.mark.parametrize(
    "stored",
    [
        # The arrays of the two tests above, saved while they were being computed.
        "c9fa93f9 01000000 02000000 0000000000000000 0100000000000000 02000000 0500000000000000"
        "0100000000000000 01000000 00000000 00000000 06000000 01000000 0200000000000000"
        "0000803f 00000040 0100000000000000 0400000000000000",
        "c9fa93f9 02000000 01000000 0000000000000000 02000000 0300000000000000 0300000000000000"
        "01000000 00000000 00000000 06000000 01000000 0400000000000000 06000000 01000000 0200000000000000"
        "0000a040 0000e040 0000000000000000 0100000000000000 0100000000000000 0200000000000000"
        "0100000000000000 0000000000000000",
    ],
    ids=["row_sparse", "csr"],
)
def test_an_array_that_was_saved_before_it_was_computed_is_named(stored: str) -> None:
    with pytest.raises(FormatError, match=r"stored shape \(0,.*\) under 2 indices: MXNet saved it while"):
        mxnet_params.load(array_list(bytes.fromhex(stored)))


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        (struct.pack("<III", 2, 2, 3), (2, 3)),
        (struct.pack("<Iiqq", 0xF993FAC8, 2, 2, 3), (2, 3)),
        (struct.pack("<Iiiqq", 0xF993FAC9, 0, 2, 2, 3), (2, 3)),
        (struct.pack("<Iiiqq", 0xF993FACA, 0, 2, 2, 3), (2, 3)),
        (struct.pack("<Iii", 0xF993FACA, 0, 0), ()),
        (struct.pack("<Iiiqq", 0xF993FACA, 0, 2, 0, 3), (0, 3)),
    ],
    ids=["V0", "V1", "V2", "V3", "V3 scalar", "V3 without rows"],
)
def test_every_version_of_header_is_read(header: bytes, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32)
    data = array_list(header + struct.pack("<iii", 1, 0, 0) + values.tobytes())
    array = mxnet_params.load(data)["0"]
    assert array.shape == shape
    assert array.ravel().tolist() == values.tolist()


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<I", 0),
        struct.pack("<Ii", 0xF993FAC8, 0),
        struct.pack("<Iii", 0xF993FAC9, 0, 0),
        struct.pack("<Iii", 0xF993FACA, 0, -1),
    ],
    ids=["V0", "V1", "V2", "V3"],
)
def test_an_array_without_shape_is_empty_and_the_next_is_read(header: bytes) -> None:
    following = saved({"x": np.array([7], np.float32)})[24:-17]
    arrays = mxnet_params.load(array_list(header, following, names=(b"none", b"x")))
    assert arrays["none"].shape == (0,)
    assert arrays["x"].tolist() == [7]


@pytest.mark.parametrize("dtype", mxnet_params.DTYPES, ids=str)
def test_every_type_is_written_under_its_flag_and_read_back(dtype: np.dtype[Any]) -> None:
    array = np.array([[1, 0, 1]]).astype(dtype)
    data = saved({"x": array})
    assert struct.unpack_from("<i", data, 24 + 8 + 4 + 16 + 8) == (mxnet_params.DTYPES.index(dtype),)
    found = mxnet_params.load(data)["x"]
    assert found.dtype == dtype
    assert np.array_equal(found, array)


def test_arrays_of_any_memory_layout_are_written_row_by_row() -> None:
    array = np.arange(12, dtype=np.float64).reshape(3, 4)
    expected = saved({"x": array.T.copy()})
    assert saved({"x": array.T}) == expected
    assert saved({"x": array[::-1, ::2]}) == saved({"x": array[::-1, ::2].copy()})


def test_a_loaded_file_is_mapped_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "params"
    mxnet_params.save(path, {"x": np.zeros((1000, 100), np.float32)})
    array = mxnet_params.load(path)["x"]
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert type(base).__name__ == "mmap"


ONE = saved({"x": np.array([1, 2], np.float32)})


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "byte 0: the file's magic number takes 8 bytes, but only 0 are left"),
        (b"PK\x03\x04" + bytes(40), "byte 0: an NDArray list starts with 0x112, this file with 0x4034b50"),
        (SAMPLE[:70], "byte 64: an array takes 72 bytes, but only 6 are left"),
        (SAMPLE[:-1], "byte 278: a name's length is 13, but only 12 bytes are left"),
        (
            ONE[:16] + b"\xff" * 8 + ONE[24:],
            "byte 16: the number of arrays is 18446744073709551615, but only",
        ),
        (ONE[:24] + b"\x99" + ONE[25:], "byte 24: an array starts with 0xf993fa99, which is no version"),
        (ONE[:28] + b"\x07" + ONE[29:], "byte 28: an array has the storage type 7: expected 0, 1 or 2"),
        (ONE[:32] + b"\x7f" + ONE[33:], "byte 36: an array has 127 dimensions: expected 0 to 32"),
        (ONE[:43] + b"\xff" + ONE[44:], r"byte 36: an array has the shape \(-72057594037927934,\)"),
        (ONE[:52] + b"\x63" + ONE[53:], "byte 52: an array has the type flag 99: known are 0 float32"),
        (array_list(ONE[24:-17], ONE[24:-17], names=(b"x",)), "2 arrays have 1 different names of 1"),
        (array_list(ONE[24:-17], ONE[24:-17], names=(b"x", b"x")), "2 arrays have 1 different names of 2"),
    ],
)
def test_damage_is_named_with_its_byte(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        mxnet_params.load(data)


def test_row_numbers_outside_the_array_are_refused() -> None:
    data = saved({"x": np.ones((3, 1), np.float32)}, row_sparse=("x",))
    at = data.index(struct.pack("<3q", 0, 1, 2))
    broken = data[: at + 16] + struct.pack("<q", 3) + data[at + 24 :]
    with pytest.raises(FormatError, match=r"byte 24: a row_sparse array of shape \(3, 1\) stores \(3, 1\)"):
        mxnet_params.load(broken)


@pytest.mark.parametrize(
    ("arrays", "row_sparse", "sentence"),
    [
        ({"x": np.array(["a"])}, (), "'x' is <U1 of shape"),
        ({"x": np.zeros((0, 3), np.float32)}, (), r"'x' is float32 of shape \(0, 3\)"),
        ({"x": np.float32(1).reshape(())}, (), r"'x' is float32 of shape \(\)"),
        ({"x": np.zeros(3, ">f4")}, (), "'x' is >f4"),
        ({"x": np.zeros(3, np.float32)}, ("x",), "only matrices are written as row_sparse"),
        ({"x": np.zeros(3, np.float32)}, ("y",), r"\['y'\] are to be row_sparse, but the arrays are \['x'\]"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(arrays: Any, row_sparse: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        saved(arrays, row_sparse)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([SAMPLE, saved({"v": FACTORS, "w": LINEAR}, ("v", "w"))]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    st.integers(0, 400),
)
def test_damage_anywhere_is_loaded_or_named_but_never_crashes(
    data: bytes, changes: list[tuple[int, int]], end: int
) -> None:
    content = bytearray(data)
    for at, byte in changes:
        content[at % len(content)] = byte
    content = content[: max(end, 1)]
    sentence = None
    try:
        mxnet_params.load(bytes(content))
    except FormatError as error:
        sentence = str(error)
    assert sentence is None or re.match(r"byte \d+: ", sentence)


@pytest.mark.parametrize(
    ("magic", "shape", "storage_shape", "sentence"),
    [
        (
            0xF993FAC9,
            (1, 3),
            (1, 3),
            r"byte 24: a row_sparse array of shape \(1, 3\) stores \(1, 3\) under \(\)",
        ),
        (0xF993FACA, (), (1, 3), r"byte 24: a row_sparse array of shape \(\)"),
        (0xF993FACA, (1, 3), (0, 1 << 62, 1 << 62), r"byte \d+: a sparse array has the shape \(0, "),
    ],
)
def test_sparse_arrays_whose_indices_have_no_dimension_are_refused(
    magic: int, shape: tuple[int, ...], storage_shape: tuple[int, ...], sentence: str
) -> None:
    def dimensions(sizes: tuple[int, ...]) -> bytes:
        return struct.pack(f"<i{len(sizes)}q", len(sizes), *sizes)

    head = struct.pack("<Ii", magic, 1) + dimensions(storage_shape) + dimensions(shape)
    array = head + struct.pack("<iiiii", 1, 0, 0, 6, 0) + bytes(12) + bytes(8)
    with pytest.raises(FormatError, match=sentence):
        mxnet_params.load(array_list(array))
