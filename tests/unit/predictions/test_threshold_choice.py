import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.errors import InputError
from fmrec.predictions.threshold_and_calibration import Calibration
from fmrec.predictions.threshold_choice import Decision, Judgement, Question, choose, halves

CLASSES = Question(None)
RATINGS = Question(4.0)


def judged(question: Question, scores: Any, yes: Any, half: Any) -> Judgement:
    judgement = Judgement(choose(question, scores, yes, half))
    judgement.add(scores, yes, half)
    return judgement


def test_a_threshold_is_chosen_where_most_answers_are_right() -> None:
    scores = np.array([0.1, 0.2, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95])
    yes = np.array([False, False, False, False, True, True, True, True])

    choice = choose(CLASSES, scores, yes, np.tile([True, False], 4))

    # Anywhere between the highest no and the lowest yes is right; in the middle is most likely to stay so.
    assert 0.6 < choice.served.threshold < 0.7
    assert choice.curve is not None
    assert choice.curve.best() == (0.7, 1.0)


def test_where_scores_do_not_follow_a_logistic_curve_the_curves_best_cut_is_taken() -> None:
    # Half of all noes have very low scores, which pulls the fit; what decides lies between 0.90 and 0.94.
    scores = np.concatenate([np.full(500, 1e-6), np.full(500, 0.90), np.full(500, 0.94)])
    yes = np.concatenate([np.zeros(500), np.zeros(500), np.ones(500)]) == 1
    noise = np.arange(1500) % 10 == 0

    choice = choose(CLASSES, scores, yes ^ noise, np.arange(1500) % 2 == 0)

    served = choice.served
    assert served.calibration is not None
    assert (served.is_yes(scores) == yes).all()


def test_the_best_of_many_cuts_is_not_taken_for_luck() -> None:
    chance = np.random.default_rng(11)
    chosen, best = [], []
    for _ in range(30):
        scores = 1 / (1 + np.exp(-chance.normal(0, 1.2, 300)))
        choice = choose(CLASSES, scores, chance.random(300) < scores, chance.random(300) < 0.5)
        assert choice.curve is not None
        chosen.append(abs(choice.served.threshold - 0.5))
        best.append(abs(choice.curve.best()[0] - 0.5))

    # Scores that are the probabilities themselves are best cut at one half.
    assert np.mean(chosen) < 0.05
    assert np.mean(chosen) < 0.6 * np.mean(best)


def test_each_half_is_judged_by_what_the_other_half_chose() -> None:
    # In one half yes begins at 0.3, in the other at 0.8: what suits the one does not suit the other.
    scores = np.tile(np.arange(0.005, 1, 0.01), 2)
    half = np.arange(200) < 100
    yes = scores > np.where(half, 0.3, 0.8)

    judgement = judged(CLASSES, scores, yes, half)

    assert judgement.choice.by_half is not None
    first, second = (decision.threshold for decision in judgement.choice.by_half)
    assert (first, second) == pytest.approx((0.3, 0.8), abs=0.02)
    # The first half misses some 50 of its yeses, and in the second as many too many are said.
    said = scores >= np.where(half, second, first)
    assert (said != yes).sum() == pytest.approx(100, abs=4)
    assert judgement.chosen.to_document() == {
        "rows": 200,
        "accuracy": (said == yes).mean(),
        "precision": yes[said].mean(),
        "recall": said[yes].mean(),
        "f1": 2 * (said & yes).sum() / (said.sum() + yes.sum()),
    }
    assert judgement.usual.to_document()["accuracy"] == 150 / 200


def test_a_choice_among_noise_is_not_reported_as_better_than_chance() -> None:
    chance = np.random.default_rng(1)
    scores, yes = chance.random(200), chance.random(200) < 0.5

    reported = [judged(CLASSES, scores, yes, chance.random(200) < 0.5).chosen.to_document()["accuracy"]]
    best = choose(CLASSES, scores, yes, scores < 0.5).curve.best()[1]  # type: ignore[union-attr]  # it has one

    assert best > 0.53
    assert reported[0] < best


