"""What users did, padded into rectangles so that many users are solved at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.live.sample import Doubles, Floats, sigmoid
from fmrec.live.unpicked_items import Catalogue

BLOCK_VALUES = 1 << 22
"""Values of history vectors held at once, 16 MiB."""
BLOCK_USERS = 128


@dataclass(frozen=True)
class Block:
    """Some users' histories; shorter ones are padded with items of weight 0."""

    users: npt.NDArray[np.int64]
    """(b,) whose they are."""
    weights: Floats
    """(b, m) a_i, how much each item counts as liked."""
    present: Floats
    """(b, m) 1, or 0 for padding."""
    vectors: Floats
    """(b, m, k)"""
    offsets: Floats
    """(b, m)"""

    def take(self, which: npt.NDArray[np.bool_]) -> Block:
        return Block(
            self.users[which],
            self.weights[which],
            self.present[which],
            self.vectors[which],
            self.offsets[which],
        )

    def terms(self, queries: Doubles, negative_weight: float, bounded: bool) -> tuple[Floats, Floats]:
        """Gradient (b, k) and curvature (b, k, k) of the histories' part of the objective.

        An item of the history counts as liked with its weight, and no longer as a negative. If
        ``bounded``, the curvature is the bound of all curvatures.
        """
        negative: Floats = self.present * np.float32(negative_weight)
        more: Floats = np.maximum(self.weights - negative, np.float32(0))
        scores = np.matmul(self.vectors, queries.astype(np.float32)[:, :, None])[:, :, 0]
        scores += self.offsets
        p = sigmoid(scores)
        curvature: Floats = more * np.float32(0.25) if bounded else more * p * (1 - p)
        pull = self.weights * (p - 1) - negative * p
        gradient: Floats = np.matmul(pull[:, None, :], self.vectors)[:, 0]
        return gradient, np.matmul((self.vectors * curvature[:, :, None]).transpose(0, 2, 1), self.vectors)


def one_history(
    ordinals: npt.ArrayLike, weights: npt.ArrayLike | None, items: int
) -> tuple[Interactions, Doubles]:
    """Check one user's history; an item that repeats counts once, with the sum of its weights.

    Raises
    ------
    InputError
        An ordinal is no item's, or weights don't fit or are negative or not finite.
    """
    found = np.asarray(ordinals)
    if found.size == 0:
        found = found.astype(np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputError(
            f"a history has the shape {found.shape} and type {found.dtype}: expected item ordinals as integers (m,)"
        )
    if found.size and (found.min() < 0 or found.max() >= items):
        wrong = int(found.min() if found.min() < 0 else found.max())
        raise InputError(f"a history names item {wrong}: expected ordinals from 0 below {items}")
    if weights is None and (found[1:] > found[:-1]).all():
        return Interactions(np.array([0, len(found)], np.int64), found.astype(np.int32)), np.ones(len(found))
    given = np.ones(len(found)) if weights is None else np.asarray(weights, np.float64)
    if given.shape != found.shape or not np.isfinite(given).all() or (given < 0).any():
        raise InputError(
            f"a history of {len(found)} items has weights of shape {given.shape}: expected one per item, "
            "finite and not below 0"
        )
    unique, where = np.unique(found, return_inverse=True)
    summed: Doubles = np.bincount(where, given, minlength=len(unique)).astype(np.float64)
    return Interactions(np.array([0, len(unique)], np.int64), unique.astype(np.int32)), summed


def blocks(
    catalogue: Catalogue, histories: Interactions, weights: npt.NDArray[np.float64] | None
) -> Iterator[Block]:
    """Cut users that have a history into blocks of about equal lengths, so that little is padding."""
    counts = histories.counts()
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    width = catalogue.vectors.shape[1]
    while len(order):
        # The longest histories first: a block is as wide as its longest.
        longest = int(counts[order[-1]])
        size = max(1, min(BLOCK_USERS, BLOCK_VALUES // (longest * width)))
        users, order = order[-size:], order[:-size]
        yield _block(catalogue, histories, weights, users)


def _block(
    catalogue: Catalogue,
    histories: Interactions,
    weights: npt.NDArray[np.float64] | None,
    users: npt.NDArray[np.int64],
) -> Block:
    counts = histories.counts()[users]
    within = np.arange(counts.max())
    present = within < counts[:, None]
    places = np.where(present, histories.indptr[users][:, None] + within, histories.indptr[users][:, None])
    items = histories.items[places]
    given = present if weights is None else weights[places] * present
    return Block(
        users,
        given.astype(np.float32),
        present.astype(np.float32),
        catalogue.vectors[items],
        catalogue.offsets[items],
    )
