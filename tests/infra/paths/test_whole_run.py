"""The state machine's ways: what happens when everything works, what is judged and published, how failures
end.
"""

import json
from typing import Any

import pytest

from stacks.workflow.drift import COMPARE_LISTS


def calls(started: Any, state: Any) -> Any:
    return [arguments for name, arguments in started.calls if name == state]


def failure_of(outcome: Any) -> Any:
    status, output = outcome
    assert status == "FAILED"
    return json.loads(output["Cause"])


def test_an_empty_input_goes_all_the_way_to_recommendations_and_an_endpoint(run: Any) -> None:
    started, (status, output) = run({})

    assert status == "SUCCEEDED"
    assert output["users"] == 943
    assert output["recommendations"] == 9430
    assert output["metrics"]["test:binary_classification_accuracy"] == 0.71
    assert output["endpoint"]["status"] == "InService"
    assert output["endpoint"]["instance_type"] == "ml.m5.large"
    assert output["model_version"] == "fmrec-run-1-fm-1"
    (training,) = calls(started, "Train the factorization machine")
    assert training["HyperParameters"]["feature_dim"] == "2625"
    assert [channel["ChannelName"] for channel in training["InputDataConfig"]] == ["train", "test"]
    (index,) = calls(started, "Build the k-NN index")
    assert index["HyperParameters"] == {
        "feature_dim": "65",
        "k": "10",
        "predictor_type": "classifier",
        "sample_size": "1682",
        "index_type": "faiss.Flat",
        "index_metric": "INNER_PRODUCT",
        "mini_batch_size": "1682",
    }
    (report,) = calls(started, "Write the run report")
    assert report["Payload"]["report"]["chosen"]["knn_endpoint"]["instance_type"] == "ml.m5.large"


def test_every_name_of_a_job_keeps_to_the_limits_of_sagemaker(
    definition: Any, machine: Any, answers: Any
) -> None:
    started = machine(definition, answers)
    started.run({}, name="a" * 40)

    names = [
        arguments[key]
        for _, arguments in started.calls
        for key in ("TrainingJobName", "TransformJobName", "ModelName", "EndpointConfigName")
        if key in arguments
    ]
    assert len(names) >= 5
    assert max(map(len, names)) <= 63


