"""From an id to its ordinal, without a dictionary of all of them.

A dictionary of ten million ids takes more than a GiB; Arrow holds them in about their own length, and a
binary search finds one in some 25 steps. The feature index is in the order of texts, or of numbers where all
ids are numbers, and is then searched as it is; only ids in another order need a permutation, of four bytes
each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Key = Callable[[str], Any]


class IdLookup:
    """Finds ids among an Arrow array of texts, each of them once.

    Examples
    --------
    >>> IdLookup(pa.array(["9", "10", "11"])).find("11")
    2
    """

    def __init__(self, ids: pa.Array) -> None:
        self._ids = ids
        self._order: npt.NDArray[np.uint32] | None = None
        self._key: Key = str
        if _ascends(ids):
            return
        if _ascends_by_length(ids):
            self._key = _by_length
        else:
            self._order = pc.sort_indices(ids).to_numpy().astype(np.uint32)

    def __len__(self) -> int:
        return len(self._ids)

    def names(self, ordinals: Sequence[int]) -> list[str]:
        """The ids of ordinals, in their order."""
        found: list[str] = self._ids.take(pa.array(ordinals, pa.int64())).to_pylist()
        return found

    def find(self, name: str) -> int | None:
        """The ordinal of an id; None if it is not there."""
        order, key = self._order, self._key

        def key_at(place: int) -> Any:
            return key(self._ids[place if order is None else int(order[place])].as_py())

        place = bisect_left(range(len(self._ids)), key(name), key=key_at)
        if place == len(self._ids):
            return None
        ordinal = place if order is None else int(order[place])
        return ordinal if self._ids[ordinal].as_py() == name else None


class Ids(Sequence[str]):
    """Ids by ordinal, as Arrow holds them."""

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, ordinal: int) -> str: ...

    @overload
    def __getitem__(self, ordinal: slice) -> list[str]: ...

    def __getitem__(self, ordinal: int | slice) -> str | list[str]:
        found = self.array[ordinal]
        return found.to_pylist() if isinstance(ordinal, slice) else str(found.as_py())


class Ordinals(Mapping[str, int]):
    """The ordinal of each id, by `IdLookup`."""

    def __init__(self, ids: Ids) -> None:
        self._ids, self._lookup = ids, IdLookup(ids.array)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __getitem__(self, name: str) -> int:
        found = self._lookup.find(name)
        if found is None:
            raise KeyError(name)
        return found


def _by_length(name: str) -> tuple[int, str]:
    """Numbers without leading zeros are in this order."""
    return len(name.encode(errors="surrogatepass")), name


def _ascends(ids: pa.Array) -> bool:
    # Arrow compares bytes, Python code points: of UTF-8 texts that is the same order.
    return len(ids) < 2 or bool(pc.all(pc.less(ids[:-1], ids[1:])).as_py())


def _ascends_by_length(ids: pa.Array) -> bool:
    lengths = pc.binary_length(ids)
    longer = pc.less(lengths[:-1], lengths[1:])
    same = pc.and_(pc.equal(lengths[:-1], lengths[1:]), pc.less(ids[:-1], ids[1:]))
    return bool(pc.all(pc.or_(longer, same)).as_py())
