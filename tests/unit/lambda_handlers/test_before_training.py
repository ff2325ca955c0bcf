"""The functions that a run calls before it trains: the input is checked, and instances are chosen."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DEFAULTS: dict[str, Any] = {
    "task": "predict-rating",
    "tasks": {
        "predict-rating": {
            "label": {"mode": "binary", "threshold": 4},
            "hyperparameters": {"num_factors": "64", "predictor_type": "binary_classifier"},
            "thresholds": {},
        }
    },
    "dataset": {},
    "serving": {"recommendations_per_user": 10, "endpoint": True},
}


@pytest.mark.slow
def test_check_input_fills_in_the_defaults(invoke: Any) -> None:
    answer = invoke(
        "check_input",
        {"run": "r-1", "input": {"hyperparameters": {"epochs": 3}}, "defaults": DEFAULTS},
        DATA_URI="s3://data",
    )

    assert answer["hyperparameters"] == {
        "num_factors": "64",
        "predictor_type": "binary_classifier",
        "epochs": "3",
    }
    assert answer["dataset"]["interactions"]["format"] == "csv"
    assert answer["serving"]["neighbours"] == 10


def test_check_input_refuses_with_a_sentence(invoke: Any) -> None:
    answer = invoke(
        "check_input", {"run": "r-1", "input": {"datasets": {}}, "defaults": DEFAULTS}, DATA_URI="s3://data"
    )

    assert answer["errorType"] == "InputError"
    assert "'datasets'" in answer["errorMessage"]


@pytest.mark.slow
def test_choose_instances_plans_with_what_it_can_read_and_keeps_what_it_read(
    invoke: Any, small_run: Any
) -> None:
    answer = invoke(
        "choose_instances",
        {
            "manifest_uri": small_run.uri("encoded/manifest.json"),
            "hyperparameters": {"num_factors": "3", "predictor_type": "binary_classifier"},
            "serving": {"recommendations_per_user": 2, "endpoint": True},
            "task": "recommend",
            "served_uri": None,
            "ensemble": 1,
            "tuning": None,
        },
        INSTANCE_POLICY=json.dumps({"families": ["m5"]}),
        CACHE_URI=small_run.uri("cache/account.json"),
    )

    assert answer["sizes"]["feature_dim"] == 12
    # What is given stays; the data's shape gives the rest.
    assert answer["hyperparameters"]["num_factors"] == "3"
    assert answer["hyperparameters"] == {
        **answer["by_shape"]["hyperparameters"],
        "num_factors": "3",
        "predictor_type": "binary_classifier",
    }
    assert int(answer["hyperparameters"]["epochs"]) == 24
    assert answer["by_shape"]["shape"]["users"] == 7
    # Two, and three times the 25 / 7 items of a mean history, of five that there are.
    assert answer["neighbours"] == 5
    candidates = answer["steps"]["fm_training"]["candidates"]
    assert candidates[0]["instance_type"] == "ml.m5.large"
    assert {c["instance_type"].split(".")[1] for c in candidates} == {"m5"}
    assert len(json.dumps(answer)) < 256 * 1024
    # Everything was denied: unknown, and said so.
    assert any("quotas" in note for note in answer["notes"])


@pytest.mark.slow
def test_choose_instances_plans_trials_with_the_memory_for_what_they_may_try(
    invoke: Any, small_run: Any
) -> None:
    event = {
        "manifest_uri": small_run.uri("encoded/manifest.json"),
        "hyperparameters": {"predictor_type": "binary_classifier"},
        "serving": {"recommendations_per_user": 2, "endpoint": True},
        "task": "recommend",
        "served_uri": None,
        "ensemble": 3,
        "tuning": {"maximum_jobs": 6, "parallel_jobs": 2},
    }
    settings = {"INSTANCE_POLICY": "{}", "CACHE_URI": small_run.uri("cache/account.json")}

    first = invoke("choose_instances", event, **settings)
    inputs = first["steps"]["fm_trials"]["needs"]["inputs"]
    assert (inputs["num_factors"], inputs["parallel_jobs"]) == (256, 2)
    assert first["steps"]["fm_trials"]["seconds"]["fixed"] == 120
    given = event | {"hyperparameters": first["hyperparameters"]}
    again = invoke("choose_instances", given, **settings)
    assert again["steps"]["fm_trials"]["needs"]["inputs"]["num_factors"] == 64
    sent_along = given | {"tuning": event["tuning"] | {"free": ["num_factors"]}}
    again = invoke("choose_instances", sent_along, **settings)
    assert again["steps"]["fm_trials"]["needs"]["inputs"]["num_factors"] == 256


def test_propose_trials_begins_with_the_runs_own_values_and_names_the_best(invoke: Any) -> None:
    event = {
        "hyperparameters": {"predictor_type": "binary_classifier", "epochs": "4", "factors_wd": "3e-05"},
        "free": ["factors_wd"],
        "trials": [],
        "budget": {"parallel_jobs": 2, "maximum_jobs": 3, "training_seconds": 60, "fixed_seconds": 120},
    }

    first = invoke("propose_trials", event)
    assert first == {
        "trials": [
            {"number": 1, "round": 1, "hyperparameters": {"factors_wd": "3e-05"}},
            {"number": 2, "round": 1, "hyperparameters": {"factors_wd": "4.5e-05"}},
        ],
        "best": None,
    }
    tried = [first["trials"][0] | {"ndcg": 0.3, "usd": 0.01}, first["trials"][1] | {"why": "NaN"}]
    second = invoke("propose_trials", event | {"trials": tried})
    assert second == {
        "trials": [{"number": 3, "round": 2, "hyperparameters": {"factors_wd": "2e-05"}}],
        "best": tried[0],
    }


def test_choose_instances_says_that_there_is_no_encoding(invoke: Any, small_run: Any) -> None:
    answer = invoke(
        "choose_instances",
        {
            "manifest_uri": small_run.uri("encoded/of-nobody/manifest.json"),
            "hyperparameters": {"num_factors": "3", "predictor_type": "binary_classifier"},
            "serving": {"recommendations_per_user": 2, "endpoint": True},
            "task": "recommend",
            "served_uri": None,
        },
        INSTANCE_POLICY="{}",
        CACHE_URI=small_run.uri("cache/account.json"),
    )

    assert answer["errorType"] == "InputError"
    assert "there is no finished encoding at" in answer["errorMessage"]


@pytest.mark.slow
def test_choose_instances_refuses_data_of_another_catalogue(invoke: Any, small_run: Any) -> None:
    index = small_run.folder / "encoded/feature_index/part-00000.parquet"
    table = pq.read_table(index)
    names = pa.array([f"another {name}" for name in table["name"].to_pylist()])
    other = small_run.folder / "monday/feature_index"
    other.mkdir(parents=True)
    pq.write_table(table.set_column(2, "name", names), other / "part-00000.parquet")
    (other.parent / "manifest.json").write_text((small_run.folder / "encoded/manifest.json").read_text())
    record = small_run.folder / "champion.json"
    record.write_text(json.dumps({"manifest_uri": str(other.parent / "manifest.json")}))
    event = {
        "manifest_uri": small_run.uri("encoded/manifest.json"),
        "hyperparameters": {"num_factors": "3", "predictor_type": "binary_classifier"},
        "serving": {"recommendations_per_user": 2, "endpoint": True},
        "task": "recommend",
        "ensemble": 1,
        "tuning": None,
        "served_uri": str(record),
    }
    settings = {"INSTANCE_POLICY": "{}", "CACHE_URI": small_run.uri("cache/account.json")}

    refused = invoke("choose_instances", event, **settings)

    assert refused["errorType"] == "InputError"
    assert "is another catalogue than the one that is served" in refused["errorMessage"]
    assert "steps" in invoke("choose_instances", event | {"served_uri": None}, **settings)


def test_check_input_finds_the_model_to_promote(invoke: Any, cloud: Any, small_run: Any) -> None:
    group = "arn:aws:sagemaker:eu-west-1:000000000000:model-package-group/fmrec-recommend"
    answer = invoke(
        "check_input",
        {"run": "r-2", "input": {"promote": 9}, "defaults": DEFAULTS},
        DATA_URI=str(small_run.folder),
        MODEL_GROUPS_ARN=group.removesuffix("-recommend"),
    )

    assert answer["errorType"] == "InputError"
    assert (
        "there is no model package arn:aws:sagemaker:eu-west-1:000000000000:model-package/fmrec-recommend/9"
        in (answer["errorMessage"])
    )
