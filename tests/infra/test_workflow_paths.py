"""The state machine's ways: what happens when everything works, and on each kind of refusal and failure."""

import json
from typing import Any

import pytest

from stacks.settings import Settings
from stacks.workflow import definition as workflow_definition

REFUSAL = (
    "The account-level service limit '{quota}' is {limit} Instances, with current utilization of {used} "
    "Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase "
    "for this quota."
)
CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML "
    "instance type."
)


@pytest.fixture
def refuse_first(answers: Any) -> Any:
    """An answer that refuses some instance types and otherwise is the usual one of the state."""

    def make(state: Any, refused: Any, error: Any) -> Any:
        def answer(arguments: Any) -> Any:
            where = arguments.get("ResourceConfig") or arguments.get("TransformResources")
            if where["InstanceType"] in refused:
                raise error
            return answers[state](arguments)

        return answer

    return make


def calls(started: Any, state: Any) -> Any:
    return [arguments for name, arguments in started.calls if name == state]


def quota_refusal(task_error: Any, quota: Any, limit: Any = 0, used: Any = 0) -> Any:
    return task_error(
        "SageMaker.ResourceLimitExceededException", REFUSAL.format(quota=quota, limit=limit, used=used)
    )


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


@pytest.mark.parametrize(
    "state",
    ["Train the factorization machine", "Build the k-NN index", "Find the best items for every user"],
)
def test_a_refused_quota_moves_on_to_the_next_candidate_under_a_new_name(
    run: Any, refuse_first: Any, task_error: Any, state: Any
) -> None:
    error = quota_refusal(task_error, "ml.m5.large for training job usage")
    started, (status, _) = run({}, **{state: refuse_first(state, {"ml.m5.large"}, error)})

    assert status == "SUCCEEDED"
    tried = calls(started, state)
    where = [(a.get("ResourceConfig") or a["TransformResources"])["InstanceType"] for a in tried]
    assert where == ["ml.m5.large", "ml.m5.xlarge"]
    names = [a.get("TrainingJobName") or a["TransformJobName"] for a in tried]
    assert [name[-2:] for name in names] == ["-1", "-2"]
    (refusal,) = calls(started, "Write the run report")[0]["Payload"]["report"]["refusals"]
    assert refusal["instance_type"] == "ml.m5.large"
    assert "is 0 Instances" in refusal["cause"]
    assert refusal["waiting_can_help"] is False


@pytest.mark.parametrize(
    "state",
    ["Train the factorization machine", "Build the k-NN index", "Find the best items for every user"],
)
def test_missing_capacity_moves_on_to_the_next_candidate(
    run: Any, refuse_first: Any, task_error: Any, state: Any
) -> None:
    error = task_error("States.TaskFailed", json.dumps({"FailureReason": CAPACITY}))
    started, (status, _) = run({}, **{state: refuse_first(state, {"ml.m5.large", "ml.m5.xlarge"}, error)})

    assert status == "SUCCEEDED"
    assert len(calls(started, state)) == 3
    refusals = calls(started, "Write the run report")[0]["Payload"]["report"]["refusals"]
    assert [r["instance_type"] for r in refusals] == ["ml.m5.large", "ml.m5.xlarge"]
    assert {r["waiting_can_help"] for r in refusals} == {True}


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
    assert started.visited[-3:] == ["Explain the failure", "Tell that the run failed", "The run failed"]


def test_when_every_candidate_is_refused_the_failure_names_all_refusals(run: Any, task_error: Any) -> None:
    def refuse(arguments: Any) -> None:
        kind = arguments["ResourceConfig"]["InstanceType"]
        raise quota_refusal(task_error, f"{kind} for training job usage")

    started, outcome = run({}, **{"Train the factorization machine": refuse})

    failure = failure_of(outcome)
    assert failure["error"]["Error"] == "NoInstanceLeft"
    assert [r["instance_type"] for r in failure["refused"]] == ["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"]
    assert len(calls(started, "Train the factorization machine")) == 3


