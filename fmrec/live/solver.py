"""Find the minimum of each user's convex problem by Newton's method, many users at a time.

The first step starts at a typical user's vector, where everything about the catalogue is known
beforehand; the second knows the catalogue by its sample. From then on gradients are exact, each from a
pass over the catalogue, with the sample's curvature. The sample also knows how the gradient differs at
a step's two ends: added to the exact gradient (as in R. Johnson and T. Zhang, "Accelerating stochastic
gradient descent using predictive variance reduction", NIPS 2013), that corrects the step without
another pass and says how far off its end was. A search ends when what is left is small. A catalogue
that is its own sample needs no passes: each step has the exact gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.live.histories import Block
from fmrec.live.sample import Doubles, Floats
from fmrec.live.typical_user import Objective
from fmrec.live.unpicked_items import Catalogue

MAXIMUM_STEPS = 100
SMALL_STEP = 0.2
"""After a step that is longer against its vector than that, the curvature is computed again."""
LAST_STEP = 10
"""A search that passes over the items doesn't end with a step of more than so many tolerances."""
QUADRATIC_TOLERANCE = 0.01
"""Enough for Newton steps with exact gradients: each leaves a small share of its length as the error."""
STEEP = 0.5
"""A step goes too far if the objective rises at its end more than so many times as steeply as it fell."""


@dataclass(frozen=True)
class LastPass:
    """The scores (n,) of a single user in the last pass, and the vector (k,) that they belong to."""

    scores: Floats
    vector: Doubles


def solve(
    catalogue: Catalogue, objective: Objective, block: Block, tolerance: float
) -> tuple[Doubles, LastPass | None]:
    """Return the vectors (b, k), and a single user's last pass, if there was one."""
    search = _Search(catalogue, objective, block)
    search.run(min(tolerance, QUADRATIC_TOLERANCE) if catalogue.sample.complete else tolerance)
    return search.vectors, search.last


