"""The whole catalogue as weak negatives: their sum, its gradient and curvature, at bounded cost.

For a user's vector q and items (x_i, o_i) the negatives of all items are ``N(q) = c Σ log(1 + exp(q·x_i +
o_i))``. Its gradient is one pass over the item vectors. Its curvature would cost k times as much, so it is
computed on a weighted sample of items that is drawn once per model, as what differs from the exact curvature
at the vector m of a typical user (a control variate): ``A + c Σ_S ω_i (W_i(q) − W_i(m)) x_i x_iᵀ``, W = p (1
− p). The same sample gives an approximate gradient that is exact at m, from which a search starts.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from fmrec.live.items import Items
from fmrec.live.sample import Doubles, Floats, draw_sample, sigmoid
from fmrec.live.typical_user import Objective, typical_vector

SAMPLE_ITEMS, SAMPLE_SHARE = 4096, 64
"""Minimum size of the sample, and of how many items one is in it. With 27,000 items of 64 factors the vector
found on the sample alone is 4 % from the optimum."""
CURVATURE_EVERY = 4
"""Of the sample, every so many items stand for the curvature, which needs less precision than a gradient."""
PASS_VALUES = 1 << 19
"""Scores of several users held at once during a pass, 2 MiB."""
PASS_ROWS = 1 << 15
"""Items of one step of a pass: their vectors, 8 MiB of 64 factors, stay in the processor's cache."""


class Catalogue(Items):
    """Item vectors and offsets, and what is computed from them once.

    Parameters
    ----------
    vectors
        x, (n, k) float32. May be memory-mapped, and a view of a wider matrix; it is not copied.
    offsets
        o, (n,) float32.
    objective
        Of the typical user about whom the catalogue is expanded; any other may be searched with.
    sample_items
        Size of the sample; a catalogue that is not larger is used as a whole. By default one in
        `SAMPLE_SHARE` items, `SAMPLE_ITEMS` at least.
    """

    def __init__(
        self, vectors: Floats, offsets: Floats, objective: Objective, sample_items: int | None = None
    ) -> None:
        super().__init__(vectors, offsets)
        size = sample_items or max(SAMPLE_ITEMS, len(vectors) // SAMPLE_SHARE)
        self.centre: Doubles = typical_vector(draw_sample(vectors, offsets, self.norms, size), objective)
        """(k,) m, the vector of a typical user."""
        width = vectors.shape[1]
        self.gradient_at_centre: Doubles = np.zeros(width)
        self.curvature_at_centre: Doubles = np.zeros((width, width))
        scores, centre = np.empty(len(vectors), np.float32), self.centre.astype(np.float32)
        for start in range(0, len(vectors), PASS_ROWS):
            rows = slice(start, start + PASS_ROWS)
            chunk = np.array(vectors[rows], order="C")
            scores[rows] = chunk @ centre + offsets[rows]
            p = sigmoid(scores[rows])
            self.gradient_at_centre += p @ chunk
            chunk *= np.sqrt(p * (1 - p))[:, None]
            self.curvature_at_centre += chunk.T @ chunk  # a product with itself costs BLAS half of another
        self.sample = draw_sample(vectors, scores, self.norms, size)
        self.curvature_sample = self.sample if self.sample.complete else self.sample.every(CURVATURE_EVERY)

    @cached_property
    def _control(self) -> Floats:
        """(m,) of the curvature's sample: a product with other p (1 - p) is the share of the curvature at the
        centre that is their best control variate, by least squares over ``ω p (1 - p) |x|²``.
        """
        sample = self.curvature_sample
        if sample.complete:
            return np.zeros_like(sample.weights)
        lengths = np.einsum("ij,ij->i", sample.vectors, sample.vectors)
        found = sample.curvature * (sample.weights * lengths) ** 2
        return np.asarray(found / max(float(found @ sample.curvature), 1e-30), np.float32)

    @cached_property
    def curvature_bound(self) -> Doubles:
        """``¼ Σ x xᵀ``, above every curvature (Böhning and Lindsay, "Monotonicity of quadratic-approximation
        algorithms", Annals of the Institute of Statistical Mathematics 40, 1988). Few users ever need it.
        """
        bound: Doubles = np.zeros(self.curvature_at_centre.shape)
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
        """Return about ``Σ_i p_i x_i`` of each query (users, k), exact at the centre or if the sample is
        complete.
        """
        sample, differences = self.sample, queries - self.centre
        products = differences.astype(np.float32) @ sample.vectors.T
        p = sigmoid(products + sample.scores)
        p -= sample.probabilities
        products *= sample.curvature
        p -= products
        p *= sample.weights
        return self.gradient_at_centre + differences @ self.curvature_at_centre + p @ sample.vectors

    def sampled_curvatures(self, queries: Doubles) -> Doubles:
        """Return about ``Σ_i p_i (1 − p_i) x_i x_iᵀ`` of each query, (users, k, k)."""
        sample = self.curvature_sample
        p = sigmoid((queries - self.centre).astype(np.float32) @ sample.vectors.T + sample.scores)
        change = p * (1 - p)
        shares = change @ self._control
        change -= shares[:, None] * sample.curvature
        change *= sample.weights
        found = np.empty((len(queries), *self.curvature_at_centre.shape))
        if sample.complete:  # no share of the centre's, and so no negative weights
            for number, roots in enumerate(np.sqrt(change)):
                weighted = sample.vectors * roots[:, None]
                found[number] = weighted.T @ weighted  # half of another product's cost
            return found
        for number, weights in enumerate(change):
            moved = sample.vectors.T @ (sample.vectors * weights[:, None])
            np.add(shares[number] * self.curvature_at_centre, moved, out=found[number])
        return found