def test_when_the_plan_has_no_candidate_nothing_is_tried_and_the_reason_is_passed_on(
    run: Any, planned: Any
) -> None:
    plan = planned(
        fm_training={"candidates": [], "no_candidate": "too large", "quota_increase": {"sentence": "ask"}}
    )
    started, outcome = run({}, **{"Choose instances": lambda a: plan})

    failure = failure_of(outcome)
    assert failure["planned"] == {"no_candidate": "too large", "quota_increase": {"sentence": "ask"}}
    assert failure["refused"] == []
    assert calls(started, "Train the factorization machine") == []


def test_a_model_that_is_not_good_enough_is_not_published(run: Any) -> None:
    verdict = {"Payload": {"passed": False, "sentence": "accuracy is 0.5"}}
    started, outcome = run({"task": "predict-rating"}, **{"Check the quality": lambda a: verdict})

    failure = failure_of(outcome)
    assert failure["error"] == {"Error": "QualityError", "Cause": "accuracy is 0.5"}
    assert "Write the run report" not in started.visited


def test_a_model_of_ratings_makes_no_lists_and_no_champion(run: Any) -> None:
    started, (status, _) = run({"task": "predict-rating"})

    assert status == "SUCCEEDED"
    for state in ("Export the embeddings", "Measure the ranking", "Publish the recommendations"):
        assert state not in started.visited
    (written,) = calls(started, "Write the run report")
    assert written["Payload"]["champion"] is None
    assert written["Payload"]["report"]["published"]["users"] == 0


def test_lists_are_judged_by_ranking_beside_the_champion_before_anything_is_published(run: Any) -> None:
    started, (status, _) = run({})

    assert status == "SUCCEEDED"
    (measured,) = calls(started, "Measure the ranking")
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
    (published,) = calls(started, "Publish some of the users")
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
    (popular,) = calls(started, "Publish what is popular")
    assert popular["Payload"]["per_user"] == 10


def test_users_without_recommendations_fail_the_run(run: Any) -> None:
    started, outcome = run(
        {},
        **{"Publish some of the users": lambda a: {"Payload": {"users": 900, "recommendations": 9000}}},
    )

    assert "900 users have recommendations, but the model knows 943" in failure_of(outcome)["error"]["Cause"]
    assert "Look for the endpoint" not in started.visited


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
        {}, **{"Export the embeddings": export, "Publish some of the users": publish}
    )

    assert status == "SUCCEEDED"
    assert sorted(published) == list(range(parts))
    assert len(calls(started, "Publish some of the users")) == calls_made
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
    for state in ("Publish some of the users", "Ask the endpoint one question"):
        (arguments,) = calls(started, state)
        assert arguments["Payload"]["exclude_seen"] is True
        assert arguments["Payload"]["filters"] == {"deny": ["i1"]}


def test_an_existing_endpoint_is_updated(run: Any) -> None:
    started, (status, output) = run({}, status="InService")

    assert status == "SUCCEEDED"
    assert "Update the endpoint" in started.visited
    assert "Create the endpoint" not in started.visited
    assert output["endpoint"]["config"] == "fmrec-run-1-endpoint-1"


def test_a_failed_endpoint_is_removed_and_made_anew(run: Any) -> None:
    started, (status, _) = run({}, status="Failed")

    assert status == "SUCCEEDED"
    assert started.visited.count("Remove the failed endpoint") == 1
    assert "Create the endpoint" in started.visited


def test_an_endpoint_under_change_is_waited_for(run: Any) -> None:
    looks = []

    def look(arguments: Any) -> Any:
        looks.append(1)
        return {"EndpointStatus": "Updating" if len(looks) < 4 else "InService", "EndpointConfigName": "old"}

    started, (status, _) = run({}, status="InService", **{"Look for the endpoint": look})

    assert status == "SUCCEEDED"
    assert started.visited.count("Wait for the endpoint's own change") == 3


