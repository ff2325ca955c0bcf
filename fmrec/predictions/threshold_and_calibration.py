"""From scores to decisions for `predict-rating`: where to say yes, and how sure to be.

A classifier's 0.5 is the best place to cut only if its scores are calibrated and both errors cost the
same; the cut is chosen on validation data and kept. A regressor's predicted rating becomes the probability
of a high rating by Platt's logistic fit (J. Platt, *Probabilistic outputs for support vector machines*,
1999), with the smoothed targets and Newton steps of H.-T. Lin, C.-J. Lin and R. Weng, *A note on Platt's
probabilistic outputs*, Machine Learning 68, 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fmrec.errors import InputError

Floats = npt.NDArray[np.float64]
Measure = Literal["accuracy", "f1"]

CURVE_POINTS = 101
NEWTON_STEPS = 100
LEAST_PROBABILITY = 1e-15


@dataclass(frozen=True)
class Curve:
    """What each cut would give: a score at or above ``threshold`` counts as a yes. All (points,)."""

    threshold: Floats
    accuracy: Floats
    precision: Floats
    recall: Floats
    f1: Floats

    def best(self, measure: Measure = "accuracy") -> tuple[float, float]:
        """The cut with the highest `measure`, the lowest of several, and that measure."""
        values: Floats = getattr(self, measure)
        at = int(np.argmax(values))
        return float(self.threshold[at]), float(values[at])

    def to_document(self, points: int = CURVE_POINTS) -> dict[str, list[float]]:
        """The curve for a report: at most so many points, evenly spaced in rank."""
        kept = np.unique(np.linspace(0, len(self.threshold) - 1, points).astype(np.int64))
        return {
            name: getattr(self, name)[kept].tolist()
            for name in ("threshold", "accuracy", "precision", "recall", "f1")
        }


@dataclass(frozen=True)
class Calibration:
    """probability = 1 / (1 + exp(-(slope · score + intercept)))."""

    slope: float
    intercept: float

    def probability(self, scores: Floats) -> Floats:
        """The probability of label 1 at each score."""
        return _sigmoid(self.slope * np.asarray(scores, np.float64) + self.intercept)

    def to_document(self) -> dict[str, Any]:
        return {"slope": self.slope, "intercept": self.intercept}


def threshold_curve(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Curve:
    """Measure every cut that makes a difference: one at each distinct score, lowest first.

    Parameters
    ----------
    scores
        (rows,) finite.
    labels
        (rows,) 0 or 1.

    Raises
    ------
    InputError
        There are no rows, or scores and labels are not as said.
    """
    values, truth = _check(scores, labels)
    order = np.argsort(values, kind="stable")
    values, truth = values[order], truth[order]
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    positives = int(truth.sum())
    missed = np.concatenate([[0], np.cumsum(truth)])[first]
    said_yes = len(values) - first
    right = positives - missed
    rejected = first - missed
    precision = right / said_yes
    recall = right / positives if positives else np.zeros(len(first))
    return Curve(
        threshold=values[first],
        accuracy=(right + rejected) / len(values),
        precision=precision,
        recall=recall,
        f1=2 * right / (said_yes + positives),
    )


def calibrate(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Calibration:
    """Fit the probability of label 1 to scores, on rows that the model was not trained on.

    Raises
    ------
    InputError
        As `threshold_curve`, or all labels are the same.
    """
    values, truth = _check(scores, labels)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        raise InputError(f"all {len(truth)} labels are the same: a probability needs both kinds to be fitted")
    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # Standardised, so that Newton's steps are well scaled whatever the scores' unit is.
    centre, scale = float(values.mean()), float(values.std()) or 1.0
    design = np.column_stack([(values - centre) / scale, np.ones(len(values))])
    weights = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    loss = _loss(design @ weights, target)
    for _ in range(NEWTON_STEPS):
        probability = _sigmoid(design @ weights)
        gradient = design.T @ (probability - target)
        if np.abs(gradient).max() < 1e-9 * len(values):
            break
        curvature = np.maximum(probability * (1 - probability), 1e-12)
        hessian = (design * curvature[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while (new := _loss(design @ (weights - step), target)) > loss + 1e-12 and np.abs(step).max() > 1e-12:
            step = step / 2
        weights, loss = weights - step, new
    slope = float(weights[0]) / scale
    return Calibration(slope, float(weights[1]) - slope * centre)


def cross_entropy(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean of -log(probability of the label), in nats, as SageMaker's binary_classification_cross_entropy.

    Raises
    ------
    InputError
        As `threshold_curve`.
    """
    values, truth = _check(probabilities, labels)
    values = np.clip(values, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return float(-np.where(truth == 1, np.log(values), np.log1p(-values)).mean())


def _check(scores: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Floats, Floats]:
    values, truth = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    if values.ndim != 1 or values.shape != truth.shape or not len(values):
        raise InputError(f"scores have shape {values.shape}, labels {truth.shape}: expected as many, some")
    if not np.isfinite(values).all():
        raise InputError(f"score {int(np.flatnonzero(~np.isfinite(values))[0])} is not finite")
    if not np.isin(truth, (0, 1)).all():
        raise InputError(f"label {truth[~np.isin(truth, (0, 1))][0]} found, expected 0 and 1 only")
    return values, truth


def _loss(scores: Floats, target: Floats) -> float:
    return float((np.logaddexp(0, scores) - target * scores).mean())


def _sigmoid(values: Floats) -> Floats:
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)
