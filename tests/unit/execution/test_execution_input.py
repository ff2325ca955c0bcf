"""The execution's input and hyperparameters: filled in, or refused with a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from fmrec.deployment import hyperparameters
from fmrec.errors import FmrecError, SettingsError
from fmrec.execution import execution_input
from fmrec.execution.data_bucket import DataBucket
from tests.fixtures.manifests import manifest

DEFAULTS: dict[str, Any] = {
    "task": "predict-rating",
    "tasks": {
        "recommend": {
            "label": {"mode": "implicit", "threshold": 4, "copies": 3},
            "hyperparameters": {"num_factors": "64", "predictor_type": "binary_classifier", "epochs": "4"},
            "thresholds": {"ndcg_at_10": 0.02},
        },
        "predict-rating": {
            "label": {"mode": "binary", "threshold": 4},
            "hyperparameters": {"num_factors": "64", "predictor_type": "binary_classifier", "epochs": "20"},
            "thresholds": {"rmse": 1.0},
        },
    },
    "dataset": {"split": {"method": "leave-first-n", "n": 10}},
    "serving": {"recommendations_per_user": 10, "neighbours": None, "endpoint": True},
}
RATING = DEFAULTS["tasks"]["predict-rating"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data bucket on disk, with what one run has encoded."""
    (tmp_path / "encoded/demo-0").mkdir(parents=True)
    (tmp_path / "encoded/demo-0/manifest.json").write_text(manifest("demo-0").to_json())
    (tmp_path / "raw").mkdir()
    return tmp_path


@pytest.fixture
def resolve(folder: Path) -> Any:
    def call(given: Any, run: Any = "demo-1") -> Any:
        return execution_input.resolve(run, given, DEFAULTS, DataBucket(str(folder)))

    return call


def test_an_empty_input_is_the_defaults(resolve: Any) -> None:
    resolved = resolve({})

    assert resolved["hyperparameters"] == RATING["hyperparameters"]
    assert resolved["serving"] == {
        "recommendations_per_user": 10,
        "neighbours": 10,
        "co_occurrence": 0.3,
        "exclude_seen": False,
        "filters": {},
        "segments": None,
        "endpoint": True,
        "serverless": None,
    }
    assert resolved["dataset"]["label"] == {"mode": "binary", "threshold": 4.0}
    assert resolved["dataset"]["split"]["method"] == "leave-first-n"


def test_what_is_given_wins_over_the_defaults_one_by_one(resolve: Any, folder: Path) -> None:
    (folder / "raw/dataset.json").write_text('{"name": "films", "seed": 7}')
    resolved = resolve(
        {
            "hyperparameters": {"num_factors": 16, "clip_gradient": 0.5},
            "serving": {"endpoint": False},
            "dataset": str(folder / "raw/dataset.json"),
        }
    )

    assert resolved["hyperparameters"] == {
        **RATING["hyperparameters"],
        "num_factors": "16",
        "clip_gradient": "0.5",
    }
    assert resolved["serving"]["endpoint"] is False
    assert resolved["serving"]["recommendations_per_user"] == 10
    assert resolved["dataset"]["seed"] == 7
    assert resolved["dataset"]["label"] == {"mode": "binary", "threshold": 4.0}
    assert resolved["dataset_name"] == "films"


