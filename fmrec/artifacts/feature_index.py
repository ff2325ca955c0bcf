"""Names of feature columns, read from the feature index that the encoding job wrote.

The index is a folder of Parquet files, sorted by ``column``, with ``column``, ``namespace``, ``name``
and ``interactions``, how many rows name it (docs/contracts.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fmrec.artifacts.sorted_parquet import SortedParquet
from fmrec.errors import FormatError


class FeatureIndex:
    """The feature index of one encoding run.

    Opening it reads the files' footers only.

    Raises
    ------
    FormatError
        The folder holds no Parquet file, or a file lacks the columns or their statistics.
    """

    def __init__(self, folder_uri: str) -> None:
        self._files = SortedParquet(folder_uri, "column", ["name"])

    def names(self, start: int, end: int) -> pa.Array:
        """Names of the columns ``[start, end)``, in that order, as one Arrow string array.

        Raises
        ------
        FormatError
            The index lacks a column, has one twice, or isn't sorted.
        """
        return pa.concat_arrays([pa.array([], pa.string()), *self.stream(start, end)])

    def interactions(self, start: int, end: int) -> npt.NDArray[np.int64]:
        """How many rows name each of the columns ``[start, end)``. Raises as `names`."""
        counts = [batch.to_numpy() for batch in self._rows(start, end, "interactions")]
        return np.concatenate([np.zeros(0, np.int64), *counts])

    def stream(self, start: int, end: int) -> Iterator[pa.Array]:
        """The names in pieces, in constant memory. Raises as `names`."""
        return self._rows(start, end, "name")

    def columns(self, names: Collection[str], start: int, end: int) -> dict[str, int]:
        """The columns of names among ``[start, end)``; names that are not there are left out.

        The names are read in constant memory until all are found. Raises as `names`.
        """
        wanted = pa.array(list(names), pa.string())
        found: dict[str, int] = {}
        column = start
        for piece in self.stream(start, end):
            places = pc.index_in(piece, value_set=wanted)
            for place in pc.indices_nonzero(pc.is_valid(places)).to_pylist():
                found[piece[place].as_py()] = column + place
            if len(found) == len(set(names)):
                break
            column += len(piece)
        return found

    def counts(self, names: Collection[str], start: int, end: int) -> dict[str, int]:
        """How many rows name those of the names that are among ``[start, end)``.

        Names and counts are read in constant memory until all are found. Raises as `names`.
        """
        wanted = pa.array(list(names), pa.string())
        found: dict[str, int] = {}
        for piece, counts in zip(
            self._rows(start, end, "name"), self._rows(start, end, "interactions"), strict=True
        ):
            places = pc.indices_nonzero(pc.is_valid(pc.index_in(piece, value_set=wanted)))
            found |= dict(zip(piece.take(places).to_pylist(), counts.take(places).to_pylist(), strict=True))
            if len(found) == len(set(names)):
                break
        return found

    def _rows(self, start: int, end: int, wanted: str) -> Iterator[pa.Array]:
        if wanted not in self._files.schema.names:
            raise FormatError(f"{self._files.folder_uri}: no column {wanted!r}: encode the data again")
        expected = start
        for uri, batch in self._files.batches(start, end, ["column", wanted]):
            columns = batch.column("column").to_numpy()
            right = np.arange(expected, expected + len(columns))
            if not np.array_equal(columns, right):
                wrong = columns != right
                raise FormatError(
                    f"{uri}: column {columns[wrong][0]} stands where {right[wrong][0]} was expected; the "
                    "feature index must hold each column once, sorted by column"
                )
            expected += len(columns)
            yield batch.column(wanted)
        if expected != end:
            raise FormatError(
                f"{self._files.folder_uri}: column {expected} is missing from the feature index, which the "
                f"manifest says reaches to {end}: encode the data again"
            )


class NameReader:
    """Hands out consecutive names in the amounts asked for, from pieces of any length."""

    def __init__(self, pieces: Iterator[pa.Array]) -> None:
        self._pieces = pieces
        self._held = pa.array([], pa.string())

    def take(self, count: int) -> pa.Array:
        """The next `count` names, or fewer at the end."""
        held, rows = [self._held], len(self._held)
        while rows < count and (piece := next(self._pieces, None)) is not None:
            held.append(piece)
            rows += len(piece)
        joined = pa.concat_arrays(held)
        self._held = joined[count:]
        return joined[:count]
