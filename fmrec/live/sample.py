"""Items that stand for a whole catalogue, drawn once per model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

EVEN_SHARE = 0.5
"""Share of the sample that is drawn evenly; the rest in proportion to an item's curvature."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Array = TypeVar("Array", Floats, Doubles)


@dataclass(frozen=True)
class Sample:
    """Items that stand for all, with how many items each stands for."""

    vectors: Floats
    """(m, k)"""
    scores: Floats
    """(m,) scores of a user's vector that the sample is drawn for."""
    weights: Floats
    """(m,), 1 where an item only stands for itself."""
    probabilities: Floats
    """(m,) p at the vector that the sample is drawn for."""
    curvature: Floats
    """(m,) p (1 - p) there."""
    complete: bool
    """The sample is the catalogue: nothing is approximate."""

    @classmethod
    def of(cls, vectors: Floats, scores: Floats, weights: Floats, *, complete: bool) -> Sample:
        probabilities = sigmoid(scores)
        curvature = probabilities * (1 - probabilities)
        return cls(
            np.ascontiguousarray(vectors, np.float32), scores, weights, probabilities, curvature, complete
        )

    def every(self, stride: int) -> Sample:
        """A sample of this sample."""
        part = slice(stride // 2, None, stride)
        weights = self.weights[part] * np.float32(stride)
        return Sample.of(self.vectors[part], self.scores[part], weights, complete=False)


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x)), 0 where exp(-x) overflows."""
    found: Array = np.negative(values)
    with np.errstate(over="ignore"):
        np.exp(found, out=found)
    found += 1
    np.reciprocal(found, out=found)
    return found


def draw_sample(vectors: Floats, scores: Floats, norms: Floats, size: int) -> Sample:
    """Draw items systematically along their scores, so that popular and rare ones keep their shares.

    Parameters
    ----------
    vectors, norms
        (n, k), and their Euclidean lengths (n,).
    scores
        (n,) of the user's vector about which the sample is to be exact.
    size
        How many items are drawn; a catalogue that has no more is its own sample.
    """
    count = len(vectors)
    if count <= size:
        return Sample.of(vectors, scores, np.ones(count, np.float32), complete=True)
    probabilities = sigmoid(scores)
    importance = np.sqrt(probabilities * (1 - probabilities), dtype=np.float64) * norms + 1e-30
    chance = size * ((1 - EVEN_SHARE) * importance / importance.sum() + EVEN_SHARE / count)
    while (chance > 1).any():
        chance[chance > 1] = 1
        open_ = chance < 1
        chance[open_] *= (size - (~open_).sum()) / chance[open_].sum()
    # In 2^16 levels, which NumPy sorts several times as fast as floating-point numbers.
    low, high = float(scores.min()), float(scores.max())
    levels = ((scores - low) * (65535 / max(high - low, 1e-30))).astype(np.uint16)
    order = np.argsort(levels, kind="stable")
    cumulated = np.cumsum(chance[order])
    drawn = order[np.unique(np.searchsorted(cumulated, np.arange(0.5, cumulated[-1])))]
    weights = (1 / chance[drawn]).astype(np.float32)
    return Sample.of(vectors[drawn], scores[drawn], weights, complete=False)