def test_an_earlier_runs_encoding_stands_in_for_a_data_set(resolve: Any) -> None:
    resolved = resolve({"encoded": "demo-0"})

    assert (resolved["encoded"], resolved["dataset_name"]) == ("demo-0", "default")
    assert resolved["dataset"] is None
    assert resolve({"encoded": None})["encoded"] is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "expected a JSON object"),
        (
            {"datasets": {}},
            "the execution input has 'datasets': expected only task, name, dataset, encoded, hyper",
        ),
        ({"encoded": "s3://bucket/encoded/demo-0/"}, "expected the name of the run that encoded"),
        ({"encoded": "../demo-0"}, "encoded is '../demo-0'"),
        ({"encoded": 7}, "encoded is 7"),
        ({"task": "cook"}, "task is 'cook': expected 'recommend' or 'predict-rating'"),
        ({"encoded": "demo-0", "dataset": "s3://bucket/d.json"}, "has both 'dataset' and 'encoded'"),
        ({"encoded": "demo-7"}, "no finished encoding at"),
        ({"encoded": "demo-0", "name": "books"}, "has encoded the data set 'default'"),
        ({"encoded": ""}, "encoded is ''"),
        ({"encoded": "demo-0", "hyperparameters": {"predictor_type": "regressor"}}, "label.mode is 'binary'"),
        ({"dataset": "ratings.csv"}, "expected the URI of an object below"),
        ({"dataset": "s3://"}, "expected the URI of an object below"),
        ({"dataset": "/etc/hostname"}, "dataset is '/etc/hostname': expected the URI of an object below"),
        ({"dataset": ""}, "dataset is ''"),
        ({"dataset": False}, "dataset is False"),
        ({"dataset": []}, "dataset is []"),
        ({"dataset": {"interactions": {"path": "/etc/hostname"}}}, "interactions.path is '/etc/hostname'"),
        ({"dataset": {"interactions": {"path": "file:///etc/hostname"}}}, "interactions.path is 'file:"),
        ({"dataset": {"interactions": {"path": "file:/etc/hostname"}}}, "interactions.path is 'file:"),
        ({"dataset": {"interactions": {"path": "../encoded/demo-0/"}}}, "interactions.path is '../"),
        ({"dataset": {"users": {"path": "s3://another/users.csv"}}}, "users.path is 's3://another/"),
        ({"dataset": {"items": {"path": "hdfs://x/items.csv"}}}, "items.path is 'hdfs:"),
        ({"name": "Books"}, "name is 'Books'"),
        ({"name": "history"}, "name is 'history'"),
        ({"name": "x" * 33}, "at most 32"),
        ({"name": ""}, "name is ''"),
        ({"name": 3}, "name is '3'"),
        ({"dataset": {"name": "a b"}}, "name is 'a b'"),
        ({"dataset": {"name": "films"}, "name": "books"}, "leave out one of them"),
        ({"task": ""}, "task is ''"),
        ({"task": 0}, "task is 0"),
        ({"hyperparameters": False}, "hyperparameters is False"),
        ({"serving": False}, "serving is False"),
        ({"serving": {"filters": False}}, "serving.filters is False"),
        ({"serving": {"filters": {"allow": "/etc/hostname"}}}, "serving.filters.allow is '/etc/hostname'"),
        ({"serving": {"filters": {"deny": "s3://another/rules/x"}}}, "serving.filters.deny is 's3://another"),
        ({"serving": {"filters": {"deny": [1]}}}, "serving.filters.deny is [1]"),
        ({"serving": {"filters": {"deny": {}}}}, "serving.filters.deny is {}"),
        ({"serving": {"filters": {"minimum_popularity": 0}}}, "minimum_popularity is 0"),
        ({"serving": {"filters": {"minimum_popularity": 1.5}}}, "minimum_popularity is 1.5"),
        ({"serving": {"filters": {"maximum_per_category": 3}}}, "together"),
        (
            {"serving": {"filters": {"maximum_per_category": 3, "categories": "x.csv"}}},
            "filters.categories is",
        ),
        ({"tuning": False}, "tuning is False"),
        ({"tuning": {"maximum_usd": float("inf")}}, "tuning.maximum_usd is inf"),
        ({"tuning": {"maximum_usd": 10**400}}, "tuning.maximum_usd is 1"),
        ({"hyperparameters": {"factors_lr": 10**400}}, "hyperparameters.factors_lr is 1"),
        ({"dataset": {"colour": 1}}, "colour"),
        ({"hyperparameters": {"epochs": "many"}}, "hyperparameters.epochs is 'many'"),
        ({"hyperparameters": [1]}, "hyperparameters is [1]: expected a JSON object of names"),
        ({"serving": {"top": 3}}, "serving.top is unknown"),
        ({"serving": {"recommendations_per_user": 0}}, "from 1 to 1000"),
        ({"serving": {"recommendations_per_user": True}}, "from 1 to 1000"),
        ({"serving": {"endpoint": "yes"}}, "expected true or false"),
        ({"serving": {"serverless": True}}, "serving.serverless is True: expected a JSON object"),
        ({"serving": {"serverless": {"memory": 1024}}}, "serving.serverless.memory is unknown"),
        ({"serving": {"serverless": {"memory_mb": 1500}}}, "memory_mb is 1500: expected one of 1024, 2048"),
        ({"serving": {"serverless": {"maximum_concurrency": 201}}}, "expected an integer from 1 to 200"),
        (
            {"serving": {"co_occurrence": -0.1}},
            "serving.co_occurrence is -0.1: expected a number from 0 to 10",
        ),
        ({"serving": {"co_occurrence": True}}, "serving.co_occurrence is True"),
        ({"serving": 3}, "serving is 3"),
        ({"serving": {"neighbours": 5}}, "serving.neighbours is 5: expected an integer from 10 to 1024"),
        ({"serving": {"exclude_seen": 1}}, "serving.exclude_seen is 1"),
        ({"serving": {"segments": "/etc/passwd"}}, "serving.segments is '/etc/passwd'"),
        ({"serving": {"segments": ["s3://b/rules/a.csv"]}}, "serving.segments is ['s3://b/rules/a.csv']"),
        ({"serving": {"segments": "s3://other/rules/a.csv"}}, "serving.segments is 's3://other/rules/a.csv'"),
        ({"replace_catalogue": "yes"}, "replace_catalogue is 'yes': expected true or false"),
        ({"replace_catalogue": 0}, "replace_catalogue is 0: expected true or false"),
        ({"serving": {"filters": []}}, "serving.filters is []"),
        ({"serving": {"filters": {"colour": 1}}}, "expected one of allow, deny"),
        ({"hyperparameters": {"predictor_type": "regressor"}}, "label.mode is 'binary'"),
    ],
)
def test_a_wrong_input_is_refused_with_a_sentence(resolve: Any, given: Any, sentence: Any) -> None:
    with pytest.raises(FmrecError) as raised:
        resolve(given)

    assert sentence in str(raised.value)


