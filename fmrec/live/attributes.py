"""What items are, for requests that filter by it: the items' side features that are names and not numbers.

The encoding has them already (``item_features/``, docs/contracts.md). They are read when a request asks for
them for the first time, in ranges of items, and kept as four bytes for each value of an item.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fmrec.artifacts.encoded_run import EncodedRun
from fmrec.artifacts.interactions import Interactions, from_pairs
from fmrec.artifacts.side_feature_rows import SideRows, read_side_rows
from fmrec.errors import InputError

KINDS = ("categorical", "multi-valued", "bucket", "date-part")
"""Kinds of side features whose columns are values; of a number there is one column."""
BLOCK_ITEMS = 1 << 16
"""Items whose features are read at once."""
MAXIMUM_VALUES = 20_000_000
"""Values of all items and attributes together: 80 MB."""
NAMED = 20
"""Values that a sentence names."""

Items = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Attribute:
    """One attribute: ``of`` has numbers of values by item, and ``values`` their names."""

    name: str
    values: pa.Array
    of: Interactions

    @classmethod
    def from_mapping(
        cls, name: str, values: Mapping[str, list[str]], ordinal_of: Mapping[str, int]
    ) -> Attribute:
        """Number values in alphabetical order; items that the model doesn't know are left out."""
        names = sorted({value for listed in values.values() for value in listed})
        number = {value: at for at, value in enumerate(names)}
        pairs = [
            (ordinal_of[item], number[value])
            for item, listed in values.items()
            if item in ordinal_of
            for value in listed
        ]
        array = np.array(pairs, np.int64).reshape(-1, 2)
        return cls(name, pa.array(names, pa.string()), from_pairs(array[:, 0], array[:, 1], len(ordinal_of)))

    @cached_property
    def items_by_value(self) -> npt.NDArray[np.int64]:
        """(values,) how many items have each value."""
        return np.bincount(self.of.items, minlength=len(self.values))

    def items_with(self, values: Iterable[str], *, all_known: bool = False) -> Items:
        """Which items have one of the values, bool (items,).

        Raises
        ------
        InputError
            ``all_known``, and no item has one of them.
        """
        wanted = pa.array(sorted(values), pa.string())
        numbers = pc.index_in(wanted, value_set=self.values)
        if all_known and numbers.null_count:
            missing = wanted.filter(numbers.is_null())[0].as_py()
            known = ", ".join(self.values[:NAMED].to_pylist())
            more = f" and {len(self.values) - NAMED} more" if len(self.values) > NAMED else ""
            raise InputError(f"no item has {self.name} {missing!r}: expected one of {known or 'none'}{more}")
        inside = np.isin(self.of.items, numbers.drop_null().to_numpy())
        found = np.zeros(self.of.users, bool)
        found[np.repeat(np.arange(self.of.users), self.of.counts())[inside]] = True
        return found


class EncodedAttributes(Mapping[str, Attribute]):
    """The attributes of a run's items by name, read when one of them is asked for. Safe for several threads.

    Raises, when they are read
    --------------------------
    InputError
        Items have more values than `MAXIMUM_VALUES`.
    FormatError
        The files are not as docs/contracts.md says.
    """

    def __init__(self, run: EncodedRun) -> None:
        self._run, self._lock = run, threading.Lock()
        self._read: dict[str, Attribute] | None = None
        manifest = run.manifest
        kept = "item" in manifest.details.get("side_features", {})
        features = manifest.dataset.get("features") or [] if kept else []
        self._ranges = {
            str(feature["name"]): manifest.ranges[feature["name"]]
            for feature in features
            if feature.get("of") == "item"
            and feature.get("kind", KINDS[0]) in KINDS
            and feature.get("name") in manifest.ranges
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __getitem__(self, name: str) -> Attribute:
        if name not in self._ranges:
            raise KeyError(name)
        with self._lock:
            if self._read is None:
                self._read = self._load()
            return self._read[name]

    def _load(self) -> dict[str, Attribute]:
        run = self._run
        rows = read_side_rows(run.manifest, run.manifest_uri, "item")
        owners: dict[str, list[npt.NDArray[np.int32]]] = {name: [] for name in self._ranges}
        values: dict[str, list[npt.NDArray[np.int32]]] = {name: [] for name in self._ranges}
        total = 0
        for first, owner, column in _blocks(rows):
            for name, (start, end) in self._ranges.items():
                inside = (column >= start) & (column < end)
                owners[name].append((owner[inside] + first).astype(np.int32))
                values[name].append((column[inside] - start).astype(np.int32))
                total += int(inside.sum())
            if total > MAXIMUM_VALUES:
                raise InputError(
                    f"the items have more than {MAXIMUM_VALUES:,} values of attributes, too many to filter by"
                )
        return {
            name: Attribute(
                name,
                run.feature_index.names(*self._ranges[name]),
                _compressed(owners[name], values[name], run.manifest.items),
            )
            for name in self._ranges
        }


def excluded_by(
    attributes: Mapping[str, Attribute],
    where: Mapping[str, frozenset[str]],
    where_not: Mapping[str, frozenset[str]],
    items: int,
) -> Items:
    """Items that conditions on attributes leave out, bool (items,).

    Parameters
    ----------
    where
        By attribute the values of which an item has at least one.
    where_not
        By attribute the values of which an item has none; what no item has is ignored.

    Raises
    ------
    InputError
        There is no such attribute, or of ``where`` no such value.
    """
    excluded = np.zeros(items, bool)
    for name, values in where.items():
        excluded |= ~attribute(attributes, name, "where").items_with(values, all_known=True)
    for name, values in where_not.items():
        excluded |= attribute(attributes, name, "where_not").items_with(values)
    return excluded


def attribute(attributes: Mapping[str, Attribute], name: str, place: str) -> Attribute:
    """The attribute that a request names.

    Raises
    ------
    InputError
        The model's items have no such attribute.
    """
    found = attributes.get(name)
    if found is None:
        known = (
            f"expected one of {', '.join(attributes)}" if len(attributes) else "items of this model have none"
        )
        raise InputError(f"{place} names the attribute {name!r}: {known}")
    return found


def _blocks(rows: SideRows | None) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """The first item of each range, and of its features the items, counted from it, and the columns."""
    if rows is None:
        return
    for first in range(0, rows.shape[0], BLOCK_ITEMS):
        block = rows[first : first + BLOCK_ITEMS]
        yield first, np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), block.indices


def _compressed(
    owners: list[npt.NDArray[np.int32]], values: list[npt.NDArray[np.int32]], items: int
) -> Interactions:
    """Values by item from pairs that are in the order of items."""
    owner = np.concatenate([np.zeros(0, np.int32), *owners])
    indptr = np.zeros(items + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=items), out=indptr[1:])
    return Interactions(indptr, np.concatenate([np.zeros(0, np.int32), *values]))
