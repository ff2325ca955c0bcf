"""The train channel, decoded and checked once and kept in blocks that training reads every epoch.

The image reads the same rows in the same order in every epoch, so mini-batches are the same too, and
what doesn't change is done once: decoding, checks, grouping by column. Blocks beyond a fixed amount of
memory go to a temporary file, so that memory doesn't grow with the data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from algorithms.container.environment import Channel
from algorithms.container.records import Batch, Features
from algorithms.factorization_machines.mini_batches import Groups, Rows, group_by_column
from fmrec.errors import InputError

BLOCK_ENTRIES = 2_000_000
"""Matrix entries that a block aims at; about 40 MB."""

MEMORY_BYTES = 256 * 1024 * 1024
"""Blocks held in memory; later ones are read from the temporary file in every epoch."""


class Block(NamedTuple):
    """Whole mini-batches."""

    rows: Rows
    groups: Groups


def checked(batches: Iterable[Batch], channel: Channel, feature_dim: int, binary: bool) -> Iterator[Rows]:
    """What the kernels may rely on: float32, as wide as feature_dim, finite, labelled.

    Raises
    ------
    InputError
        Anything else, naming the row (from 0, over the channel's files in sorted order) and the column.
    """
    first = 0
    for matrix, labels in batches:
        if matrix.dtype != np.float32:
            raise channel.unreadable(
                f"Factorization Machines takes Float32 tensors only, and row {first} holds {matrix.dtype}: "
                "write the features as float32"
            )
        if matrix.shape[1] != feature_dim:
            raise InputError(
                f"Channel '{channel.name}' has rows with {matrix.shape[1]} features (row {first}), but "
                f"feature_dim is {feature_dim}: set the hyperparameter feature_dim to the data's width"
            )
        if labels is None:
            raise channel.unreadable(f"Row {first} has no label: every row needs a Float32 label")
        rows = _as_rows(matrix, labels)
        _check_values(rows, channel, first, binary)
        first += rows.labels.size
        yield rows
    if first == 0:
        raise channel.unreadable("It holds no records.")


def _as_rows(matrix: Features, labels: NDArray[Any]) -> Rows:
    if isinstance(matrix, np.ndarray):
        # A dense network has a weight for every column in every row: zeros are entries too.
        row_count, width = matrix.shape
        return Rows(
            np.arange(0, row_count * width + 1, width, dtype=np.int64),
            np.tile(np.arange(width, dtype=np.int32), row_count),
            np.ascontiguousarray(matrix, np.float32).ravel(),
            labels.astype(np.float32),
        )
    return Rows(
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data,
        labels.astype(np.float32, copy=False),
    )


def _check_values(rows: Rows, channel: Channel, first: int, binary: bool) -> None:
    bad = np.flatnonzero(~np.isfinite(rows.values))
    if bad.size:
        row = int(np.searchsorted(rows.indptr, bad[0], side="right")) - 1
        raise InputError(
            f"Found missing (NaN) values: channel '{channel.name}' has {rows.values[bad[0]]} in row "
            f"{first + row}, column {rows.columns[bad[0]]}; leave such values out before encoding"
        )
    bad = np.flatnonzero(~np.isfinite(rows.labels))
    if bad.size:
        raise InputError(
            f"Found missing (NaN) values: channel '{channel.name}' has the label {rows.labels[bad[0]]} in "
            f"row {first + int(bad[0])}; leave such rows out before encoding"
        )
    if binary:
        bad = np.flatnonzero((rows.labels != 0) & (rows.labels != 1))
        if bad.size:
            raise InputError(
                f"predictor_type binary_classifier takes the labels 0 and 1, and channel '{channel.name}' "
                f"has the label {rows.labels[bad[0]]:g} in row {first + int(bad[0])}: encode labels as 0 "
                "and 1, or set predictor_type to regressor"
            )


class Dataset:
    """Blocks of whole mini-batches, the last one filled up with the channel's first rows.

    Filling up is what the image's reported metrics show (they average over whole mini-batches).

    Attributes
    ----------
    row_count : rows read, without those that fill up the last mini-batch
    batch_count : mini-batches an epoch
    """

    def __init__(
        self, rows: Iterable[Rows], feature_dim: int, mini_batch_size: int, temporary_folder: Path
    ) -> None:
        self._mini_batch_size = mini_batch_size
        self._work = (np.full(feature_dim, -1, np.int64), np.empty(feature_dim, np.int64))
        self._held: list[Block] = []
        self._spilled = 0
        self._file: IO[bytes] | None = None
        self._temporary_folder = temporary_folder
        self.row_count = 0
        self.batch_count = 0
        held_bytes = 0
        for block_rows in self._rechunk(rows):
            block = Block(block_rows, group_by_column(block_rows, mini_batch_size, *self._work))
            self.batch_count += block.groups.batch_start.size - 1
            size = sum(array.nbytes for array in (*block.rows, *block.groups))
            if self._file is None and held_bytes + size <= MEMORY_BYTES:
                self._held.append(block)
                held_bytes += size
            else:
                self._spill(block)
        del self._work

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def blocks(self) -> Iterator[Block]:
        """All blocks, in the channel's order."""
        yield from self._held
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._spilled):
                arrays = [np.load(self._file, allow_pickle=False) for _ in (*Rows._fields, *Groups._fields)]
                yield Block(Rows(*arrays[: len(Rows._fields)]), Groups(*arrays[len(Rows._fields) :]))

    def _spill(self, block: Block) -> None:
        if self._file is None:
            # Unlinked from the start, so that a killed training leaves nothing behind.
            self._file = tempfile.TemporaryFile(dir=self._temporary_folder)  # noqa: SIM115 - closed by __exit__
        for array in (*block.rows, *block.groups):
            np.save(self._file, array, allow_pickle=False)
        self._spilled += 1

    def _rechunk(self, pieces: Iterable[Rows]) -> Iterator[Rows]:
        """Blocks of a fixed number of rows, a multiple of the mini-batch size; the last one padded to one."""
        size = self._mini_batch_size
        first_rows: Rows | None = None
        block_rows = 0
        waiting: list[Rows] = []
        count = 0
        for piece in pieces:
            if block_rows == 0:
                entries_per_row = max(1.0, piece.values.size / max(1, piece.labels.size))
                block_rows = max(1, int(BLOCK_ENTRIES / entries_per_row) // size) * size
            self.row_count += piece.labels.size
            waiting.append(piece)
            count += piece.labels.size
            if first_rows is None and count >= size:
                first_rows = concatenate([take(concatenate(waiting), 0, size)])
            if count >= block_rows:
                rows = concatenate(waiting)
                whole = count // block_rows * block_rows
                for start in range(0, whole, block_rows):
                    yield take(rows, start, start + block_rows)
                rest = take(rows, whole, count)
                waiting, count = [rest], rest.labels.size
        if count == 0:
            return
        rows = concatenate(waiting)
        missing = -count % size
        if missing:
            filler = first_rows if first_rows is not None else rows
            while filler.labels.size < missing:
                filler = concatenate([filler, filler])
            rows = concatenate([rows, take(filler, 0, missing)])
        yield rows


def take(rows: Rows, start: int, stop: int) -> Rows:
    """Rows ``start`` to ``stop``, copied."""
    first, last = rows.indptr[start], rows.indptr[stop]
    return Rows(
        rows.indptr[start : stop + 1] - first,
        rows.columns[first:last].copy(),
        rows.values[first:last].copy(),
        rows.labels[start:stop].copy(),
    )


def concatenate(pieces: list[Rows]) -> Rows:
    """One after the other."""
    ends = np.cumsum([0] + [piece.values.size for piece in pieces[:-1]])
    return Rows(
        np.concatenate(
            [[0], *(piece.indptr[1:] + end for piece, end in zip(pieces, ends, strict=True))], dtype=np.int64
        ),
        np.concatenate([piece.columns for piece in pieces]),
        np.concatenate([piece.values for piece in pieces]),
        np.concatenate([piece.labels for piece in pieces]),
    )