def test_a_task_brings_its_label_hyperparameters_thresholds_and_leaves_out_what_was_seen(
    resolve: Any,
) -> None:
    resolved = resolve({"task": "recommend", "hyperparameters": {"num_factors": 16}})

    assert resolved["task"] == "recommend"
    assert resolved["dataset"]["label"]["mode"] == "implicit"
    assert resolved["dataset"]["label"]["copies"] == 3
    assert (resolved["hyperparameters"]["epochs"], resolved["hyperparameters"]["num_factors"]) == ("4", "16")
    assert resolved["thresholds"] == {"ndcg_at_10": 0.02}
    assert resolved["serving"]["exclude_seen"] is True
    assert (
        resolve({"task": "recommend", "serving": {"exclude_seen": False}})["serving"]["exclude_seen"] is False
    )
    assert resolve({})["thresholds"] == {"rmse": 1.0}


def test_thresholds_of_a_classifier_are_not_asked_of_a_regressor(resolve: Any) -> None:
    regressor = {
        "dataset": {"label": {"mode": "regression"}},
        "hyperparameters": {"predictor_type": "regressor"},
    }
    assert resolve(regressor)["thresholds"] == {}
    assert resolve(regressor)["hyperparameters"]["predictor_type"] == "regressor"


def test_a_label_in_the_data_set_document_wins_over_the_tasks(resolve: Any) -> None:
    resolved = resolve({"task": "recommend", "dataset": {"label": {"mode": "binary", "threshold": 3}}})

    assert resolved["dataset"]["label"] == {"mode": "binary", "threshold": 3.0}


