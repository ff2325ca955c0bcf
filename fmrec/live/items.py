"""All items of a model, as scores and similarities are made of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmrec.errors import InputError
from fmrec.live.sample import Floats
from fmrec.ranking.top_k import Top

ROWS = 1 << 15
"""Items whose lengths are computed at a time."""


class Items:
    """Item vectors and offsets.

    Parameters
    ----------
    vectors
        Float32 (n, k). They may be memory-mapped, and are not copied.
    offsets
        w_0 + the item's own weight, float32 (n,).

    Raises
    ------
    InputError
        Shapes that don't fit, or values that are not finite.
    """

    def __init__(self, vectors: npt.ArrayLike, offsets: npt.ArrayLike) -> None:
        self.vectors: Floats = np.asarray(vectors, np.float32)
        self.offsets: Floats = np.asarray(offsets, np.float32)
        if self.vectors.ndim != 2 or self.offsets.shape != self.vectors.shape[:1] or not self.vectors.size:
            raise InputError(
                f"items have the shape {self.vectors.shape} and offsets {self.offsets.shape}: expected (n, k) and (n,)"
            )
        self.norms = lengths(self.vectors)
        """(n,) Euclidean lengths of the vectors."""
        finite = np.isfinite(self.norms) & np.isfinite(self.offsets)
        if not finite.all():
            raise InputError(
                f"item {int(np.flatnonzero(~finite)[0])} has a vector or an offset that is not finite: "
                "training diverged"
            )

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def num_factors(self) -> int:
        return int(self.vectors.shape[1])

    def scores(self, vector: npt.ArrayLike, items: npt.NDArray[np.int64] | None = None) -> Floats:
        """Scores of some items, or of all, for a user's vector: float32."""
        chosen = slice(None) if items is None else items
        found: Floats = self.vectors[chosen] @ np.asarray(vector, np.float32)
        found += self.offsets[chosen]
        return found

    def cosines(self, ordinal: int, items: npt.ArrayLike | None = None) -> Floats:
        """Cosine between one item's vector and those of some items, or of all: float32; 0 for a
        zero vector.
        """
        chosen = slice(None) if items is None else np.asarray(items, np.int64)
        products = self.vectors[chosen] @ self.vectors[ordinal]
        both = self.norms[chosen] * self.norms[ordinal]
        return np.asarray(products / np.maximum(both, np.float32(1e-30)), np.float32)

    def best(self, scores: Floats, slack: Floats | None, count: int, vector: npt.ArrayLike) -> Top:
        """The items with the best scores for a user's vector, best first; equal scores are ordered by item.

        Parameters
        ----------
        scores
            (n,), -inf for items that the user is not to get.
        slack
            (n,) by how much each score may be off; None if they are exact.
        """
        count = min(count, int(np.count_nonzero(scores > -np.inf)))
        if not count:
            return Top(np.zeros(0, np.int64), np.zeros(0, np.float32))
        low = scores if slack is None else scores - slack
        bound = np.partition(low, len(low) - count)[len(low) - count]
        candidates = np.flatnonzero((scores if slack is None else scores + slack) >= bound)
        found = scores[candidates] if slack is None else self.scores(vector, candidates)
        order = np.lexsort((candidates, -found))[:count]
        return Top(candidates[order], found[order])


def lengths(vectors: Floats) -> Floats:
    """Euclidean lengths (n,) of vectors (n, k)."""
    found = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), ROWS):
        rows = slice(start, start + ROWS)
        found[rows] = np.sqrt(np.einsum("ij,ij->i", vectors[rows], vectors[rows]))
    return found
