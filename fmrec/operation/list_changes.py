"""How different are a run's lists from the champion's? Overlap, lists that stayed the same, coverage.

Both runs' lists are read once, as the Parquet files that publishing wrote. Coverage is of all lists. Overlap
and unchanged lists are of all users of whom both runs have a list, or of a sample of `SAMPLE_USERS` where
there are more: a user is in the sample by a hash of the id, so in both runs alike. Memory follows the sample
and the number of items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fmrec.artifacts.manifest import Manifest
from fmrec.dataset.hashing import hashes, units
from fmrec.registry import champion
from fmrec.storage import object_store

SAMPLE_USERS = 100_000
"""Shares of so many users are known to a third of a percentage point (95 in 100)."""
COLUMNS = ("user_id", "item_id", "rank")
BATCH_ROWS = 131_072
MULTIPLIER = np.uint64(0x100000001B3)


@dataclass(frozen=True)
class Changes:
    """What has become of the champion's lists."""

    before: str = ""
    """The execution that published the champion's lists; empty if nothing was compared."""
    users: int = 0
    """Users of whom both have a list and whose lists were compared."""
    sampled: bool = False
    overlap: float | None = None
    """Share of a list's items that the other list has too, of the longer list, averaged over users."""
    unchanged: float | None = None
    """Share of users whose list has the same items in the same order."""
    coverage: float | None = None
    """Share of the catalogue that is in somebody's list."""
    coverage_before: float | None = None
    sentence: str = ""

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def compare_lists(
    *, lists_uri: str, manifest_uri: str, champion_uri: str, sample: int = SAMPLE_USERS
) -> Changes:
    """Compare what a run has published with what the champion published.

    Parameters
    ----------
    lists_uri
        Folder of the run's ``part-….parquet``; the champion's folder is next to it.
    manifest_uri
        The run's own manifest.
    champion_uri
        The record of what served until now (`fmrec.registry.champion`).

    Raises
    ------
    FormatError
        The champion's record or a manifest can't be read.
    """
    now = Manifest.from_json(object_store.read_bytes(manifest_uri))
    serving = champion.recorded(champion_uri)
    share = min(1.0, sample / max(now.users, 1))
    own = _read(lists_uri, share)
    coverage = _ratio(len(own.items), now.items)
    if serving is None:
        return _without(
            coverage, "No model served this data set before, so there are no lists to compare with."
        )
    before = serving.execution
    folder = object_store.join(lists_uri.rstrip("/").rpartition("/")[0], before) + "/"
    if folder.rstrip("/") == lists_uri.rstrip("/"):
        return _without(coverage, "The champion's lists are this run's own.")
    other = _read(folder, share)
    if not other.read:
        return _without(
            coverage,
            f"The champion's lists are not in {folder} any more, so there is nothing to compare with.",
        )
    items_before = _items_of(serving.manifest_uri)
    users, overlap, unchanged = _compared(own.table, other.table)
    found = Changes(
        before=before,
        users=users,
        sampled=share < 1,
        overlap=overlap,
        unchanged=unchanged,
        coverage=coverage,
        coverage_before=None if items_before is None else _ratio(len(other.items), items_before),
    )
    return replace(found, sentence=_sentence(found))


@dataclass(frozen=True)
class _Lists:
    """Of one run: the sample's rows, all items that any list names, and how many rows there were."""

    table: pa.Table
    items: pa.Array
    read: int


def _read(folder_uri: str, share: float) -> _Lists:
    sampled: list[pa.RecordBatch] = []
    items, read = pa.array([], pa.string()), 0
    for batch in _batches(folder_uri):
        read += batch.num_rows
        items = pc.unique(pa.concat_arrays([items, pc.unique(batch.column("item_id"))]))
        chosen = batch if share >= 1 else batch.filter(pa.array(in_sample(batch.column("user_id"), share)))
        if chosen.num_rows:
            sampled.append(chosen)
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("rank", pa.int32())])
    return _Lists(pa.Table.from_batches(sampled, schema), items, read)


def _batches(folder_uri: str) -> Iterator[pa.RecordBatch]:
    for found in object_store.list_objects(folder_uri):
        if found.uri.endswith(".parquet"):
            with (
                object_store.open_input(found.uri) as file,
                pq.ParquetFile(file, pre_buffer=False) as parquet,
            ):
                yield from parquet.iter_batches(BATCH_ROWS, columns=list(COLUMNS))


def in_sample(ids: pa.Array, share: float) -> npt.NDArray[np.bool_]:
    """Say which ids are in a sample of the given share: the same ones whatever stands next to them."""
    return units(hashed(ids)) < share


def hashed(ids: pa.Array) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each string: a polynomial in its bytes, mixed."""
    lengths = pc.binary_length(ids).to_numpy(zero_copy_only=False).astype(np.int64)
    if not len(lengths):
        return np.zeros(0, np.uint64)
    _, offsets, text = ids.buffers()
    start, end = np.frombuffer(offsets, np.int32)[[ids.offset, ids.offset + len(ids)]]
    data = np.frombuffer(text or b"", np.uint8)[start:end]
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(data)) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, MULTIPLIER))
    summed = np.concatenate(
        ([np.uint64(0)], np.cumsum((data.astype(np.uint64) + np.uint64(1)) * powers[place]))
    )
    return hashes(0, (summed[starts + lengths] - summed[starts]).view(np.int64))


def _compared(now: pa.Table, before: pa.Table) -> tuple[int, float | None, float | None]:
    """Users of whom both have a list, and of them: mean overlap, and share of unchanged lists."""
    users, items = (
        pc.unique(
            pa.concat_arrays(
                [chunk for table in (now, before) for chunk in table[name].chunks]
                or [pa.array([], pa.string())]
            )
        )
        for name in ("user_id", "item_id")
    )
    lengths, keys, ranked = [], [], []
    for table in (now, before):
        user, item = (
            pc.index_in(table[name], value_set=values).to_numpy().astype(np.int64)
            for name, values in (("user_id", users), ("item_id", items))
        )
        rank = table["rank"].to_numpy().astype(np.int64)
        lengths.append(np.bincount(user, minlength=len(users)))
        key = user * len(items) + item
        order = np.argsort(key)
        keys.append(key[order])
        ranked.append(rank[order])
    both = (lengths[0] > 0) & (lengths[1] > 0)
    if not both.any():
        return 0, None, None
    shared, own, other = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    user = shared // len(items)
    common = np.bincount(user, minlength=len(users))
    in_place = np.bincount(user[ranked[0][own] == ranked[1][other]], minlength=len(users))
    longer = np.maximum(*lengths)
    overlap = (common[both] / longer[both]).mean()
    return int(both.sum()), float(overlap), float((in_place[both] == longer[both]).mean())


def _items_of(manifest_uri: str) -> int | None:
    if not object_store.is_listed(manifest_uri):
        return None
    return Manifest.from_json(object_store.read_bytes(manifest_uri)).items


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _without(coverage: float, reason: str) -> Changes:
    return Changes(coverage=coverage, sentence=f"The lists name {coverage:.1%} of the items. {reason}")


def _sentence(found: Changes) -> str:
    if found.overlap is None or found.unchanged is None:
        return f"No user has a list of this run and of {found.before}, from which the champion serves."
    was = "" if found.coverage_before is None else f", the champion's named {found.coverage_before:.1%}"
    sample = " (a sample)" if found.sampled else ""
    return (
        f"{found.unchanged:.1%} of {found.users:,} users{sample} have the same list as from the champion; on "
        f"average {found.overlap:.1%} of a list stayed. The lists name {found.coverage:.1%} of the items{was}."
    )
