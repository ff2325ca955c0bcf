"""The compiled loops give the bytes, rows and refusals of NumPy's ways."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmrec import recordio
from fmrec.errors import FormatError
from fmrec.recordio import compiled, read_frames, wire
from tests.unit.recordio.test_recordio_properties import damaged, encoded, matrices

pytest.importorskip("numba")


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda setting: monkeypatch.setenv(compiled.SETTING, setting)


SETTINGS = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def in_blocks(size: int, data: bytes) -> Any:
    """Decode data that is read so many bytes at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_frames, "BLOCK", size)
        return recordio.decode(data)


@pytest.mark.slow
@SETTINGS
@given(case=matrices(), block=st.sampled_from([64, 1 << 10, 1 << 21]))
def test_bytes_and_rows_are_the_same(switch: Any, case: tuple[Any, Any], block: int) -> None:
    switch("0")
    expected = encoded(*case)
    rows, labels = recordio.decode(expected)
    switch("1")
    assert encoded(*case) == expected
    matrix = case[0]
    joined = recordio.encode_csr(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1], case[1])
    assert joined.tobytes() == expected
    found, found_labels = in_blocks(block, expected)
    for name in ("indptr", "indices", "data"):
        own, other = getattr(found, name), getattr(rows, name)
        assert own.dtype == other.dtype
        assert own.tobytes() == other.tobytes()
    assert (labels is None) == (found_labels is None)
    if labels is not None and found_labels is not None:
        assert labels.dtype == found_labels.dtype
        assert labels.tobytes() == found_labels.tobytes()


def outcome(data: bytes) -> Any:
    try:
        matrix, labels = recordio.decode(data)
    except FormatError as error:
        return str(error)
    arrays = [matrix.indptr, matrix.indices, matrix.data] if hasattr(matrix, "indptr") else [matrix]
    return [array.tobytes() for array in arrays], None if labels is None else labels.tobytes()


@SETTINGS
@given(data=damaged())
def test_damage_has_the_same_outcome(switch: Any, data: bytes) -> None:
    switch("0")
    expected = outcome(data)
    switch("1")
    found = outcome(data)
    # Of several wrong records another one may be named.
    assert found == expected or (isinstance(found, str) and isinstance(expected, str))


@pytest.mark.parametrize("setting", ["0", "1"])
def test_an_irregular_record_among_regular_ones_keeps_its_place(switch: Any, setting: str) -> None:
    switch(setting)
    rows = []
    for count in range(5):
        values, label = np.full(count, count, np.float32), np.array([count], np.float32)
        rows.append(recordio.encode_csr([0, count], np.arange(count), values, 300, label).tobytes())
    payload = rows[3][8 : 8 + int.from_bytes(rows[3][4:8], "little")]
    rows[3] = wire.frame(payload[-20:] + payload[:-20])  # label first
    matrix, labels = recordio.decode(b"".join(rows * 40))
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 3, 4] * 40
    assert np.diff(matrix.indptr).tolist() == [0, 1, 2, 3, 4] * 40


@pytest.mark.parametrize("setting", ["0", "1"])
def test_rows_that_grow_after_the_first_block_are_all_collected(switch: Any, setting: str) -> None:
    switch(setting)
    counts = np.concatenate([np.arange(300) % 3, np.arange(300)])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    keys, values = np.arange(indptr[-1]) % 70_000, np.arange(indptr[-1], dtype=np.float64)
    data = recordio.encode_csr(indptr, keys, values, 70_000, np.arange(600.0)).tobytes()
    matrix, labels = in_blocks(1 << 12, data)
    assert matrix.indptr.tolist() == indptr.tolist()
    assert matrix.indices.tolist() == keys.tolist()
    assert matrix.data.tolist() == values.tolist()
    assert labels.tolist() == list(range(600))


@pytest.mark.parametrize("setting", ["0", "1"])
@pytest.mark.parametrize("place", [0, 2, 5, 6])
def test_a_key_at_the_dimension_is_refused_with_its_record(switch: Any, setting: str, place: int) -> None:
    switch(setting)
    keys = np.full(7, 200)
    good = recordio.encode_csr([0, 7], keys, np.ones(7, np.float32), 300).tobytes()
    keys[place] = 299
    bad = bytearray(recordio.encode_csr([0, 7], keys, np.ones(7, np.float32), 300))
    bad[bad.index(b"\xab\x02")] += 1  # 299 as a varint
    expected = f"byte {len(good) * 90 + 8}: a record has the key 300: expected below its dimension 300"
    with pytest.raises(FormatError, match=expected):
        recordio.decode(good * 90 + bytes(bad) + good * 10)


def test_without_numba_nothing_is_loaded_and_the_bytes_are_the_same() -> None:
    program = """
import sys
sys.modules["numba"] = None
import importlib.util
importlib.util.find_spec = (lambda find: lambda name, *rest: None if name == "numba" else find(name, *rest))(
    importlib.util.find_spec
)
import numpy as np
from fmrec import recordio
from fmrec.recordio import compiled, read_frames, wire
compiled.ROWS_BEFORE_LOADING = 1
counts = np.arange(200) % 7
indptr = np.concatenate([[0], np.cumsum(counts)])
columns = np.arange(indptr[-1]) * 131 % 100_000
data = recordio.encode_csr(indptr, columns, np.ones(indptr[-1], np.float32), 100_000)
matrix, _ = recordio.decode(data.tobytes())
assert (matrix.indices == columns).all()
assert "fmrec.recordio.kernels" not in sys.modules
sys.stdout.write(data.tobytes().hex())
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    counts = np.arange(200) % 7
    indptr = np.concatenate([[0], np.cumsum(counts)])
    columns = np.arange(indptr[-1]) * 131 % 100_000
    data = recordio.encode_csr(indptr, columns, np.ones(indptr[-1], np.float32), 100_000)
    assert finished.stdout == data.tobytes().hex()


def test_a_process_loads_the_loops_only_when_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compiled.SETTING, raising=False)
    monkeypatch.setattr(compiled, "_rows_done", 0)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert not compiled.is_ready(compiled.ROWS_BEFORE_LOADING - 1)
    assert compiled.is_ready(1)
    monkeypatch.setenv(compiled.SETTING, "0")
    assert not compiled.is_ready(1)


def test_memory_of_writing_stays_a_chunk_with_the_compiled_loops(switch: Any) -> None:
    switch("1")
    indptr = np.arange(0, 3_000_001, 3)
    indptr[1] = 2  # ragged
    chunks = recordio.csr_chunks(indptr, np.zeros(3_000_000, np.int32), np.ones(3_000_000, np.float32), 9)
    assert max(len(chunk) for chunk in chunks) < 16 << 20
