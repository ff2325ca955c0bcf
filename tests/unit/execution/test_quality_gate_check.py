import json
from typing import Any

import pytest

from fmrec.errors import SettingsError
from fmrec.execution.quality_gate import Threshold, check

REPORTED = {
    "train:binary_classification_accuracy": 0.9,
    "test:binary_classification_accuracy": 0.7112,
    "test:binary_classification_cross_entropy": 0.5586,
    "test:binary_f_beta": 0.7624,
    "train:progress": 100.0,
}


def test_passes_when_every_limit_is_kept_and_says_the_numbers() -> None:
    verdict = check(
        REPORTED,
        {
            "binary_classification_accuracy": {"minimum": 0.7},
            "test:binary_classification_cross_entropy": Threshold(maximum=0.6),
        },
    )
    assert verdict.passed
    assert "binary_classification_accuracy 0.7112 (at least 0.7)" in verdict.sentence
    assert "binary_classification_cross_entropy 0.5586 (at most 0.6)" in verdict.sentence
    assert [c.metric for c in verdict.checks] == [
        "binary_classification_accuracy",
        "binary_classification_cross_entropy",
    ]


def test_a_failing_metric_is_named_with_value_limit_and_what_to_do() -> None:
    verdict = check(REPORTED, {"binary_classification_accuracy": 0.8, "binary_f_beta": 0.5})
    assert not verdict.passed
    assert "binary_classification_accuracy is 0.7112, at least 0.8 is required" in verdict.sentence
    assert "Kept: binary_f_beta 0.7624 (at least 0.5)" in verdict.sentence
    assert "What is served stays as it is" in verdict.sentence
    assert "change the thresholds in settings" in verdict.sentence
    assert [c.passed for c in verdict.checks] == [False, True]


@pytest.mark.parametrize(
    ("metric", "value", "limit", "passed"),
    [
        ("binary_classification_accuracy", 0.7, 0.7, True),
        ("binary_classification_accuracy", 0.69, 0.7, False),
        ("binary_classification_cross_entropy", 0.6, 0.6, True),
        ("binary_classification_cross_entropy", 0.61, 0.6, False),
        ("binary_f_beta", 0.8, 0.7, True),
        ("rmse", 0.9, 1.0, True),
        ("rmse", 1.1, 1.0, False),
        ("mse", 1.1, 1.0, False),
        ("absolute_loss", 1.1, 1.0, False),
        ("ndcg_at_10", 0.3, 0.29, True),
        ("recall_at_20", 0.3, 0.31, False),
    ],
)
def test_each_metric_is_judged_on_its_own_side(metric: Any, value: Any, limit: Any, passed: Any) -> None:
    assert check({f"test:{metric}": value}, {metric: limit}).passed is passed


def test_the_test_channel_is_judged_even_when_a_bare_name_comes_first_or_last() -> None:
    assert check({"rmse": 9.0, "test:rmse": 0.5}, {"rmse": 1.0}).passed
    assert check({"test:rmse": 0.5, "rmse": 9.0}, {"rmse": 1.0}).passed


def test_train_metrics_never_stand_in_for_test_metrics() -> None:
    verdict = check({"train:rmse": 0.1}, {"rmse": 1.0})
    assert not verdict.passed
    assert "rmse was not reported" in verdict.sentence
    assert "test channel" in verdict.sentence
    assert verdict.checks[0].value is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_no_number_fails_and_the_answer_stays_json(value: Any) -> None:
    verdict = check({"test:rmse": value, "test:mse": 1.0}, {"rmse": 1.0})
    assert not verdict.passed
    assert "diverged" in verdict.sentence
    assert json.loads(json.dumps(verdict.to_document(), allow_nan=False))["metrics"] == {"mse": 1.0}


def test_no_thresholds_pass_and_say_that_nothing_was_checked() -> None:
    verdict = check(REPORTED, {})
    assert verdict.passed
    assert "nothing was checked" in verdict.sentence


def test_the_document_has_the_contract_keys() -> None:
    document = check(REPORTED, {"binary_f_beta": 0.7}).to_document()
    assert set(document) == {"passed", "sentence", "metrics", "checks"}
    assert document["checks"] == [{"metric": "binary_f_beta", "value": 0.7624, "limit": 0.7, "passed": True}]
    assert document["metrics"]["binary_classification_accuracy"] == 0.7112


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"acuracy": 0.7}, "'acuracy', which is not known"),
        ({"ndcg_at_0": 0.7}, "not known"),
        ({"binary_classification_accuracy": {"maximum": 0.7}}, "it needs exactly 'minimum'"),
        ({"rmse": {"minimum": 0.7}}, "it needs exactly 'maximum'"),
        ({"rmse": Threshold()}, "gives nothing"),
        ({"rmse": "0.7"}, "expected a finite number"),
        ({"rmse": float("nan")}, "expected a finite number"),
        ({"rmse": True}, "expected a finite number"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused_in_words(thresholds: Any, words: Any) -> None:
    with pytest.raises(SettingsError, match=words):
        check(REPORTED, thresholds)
