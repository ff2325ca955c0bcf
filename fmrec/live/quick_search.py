"""Find one user's vector without a pass over the items, or with one, where an expansion knows what they add.

Newton's method, as in `solver`: the first step starts at the typical user's vector, the others know from
`Expansion` what the unpicked items add. Steps are found by conjugate gradients, preconditioned by the typical
user's curvature: from that a history differs in few directions. If what the expansion's sample may be off by
moves the vector, an exact gradient from a pass over the items corrects it.
"""

from __future__ import annotations

import numpy as np

from fmrec.live.expansion import Expansion
from fmrec.live.sample import Floats
from fmrec.live.unpicked_items import Catalogue

MAXIMUM_STEPS = 4
SMALL_STEP = 0.15
"""A search ends with a step of so small a share of its vector: Newton's method about squares the error."""
FIRST_CURVATURE = np.float32(0.7)
"""Share of the bound of the history's curvature that the first step reckons with: with this share most users
need one further step only.
"""
MAXIMUM_ERROR = 0.03
"""Share of its length that a vector may be off by, as the sample's halves say, if no pass corrects it."""
STEP_ERROR = 0.03
"""How exactly a step is found, in the norm of the preconditioner."""
MAXIMUM_ITERATIONS = 32
ZERO, QUARTER, HALF, ONE = (np.float32(value) for value in (0, 0.25, 0.5, 1))


def quick_vector(
    catalogue: Catalogue, expansion: Expansion, vectors: Floats, offsets: Floats, weights: Floats
) -> Floats | None:
    """Return one user's vector (k,), or None where Newton's method doesn't get near the optimum in few steps.

    Parameters
    ----------
    vectors, offsets, weights
        Of the history's items, (m, k) and (m,) float32, each item once.
    """
    history = _History(expansion, vectors, offsets, weights)
    centre = expansion.centre
    t = np.tanh(history.halved)
    gradient = expansion.gradient + history.gradient(t)
    # Picks are improbable at the centre: their curvature there would lead too far, its bound not far enough.
    step = _step(expansion, expansion.curvature, vectors, history.curved * FIRST_CURVATURE, gradient)
    if step is None:
        return None
    difference: Floats = -step
    for _ in range(MAXIMUM_STEPS):
        t = history.at(difference)
        gradient, curvature, error = expansion.terms(difference)
        gradient += history.gradient(t)
        step = _step(expansion, curvature, vectors, history.curvature(t), gradient)
        if step is None or step @ step > difference @ difference:
            return None  # so far from the centre that a series about it is of no use
        difference = difference - step
        vector: Floats = centre + difference
        length = vector @ vector
        if step @ step <= SMALL_STEP**2 * length:
            moved = expansion.inverse @ error
            if moved @ moved <= MAXIMUM_ERROR**2 * length:
                return vector
            break
    else:
        return None
    t, objective = history.at(difference), expansion.objective
    exact = objective.negative_weight * catalogue.gradients(vector[None].astype(np.float64))[0][0]
    exact += objective.regularization * vector
    gradient = history.gradient(t) + exact.astype(np.float32)
    step = _step(expansion, curvature, vectors, history.curvature(t), gradient)
    return None if step is None or step @ step > SMALL_STEP**2 * length else vector - step


class _History:
    """What the history adds to the objective. ``t`` is tanh(s / 2) of its items' scores s: a probability is
    (1 + t) / 2, and p (1 - p) is (1 - t²) / 4.
    """

    def __init__(self, expansion: Expansion, vectors: Floats, offsets: Floats, weights: Floats) -> None:
        self.vectors = vectors
        self.halved: Floats = vectors @ expansion.centre
        """(m,) half the scores at the centre."""
        self.halved += offsets
        self.halved *= HALF
        # An item of the history counts as liked with its weight, and no longer as a negative.
        liked: Floats = weights - np.float32(expansion.objective.negative_weight)
        self.curved: Floats = np.maximum(liked, ZERO)
        """(m,) the bound of an item's curvature."""
        self.curved *= QUARTER
        liked *= HALF
        self._liked, self._pull = liked, liked - weights

    def at(self, difference: Floats) -> Floats:
        t: Floats = self.vectors @ (difference * HALF)
        t += self.halved
        np.tanh(t, out=t)
        return t

    def gradient(self, t: Floats) -> Floats:
        found: Floats = (t * self._liked + self._pull) @ self.vectors
        return found

    def curvature(self, t: Floats) -> Floats:
        """The weights (m,) with which the curvature sums up ``x xᵀ``."""
        found: Floats = ONE - t * t
        found *= self.curved
        return found


def _step(
    expansion: Expansion, curvature: Floats, vectors: Floats, weights: Floats, gradient: Floats
) -> Floats | None:
    """Solve ``(curvature + Σ w x xᵀ) step = gradient``; None if that matrix is seen not to be positive
    definite.
    """
    residual = gradient
    towards = direction = expansion.inverse @ residual
    size = first = residual @ towards
    step: Floats | None = None
    for _ in range(MAXIMUM_ITERATIONS):
        product = (vectors @ direction) * weights @ vectors
        product += curvature @ direction
        curved = direction @ product
        if not curved > 0:
            return None
        length = size / curved
        step = length * direction if step is None else step + length * direction
        residual = residual - length * product
        towards = expansion.inverse @ residual
        before, size = size, residual @ towards
        if size <= STEP_ERROR**2 * first:
            break
        direction = towards + (size / before) * direction
    return step
