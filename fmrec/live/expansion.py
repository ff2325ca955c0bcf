"""What all items as negatives add to a user's objective, expanded about a typical user.

For a user's vector q = m + d, with m the vector of a typical user, the negatives' gradient ``c Σ p_i x_i`` is
its Taylor series about m, ``c (Σ p_i x_i + Σ W_i (x_i·d) x_i + ½ Σ W'_i (x_i·d)² x_i)`` with p, W = p (1 −
p) and W' = W (1 − 2 p) of m, which is exact over all items, plus the rest of the series, from a weighted
sample of items. The tensor Σ W'_i x_i x_i x_i gives the curvature along d as well. The sample is in two
halves, whose difference estimates by how much the sum is off (random groups: K. Wolter, *Introduction to
Variance Estimation*, 2007, chapter 2).

Users differ from each other less than from a user of score 0: what a model pushes down for nearly everybody,
the expansion about m has in its exact parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.live.sample import Floats, draw_sample, sigmoid
from fmrec.live.typical_user import TYPICAL_PICKS, Objective
from fmrec.live.unpicked_items import Catalogue

EXPANDED_SAMPLE = 3072
"""Items of the sample."""
MAXIMUM_OPERATIONS = 1 << 34
"""Of making the tensor: about a quarter of a second of one core, for 64,000 items of 64 factors."""
TENSOR_SHARE = 0.5
"""Largest size of the tensor next to the items' vectors: beyond, reading it saves nothing."""
ROWS = 4096
"""Items that are added to the tensor at a time."""


@dataclass(frozen=True)
class Expansion:
    """The part of the objective that is the same for all users: all items as negatives, and λ/2 |q|²."""

    centre: Floats
    """m, (k,)"""
    gradient: Floats
    """(k,) at m, with that of λ."""
    curvature: Floats
    """(k, k) at m, with λ."""
    inverse: Floats
    """(k, k) of that curvature."""
    tensor: Floats
    """(k (k + 1) / 2, k), half the third derivative, of each pair of factors once."""
    pairs: npt.NDArray[np.intp]
    """(k · k,) where in the tensor the pairs of all factors are."""
    sample: Floats
    """(2, h, k) half the vectors of the items of the two halves."""
    offsets: Floats
    """(2h,) half the sample's scores at m."""
    weights: Floats
    """(2h,) half of c times how many items each stands for, as p is ``(1 + tanh(s / 2)) / 2``."""
    series: tuple[Floats, Floats, Floats]
    """(2h,) each, the coefficients of ``tanh(s / 2)``, expanded about m, in powers of ``s / 2``."""
    objective: Objective

    @classmethod
    def pays(cls, catalogue: Catalogue) -> bool:
        """Whether it saves time to expand; smaller catalogues are cheap, larger ones are costly to expand."""
        count, width = catalogue.vectors.shape
        pairs = width * (width + 1) // 2
        return (
            not catalogue.sample.complete
            and pairs <= TENSOR_SHARE * count
            and 2 * count * pairs * width <= MAXIMUM_OPERATIONS
        )

    @classmethod
    def of(cls, catalogue: Catalogue, objective: Objective) -> Expansion:
        centre, c = catalogue.centre, objective.negative_weight
        scores, width = catalogue.scores(centre), len(centre)
        sample = draw_sample(catalogue.vectors, scores, catalogue.norms, EXPANDED_SAMPLE)
        halves = len(sample.scores) // 2
        order = np.concatenate([np.arange(0, 2 * halves, 2), np.arange(1, 2 * halves, 2)])
        weights, u = c * sample.weights[order], sample.scores[order].astype(np.float64) / 2
        t = np.tanh(u)
        slope, bend = 1 - t * t, -t * (1 - t * t)  # of tanh, and half its second derivative
        rows, columns = np.triu_indices(width)
        pairs = np.empty((width, width), np.intp)
        pairs[rows, columns] = pairs[columns, rows] = np.arange(len(rows))
        curvature = c * catalogue.curvature_at_centre
        curvature[np.diag_indices(width)] += objective.regularization
        return cls(
            centre=centre.astype(np.float32),
            gradient=(c * catalogue.gradient_at_centre + objective.regularization * centre).astype(
                np.float32
            ),
            curvature=curvature.astype(np.float32),
            inverse=np.linalg.inv(curvature).astype(np.float32),
            tensor=np.float32(c / 2) * _third_derivative(catalogue.vectors, scores),
            pairs=pairs.ravel(),
            sample=sample.vectors[order].reshape(2, halves, width) / 2,
            offsets=u.astype(np.float32),
            weights=weights.astype(np.float32),
            series=(
                (weights * (t - slope * u + bend * u * u)).astype(np.float32),
                (weights * (slope - 2 * bend * u)).astype(np.float32),
                (weights * bend).astype(np.float32),
            ),
            objective=objective,
        )

    def typical_distance(self) -> float:
        """About how far a user's vector is from the centre: as far as that many picks without anything in
        common lead.
        """
        led = self.sample.reshape(-1, len(self.centre)) @ self.inverse
        return float(np.median(np.linalg.norm(led, axis=1)) * 2 * np.sqrt(TYPICAL_PICKS))

    def terms(self, difference: Floats) -> tuple[Floats, Floats, Floats]:
        """Gradient (k,) and about the curvature (k, k) at ``centre + difference``; and by how much the
        gradient may be off, (k,): one draw of an error of that size.
        """
        width = len(difference)
        third = (self.tensor @ difference).take(self.pairs).reshape(width, width)
        curvature = self.curvature + third
        gradient = curvature @ difference
        gradient += self.gradient
        curvature += third
        halved = self.sample.reshape(-1, width) @ difference
        halved += self.offsets
        rest = np.tanh(halved)
        rest *= self.weights
        constant, linear, square = self.series
        taylor = halved * square
        taylor += linear
        taylor *= halved
        taylor += constant
        rest -= taylor
        half = len(rest) // 2
        one, other = rest[:half] @ self.sample[0], rest[half:] @ self.sample[1]
        gradient += one
        gradient += other
        return gradient, curvature, one - other


def _third_derivative(items: Floats, scores: Floats) -> Floats:
    """Return ``Σ W'_i x_ia x_ib x_i`` of each pair of factors a ≤ b, (pairs, k)."""
    width = items.shape[1]
    tensor = np.zeros((width * (width + 1) // 2, width), np.float32)
    for start in range(0, len(items), ROWS):
        vectors = np.ascontiguousarray(items[start : start + ROWS])
        p = sigmoid(scores[start : start + ROWS])
        weighted, factors = vectors * (p * (1 - p) * (1 - 2 * p))[:, None], np.ascontiguousarray(vectors.T)
        first = 0
        for factor in range(width):
            own = slice(first, first + width - factor)
            tensor[own] += (factors[factor:] * factors[factor]) @ weighted
            first = own.stop
    return tensor