def test_throttling_while_looking_for_the_endpoint_is_sat_out(
    run: Any, answers: Any, task_error: Any
) -> None:
    refused = iter([task_error("SageMaker.SageMakerException", "Rate exceeded (Service: SageMaker)")] * 3)

    def look(arguments: Any) -> Any:
        for error in refused:
            raise error
        return answers["Look for the endpoint"](arguments)

    started, (status, output) = run({}, **{"Look for the endpoint": look})

    assert status == "SUCCEEDED"
    assert output["endpoint"]["status"] == "InService"
    assert started.visited.count("Wait for the endpoint's own change") == 3


def test_an_endpoint_that_never_settles_ends_the_run_within_an_hour(run: Any) -> None:
    started, outcome = run(
        {}, **{"Look for the endpoint": lambda a: {"EndpointStatus": "Updating", "EndpointConfigName": "old"}}
    )

    assert "has been Updating" in failure_of(outcome)["error"]["Cause"]
    assert started.waited <= 3600


@pytest.mark.parametrize("existing", [None, "InService"])
def test_a_quota_refused_for_the_endpoint_moves_on_to_the_next_candidate(
    run: Any, answers: Any, task_error: Any, existing: Any
) -> None:
    state = "Update the endpoint" if existing else "Create the endpoint"
    deploy = answers[state]
    tried = []

    def refuse_once(arguments: Any) -> Any:
        tried.append(arguments["EndpointConfigName"])
        if len(tried) == 1:
            raise quota_refusal(task_error, "ml.m5.large for endpoint usage")
        return deploy(arguments)

    _, (status, output) = run({}, status=existing, **{state: refuse_once})

    assert status == "SUCCEEDED"
    assert tried == ["fmrec-run-1-endpoint-1", "fmrec-run-1-endpoint-2"]
    assert output["endpoint"]["instance_type"] == "ml.m5.xlarge"


def test_an_endpoint_that_found_no_capacity_is_removed_and_the_next_type_tried(
    run: Any, endpoint: Any
) -> None:
    created = []

    def create(arguments: Any) -> Any:
        created.append(arguments["EndpointConfigName"])
        endpoint.update(
            status="Failed" if len(created) == 1 else "InService", config=arguments["EndpointConfigName"]
        )
        return {}

    def see(arguments: Any) -> Any:
        reason = {"FailureReason": "Unable to provision requested ML compute capacity due to X"}
        found = {"EndpointStatus": endpoint["status"], "EndpointConfigName": endpoint["config"]}
        return found | (reason if endpoint["status"] == "Failed" else {})

    started, (status, output) = run({}, **{"Create the endpoint": create, "See how the endpoint is": see})

    assert status == "SUCCEEDED"
    assert created == ["fmrec-run-1-endpoint-1", "fmrec-run-1-endpoint-2"]
    assert started.visited.count("Remove the failed endpoint") == 1
    assert output["endpoint"]["instance_type"] == "ml.m5.xlarge"


def test_an_update_that_was_rolled_back_for_capacity_tries_the_next_type_without_removing_what_serves(
    run: Any, endpoint: Any
) -> None:
    updated = []

    def update(arguments: Any) -> Any:
        updated.append(arguments["EndpointConfigName"])
        if len(updated) == 2:
            endpoint.update(config=arguments["EndpointConfigName"])
        return {}

    def see(arguments: Any) -> Any:
        reason = {"FailureReason": "Unable to provision requested ML compute capacity"}
        found = {"EndpointStatus": "InService", "EndpointConfigName": endpoint["config"]}
        return found | (reason if len(updated) == 1 else {})

    started, (status, _) = run(
        {}, status="InService", **{"Update the endpoint": update, "See how the endpoint is": see}
    )

    assert status == "SUCCEEDED"
    assert len(updated) == 2
    assert "Remove the failed endpoint" not in started.visited


def test_an_endpoint_that_fails_for_another_reason_is_explained(run: Any) -> None:
    def see(arguments: Any) -> Any:
        return {
            "EndpointStatus": "Failed",
            "EndpointConfigName": "fmrec-run-1-endpoint-1",
            "FailureReason": "The primary container did not pass the ping health check",
        }

    _, outcome = run({}, **{"See how the endpoint is": see})

    failure = failure_of(outcome)
    assert failure["name"] == "fmrec-knn"
    assert "did not pass the ping health check" in failure["error"]["Cause"]


