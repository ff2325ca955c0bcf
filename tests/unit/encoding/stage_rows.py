"""Rows that tests of stages start from."""

import numpy as np

from fmrec.encoding.row_types import IndexedRows, LabelledRows, SparseRows


def indexed(found: list[tuple[int, int, int, int]]) -> IndexedRows:
    """Return rows of user, item, value and time."""
    columns = np.array(found, np.int64).reshape(-1, 4).T
    return IndexedRows(
        columns[0],
        columns[1],
        columns[2].astype(np.float64),
        columns[3].astype(np.float64),
        np.arange(len(found), dtype=np.int64),
        SparseRows.empty(len(found)),
    )


def sparse(rows: list[list[tuple[int, float]]]) -> SparseRows:
    flat = [entry for row in rows for entry in row]
    return SparseRows(
        np.array([len(row) for row in rows], np.int64),
        np.array([entry[0] for entry in flat], np.int64),
        np.array([entry[1] for entry in flat], np.float32),
    )


def lists(rows: SparseRows) -> list[list[tuple[int, float]]]:
    entries = iter(zip(rows.feature_ids.tolist(), rows.values.tolist(), strict=True))
    return [[next(entries) for _ in range(length)] for length in rows.lengths]


def labelled(
    found: list[tuple[int, int, int, bool]], features: list[list[tuple[int, float]]] | None = None
) -> LabelledRows:
    """Return rows of user, item, label and whether it is a negative."""
    columns = np.array(found, np.int64).reshape(-1, 4).T
    return LabelledRows(
        columns[0],
        columns[1],
        columns[2].astype(np.float64),
        columns[3].astype(np.bool_),
        np.arange(len(found), dtype=np.int64),
        sparse(features) if features else SparseRows.empty(len(found)),
    )
