"""The index of users and items whose texts are all at hand: what ``feature_index`` makes, in Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmrec.encoding.row_types import UNKNOWN, CodeTable, SparseRows

INTEGER = r"^-?[0-9]{1,37}(\r\n|\r|\n)?$"
"""As Java reads ``feature_index``'s pattern: its ``$`` is before a last line break, too."""
_INT64_DIGITS = 18
Ints = NDArray[np.int64]
NOBODY = pa.array([], pa.string())


@dataclass(frozen=True)
class ChunkTexts:
    """Distinct texts of one chunk and namespace, with how often each occurs.

    Parameters
    ----------
    first : int
        The code of the first text; the others' follow.
    texts : StringArray
    counts : int64 array
    """

    chunk: int
    namespace: int
    first: int
    texts: pa.Array
    counts: Ints


@dataclass(frozen=True)
class NamespaceIndex:
    """The index of one namespace.

    Parameters
    ----------
    namespace : int
        Its ordinal.
    first : int
        Its first feature id.
    names : StringArray
        In the order of their feature ids.
    counts : int64 array
        How often each name occurs.
    """

    namespace: int
    first: int
    names: pa.Array
    counts: Ints
    _texts: list[ChunkTexts]
    _feature_ids: Ints
    """Of all texts, one chunk after the other; ``UNKNOWN`` for those that are too rare."""

    @classmethod
    def of(
        cls, texts: list[ChunkTexts], namespace: int, first: int, minimum: int, described: pa.Array = NOBODY
    ) -> NamespaceIndex:
        """Index the names that occur at least ``minimum`` times, from the feature id ``first`` on; after them
        those in ``described``, distinct, that don't occur at all.
        """
        mine = [found for found in texts if found.namespace == namespace]
        arrays = [found.texts for found in mine]
        encoded = pa.concat_arrays([pa.array([], pa.string()), *arrays]).dictionary_encode()
        places = np.asarray(encoded.indices).astype(np.int64)
        counts = np.zeros(len(encoded.dictionary), np.int64)
        np.add.at(counts, places, np.concatenate([np.zeros(0, np.int64), *(found.counts for found in mine)]))
        frequent = np.flatnonzero(counts >= minimum)
        ordered = frequent[in_order_of_names(encoded.dictionary.take(pa.array(frequent)))]
        feature_ids = np.full(len(counts), UNKNOWN)
        feature_ids[ordered] = first + np.arange(len(ordered))
        others = described.filter(pc.invert(pc.is_in(described, value_set=encoded.dictionary)))
        others = others.take(pa.array(in_order_of_names(others)))
        names = pa.concat_arrays([encoded.dictionary.take(pa.array(ordered)), others])
        times = np.concatenate([counts[ordered], np.zeros(len(others), np.int64)])
        return cls(namespace, first, names, times, mine, feature_ids[places])

    @property
    def range(self) -> tuple[int, int]:
        return self.first, self.first + len(self.names)

    @property
    def trained(self) -> tuple[int, int]:
        """The range of those that occur."""
        return self.first, self.first + int(np.count_nonzero(self.counts))

    @property
    def trained_names(self) -> pa.Array:
        return self.names[: self.trained[1] - self.first]

    def code_tables(self) -> Iterator[tuple[int, CodeTable]]:
        """Yield what the codes of each chunk stand for."""
        start = 0
        for found in self._texts:
            feature_ids = self._feature_ids[start : start + len(found.texts)]
            start += len(found.texts)
            known = np.flatnonzero(feature_ids != UNKNOWN)
            ones = np.ones(len(known), np.int64)
            entries = SparseRows(ones, feature_ids[known], ones.astype(np.float32))
            yield found.chunk, CodeTable(found.first + known, np.full(len(known), self.namespace), entries)


def in_order_of_names(names: pa.Array) -> Ints:
    """Return the places of distinct names in the index's order: integers as numbers, then texts by UTF-8."""
    digits = pc.if_else(pc.match_substring_regex(names, INTEGER), pc.utf8_rtrim(names, "\r\n"), None)
    longest = pc.max(pc.binary_length(digits)).as_py() or 0
    number = digits.cast(pa.int64() if longest <= _INT64_DIGITS else pa.decimal128(38, 0))
    keys = pa.table({"number": number, "name": names})
    order = pc.sort_indices(keys, [("number", "ascending"), ("name", "ascending")])  # nulls last
    return np.asarray(order).astype(np.int64)
