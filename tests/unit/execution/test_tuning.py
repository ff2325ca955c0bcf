"""What tuning may try, and what it may cost."""

import re
from typing import Any

import pytest

from fmrec.artifacts.manifest import Manifest
from fmrec.deployment.defaults import TUNING
from fmrec.deployment.trials import TUNABLE
from fmrec.errors import InputError, SettingsError
from fmrec.execution import execution_input, tuning
from fmrec.execution.data_bucket import DataBucket
from tests.fixtures.manifests import manifest

CLASSIFIER = {
    "num_factors": "64",
    "predictor_type": "binary_classifier",
    "factors_lr": "0.003",
    "epochs": "4",
}


def test_without_a_section_nothing_is_tuned() -> None:
    assert tuning.resolve(None, CLASSIFIER) is None


LISTS = {"predictor_type": "binary_classifier", "bias_lr": "0.003"}


def test_lists_are_tuned_by_ranking_unless_ranges_or_the_objective_say_otherwise() -> None:
    resolved = tuning.resolve({}, LISTS, lists=True)

    assert resolved == {
        "maximum_jobs": 12,
        "parallel_jobs": 6,
        "maximum_usd": 10.0,
        "maximum_minutes": 240,
        "objective": {"MetricName": "ndcg_at_10", "Type": "Maximize"},
    }
    for section in (
        {"ranges": {"factors_lr": [0.001, 0.01]}},
        {"objective": "test:binary_classification_cross_entropy"},
    ):
        measured = tuning.resolve(section, LISTS, lists=True)
        assert measured is not None
        assert measured["objective"]["MetricName"] == "test:binary_classification_cross_entropy"
        assert measured["maximum_jobs"] == 10


