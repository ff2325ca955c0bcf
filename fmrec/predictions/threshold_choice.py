"""Where to say yes and how sure to be, chosen on held-out rows and judged on other ones.

Held-out rows are all that there is to choose on, as the model was trained on the others. So that what is
reported isn't measured on the rows it was chosen on, users are cut in two halves, and each half is judged
by what the other half chooses (cross-fitting: V. Chernozhukov et al., *Double/debiased machine learning*,
The Econometrics Journal 21, 2018). What is served is chosen on both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.manifest import Manifest
from fmrec.dataset.section import Section
from fmrec.errors import FormatError, InputError
from fmrec.predictions.heldout import NOBODY
from fmrec.predictions.threshold_and_calibration import (
    LEAST_PROBABILITY,
    Calibration,
    Curve,
    calibrate,
    threshold_curve,
)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LEAST_SCORE = 1e-7
"""What a classifier's score keeps from 0 and 1: a float32 of its sigmoid may be either."""
RELIABILITY_BINS = 10
STANDARD_ERRORS = 2
"""What counts as beyond chance, for the difference of two counts of right answers on the same rows."""


@dataclass(frozen=True)
class Question:
    """What is to be decided of a pair: whether its label is a yes.

    ``level``: a regressor's label, the value itself, is a yes from here on; None for labels 1 and 0.
    """

    level: float | None

    @classmethod
    def of(cls, manifest: Manifest) -> Question:
        label = manifest.dataset["label"]
        return cls(float(label["threshold"]) if label["mode"] == "regression" else None)

    @property
    def predictor_type(self) -> str:
        return "binary_classifier" if self.level is None else "regressor"

    @property
    def usual_threshold(self) -> float:
        """Where one would cut without choosing."""
        return 0.5 if self.level is None else self.level

    def is_yes(self, labels: Floats) -> Flags:
        return labels == 1 if self.level is None else labels >= self.level

    def margins(self, scores: Floats) -> Floats:
        """What probabilities are fitted to: a classifier's score taken back through the sigmoid."""
        if self.level is not None:
            return scores
        inside = np.clip(scores, LEAST_SCORE, 1 - LEAST_SCORE)
        return np.asarray(np.log(inside) - np.log1p(-inside))

    def score(self, margin: float) -> float:
        """The score of a margin."""
        return margin if self.level is not None else float(np.exp(-np.logaddexp(0, -margin)))


@dataclass(frozen=True)
class Decision:
    """From a score to a yes or no and a probability; ``calibration`` is None where none could be fitted."""

    question: Question
    threshold: float
    calibration: Calibration | None

    def is_yes(self, scores: Floats) -> Flags:
        """Whether each score says yes, (rows,)."""
        return scores >= self.threshold

    def probability(self, scores: Floats) -> Floats | None:
        """How likely a yes is at each score, (rows,), or None."""
        if self.calibration is None:
            return None
        return self.calibration.probability(self.question.margins(scores))

    @classmethod
    def from_document(cls, document: Any) -> Decision:
        """Read what decision.json says. Raises FormatError if it isn't that."""
        decision = Section(document, "the decision", FormatError)
        for key in ("level", "calibration"):
            if key not in document:
                raise FormatError(f"{decision.where(key)} is missing: expected a value, or null")
        fitted = decision.section("calibration") if "calibration" in decision else None
        return cls(
            Question(decision.number("level", None)),
            decision.number("threshold"),
            None if fitted is None else Calibration(fitted.number("slope"), fitted.number("intercept")),
        )


@dataclass(frozen=True)
class Choice:
    """What is served, the curve that it was chosen from, and what each half of the users alone chooses.

    There is no curve where all labels are the same, and nothing by half where a half's are.
    """

    served: Decision
    curve: Curve | None
    by_half: tuple[Decision, Decision] | None
    """Chosen on the half that `halves` says is True, and on the other."""