def test_an_endpoint_that_answers_otherwise_than_published_fails_the_run(run: Any) -> None:
    answer = {"Payload": {"passed": False, "sentence": "rank 1 differs"}}
    _, outcome = run({}, **{"Ask the endpoint one question": lambda a: answer})

    assert failure_of(outcome)["error"]["Cause"] == "rank 1 differs"


def test_any_task_that_fails_ends_in_the_one_failure_state(
    definition: Any, machine: Any, answers: Any, task_error: Any, endpoint: Any
) -> None:
    reachable = machine(definition, answers)
    reachable.run({})
    failing = [
        name
        for name in dict.fromkeys(reachable.visited)
        if definition["States"].get(name, {}).get("Type") in {"Task", "Map"}
    ]
    assert len(failing) >= 14
    for name in failing:

        def fail(arguments: Any) -> None:
            raise task_error("States.Timeout", "")

        inner = "Publish some of the users" if name == "Publish the recommendations" else name
        endpoint.update(status=None, config=None)
        started = machine(definition, {**answers, inner: fail})
        status, output = started.run({})
        assert status == "FAILED", name
        assert started.visited[-1] == "The run failed"
        assert json.loads(output["Cause"])["state"] == name


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

    started = machine(definition, {**answers, "Check the input": fail, "Tell that the run failed": fail})
    status, output = started.run({})

    assert status == "FAILED"
    assert output["Error"] == "Explained"


@pytest.fixture
def run_with(machine: Any, answers: Any, endpoint: Any) -> Any:
    """Run the definition of other settings."""

    def start(last_resort: Any, status: Any = None, **changed: Any) -> Any:
        endpoint.update(status=status, config="old" if status else None)
        settings = Settings.model_validate({"instances": {"last_resort": last_resort}})
        started = machine(workflow_definition(settings), {**answers, **changed})
        return started, started.run({})

    return start


def in_use(planned: Any, step: Any) -> Any:
    """A plan in which every type of a step is taken by something that will end."""
    quota = {"name": "ml.m5.large for training job usage", "limit": 1, "used": 1, "waiting_can_help": True}
    return planned(
        **{
            step: {
                "candidates": [],
                "rejected": [{"instance_type": "ml.m5.large", "why": "in use", "quota": quota}],
                "no_candidate": "every type is in use",
            }
        }
    )


@pytest.mark.parametrize(
    ("step", "title", "policy"),
    [
        ("fm_training", "FM training", {"training": "wait"}),
        ("knn_training", "k-NN training", {"training": "wait"}),
        ("batch_transform", "batch transform", {"transform": "wait"}),
        ("knn_endpoint", "the endpoint", {"endpoint": "wait"}),
    ],
)
def test_waiting_asks_again_until_an_instance_is_free(
    run_with: Any, step: Any, title: Any, policy: Any, planned: Any
) -> None:
    plans = [in_use(planned, step), planned()]
    again = f"Choose instances again for {title}"
    started, (status, _) = run_with(
        policy, **{"Choose instances": lambda a: in_use(planned, step), again: lambda a: plans.pop(0)}
    )

    assert status == "SUCCEEDED"
    assert started.visited.count(f"Wait for an instance for {title}") == 2


def test_waiting_starts_again_after_refusals_that_will_pass_under_names_not_used_before(
    run_with: Any, answers: Any, task_error: Any, planned: Any
) -> None:
    usual = answers["Train the factorization machine"]
    tried = []

    def train(arguments: Any) -> Any:
        tried.append(arguments["TrainingJobName"])
        if len(tried) <= 3:
            raise quota_refusal(task_error, "Number of instances across all training jobs", limit=4, used=4)
        return usual(arguments)

    _, (status, _) = run_with(
        {"training": "wait"},
        **{
            "Train the factorization machine": train,
            "Choose instances again for FM training": lambda a: planned(),
        },
    )

    assert status == "SUCCEEDED"
    assert tried == [f"fmrec-run-1-fm-{attempt}" for attempt in (1, 2, 3, 4)]