def test_a_run_on_an_earlier_encoding_skips_it_and_reads_everything_from_there(run: Any) -> None:
    started, (status, _) = run({"encoded": "run-0"})

    assert status == "SUCCEEDED"
    assert "Encode the interactions" not in started.visited
    earlier = "s3://fmrecstorage-data/encoded/run-0/"
    reading = [arguments["Payload"] for _, arguments in started.calls if "Payload" in arguments]
    manifests = {payload["manifest_uri"] for payload in reading if "manifest_uri" in payload}
    assert manifests == {f"{earlier}manifest.json"}
    (training,) = calls(started, "Train the factorization machine")
    channels = [c["DataSource"]["S3DataSource"]["S3Uri"] for c in training["InputDataConfig"]]
    assert channels == [f"{earlier}train/", f"{earlier}test/"]
    assert training["TrainingJobName"] == "fmrec-run-1-fm-1"
    (index,) = calls(started, "Build the k-NN index")
    assert "/embeddings/run-1/" in index["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    (report,) = calls(started, "Write the run report")
    assert report["Payload"]["report"]["encoded_uri"] == earlier
    assert report["Payload"]["report"]["dataset"] is None
    assert "encoding" not in report["Payload"]["report"]["jobs"]


def test_a_run_on_a_data_set_encodes_it_under_its_own_name(run: Any) -> None:
    started, _ = run({})

    (encoding,) = calls(started, "Encode the interactions")
    assert encoding["Arguments"]["--output"] == "s3://fmrecstorage-data/encoded/run-1/"
    (report,) = calls(started, "Write the run report")
    assert report["Payload"]["report"]["encoded_uri"] == "s3://fmrecstorage-data/encoded/run-1/"


def test_a_data_set_without_test_rows_trains_without_a_test_channel(run: Any, planned: Any) -> None:
    plan = planned()
    plan["Payload"]["sizes"]["test_rows"] = 0
    started, _ = run({}, **{"Choose instances": lambda a: plan})

    (training,) = calls(started, "Train the factorization machine")
    assert [channel["ChannelName"] for channel in training["InputDataConfig"]] == ["train"]


def test_an_error_in_the_data_is_tried_once_and_explained(run: Any, task_error: Any) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("States.TaskFailed", json.dumps({"FailureReason": "ClientError: NaN in train"}))

    started, outcome = run({}, **{"Train the factorization machine": fail})

    failure = failure_of(outcome)
    assert failure["state"] == "Train the factorization machine"
    assert failure["log"] == "training"
    assert failure["name"] == "fmrec-run-1-fm-1"
    assert "NaN in train" in failure["error"]["Cause"]
    assert len(calls(started, "Train the factorization machine")) == 1
    assert started.visited[-3:] == ["Explain the failure", "Send the failure notification", "The run failed"]


def test_a_model_that_is_not_good_enough_is_not_published(run: Any) -> None:
    verdict = {"Payload": {"passed": False, "sentence": "accuracy is 0.5"}}
    started, outcome = run({"task": "predict-rating"}, **{"Check the quality": lambda a: verdict})

    failure = failure_of(outcome)
    assert failure["error"] == {"Error": "QualityError", "Cause": "accuracy is 0.5"}
    assert "Write the run report" not in started.visited


def test_a_model_of_ratings_makes_no_lists_and_no_champion(run: Any) -> None:
    started, (status, _) = run({"task": "predict-rating"})

    assert status == "SUCCEEDED"
    for state in ("Export the embeddings", "Evaluate the ranking", "Publish the recommendations"):
        assert state not in started.visited
    (written,) = calls(started, "Write the run report")
    assert written["Payload"]["champion"] is None
    assert written["Payload"]["report"]["published"]["users"] == 0


def test_lists_are_judged_by_ranking_beside_the_champion_before_anything_is_published(run: Any) -> None:
    started, (status, _) = run({})

    assert status == "SUCCEEDED"
    (measured,) = calls(started, "Evaluate the ranking")
    assert measured["Payload"] == {
        "manifest_uri": "s3://fmrecstorage-data/encoded/run-1/manifest.json",
        "embeddings_uri": "s3://fmrecstorage-data/embeddings/run-1/embeddings.json",
        "champion_uri": "s3://fmrecstorage-data/champion/model.json",
        "output_uri": "s3://fmrecstorage-data/evaluations/run-1/ranking.json",
    }
    (checked,) = calls(started, "Check the quality")
    assert checked["Payload"]["evaluation"]["model"]["metrics"] == {"ndcg_at_10": 0.3}
    assert checked["Payload"]["thresholds"] == {"ndcg_at_10": {"minimum": 0.02}}
    assert started.visited.index("Check the quality") < started.visited.index("Build the k-NN index")
    (encoding,) = calls(started, "Encode the interactions")
    assert json.loads(encoding["Arguments"]["--dataset"])["label"]["mode"] == "implicit"


def test_lists_that_popularity_beats_are_not_published_and_the_champion_stays(run: Any) -> None:
    verdict = {"Payload": {"passed": False, "sentence": "popularity's NDCG@10 is 0.1333"}}
    started, outcome = run({"task": "recommend"}, **{"Check the quality": lambda a: verdict})

    assert failure_of(outcome)["error"]["Cause"] == "popularity's NDCG@10 is 0.1333"
    assert "Publish the recommendations" not in started.visited
    assert "Write the run report" not in started.visited


def test_k_nn_is_asked_for_what_the_plan_says_where_seen_items_are_left_out(run: Any, planned: Any) -> None:
    plan = planned()
    plan["Payload"]["neighbours"] = 169
    started, _ = run({"task": "recommend"}, **{"Choose instances": lambda a: plan})

    (asked,) = calls(started, "Choose instances")
    assert asked["Payload"]["serving"]["neighbours"] is None
    (index,) = calls(started, "Build the k-NN index")
    assert index["HyperParameters"]["k"] == "169"
    (published,) = calls(started, "Publish a batch of users")
    assert published["Payload"]["exclude_seen"] is True


def test_a_run_that_has_published_is_the_champion_from_then_on(run: Any) -> None:
    started, _ = run({"task": "recommend"})

    (report,) = calls(started, "Write the run report")
    assert report["Payload"]["champion_uri"] == "s3://fmrecstorage-data/champion/model.json"
    assert report["Payload"]["champion"] == {
        "run": "run-1",
        "task": "recommend",
        "model_version": "fmrec-run-1-fm-1",
        "model_uri": "s3://b/models/fmrec-run-1-fm-1/output/model.tar.gz",
        "manifest_uri": "s3://fmrecstorage-data/encoded/run-1/manifest.json",
        "embeddings_uri": "s3://fmrecstorage-data/embeddings/run-1/embeddings.json",
        "execution_arn": "arn:aws:states:eu-west-1:000000000000:execution:machine:run-1",
        "model_package_arn": "arn:aws:sagemaker:eu-west-1:000000000000:model-package/fmrec-recommend/1",
    }
    (popular,) = calls(started, "Publish popular items")
    assert popular["Payload"]["per_user"] == 10


def test_users_without_recommendations_fail_the_run(run: Any) -> None:
    started, outcome = run(
        {},
        **{"Publish a batch of users": lambda a: {"Payload": {"users": 900, "recommendations": 9000}}},
    )

    assert "900 users have recommendations, but the model knows 943" in failure_of(outcome)["error"]["Cause"]
    assert "Look up the endpoint" not in started.visited


@pytest.mark.parametrize(("parts", "calls_made"), [(1, 1), (2, 2), (400, 400), (401, 201), (12_345, 399)])
def test_every_query_part_is_published_once_in_a_bounded_number_of_calls(
    run: Any, answers: Any, parts: Any, calls_made: Any
) -> None:
    published: list[int] = []

    def publish(arguments: Any) -> Any:
        first, end = arguments["Payload"]["parts"]
        published.extend(range(first, end))
        return {"Payload": {"users": end - first, "recommendations": 10 * (end - first)}}

    def export(arguments: Any) -> Any:
        answer = answers["Export the embeddings"](arguments)
        answer["Payload"] |= {"query_parts": parts, "users": parts}
        return answer

    started, (status, output) = run(
        {}, **{"Export the embeddings": export, "Publish a batch of users": publish}
    )

    assert status == "SUCCEEDED"
    assert sorted(published) == list(range(parts))
    assert len(calls(started, "Publish a batch of users")) == calls_made
    assert output["users"] == parts


def test_without_an_endpoint_the_run_ends_with_the_table(run: Any) -> None:
    started, (status, output) = run({"serving": {"endpoint": False}})

    assert status == "SUCCEEDED"
    assert output["endpoint"]["status"] == "NotWanted"
    assert not any("endpoint" in name for name, _ in started.calls)


def test_what_is_left_out_is_asked_for_on_top_and_told_to_whom_it_concerns(run: Any, planned: Any) -> None:
    serving = {"recommendations_per_user": 20, "exclude_seen": True, "filters": {"deny": ["i1"]}}
    plan = planned()
    plan["Payload"]["neighbours"] = 120
    started, (status, _) = run({"serving": serving}, **{"Choose instances": lambda a: plan})

    assert status == "SUCCEEDED"
    (index,) = calls(started, "Build the k-NN index")
    assert index["HyperParameters"]["k"] == "120"
    for state in ("Publish a batch of users", "Smoke-test the endpoint"):
        (arguments,) = calls(started, state)
        assert arguments["Payload"]["exclude_seen"] is True
        assert arguments["Payload"]["filters"] == {"deny": ["i1"]}


def test_any_task_that_fails_ends_in_the_one_failure_state(
    definition: Any, machine: Any, answers: Any, task_error: Any, endpoint: Any
) -> None:
    reachable = machine(definition, answers)
    reachable.run({})
    failing = [
        name
        for name in dict.fromkeys(reachable.visited)
        if definition["States"].get(name, {}).get("Type") in {"Task", "Map"} and name != COMPARE_LISTS
    ]
    assert len(failing) >= 14
    for name in failing:

        def fail(arguments: Any) -> None:
            raise task_error("States.Timeout", "")

        inner = "Publish a batch of users" if name == "Publish the recommendations" else name
        endpoint.update(status=None, config=None)
        started = machine(definition, {**answers, inner: fail})
        status, output = started.run({})
        assert status == "FAILED", name
        assert started.visited[-1] == "The run failed"
        assert json.loads(output["Cause"])["state"] == name


def test_a_run_goes_on_without_a_comparison_of_lists(
    definition: Any, machine: Any, answers: Any, task_error: Any
) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("Lambda.Unknown", "out of memory")

    started = machine(definition, {**answers, COMPARE_LISTS: fail})
    status, _ = started.run({})
    assert status == "SUCCEEDED"
    payloads = {name: arguments["Payload"] for name, arguments in started.calls if "Payload" in arguments}
    assert payloads[COMPARE_LISTS]["lists_uri"].endswith("/recommendations/run-1/")
    changes = payloads["Write the run report"]["report"]["published"]["changes"]
    assert changes == {"sentence": "The lists could not be compared with the champion's: out of memory"}


def test_when_even_the_explanation_fails_the_bare_error_is_passed_on(
    definition: Any, machine: Any, answers: Any, task_error: Any
) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("InputError", "no such thing")

    started = machine(definition, {**answers, "Check the input": fail, "Explain the failure": fail})
    status, output = started.run({})

    assert status == "FAILED"
    assert output["Error"] == "InputError"
    assert "Check the input failed" in output["Cause"]
    assert "no such thing" in output["Cause"]


def test_a_message_that_cannot_be_sent_does_not_hide_the_failure(
    definition: Any, machine: Any, answers: Any, task_error: Any
) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("InputError", "no such thing")

    started = machine(definition, {**answers, "Check the input": fail, "Send the failure notification": fail})
    status, output = started.run({})

    assert status == "FAILED"
    assert output["Error"] == "Explained"


def test_segments_of_the_input_reach_the_lists_of_what_is_popular(run: Any) -> None:
    uri = "s3://${DataBucket}/rules/segments.csv"
    for given, sent in (({}, None), ({"serving": {"segments": uri}}, uri)):
        started, (status, _) = run(given)
        assert status == "SUCCEEDED"
        (asked,) = [arguments for name, arguments in started.calls if name == "Publish popular items"]
        assert asked["Payload"]["segments_uri"] == sent
