from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.errors import InputError
from fmrec.predictions.threshold_and_calibration import Calibration, calibrate, cross_entropy, threshold_curve

rows = st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 1)), min_size=1, max_size=40)


@given(rows)
def test_every_cut_is_measured_as_counting_says(given_rows: Any) -> None:
    scores, labels = (np.array([row[n] for row in given_rows], float) for n in (0, 1))
    curve = threshold_curve(scores, labels)
    assert curve.threshold.tolist() == sorted(set(scores))
    for at, threshold in enumerate(curve.threshold):
        yes = scores >= threshold
        right = (yes & (labels == 1)).sum()
        assert curve.accuracy[at] == (yes == (labels == 1)).mean()
        assert curve.precision[at] == right / yes.sum()
        assert curve.recall[at] == (right / labels.sum() if labels.sum() else 0)
        assert curve.f1[at] == pytest.approx(2 * right / (yes.sum() + labels.sum()))


def test_the_best_cut_is_found_and_the_report_has_few_points() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 5000)
    scores = labels * 0.5 + random.normal(0, 0.3, 5000)
    curve = threshold_curve(scores, labels)
    threshold, accuracy = curve.best()
    assert threshold == pytest.approx(0.25, abs=0.06)
    assert accuracy == ((scores >= threshold) == labels).mean() == curve.accuracy.max()
    assert curve.best("f1")[1] == curve.f1.max()
    document = curve.to_document()
    assert len(document["threshold"]) == len(document["f1"]) == 101
    assert document["recall"][0] == 1.0


def test_calibration_is_platts_fit() -> None:
    from scipy.optimize import minimize

    random = np.random.default_rng(1)
    ratings = random.normal(3.5, 0.6, 4000)
    labels = random.random(4000) < 1 / (1 + np.exp(-(3 * ratings - 11)))
    fit = calibrate(ratings, labels)
    positives, negatives = labels.sum(), (~labels).sum()
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(weights: Any) -> Any:
        score = weights[0] * ratings + weights[1]
        return (np.logaddexp(0, score) - target * score).mean()

    oracle = minimize(
        loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 5000}
    )
    assert [fit.slope, fit.intercept] == pytest.approx(oracle.x, rel=1e-4)
    assert fit.slope == pytest.approx(3, abs=0.3)
    assert cross_entropy(fit.probability(ratings), labels) == pytest.approx(oracle.fun, abs=1e-3)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_separable_and_badly_scaled_scores_stay_finite(scale: Any) -> None:
    fit = calibrate(scale * np.array([-2.0, -1.0, 1.0, 2.0]), [0, 0, 1, 1])
    found = fit.probability(scale * np.array([-2.0, -1.0, 1.0, 2.0]))
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    assert found[0] == pytest.approx(1 - found[-1])
    assert calibrate([7.0, 7.0, 7.0], [0, 1, 1]).probability(np.array([7.0]))[0] == pytest.approx(
        0.6, abs=0.07
    )


def test_cross_entropy_of_certainty_is_finite() -> None:
    assert cross_entropy([0.5, 0.5], [0, 1]) == pytest.approx(np.log(2))
    assert cross_entropy([1.0], [0]) == pytest.approx(-np.log(1e-15), rel=1e-3)


def test_probabilities_do_not_overflow() -> None:
    assert Calibration(1, 0).probability(np.array([-1e4, 0, 1e4])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([], [], "expected as many, some"),
        ([1.0], [1, 0], "expected as many"),
        ([1.0, np.nan], [1, 0], "score 1 is not finite"),
        ([1.0, 2.0], [1, 2], "label 2.0 found"),
    ],
)
def test_what_cannot_be_judged_is_refused(scores: Any, labels: Any, words: Any) -> None:
    with pytest.raises(InputError, match=words):
        threshold_curve(scores, labels)


def test_one_kind_of_label_cannot_be_calibrated() -> None:
    with pytest.raises(InputError, match="all 3 labels are the same"):
        calibrate([1, 2, 3], [1, 1, 1])