def test_waiting_ends_when_settings_say_so(run_with: Any, planned: Any) -> None:
    started, outcome = run_with(
        {"training": "wait", "wait_minutes": 30},
        **{
            "Choose instances": lambda a: in_use(planned, "fm_training"),
            "Choose instances again for FM training": lambda a: in_use(planned, "fm_training"),
        },
    )

    assert failure_of(outcome)["planned"]["no_candidate"] == "every type is in use"
    assert started.waited == 30 * 60


def test_nobody_waits_for_a_quota_that_is_too_small_for_the_request(run_with: Any, task_error: Any) -> None:
    def refuse(arguments: Any) -> None:
        raise quota_refusal(task_error, "ml.m5.large for training job usage", limit=0)

    started, outcome = run_with({"training": "wait"}, **{"Train the factorization machine": refuse})

    assert failure_of(outcome)["error"]["Error"] == "NoInstanceLeft"
    assert started.waited == 0


@pytest.mark.parametrize(("items", "memory"), [(1682, 2048), (4_000_000, 3072), (8_000_000, 5120)])
def test_an_endpoint_without_instances_has_memory_for_twice_the_index(
    run_with: Any, answers: Any, items: Any, memory: Any, planned: Any
) -> None:
    def export(arguments: Any) -> Any:
        answer = answers["Export the embeddings"](arguments)
        answer["Payload"]["items"] = items
        return answer

    started, (status, output) = run_with(
        {"endpoint": "serverless"},
        **{
            "Choose instances": lambda a: planned(knn_endpoint={"candidates": []}),
            "Export the embeddings": export,
            "Configure a serverless endpoint": lambda a: {"EndpointConfigArn": "arn:x"},
        },
    )

    (configured,) = calls(started, "Configure a serverless endpoint")
    serverless = configured["ProductionVariants"][0]["ServerlessConfig"]
    assert serverless == {"MemorySizeInMB": memory, "MaxConcurrency": 5}
    assert status == "SUCCEEDED"
    assert output["endpoint"]["instance_type"] == "serverless"


@pytest.mark.parametrize(
    ("items", "existing"), [(100_000_000, None), (1682, "InService")], ids=["too large", "on instances"]
)
def test_an_endpoint_that_cannot_be_serverless_fails_with_the_quota(
    run_with: Any, answers: Any, items: Any, existing: Any, planned: Any
) -> None:
    def export(arguments: Any) -> Any:
        answer = answers["Export the embeddings"](arguments)
        answer["Payload"]["items"] = items
        return answer

    _, outcome = run_with(
        {"endpoint": "serverless"},
        status=existing,
        **{
            "Choose instances": lambda a: planned(knn_endpoint={"candidates": []}),
            "Export the embeddings": export,
        },
    )

    assert failure_of(outcome)["step"] == "knn_endpoint"


def test_a_refused_serverless_endpoint_is_not_tried_twice(
    run_with: Any, task_error: Any, planned: Any
) -> None:
    def refuse(arguments: Any) -> None:
        raise quota_refusal(task_error, "Maximum number of serverless endpoints", limit=1, used=1)

    started, outcome = run_with(
        {"endpoint": "serverless"},
        **{
            "Choose instances": lambda a: planned(knn_endpoint={"candidates": []}),
            "Configure a serverless endpoint": lambda a: {},
            "Create the endpoint": refuse,
        },
    )

    assert [r["instance_type"] for r in failure_of(outcome)["refused"]] == ["serverless"]
    assert len(calls(started, "Configure a serverless endpoint")) == 1


@pytest.mark.parametrize("existing", [None, "InService"])
def test_batch_only_goes_on_without_an_endpoint_and_says_so(
    run_with: Any, existing: Any, planned: Any
) -> None:
    started, (status, output) = run_with(
        {"endpoint": "batch-only"},
        status=existing,
        **{"Choose instances": lambda a: planned(knn_endpoint={"candidates": []})},
    )

    assert status == "SUCCEEDED"
    assert output["endpoint"]["status"] == "BatchOnly"
    assert "no instance was left" in output["endpoint"]["why"]
    assert "Ask the endpoint one question" not in started.visited
