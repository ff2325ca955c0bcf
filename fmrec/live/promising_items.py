"""Rank all items for one user exactly, reading the most promising ones first and as few as suffice.

For the vector m of a typical user and the items' mean e, a score is ``o_i + m·x_i + (q − m)·e + (q −
m)·(x_i − e)``, and by Cauchy and Schwarz the last part is at most ``|q − m| |x_i − e|`` (as in
`fmrec.ranking.pruning`, for many users). Items lie in memory by how high a user at a typical distance may
score them. The k-th best score of the first ones says how far to read on.

Vectors may be of several blocks, such as a machine's factors and co-occurrence's, of which users' are far
from typical and items' are long in different measures. Lengths are then of blocks each multiplied by a
number, and divided by it for users, which makes the bound at typical distances the sum of the blocks' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.live.items import Items, lengths
from fmrec.live.sample import Doubles, Floats
from fmrec.ranking.top_k import Top

MAXIMUM_BYTES = 32 << 20
"""Of item vectors that are copied into this order."""
FIRST = 1024
"""Items that are always read."""
BLOCK = 128
"""Items whose bounds are one."""
LOWEST = np.finfo(np.float32).min
Ordinals = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Some dimensions: where a typical user is, (k,), and how far others are from there."""

    centre: Doubles | Floats
    distance: float


class PromisingItems:
    """A copy of the items in order of promise.

    Parameters
    ----------
    items
        The items.
    blocks
        Their dimensions' parts, from the first.
    """

    def __init__(self, items: Items, blocks: Sequence[Block]) -> None:
        vectors = items.vectors
        self._mean: Floats = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._centre: Floats = np.concatenate([block.centre for block in blocks]).astype(np.float32)
        apart = vectors - self._mean
        scales = _scales(apart, blocks)
        self._scale: Floats = np.repeat(scales, [len(block.centre) for block in blocks]).astype(np.float32)
        """(k,) by which item vectors are multiplied, and users' divided, before they are measured."""
        apart *= self._scale
        far = lengths(apart)
        self._distance = float(np.linalg.norm([block.distance for block in blocks] / scales))
        promise = items.scores(self._centre) + np.float32(self._distance) * far
        self.order: Ordinals = np.argsort(-promise, kind="stable")
        """(n,) the items, most promising first."""
        self._places = np.empty(len(vectors), np.int64)
        self._places[self.order] = np.arange(len(vectors))
        self._vectors: Floats = vectors[self.order]
        self._offsets: Floats = items.offsets[self.order]
        starts = np.arange(0, len(vectors), BLOCK)
        self._promise: Floats = promise[self.order[starts]]
        self._shortest: Floats = np.minimum.reduceat(far[self.order], starts)
        self._longest: Floats = np.maximum.reduceat(far[self.order], starts)
        rounding = 2 * (vectors.shape[1] + 8) * float(np.finfo(np.float32).eps)
        longest = max(float(items.norms.max()), float(far.max()))
        self._margin = rounding * longest, rounding * float(np.abs(promise).max())

    @classmethod
    def pays(cls, items: Items) -> bool:
        """Whether the copy is small enough."""
        return 4 * items.vectors.size <= MAXIMUM_BYTES

    def top(
        self, query: Floats, count: int, hidden: Ordinals, excluded: npt.NDArray[np.bool_] | None = None
    ) -> Top:
        """The best items for a user's vector (k,), best first; equal scores are ordered by item.

        Parameters
        ----------
        hidden
            Ordinals that the user is not to get.
        excluded
            (n,) True for items that nobody is to get.
        """
        left_out = self._places[hidden]
        if excluded is not None:
            left_out = np.concatenate([left_out, self._places[np.flatnonzero(excluded)]])
        scores = np.empty(len(self.order), np.float32)
        read = min(max(FIRST, 4 * count), len(scores))
        self._score(query, slice(0, read), scores, left_out)
        kth = _kth(scores[:read], count)
        needed = self.needed(query, kth)
        if needed > read:
            self._score(query, slice(read, needed), scores, left_out)
            read = needed
        found = np.flatnonzero(scores[:read] >= kth)
        if len(found) > 8 * count:
            found = found[scores[found] >= _kth(scores[found], count)]
        items, own = self.order[found], scores[found]
        best = np.lexsort((items, -own))[:count]
        return Top(items[best], own[best])

    def needed(self, query: Floats, score: np.float32) -> int:
        """How many items, from the first, to read for all that may reach a score."""
        difference = query - self._centre
        measured = difference / self._scale
        distance = float(np.sqrt(measured @ measured))
        by_length, by_height = self._margin
        slack = by_length * (distance + self._distance + float(np.sqrt(query @ query))) + by_height
        # What a block's items may reach by the order's distance, and by this user's being another.
        further = np.float32(distance * (1 + 1e-5) - self._distance)
        reach = (self._longest if further > 0 else self._shortest) * further
        reach += self._promise
        blocks = np.flatnonzero(reach >= float(score) - float(difference @ self._mean) - slack)
        return min((int(blocks[-1]) + 1) * BLOCK, len(self.order)) if len(blocks) else 0

    def _score(self, query: Floats, part: slice, scores: Floats, left_out: Ordinals) -> None:
        own = scores[part]
        np.matmul(self._vectors[part], query, out=own)
        own += self._offsets[part]
        scores[left_out] = -np.inf


def _scales(apart: Floats, blocks: Sequence[Block]) -> Doubles:
    """By what to multiply each block's dimensions of the items, (blocks,): 1 in the first one."""
    ratios, start = [], 0
    for block in blocks:
        own = apart[:, start : start + len(block.centre)]
        length = float(np.sqrt(np.einsum("ij,ij->", own, own) / len(own)))
        ratios.append(np.sqrt(max(block.distance, 1e-30) / max(length, 1e-30)))
        start += len(block.centre)
    return np.divide(ratios, ratios[0])


def _kth(scores: Floats, count: int) -> np.float32:
    """The count-th best score, or a very low one where there are fewer."""
    if len(scores) < count:
        return LOWEST
    ordered = scores.copy()
    ordered.partition(len(scores) - count)
    return max(LOWEST, ordered[len(scores) - count])