def test_every_event_counts_where_a_data_set_has_no_values(resolve: Any) -> None:
    clicks = {"interactions": {"path": "clicks/", "columns": {"user": "who", "item": "what"}}}

    assert resolve({"task": "recommend", "dataset": clicks})["dataset"]["label"]["threshold"] is None


@pytest.mark.parametrize(
    ("serving", "neighbours"),
    [
        ({}, 10),
        ({"exclude_seen": True}, None),
        ({"filters": {"deny": ["a"]}, "recommendations_per_user": 50}, None),
        ({"exclude_seen": True, "neighbours": 300}, 300),
    ],
)
def test_what_k_nn_is_asked_for_is_left_to_the_data_where_something_is_left_out(
    resolve: Any, serving: Any, neighbours: Any
) -> None:
    assert resolve({"serving": serving})["serving"]["neighbours"] == neighbours


@pytest.mark.parametrize("name", ["a", "demo-1", "0f8fad5b-d9cb-469f-a165-70867728950e", "x" * 40])
def test_names_that_jobs_can_begin_with_are_taken(resolve: Any, name: Any) -> None:
    assert resolve({}, run=name)["run"] == name


@pytest.mark.parametrize("name", ["", "my_run", "a.b", "-a", "a-", "x" * 41, "ü"])
def test_other_names_are_refused(resolve: Any, name: Any) -> None:
    with pytest.raises(FmrecError, match="start it again under another name"):
        resolve({}, run=name)


def test_numbers_become_the_strings_that_the_api_takes() -> None:
    resolved = hyperparameters.resolve(
        {"num_factors": 64.0, "predictor_type": "regressor", "factors_lr": 1e-5, "bias_wd": "0.25"}
    )

    assert resolved == {
        "num_factors": "64",
        "predictor_type": "regressor",
        "factors_lr": "1e-05",
        "bias_wd": "0.25",
    }


def test_null_takes_an_earlier_value_away() -> None:
    layers = ({"num_factors": 8, "predictor_type": "regressor", "eps": 0.1}, {"eps": None})

    assert "eps" not in hyperparameters.resolve(*layers)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"predictor_type": "regressor"}, "hyperparameters.num_factors is missing"),
        ({"num_factors": 2.5}, "expected an integer at least 2 and at most 1000"),
        ({"num_factors": 1001}, "at most 1000"),
        ({"num_factors": True}, "num_factors is True"),
        ({"linear_lr": "nan"}, "linear_lr is 'nan'"),
        ({"linear_lr": -1}, "expected a number at least 0 and at most 512"),
        ({"bias_init_method": "zero"}, "one of uniform, normal, constant"),
        ({"learning_rate": 1}, "learning_rate is unknown to factorization machines"),
        ({"feature_dim": 1}, "comes from the manifest"),
    ],
)
def test_a_wrong_hyperparameter_is_refused_with_a_sentence(given: Any, sentence: Any) -> None:
    with pytest.raises(SettingsError) as raised:
        hyperparameters.resolve(given)

    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, 1), ({"ensemble": 3}, 3), ({"ensemble": 10}, 10), ({"ensemble": None}, 1), ({"ensemble": 1}, 1)],
)
def test_lists_are_made_of_as_many_models_as_the_input_says(resolve: Any, given: Any, expected: int) -> None:
    assert resolve({"task": "recommend", **given})["ensemble"] == expected


def test_a_deployed_ensemble_is_for_lists_only(folder: Path) -> None:
    def sized(given: Any) -> Any:
        bucket = DataBucket(str(folder))
        return execution_input.resolve("r", given, {**DEFAULTS, "ensemble": 3}, bucket)["ensemble"]

    assert sized({"task": "recommend"}) == 3
    assert sized({"task": "recommend", "ensemble": 2}) == 2
    assert sized({"task": "predict-rating"}) == 1


