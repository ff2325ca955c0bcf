"""Find the minimum of each user's convex problem by Newton's method, many users at a time.

The first step starts at 0, where everything about the catalogue is known beforehand; the second knows the
catalogue by its sample. From then on gradients are exact, each from a pass over the catalogue, with the
sample's curvature, until a step is small against the vector that it corrects. A catalogue that is its own
sample needs no passes: each step is an exact Newton step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fmrec.live.histories import Block
from fmrec.live.unpicked_items import Catalogue, Doubles, Floats

MAXIMUM_STEPS = 100
SMALL_STEP = 0.2
"""After a step that is longer against its vector than that, the curvature is computed again."""
QUADRATIC_TOLERANCE = 0.01
"""Enough for exact Newton steps, each of which about squares the error."""
STEEP = 0.5
"""A step goes too far if the objective rises at its end more than so many times as steeply as it fell."""


@dataclass(frozen=True)
class Objective:
    """λ and c of the objective."""

    regularization: float
    negative_weight: float


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
        self.vectors: Doubles = np.zeros((len(block.users), catalogue.vectors.shape[1]))
        self.last: LastPass | None = None

    def run(self, tolerance: float) -> None:
        open_, block = np.arange(len(self.vectors)), self.block
        gradient, curvature = self._terms(block, None, self._at_zero(), self.catalogue.gradient_at_zero)
        step = _newton_step(gradient, curvature, self._bound)
        slope = _products(gradient, step)
        self.vectors -= step
        curvatures = self.catalogue.sampled_curvatures(self.vectors)
        for turn in range(MAXIMUM_STEPS):
            queries = self.vectors[open_]
            gradient, curvature = self._terms(
                block, queries, curvatures, self._catalogue_gradients(queries, turn)
            )
            new = _newton_step(gradient, curvature, self._bound)
            new_slope = _products(gradient, new)
            rise = -_products(gradient, step)
            if (rise > STEEP * slope).any():
                _go_back(rise, slope, step, new, new_slope)
            step, slope = new, new_slope
            queries -= step
            self.vectors[open_] = queries
            size = np.sqrt(_products(step, step) / np.maximum(_products(queries, queries), 1e-30))
            moving = size > tolerance
            if turn == 0 and not self.catalogue.sample.complete:
                moving[:] = True  # the sample's optimum is some per cent away from the catalogue's
            elif not moving.any():
                return
            if not moving.all():
                open_, block, curvatures = open_[moving], block.take(moving), curvatures[moving]
                step, slope, size, queries = step[moving], slope[moving], size[moving], queries[moving]
            far = size > (0 if self.catalogue.sample.complete else SMALL_STEP)
            if far.any():
                curvatures[far] = self.catalogue.sampled_curvatures(queries[far])

    def _bound(self) -> Doubles:
        return self.objective.negative_weight * self.catalogue.curvature_bound

    def _at_zero(self) -> Doubles:
        return self.catalogue.curvature_at_zero[None]

    def _catalogue_gradients(self, queries: Doubles, turn: int) -> Doubles:
        if turn == 0 or self.catalogue.sample.complete:
            return self.catalogue.sampled_gradients(queries)
        gradients, scores = self.catalogue.gradients(queries)
        if scores is not None and len(self.vectors) == 1:
            self.last = LastPass(scores, queries[0].copy())
        return gradients

    def _terms(
        self, block: Block, queries: Doubles | None, curvatures: Doubles, gradients: Doubles
    ) -> tuple[Doubles, Doubles]:
        """Gradient and curvature of the whole objective, from those of the catalogue."""
        c, regularization = self.objective.negative_weight, self.objective.regularization
        of_history, curvature_of_history = block.terms(queries, c)
        gradient = of_history + c * gradients
        if queries is not None:
            gradient += regularization * queries
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


def _products(a: Doubles, b: Doubles) -> Doubles:
    return np.asarray((a * b).sum(axis=1), np.float64)


def _newton_step(gradient: Doubles, curvature: Doubles, bound: Callable[[], Doubles]) -> Doubles:
    step = np.asarray(np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0], np.float64)
    # A sample's curvature may be off so far that it leads uphill; the bound never does.
    uphill = ~(_products(gradient, step) >= 0)
    if uphill.any():
        step[uphill] = np.linalg.solve(curvature[uphill] + bound(), gradient[uphill, :, None])[:, :, 0]
    return step