@pytest.mark.parametrize(
    ("section", "chosen", "lists", "sentence"),
    [
        ({"objective": "ndcg_at_10"}, LISTS, False, "makes no lists that could be ranked"),
        ({"objective": "ndcg_at_10", "ranges": {"epochs": [1, 2]}}, LISTS, True, "need no ranges"),
        (
            {"objective": "ndcg_at_10"},
            {"predictor_type": "regressor", "num_factors": "8"},
            True,
            "which is for a binary_classifier",
        ),
        (
            {"objective": "ndcg_at_10"},
            dict.fromkeys(TUNABLE, "1") | {"predictor_type": "binary_classifier"},
            True,
            "what is given is not changed",
        ),
        ({"maximum_minutes": 0}, LISTS, True, "tuning.maximum_minutes is 0"),
        ({"maximum_jobs": 51}, LISTS, True, "from 1 to 50"),
        ({"maximum_minutes": 60}, LISTS, False, "only with the objective ndcg_at_10"),
    ],
)
def test_what_cannot_be_ranked_is_refused_with_a_sentence(
    section: Any, chosen: Any, lists: bool, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        tuning.resolve(section, chosen, lists=lists)


def test_a_deployments_tuning_by_ranking_is_by_cross_entropy_for_a_task_without_lists() -> None:
    deployed = {"objective": "ndcg_at_10", "maximum_minutes": 60, "maximum_jobs": 3}

    assert tuning.for_task(deployed, lists=True) == deployed
    assert tuning.for_task(deployed, lists=False) == {"maximum_jobs": 3}


def test_an_empty_section_tunes_the_defaults_by_cross_entropy() -> None:
    resolved = tuning.resolve({}, CLASSIFIER)

    assert resolved is not None
    assert (resolved["maximum_jobs"], resolved["parallel_jobs"], resolved["maximum_usd"]) == (10, 1, 10.0)
    assert resolved["objective"] == {
        "MetricName": "test:binary_classification_cross_entropy",
        "Type": "Minimize",
    }
    names = [entry["Name"] for entry in resolved["ranges"]["ContinuousParameterRanges"]]
    assert names == list(TUNING["ranges"])
    assert resolved["tuned"] == names


def test_whole_numbers_and_others_go_into_their_own_ranges() -> None:
    resolved = tuning.resolve(
        {
            "ranges": {"epochs": [2, 20], "linear_wd": [1e-6, 0.01]},
            "objective": "test:binary_f_beta",
            "maximum_jobs": 3,
            "parallel_jobs": 5,
        },
        CLASSIFIER,
    )

    assert resolved is not None
    assert resolved["ranges"] == {
        "IntegerParameterRanges": [
            {"Name": "epochs", "MinValue": "2", "MaxValue": "20", "ScalingType": "Auto"}
        ],
        "ContinuousParameterRanges": [
            {"Name": "linear_wd", "MinValue": "1e-06", "MaxValue": "0.01", "ScalingType": "Auto"}
        ],
    }
    assert resolved["objective"]["Type"] == "Maximize"
    assert resolved["parallel_jobs"] == 3
    assert resolved["tuned"] == ["epochs", "linear_wd"]


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ([], "expected a JSON object"),
        ({"jobs": 3}, "tuning.jobs is unknown"),
        ({"maximum_jobs": 0}, "tuning.maximum_jobs is 0"),
        ({"maximum_jobs": 501}, "from 1 to 500"),
        ({"parallel_jobs": True}, "tuning.parallel_jobs is True"),
        ({"maximum_usd": 0}, "expected an amount above 0"),
        ({"maximum_usd": "9"}, "tuning.maximum_usd is 9"),
        ({"maximum_usd": float("inf")}, "tuning.maximum_usd is inf"),
        ({"maximum_usd": float("nan")}, "tuning.maximum_usd is nan"),
        ({"maximum_usd": 10**400}, "expected an amount above 0 and at most"),
        ({"ranges": {}}, "tuning.ranges is {}"),
        ({"ranges": {"num_factors": [8, 64]}}, "num_factors can't be tuned"),
        ({"ranges": {"bias_init_method": ["uniform", "normal"]}}, "can't be tuned"),
        ({"ranges": {"factors_lr": [0.1, 0.01]}}, "the lower first"),
        ({"ranges": {"factors_lr": [0, 0.01]}}, "from 1e-08 to 512"),
        ({"ranges": {"factors_lr": 0.01}}, "expected two numbers"),
        ({"ranges": {"epochs": [1.5, 3]}}, "expected two integers"),
        ({"ranges": {"factor_lr": [0.01, 0.1]}}, "did you mean 'factors_lr'"),
        ({"objective": "test:rmse"}, "which is what a binary_classifier measures"),
    ],
)
def test_what_cannot_be_tuned_is_refused_with_a_sentence(section: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        tuning.resolve(section, CLASSIFIER)


class Encoded(DataBucket):
    """A bucket in which every run has encoded."""

    def read_manifest(self, run: str) -> Manifest:
        return manifest(run)


def resolved(given: dict[str, Any], deployed: Any = None) -> Any:
    task = {
        "label": {"mode": "binary"},
        "hyperparameters": {"num_factors": "8", "predictor_type": "binary_classifier"},
        "thresholds": {},
    }
    defaults = {
        "task": "recommend",
        "tasks": {"recommend": task},
        "dataset": {},
        "serving": {},
        "tuning": deployed,
    }
    return execution_input.resolve("r-1", given, defaults, Encoded("s3://data"))["tuning"]


def test_the_input_goes_over_what_is_deployed_and_null_turns_it_off() -> None:
    assert resolved({}) is None
    assert resolved({}, {"maximum_jobs": 4})["maximum_jobs"] == 4
    assert resolved({"tuning": {"maximum_jobs": 2}}, {"maximum_jobs": 4})["maximum_jobs"] == 2
    assert resolved({"tuning": None}, {"maximum_jobs": 4}) is None


def test_an_earlier_encoding_has_no_rows_to_tune_by() -> None:
    assert resolved({"encoded": "monday"}, {"maximum_jobs": 4}) is None
    with pytest.raises(InputError, match="leave out 'encoded'"):
        resolved({"encoded": "monday", "tuning": {}})
