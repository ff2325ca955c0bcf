"""One encoded run's files as arrays: names, what users interacted with, what was held out for judging.

Places and forms are in docs/contracts.md. Users and items are ordinals, counted from their first column;
what is about users comes by range, so that memory follows the range.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from fmrec.artifacts import layout
from fmrec.artifacts.feature_index import FeatureIndex
from fmrec.artifacts.interactions import Interactions, from_pairs
from fmrec.artifacts.manifest import Manifest
from fmrec.artifacts.sorted_parquet import SortedParquet
from fmrec.dataset.hashing import left_out
from fmrec.errors import FormatError
from fmrec.storage import object_store

Ordinals = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EncodedRun:
    """A run that the encoding job has finished. Its files are opened when first asked for."""

    manifest: Manifest
    manifest_uri: str

    @property
    def binary(self) -> bool:
        """Whether labels are 0/1, so that a score is a probability."""
        return self.manifest.train.positive_share is not None

    @functools.cached_property
    def feature_index(self) -> FeatureIndex:
        return FeatureIndex(self._encoded(layout.FEATURE_INDEX))

    @functools.cached_property
    def _seen(self) -> SortedParquet:
        return SortedParquet(self._encoded(layout.SEEN), "user_column", ["item_column"])

    def seen(self, first_user: int, end_user: int) -> Interactions:
        """What the users ``[first_user, end_user)`` interacted with in training."""
        users, items, _ = self._read(self._seen, first_user, end_user, relevance=False)
        return from_pairs(users, items, end_user - first_user)

    def liked(self, first_user: int, end_user: int) -> Interactions:
        """What the users ``[first_user, end_user)`` interacted with in training and liked."""
        users, items, liked = self._read(self._seen, first_user, end_user)
        return from_pairs(users[liked], items[liked], end_user - first_user)

    def seen_and_liked(self, first_user: int, end_user: int) -> tuple[Interactions, Interactions]:
        """`seen` and `liked` in one pass over the files."""
        users, items, liked = self._read(self._seen, first_user, end_user)
        count = end_user - first_user
        return from_pairs(users, items, count), from_pairs(users[liked], items[liked], count)

    def left_out(self, first_user: int, end_user: int) -> npt.NDArray[np.int64]:
        """Which of the users ``[first_user, end_user)`` were left out of training: ordinals, ascending.

        `seen` and `liked` hold what they interacted with all the same, but for what is held out.
        """
        share = self.manifest.left_out_share
        if not share:
            return np.zeros(0, np.int64)
        users = np.arange(first_user, end_user)
        seed = int(self.manifest.dataset["label"].get("seed") or 0)
        return users[left_out(users + self.manifest.ranges["user"][0], share, seed)]

    @functools.cached_property
    def _heldout(self) -> SortedParquet:
        return SortedParquet(self._encoded(layout.HELDOUT), "user_column", ["item_column", "relevant"])

    def relevant(self, first_user: int, end_user: int) -> Interactions:
        """The held-out items that the users ``[first_user, end_user)`` liked."""
        users, items, liked = self._read(self._heldout, first_user, end_user)
        return from_pairs(users[liked], items[liked], end_user - first_user)

    def _read(
        self, files: SortedParquet, first_user: int, end_user: int, *, relevance: bool = True
    ) -> tuple[Ordinals, Ordinals, npt.NDArray[np.bool_]]:
        """The rows' users, counted from the first one, and items; with ``relevance`` which were liked."""
        if relevance and "relevant" not in files.schema.names:
            raise FormatError(
                f"{files.folder_uri} doesn't say who liked what: it has no column 'relevant'; encode the data again"
            )
        column = self.manifest.ranges["user"][0]
        columns = ["user_column", "item_column", *(["relevant"] if relevance else [])]
        users, items = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        liked = [np.zeros(0, np.bool_)]
        for _, rows in files.batches(column + first_user, column + end_user, columns):
            users.append(rows.column("user_column").to_numpy() - column - first_user)
            items.append(rows.column("item_column").to_numpy() - self.manifest.first_item_column)
            if relevance:
                known = pc.fill_null(rows.column("relevant"), False)
                liked.append(known.to_numpy(zero_copy_only=False))
        found = np.concatenate(items)
        if int(found.max(initial=0)) >= self.manifest.items:
            raise FormatError(
                f"{files.folder_uri} names an item column outside {self.manifest.ranges['item']}"
            )
        return np.concatenate(users), found, np.concatenate(liked)

    def _encoded(self, key: str) -> str:
        return object_store.join(folder_of(self.manifest_uri), key)


def open_encoded(manifest_uri: str) -> EncodedRun:
    """Read manifest.json.

    Raises
    ------
    InputError
        There is none.
    FormatError
        It is not what docs/contracts.md says.
    """
    return EncodedRun(Manifest.from_json(object_store.read_bytes(manifest_uri)), manifest_uri)


def folder_of(uri: str) -> str:
    """The URI without its last part."""
    return uri.rsplit("/", 1)[0]
