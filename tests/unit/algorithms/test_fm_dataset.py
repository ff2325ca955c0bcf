"""The train channel as blocks of whole mini-batches, in memory or in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from algorithms.factorization_machines import dataset
from algorithms.factorization_machines.dataset import Dataset
from algorithms.factorization_machines.mini_batches import Rows

WIDTH, BATCH = 30, 8


def rows(count: int) -> Rows:
    """Row r has the label r and between 0 and 4 entries."""
    generator = np.random.default_rng(0)
    counts = generator.integers(0, 5, count)
    entries = int(counts.sum())
    return Rows(
        np.concatenate([[0], counts.cumsum()]).astype(np.int64),
        generator.integers(0, WIDTH, entries).astype(np.int32),
        generator.normal(size=entries).astype(np.float32),
        np.arange(count, dtype=np.float32),
    )


def pieces(whole: Rows, size: int) -> list[Rows]:
    return [
        dataset.take(whole, start, min(start + size, whole.labels.size))
        for start in range(0, whole.labels.size, size)
    ]


def as_matrix(part: Rows) -> np.ndarray:
    matrix = sparse.csr_matrix((part.values, part.columns, part.indptr), shape=(part.labels.size, WIDTH))
    return np.asarray(matrix.toarray())


@pytest.mark.parametrize("piece", [1, 5, 8, 100])
@pytest.mark.parametrize("block_entries", [1, 50, 10_000])
@pytest.mark.parametrize("memory", [0, 3000, 10**9])
def test_blocks_hold_the_rows_in_order_however_they_are_cut_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, block_entries: int, memory: int
) -> None:
    monkeypatch.setattr(dataset, "BLOCK_ENTRIES", block_entries)
    monkeypatch.setattr(dataset, "MEMORY_BYTES", memory)
    whole = rows(100)
    with Dataset(pieces(whole, piece), WIDTH, BATCH, tmp_path) as found:
        assert found.row_count == 100
        assert found.batch_count == 13
        for _ in range(2):  # every epoch reads the same
            parts = [block.rows for block in found.blocks()]
            labels = np.concatenate([part.labels for part in parts])
            # the last mini-batch is filled up with the first rows
            assert labels.tolist() == [*range(100), *range(4)]
            matrix = np.concatenate([as_matrix(part) for part in parts])
            assert (matrix == np.concatenate([as_matrix(whole), as_matrix(whole)[:4]])).all()
            assert sum(block.groups.batch_start.size - 1 for block in found.blocks()) == 13
    assert list(tmp_path.iterdir()) == []


def test_fewer_rows_than_a_mini_batch_are_repeated(tmp_path: Path) -> None:
    found = Dataset([rows(3)], WIDTH, BATCH, tmp_path)
    (block,) = found.blocks()
    assert block.rows.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert found.row_count == 3


def test_whole_mini_batches_are_not_filled_up(tmp_path: Path) -> None:
    (block,) = Dataset([rows(16)], WIDTH, BATCH, tmp_path).blocks()
    assert block.rows.labels.tolist() == list(range(16))