@pytest.mark.parametrize("size", [0, 11, -1, 1.5, "3", True])
def test_a_size_that_no_ensemble_has_is_refused(resolve: Any, size: Any) -> None:
    with pytest.raises(SettingsError, match=r"ensemble is .*: expected an integer from 1 to 10"):
        resolve({"task": "recommend", "ensemble": size})


def test_pairs_are_scored_by_one_model(resolve: Any) -> None:
    with pytest.raises(
        FmrecError, match=r"answers with the artifact of one training job; leave out 'ensemble'"
    ):
        resolve({"task": "predict-rating", "ensemble": 2})
    assert resolve({"task": "predict-rating", "ensemble": 1})["ensemble"] == 1


def test_each_model_of_an_ensemble_gets_rows_of_its_own(resolve: Any) -> None:
    assert resolve({"task": "recommend", "ensemble": 3})["dataset"]["label"]["models"] == 3
    assert "models" not in resolve({"task": "recommend"})["dataset"]["label"]


def test_models_can_only_differ_by_their_negatives(resolve: Any) -> None:
    explicit = {"label": {"mode": "binary", "threshold": 4}}
    with pytest.raises(FmrecError, match=r"label.mode is 'binary': expected 'implicit'"):
        resolve({"task": "recommend", "ensemble": 2, "dataset": explicit})


def test_an_encoding_has_rows_for_as_many_models_as_it_was_made_for(resolve: Any, folder: Path) -> None:
    path = folder / "encoded/demo-0/manifest.json"
    document = json.loads(path.read_text())
    document["dataset"]["label"] = {"mode": "implicit", "models": 2}
    path.write_text(json.dumps(document))
    given = {"task": "recommend", "encoded": "demo-0"}

    assert [resolve(given | {"ensemble": size})["ensemble"] for size in (1, 2)] == [1, 2]
    with pytest.raises(FmrecError, match=r"ensemble is 3, but the run demo-0 encoded rows for 2 models"):
        resolve(given | {"ensemble": 3})


def test_users_are_left_out_of_training_where_the_input_or_the_settings_say_so(
    resolve: Any, folder: Path
) -> None:
    assert "left_out_users" not in resolve({"task": "recommend"})["dataset"]["label"]
    wanted = {"task": "recommend", "left_out_users": 0.2}
    assert resolve(wanted)["dataset"]["label"]["left_out_users"] == 0.2
    assert resolve({**wanted, "ensemble": 2})["dataset"]["label"]["models"] == 2
    bucket = DataBucket(str(folder))

    def deployed(given: dict[str, Any]) -> Any:
        found = execution_input.resolve("r", given, {**DEFAULTS, "left_out_users": 0.1}, bucket)
        return found["dataset"]["label"].get("left_out_users")

    assert deployed({"task": "recommend"}) == 0.1
    assert deployed({"task": "recommend", "left_out_users": 0}) is None
    assert deployed({"task": "predict-rating"}) is None


@pytest.mark.parametrize("share", [-0.1, 0.6, "some", True, float("nan")])
def test_a_share_of_users_that_nobody_can_leave_out_is_refused(resolve: Any, share: Any) -> None:
    with pytest.raises(SettingsError, match=r"left_out_users is .*: expected a number from 0 to 0.5"):
        resolve({"task": "recommend", "left_out_users": share})


def test_users_are_left_out_of_models_that_make_lists_only(resolve: Any) -> None:
    with pytest.raises(FmrecError, match="users are folded into models of the task 'recommend'"):
        resolve({"task": "predict-rating", "left_out_users": 0.1})
    with pytest.raises(FmrecError, match="both 'left_out_users' and 'encoded'"):
        resolve({"task": "recommend", "left_out_users": 0.1, "encoded": "demo-0"})