def test_a_regressors_probability_is_what_the_ratings_came_from() -> None:
    chance = np.random.default_rng(2)
    scores = chance.normal(3.5, 0.8, 40_000)
    yes = chance.random(40_000) < 1 / (1 + np.exp(-(2.0 * scores - 7.4)))

    judgement = judged(RATINGS, scores, yes, chance.random(40_000) < 0.5)
    document = judgement.to_document()

    fitted = judgement.choice.served.calibration
    assert fitted is not None
    assert (fitted.slope, fitted.intercept) == pytest.approx((2.0, -7.4), abs=0.15)
    assert judgement.choice.served.threshold == pytest.approx(3.7, abs=0.1)
    assert document["usual"]["threshold"] == 4.0
    assert document["chosen"]["accuracy"] > document["usual"]["accuracy"]
    assert document["cross_entropy"]["score"] is None
    np.testing.assert_allclose(
        document["reliability"]["probability"], document["reliability"]["share_of_yes"], atol=0.04
    )
    assert sum(document["reliability"]["rows"]) == 40_000


def test_an_overconfident_classifier_is_put_right() -> None:
    chance = np.random.default_rng(3)
    margins = chance.normal(0, 1.5, 20_000)
    yes = chance.random(20_000) < 1 / (1 + np.exp(-margins))
    # Three times as sure as it should be; in float32 some scores are 0 or 1.
    scores = (1 / (1 + np.exp(-12 * margins))).astype(np.float32).astype(np.float64)
    assert scores.max() == 1.0

    document = judged(CLASSES, scores, yes, chance.random(20_000) < 0.5).to_document()

    assert document["cross_entropy"]["probability"] < 0.55 < document["cross_entropy"]["score"]


def test_answers_that_are_all_the_same_choose_nothing() -> None:
    scores, yes = np.array([0.2, 0.9, 0.6]), np.array([True, True, True])

    judgement = judged(CLASSES, scores, yes, np.array([True, False, True]))

    assert judgement.choice.curve is None
    assert judgement.choice.served == Decision(CLASSES, 0.5, None)
    assert judgement.choice.served.probability(scores) is None
    assert judgement.to_document()["chosen"] is None
    assert judgement.to_document()["usual"]["recall"] == 2 / 3


def test_no_row_is_an_error() -> None:
    nothing = np.zeros(0)
    with pytest.raises(InputError, match="no held-out row"):
        choose(CLASSES, nothing, nothing == 1, nothing == 1)


def test_halves_are_of_users_and_about_equal() -> None:
    users = np.repeat(np.arange(1000), 5)
    half = halves(users, np.arange(5000))

    assert all(len(set(half[users == user])) == 1 for user in range(1000))
    assert 0.48 < half[::5].mean() < 0.52
    # Rows without a user are spread by their item.
    assert 0.45 < halves(np.full(1000, -1), np.arange(1000)).mean() < 0.55


SCORES = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(SCORES, st.integers(1, 7))
def test_judging_in_blocks_of_any_size_gives_what_all_at_once_gives(rows: Any, size: int) -> None:
    scores, yes, half = (np.array(column) for column in zip(*rows, strict=True))
    scores = scores.astype(np.float64)
    whole = judged(CLASSES, scores, yes, half)
    blocks = Judgement(whole.choice)
    for start in range(0, len(scores), size):
        block = slice(start, start + size)
        blocks.add(scores[block], yes[block], half[block])

    assert json.loads(
        json.dumps(blocks.to_document()), parse_float=lambda text: pytest.approx(float(text))
    ) == (whole.to_document())


@given(SCORES)
def test_no_cut_is_right_more_often_than_the_chosen_one_beyond_chance(rows: Any) -> None:
    scores, yes, half = (np.array(column) for column in zip(*rows, strict=True))
    choice = choose(CLASSES, scores.astype(np.float64), yes, half)
    if choice.curve is None:
        return
    best = scores >= choice.curve.best()[0]
    chosen = choice.served.is_yes(scores)
    more = (best == yes).sum() - (chosen == yes).sum()
    assert more <= 2 * np.sqrt((best != chosen).sum())


@given(st.floats(-8, 8), st.floats(0.1, 5), st.booleans())
def test_a_decision_comes_back_from_its_document(threshold: float, slope: float, fitted: bool) -> None:
    decision = Decision(RATINGS, threshold, Calibration(slope, -threshold) if fitted else None)
    document = {
        "level": 4.0,
        "threshold": decision.threshold,
        "calibration": decision.calibration.to_document() if decision.calibration else None,
    }

    assert Decision.from_document(json.loads(json.dumps(document))) == decision
