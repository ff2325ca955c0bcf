"""The codec on streams: batches, bounded memory, and answers of SageMaker's containers."""

import io
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fmrec import recordio
from fmrec.errors import FormatError, InputError
from tests.unit.recordio.writing import written

HEAD = "0a23d7ce"


def test_a_record_may_be_larger_than_what_is_read_at_once() -> None:
    array = np.random.default_rng(1).random((3, 3_000_000), np.float32)
    matrix, _ = recordio.decode(written(array, None))
    assert (matrix == array).all()


def test_rows_come_as_plain_arrays_block_by_block() -> None:
    chance = np.random.default_rng(2)
    matrix = sparse.random(60_000, 50, 0.1, format="csr", dtype=np.float32, random_state=chance)
    labels = chance.random(60_000, np.float32)

    blocks = list(recordio.read_rows(io.BytesIO(written(matrix, labels))))

    assert len(blocks) > 1
    assert np.concatenate([block.counts for block in blocks]).tolist() == np.diff(matrix.indptr).tolist()
    np.testing.assert_array_equal(np.concatenate([block.keys for block in blocks]), matrix.indices)
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), matrix.data)
    np.testing.assert_array_equal(np.concatenate([block.labels for block in blocks]), labels)
    assert {block.feature_dim for block in blocks} == {50}


class Stream(io.RawIOBase):
    """Gives a few bytes at a time and can't be sought, like a pipe."""

    def __init__(self, data: bytes, at_once: int) -> None:
        self._file = io.BytesIO(data)
        self._at_once = at_once

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(memoryview(buffer)[: self._at_once])


class OnlyRead:
    """What some network libraries call a file."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seekable(self) -> bool:
        return False


def test_streams_that_give_little_at_a_time_are_read_whole() -> None:
    array = np.random.default_rng(2).random((500, 9)).astype(np.float32)
    data = written(array, np.arange(500.0))
    for stream in (Stream(data, 7), Stream(data, 1001), OnlyRead(data)):
        matrix, labels = recordio.read_matrix(stream)  # type: ignore[arg-type]  # less than a BinaryIO on purpose
        assert (matrix == array).all()
        assert labels is not None
        assert labels.tolist() == list(range(500))


@pytest.mark.parametrize("batch_rows", [1, 7, 1000, 4999, 5000, 10**6])
def test_batches_have_the_rows_asked_for(batch_rows: int) -> None:
    matrix = sparse.random(5000, 300, density=0.02, format="csr", dtype=np.float32, random_state=3)
    labels = np.arange(5000, dtype=np.float32)
    batches = list(recordio.read_batches(io.BytesIO(written(matrix, labels)), batch_rows))
    sizes = [batch.shape[0] for batch, _ in batches]
    assert sizes == [batch_rows] * (5000 // batch_rows) + ([5000 % batch_rows] if 5000 % batch_rows else [])
    assert (sparse.vstack([batch for batch, _ in batches]) != matrix).nnz == 0
    assert np.concatenate([own for _, own in batches]).tolist() == labels.tolist()


@pytest.mark.slow
def test_memory_of_batches_does_not_grow_with_the_file(tmp_path: Any) -> None:
    peaks: dict[int, int] = {}
    columns = np.random.default_rng(4).integers(0, 2000, (100_000, 2), np.int32)
    chunk = recordio.encode_csr(
        np.arange(0, 200_001, 2), columns.ravel(), np.ones(200_000, np.float32), 2000
    ).tobytes()
    for repeats in (16, 4, 16):  # the first time, what decoding loads once (numba) comes on top
        path = tmp_path / f"{repeats}.pbr"
        with path.open("wb") as file:
            for _ in range(repeats):
                file.write(chunk)
        tracemalloc.start()
        with path.open("rb") as file:
            rows = sum(batch.shape[0] for batch, _ in recordio.read_batches(file, 1000))
        peaks[repeats] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows == repeats * 100_000
    assert peaks[16] < 1.2 * peaks[4]


def test_memory_of_writing_does_not_grow_with_the_matrix() -> None:
    class Nowhere(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            return len(data)

    peaks = []
    for rows in (400_000, 800_000):
        columns = np.random.default_rng(4).integers(0, 2000, 2 * rows, np.int32)
        matrix = sparse.csr_matrix(
            (np.ones(2 * rows, np.float32), columns, np.arange(0, 2 * rows + 1, 2)), shape=(rows, 2000)
        )
        tracemalloc.start()
        recordio.write_spmatrix_to_sparse_tensor(Nowhere(), matrix)  # type: ignore[arg-type]  # a raw file will do
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A few numbers a row, but not the records' 64 bytes.
    assert (peaks[1] - peaks[0]) / 400_000 < 40


def test_answers_are_labels_without_features() -> None:
    score = np.array([[0.25], [0.75]])
    neighbours = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = recordio.encode_label_tensors({"score": score, "labels": neighbours})
    first, second = recordio.read_records(io.BytesIO(data))
    assert first.features == {}
    assert first.label["score"].float32_tensor.values.tolist() == [0.25]
    assert second.label["labels"].float32_tensor.values.tolist() == [3, 4, 5]
    decoded = recordio.decode_label_tensors(data)
    assert list(decoded) == ["score", "labels"]
    assert decoded["score"].tolist() == score.tolist()
    assert decoded["labels"].tolist() == neighbours.tolist()


def test_an_answer_s_bytes_are_those_of_protobuf() -> None:
    # Record.label{"score": float32_tensor{values: [0.5]}} as google.protobuf serializes it.
    expected = f"{HEAD}1300000012110a0573636f7265120812060a040000003f00"
    assert recordio.encode_label_tensors({"score": np.array([[0.5]])}).hex() == expected


@pytest.mark.parametrize(
    "tensors", [{}, {"score": np.zeros(3)}, {"score": np.zeros((3, 1)), "label": np.zeros((2, 1))}]
)
def test_answers_of_unequal_rows_are_refused(tensors: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected matrices with as many rows each"):
        recordio.encode_label_tensors(tensors)


def test_answers_that_differ_are_refused_with_their_byte() -> None:
    one = recordio.encode_label_tensors({"score": np.zeros((1, 1))})
    two = recordio.encode_label_tensors({"score": np.zeros((1, 2))})
    with pytest.raises(FormatError, match=re.escape("byte 36: a record's label has the sizes {'score': 2}")):
        recordio.decode_label_tensors(one + two)


def test_batches_that_end_where_a_block_ends_lose_nothing() -> None:
    rows = 3 * (1 << 16) // 2  # 64 bytes each: one block of 4 MiB and a half
    two_hot = sparse.csr_matrix(
        (np.ones(2 * rows, np.float32), np.tile([1, 300], rows), np.arange(0, 2 * rows + 1, 2)), (rows, 2625)
    )
    data = written(two_hot, np.zeros(rows, np.float32))
    assert len(data) == 64 * rows
    for batch_rows in (1 << 15, 1 << 16):
        batches = recordio.read_batches(io.BytesIO(data), batch_rows)
        assert sum(batch.shape[0] for batch, _ in batches) == rows