def halves(users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> Flags:
    """Which half of the users each row is of, (rows,): by a hash of its user's column, or its item's.

    Fibonacci hashing (D. Knuth, *The Art of Computer Programming* 3, 6.4): consecutive columns alternate.
    """
    columns = np.where(users != NOBODY, users, items).astype(np.uint64)
    return np.asarray((columns * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63) == 1)


def choose(question: Question, scores: Floats, yes: Flags, half: Flags) -> Choice:
    """Choose a threshold and fit probabilities.

    Parameters
    ----------
    scores
        (rows,) finite.
    yes
        (rows,) what is true.
    half
        (rows,) as `halves` says.

    Raises
    ------
    InputError
        There are no rows.
    """
    if not len(scores):
        raise InputError("no held-out row was scored: a threshold is chosen on held-out rows")
    served, curve = _fit(question, scores, yes)
    if curve is None or any(len(np.unique(yes[side])) < 2 for side in (half, ~half)):
        return Choice(served, curve, None)
    return Choice(
        served,
        curve,
        (_fit(question, scores[half], yes[half])[0], _fit(question, scores[~half], yes[~half])[0]),
    )


def _fit(question: Question, scores: Floats, yes: Flags) -> tuple[Decision, Curve | None]:
    if yes.all() or not yes.any():
        # Whatever the threshold, nothing can be learned from one kind of answer.
        return Decision(question, question.usual_threshold, None), None
    curve = threshold_curve(scores, yes)
    calibration = calibrate(question.margins(scores), yes)
    return Decision(question, _cut(question, scores, yes, curve, calibration), calibration), curve


def _cut(question: Question, scores: Floats, yes: Flags, curve: Curve, calibration: Calibration) -> float:
    """The score at which a yes is as likely as a no, unless the curve's best cut is right more often beyond
    chance.

    The best of many cuts is partly luck, and the likelihood's two numbers are not: on MovieLens 100k's other
    half it is right in 0.1 % of pairs more, with two thirds of the variation. Where scores and labels don't
    follow a logistic curve, it may be far off.
    """
    best, _ = curve.best("accuracy")
    if calibration.slope <= 0:
        return best
    even = question.score(-calibration.intercept / calibration.slope)
    between = (scores >= best) != (scores >= even)
    right = int(((scores >= best) == yes)[between].sum())
    wrong = int(between.sum()) - right
    return best if right - wrong > STANDARD_ERRORS * np.sqrt(right + wrong) else even


@dataclass
class Confusion:
    """Counts of what was said against what is true."""

    yes_right: int = 0
    yes_wrong: int = 0
    no_right: int = 0
    no_wrong: int = 0

    def add(self, said: Flags, true: Flags) -> None:
        self.yes_right += int((said & true).sum())
        self.yes_wrong += int((said & ~true).sum())
        self.no_right += int((~said & ~true).sum())
        self.no_wrong += int((~said & true).sum())

    def to_document(self) -> dict[str, Any]:
        """Accuracy, precision, recall and F1; None where there is nothing to divide by."""
        rows = self.yes_right + self.yes_wrong + self.no_right + self.no_wrong
        return {
            "rows": rows,
            "accuracy": _share(self.yes_right + self.no_right, rows),
            "precision": _share(self.yes_right, self.yes_right + self.yes_wrong),
            "recall": _share(self.yes_right, self.yes_right + self.no_wrong),
            "f1": _share(2 * self.yes_right, 2 * self.yes_right + self.yes_wrong + self.no_wrong),
        }


@dataclass
class Judgement:
    """What a choice is worth, gathered block by block; memory doesn't grow with the rows."""

    choice: Choice
    rows: int = 0
    yes: int = 0
    usual: Confusion = field(default_factory=Confusion)
    chosen: Confusion = field(default_factory=Confusion)
    score_loss: float = 0.0
    probability_loss: float = 0.0
    bins: Floats = field(default_factory=lambda: np.zeros((3, RELIABILITY_BINS)))
    """Rows, summed probabilities and yeses by probability."""

    def add(self, scores: Floats, yes: Flags, half: Flags) -> None:
        """Judge more rows, each by what was chosen on the other half of the users."""
        question = self.choice.served.question
        self.rows += len(scores)
        self.yes += int(yes.sum())
        self.usual.add(scores >= question.usual_threshold, yes)
        if question.level is None:
            self.score_loss += _loss(scores, yes)
        if self.choice.by_half is None:
            return
        for side, decision in ((~half, self.choice.by_half[0]), (half, self.choice.by_half[1])):
            self.chosen.add(decision.is_yes(scores[side]), yes[side])
            probabilities = decision.probability(scores[side])
            if probabilities is None:
                raise InputError("both halves have both answers, so each has probabilities")
            self.probability_loss += _loss(probabilities, yes[side])
            place = np.minimum((probabilities * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
            for row, weight in enumerate((None, probabilities, yes[side])):
                self.bins[row] += np.bincount(place, weight, minlength=RELIABILITY_BINS)

    def to_document(self) -> dict[str, Any]:
        """What docs/contracts.md says of decision.json's ``judged``."""
        question, fitted = self.choice.served.question, self.choice.by_half is not None
        filled = self.bins[:, self.bins[0] > 0]
        return {
            "usual": {"threshold": question.usual_threshold, **self.usual.to_document()},
            "chosen": self.chosen.to_document() if fitted else None,
            "cross_entropy": {
                "score": _share(self.score_loss, self.rows) if question.level is None else None,
                "probability": _share(self.probability_loss, self.rows) if fitted else None,
            },
            "reliability": {
                "rows": filled[0].astype(np.int64).tolist(),
                "probability": (filled[1] / filled[0]).tolist(),
                "share_of_yes": (filled[2] / filled[0]).tolist(),
            },
        }


def _loss(probabilities: Floats, yes: Flags) -> float:
    """Summed cross entropy in nats."""
    inside = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return float(-np.where(yes, np.log(inside), np.log1p(-inside)).sum())


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
