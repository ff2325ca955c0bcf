"""The whole catalogue as weak negatives: their sum, its gradient and curvature, at bounded cost.

For a user's vector q and items (x_i, o_i) the negatives of all items are ``N(q) = c Σ log(1 + exp(q·x_i +
o_i))``. Its gradient is one pass over the item vectors. Its curvature would cost k times as much, so it is
computed on a weighted sample of items that is drawn once per model, as what differs from the exact curvature
at q = 0 (a control variate): ``A + c Σ_S ω_i (W_i(q) − W_i(0)) x_i x_iᵀ``, W = p (1 − p). The same sample
gives an approximate gradient that is exact at q = 0, from which a search starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fmrec.errors import InputError

SAMPLE_ITEMS, SAMPLE_SHARE = 4096, 64
"""Minimum size of the sample, and of how many items one is in it. With 27,000 items of 64 factors the vector
found on the sample alone is 4 % from the optimum."""
CURVATURE_EVERY = 4
"""Of the sample, every so many items stand for the curvature, which needs less precision than a gradient."""
PASS_VALUES = 1 << 19
"""Scores of several users held at once during a pass, 2 MiB."""
PASS_ROWS = 1 << 15
"""Items of one step of a pass: their vectors, 8 MiB of 64 factors, stay in the processor's cache."""
EVEN_SHARE = 0.5
"""Share of the sample that is drawn evenly; the rest in proportion to an item's curvature at q = 0."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Array = TypeVar("Array", Floats, Doubles)


@dataclass(frozen=True)
class Sample:
    """Items that stand for all, with how many items each stands for."""

    vectors: Floats
    """(m, k)"""
    offsets: Floats
    """(m,)"""
    weights: Floats
    """(m,), 1 where an item only stands for itself."""
    probabilities: Floats
    """(m,) p at q = 0."""
    curvature: Floats
    """(m,) p (1 - p) at q = 0."""
    complete: bool
    """The sample is the catalogue: nothing is approximate."""

    @classmethod
    def of(
        cls, vectors: Floats, offsets: Floats, weights: Floats, probabilities: Floats, *, complete: bool
    ) -> Sample:
        curvature = probabilities * (1 - probabilities)
        return cls(
            np.ascontiguousarray(vectors, np.float32), offsets, weights, probabilities, curvature, complete
        )

    def every(self, stride: int) -> Sample:
        """A sample of this sample."""
        part = slice(stride // 2, None, stride)
        weights = self.weights[part] * np.float32(stride)
        return Sample.of(
            self.vectors[part], self.offsets[part], weights, self.probabilities[part], complete=False
        )


class Catalogue:
    """Item vectors and offsets, and what is computed from them once.

    Parameters
    ----------
    vectors
        x, (n, k) float32. May be memory-mapped, and a view of a wider matrix; it is not copied.
    offsets
        o, (n,) float32.
    sample_items
        Size of the sample; a catalogue that is not larger is used as a whole. By default one in
        `SAMPLE_SHARE` items, `SAMPLE_ITEMS` at least.
    """

    def __init__(self, vectors: Floats, offsets: Floats, sample_items: int | None = None) -> None:
        if vectors.ndim != 2 or offsets.shape != vectors.shape[:1] or not vectors.size:
            raise InputError(
                f"items have the shape {vectors.shape} and offsets {offsets.shape}: expected (n, k) and (n,)"
            )
        self.vectors = vectors
        self.offsets = offsets
        self.norms = np.empty(len(vectors), np.float32)
        """(n,) Euclidean lengths of the vectors."""
        width = vectors.shape[1]
        self.gradient_at_zero: Doubles = np.zeros(width)
        self.curvature_at_zero: Doubles = np.zeros((width, width))
        probabilities = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), PASS_ROWS):
            rows = slice(start, start + PASS_ROWS)
            chunk = np.array(vectors[rows], order="C")
            p = sigmoid(offsets[rows])
            probabilities[rows] = p
            self.norms[rows] = np.sqrt(np.einsum("ij,ij->i", chunk, chunk))
            self.gradient_at_zero += p @ chunk
            chunk *= np.sqrt(p * (1 - p))[:, None]
            self.curvature_at_zero += chunk.T @ chunk  # a product with itself costs BLAS half of another
        finite = np.isfinite(self.norms) & np.isfinite(offsets)
        if not finite.all():
            raise InputError(
                f"item {int(np.flatnonzero(~finite)[0])} has a vector or an offset that is not finite: "
                "training diverged"
            )
        size = sample_items or max(SAMPLE_ITEMS, len(vectors) // SAMPLE_SHARE)
        self.sample = _draw_sample(vectors, offsets, probabilities, self.norms, size)
        self.curvature_sample = self.sample if self.sample.complete else self.sample.every(CURVATURE_EVERY)

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def curvature_bound(self) -> Doubles:
        """``¼ Σ x xᵀ``, above every curvature (Böhning and Lindsay, "Monotonicity of quadratic-approximation
        algorithms", Annals of the Institute of Statistical Mathematics 40, 1988). Few users ever need it.
        """
        bound: Doubles = np.zeros(self.curvature_at_zero.shape)
        for start in range(0, len(self), PASS_ROWS):
            chunk = self.vectors[start : start + PASS_ROWS]
            bound += chunk.T @ chunk / 4
        return bound

    def gradients(self, queries: Doubles) -> tuple[Doubles, Floats | None]:
        """Return ``Σ_i p_i x_i`` of each query (users, k), from one pass over the items.

        Of a single query the scores (n,) are returned as well: they cost nothing more.
        """
        if len(queries) == 1:
            return self._gradient(queries[0].astype(np.float32))
        q = np.ascontiguousarray(queries.T, np.float32)
        gradients = np.zeros(queries.shape)
        step = max(256, min(PASS_ROWS, PASS_VALUES // q.shape[1]))
        for start in range(0, len(self), step):
            chunk = self.vectors[start : start + step]
            p = chunk @ q
            p += self.offsets[start : start + step, None]
            gradients += sigmoid(p).T @ chunk
        return gradients, None

    def _gradient(self, query: Floats) -> tuple[Doubles, Floats]:
        scores = np.empty(len(self), np.float32)
        gradient = np.zeros((1, len(query)))
        for start in range(0, len(self), PASS_ROWS):
            rows = slice(start, start + PASS_ROWS)
            chunk = self.vectors[rows]
            s = np.matmul(chunk, query, out=scores[rows])
            s += self.offsets[rows]
            gradient[0] += sigmoid(s) @ chunk
        return gradient, scores

    def sampled_gradients(self, queries: Doubles) -> Doubles:
        """Return about ``Σ_i p_i x_i`` of each query (users, k), exact at 0 or if the sample is complete."""
        sample = self.sample
        products = queries.astype(np.float32) @ sample.vectors.T
        p = sigmoid(products + sample.offsets)
        p -= sample.probabilities
        products *= sample.curvature
        p -= products
        p *= sample.weights
        return self.gradient_at_zero + queries @ self.curvature_at_zero + p @ sample.vectors

    def sampled_curvatures(self, queries: Doubles) -> Doubles:
        """Return about ``Σ_i p_i (1 − p_i) x_i x_iᵀ`` of each query, (users, k, k)."""
        sample = self.curvature_sample
        p = sigmoid(queries.astype(np.float32) @ sample.vectors.T + sample.offsets)
        change = p * (1 - p)
        change -= sample.curvature
        change *= sample.weights
        found = np.empty((len(queries), *self.curvature_at_zero.shape))
        for number, weights in enumerate(change):
            moved = sample.vectors.T @ (sample.vectors * weights[:, None])
            np.add(self.curvature_at_zero, moved, out=found[number])
        return found

    def scores(self, query: Doubles) -> Floats:
        """Return ``q·x_i + o_i`` of all items, (n,) float32."""
        return np.asarray(self.vectors @ query.astype(np.float32) + self.offsets, np.float32)


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x)), 0 where exp(-x) overflows."""
    found: Array = np.negative(values)
    with np.errstate(over="ignore"):
        np.exp(found, out=found)
    found += 1
    np.reciprocal(found, out=found)
    return found


def _draw_sample(vectors: Floats, offsets: Floats, probabilities: Floats, norms: Floats, size: int) -> Sample:
    """Draw items systematically along their offsets, so that popular and rare ones keep their shares."""
    count = len(vectors)
    if count <= size:
        return Sample.of(vectors, offsets, np.ones(count, np.float32), probabilities, complete=True)
    importance = np.sqrt(probabilities * (1 - probabilities), dtype=np.float64) * norms + 1e-30
    chance = size * ((1 - EVEN_SHARE) * importance / importance.sum() + EVEN_SHARE / count)
    while (chance > 1).any():
        chance[chance > 1] = 1
        open_ = chance < 1
        chance[open_] *= (size - (~open_).sum()) / chance[open_].sum()
    # In 2^16 levels, which NumPy sorts several times as fast as floating-point numbers.
    low, high = float(offsets.min()), float(offsets.max())
    levels = ((offsets - low) * (65535 / max(high - low, 1e-30))).astype(np.uint16)
    order = np.argsort(levels, kind="stable")
    cumulated = np.cumsum(chance[order])
    drawn = order[np.unique(np.searchsorted(cumulated, np.arange(0.5, cumulated[-1])))]
    weights = (1 / chance[drawn]).astype(np.float32)
    return Sample.of(vectors[drawn], offsets[drawn], weights, probabilities[drawn], complete=False)