class _Search:
    """Newton steps for a block of users; each user stops by itself."""

    def __init__(self, catalogue: Catalogue, objective: Objective, block: Block) -> None:
        self.catalogue = catalogue
        self.objective = objective
        self.block = block
        self.vectors: Doubles = np.tile(catalogue.centre, (len(block.users), 1))
        self.last: LastPass | None = None

    def run(self, tolerance: float) -> None:
        open_, block, complete = np.arange(len(self.vectors)), self.block, self.catalogue.sample.complete
        # Picks are improbable at the centre, and their curvature there would lead much too far.
        gradient, curvature = self._terms(
            block,
            self.vectors,
            self.catalogue.curvature_at_centre[None],
            self.catalogue.gradient_at_centre,
            bounded=True,
        )
        step = _newton_step(gradient, curvature, self._bound)
        slope = _products(gradient, step)
        self.vectors -= step
        curvatures = self.catalogue.sampled_curvatures(self.vectors)
        for turn in range(MAXIMUM_STEPS):
            queries = self.vectors[open_]
            of_catalogue = self._catalogue_gradients(queries, turn)
            gradient, curvature = self._terms(block, queries, curvatures, of_catalogue)
            new = _newton_step(gradient, curvature, self._bound)
            new_slope = _products(gradient, new)
            rise = -_products(gradient, step)
            back = rise > STEEP * slope
            if back.any():
                _go_back(rise, slope, step, new, new_slope)
            step, slope = new, new_slope
            error = _lengths(step)
            if turn and not complete:
                error /= 2  # or less, where the sample's curvature serves
                further = error > tolerance * _lengths(queries - step)
                if further.any():
                    error[further] = self._correct(block, queries, of_catalogue, curvature, step, further)
                    slope = _products(gradient, step)
            queries -= step
            self.vectors[open_] = queries
            length = np.maximum(_lengths(queries), 1e-15)
            size, error = _lengths(step) / length, np.where(back & (not complete), np.inf, error / length)
            # The sample's optimum is some per cent away from the catalogue's.
            moving = (
                error > tolerance
                if complete
                else (error > tolerance) | (size > LAST_STEP * tolerance) | (turn == 0)
            )
            if not moving.any():
                return
            if not moving.all():
                open_, block, curvatures = open_[moving], block.take(moving), curvatures[moving]
                step, slope, queries = step[moving], slope[moving], queries[moving]
                size, error = size[moving], error[moving]
            far = np.maximum(size, error) > SMALL_STEP
            if far.any():
                curvatures[far] = self.catalogue.sampled_curvatures(queries[far])

    def _correct(
        self,
        block: Block,
        queries: Doubles,
        of_catalogue: Doubles,
        curvature: Doubles,
        step: Doubles,
        which: npt.NDArray[np.bool_],
    ) -> Doubles:
        """Add to some users' steps what the gradient at their ends is known to be without another pass: the
        last exact gradient, and the sample's difference. Return about how far from the optimum they end then.
        """
        start, taken = queries[which], step[which]
        end = start - taken
        sampled = self.catalogue.sampled_gradients
        predicted = of_catalogue[which] + sampled(end) - sampled(start)
        gradient = self._gradient(block.take(which), end, predicted)
        further = np.asarray(np.linalg.solve(curvature[which], gradient[:, :, None])[:, :, 0], np.float64)
        share = _lengths(further) / np.maximum(_lengths(taken), 1e-30)
        good = share < 1
        step[which] += np.where(good[:, None], further, 0)
        return np.where(good, _lengths(further) * share / np.maximum(1 - share, 1e-30), np.inf)

    def _gradient(self, block: Block, queries: Doubles, of_catalogue: Doubles) -> Doubles:
        c, regularization = self.objective.negative_weight, self.objective.regularization
        return block.terms(queries, c, False)[0] + c * of_catalogue + regularization * queries

    def _bound(self) -> Doubles:
        return self.objective.negative_weight * self.catalogue.curvature_bound

    def _catalogue_gradients(self, queries: Doubles, turn: int) -> Doubles:
        if turn == 0 or self.catalogue.sample.complete:
            return self.catalogue.sampled_gradients(queries)
        gradients, scores = self.catalogue.gradients(queries)
        if scores is not None and len(self.vectors) == 1:
            self.last = LastPass(scores, queries[0].copy())
        return gradients

    def _terms(
        self,
        block: Block,
        queries: Doubles,
        curvatures: Doubles,
        gradients: Doubles,
        *,
        bounded: bool = False,
    ) -> tuple[Doubles, Doubles]:
        """Gradient and curvature of the whole objective, from those of the catalogue."""
        c, regularization = self.objective.negative_weight, self.objective.regularization
        of_history, curvature_of_history = block.terms(queries, c, bounded)
        gradient = of_history + c * gradients + regularization * queries
        curvature = curvature_of_history + c * curvatures
        diagonal = np.arange(curvature.shape[1])
        curvature[:, diagonal, diagonal] += regularization
        return gradient, curvature


def _go_back(rise: Doubles, slope: Doubles, step: Doubles, new: Doubles, new_slope: Doubles) -> None:
    """Where a step went too far, make the new one lead back to where the slope along it crosses zero.

    Slopes are taken as linear between the step's ends. What is wanted is the step of a fraction f in place of
    the whole one, so the new step is (f - 1) times the old. The next slope is compared with the fall that the
    old step began with, so that going back ends.
    """
    far = rise > STEEP * slope
    share = slope[far] / (slope[far] + rise[far])
    new[far] = (share - 1)[:, None] * step[far]
    new_slope[far] = rise[far] * (1 - share)


def _lengths(vectors: Doubles) -> Doubles:
    found: Doubles = np.sqrt(_products(vectors, vectors))
    return found


def _products(a: Doubles, b: Doubles) -> Doubles:
    return np.asarray((a * b).sum(axis=1), np.float64)


def _newton_step(gradient: Doubles, curvature: Doubles, bound: Callable[[], Doubles]) -> Doubles:
    step = np.asarray(np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0], np.float64)
    # A sample's curvature may be off so far that it leads uphill; the bound never does.
    uphill = ~(_products(gradient, step) >= 0)
    if uphill.any():
        step[uphill] = np.linalg.solve(curvature[uphill] + bound(), gradient[uphill, :, None])[:, :, 0]
    return step
