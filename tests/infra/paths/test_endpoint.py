"""The endpoint's ways: made, updated, removed, refused, rolled back, without instances, or left out."""

import json
from typing import Any

import pytest

REFUSAL = (
    "The account-level service limit '{quota}' is {limit} Instances, with current utilization of {used} "
    "Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase "
    "for this quota."
)


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


def test_an_existing_endpoint_is_updated(run: Any) -> None:
    started, (status, output) = run({}, status="InService")

    assert status == "SUCCEEDED"
    assert "Update the endpoint" in started.visited
    assert "Create the endpoint" not in started.visited
    assert output["endpoint"]["config"] == "fmrec-run-1-endpoint-1"


def test_a_failed_endpoint_is_removed_and_made_anew(run: Any) -> None:
    started, (status, _) = run({}, status="Failed")

    assert status == "SUCCEEDED"
    assert started.visited.count("Delete the failed endpoint") == 1
    assert "Create the endpoint" in started.visited


def test_an_endpoint_under_change_is_waited_for(run: Any) -> None:
    looks = []

    def look(arguments: Any) -> Any:
        looks.append(1)
        return {"EndpointStatus": "Updating" if len(looks) < 4 else "InService", "EndpointConfigName": "old"}

    started, (status, _) = run({}, status="InService", **{"Look up the endpoint": look})

    assert status == "SUCCEEDED"
    assert started.visited.count("Wait for the endpoint's pending change") == 3


def test_throttling_while_looking_for_the_endpoint_is_sat_out(
    run: Any, answers: Any, task_error: Any
) -> None:
    refused = iter([task_error("SageMaker.SageMakerException", "Rate exceeded (Service: SageMaker)")] * 3)

    def look(arguments: Any) -> Any:
        for error in refused:
            raise error
        return answers["Look up the endpoint"](arguments)

    started, (status, output) = run({}, **{"Look up the endpoint": look})

    assert status == "SUCCEEDED"
    assert output["endpoint"]["status"] == "InService"
    assert started.visited.count("Wait for the endpoint's pending change") == 3


def test_an_endpoint_that_never_settles_ends_the_run_within_an_hour(run: Any) -> None:
    started, outcome = run(
        {}, **{"Look up the endpoint": lambda a: {"EndpointStatus": "Updating", "EndpointConfigName": "old"}}
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

    started, (status, output) = run({}, **{"Create the endpoint": create, "Check the endpoint status": see})

    assert status == "SUCCEEDED"
    assert created == ["fmrec-run-1-endpoint-1", "fmrec-run-1-endpoint-2"]
    assert started.visited.count("Delete the failed endpoint") == 1
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
        {}, status="InService", **{"Update the endpoint": update, "Check the endpoint status": see}
    )

    assert status == "SUCCEEDED"
    assert len(updated) == 2
    assert "Delete the failed endpoint" not in started.visited


def test_an_endpoint_that_fails_for_another_reason_is_explained(run: Any) -> None:
    def see(arguments: Any) -> Any:
        return {
            "EndpointStatus": "Failed",
            "EndpointConfigName": "fmrec-run-1-endpoint-1",
            "FailureReason": "The primary container did not pass the ping health check",
        }

    _, outcome = run({}, **{"Check the endpoint status": see})

    failure = failure_of(outcome)
    assert failure["name"] == "fmrec-knn"
    assert "did not pass the ping health check" in failure["error"]["Cause"]


def test_an_endpoint_that_answers_otherwise_than_published_fails_the_run(run: Any) -> None:
    answer = {"Payload": {"passed": False, "sentence": "rank 1 differs"}}
    _, outcome = run({}, **{"Smoke-test the endpoint": lambda a: answer})

    assert failure_of(outcome)["error"]["Cause"] == "rank 1 differs"


@pytest.mark.parametrize("existing", [None, "InService"])
def test_batch_only_goes_on_without_an_endpoint_and_says_so(
    run_with: Any, existing: Any, planned: Any
) -> None:
    started, (status, output) = run_with(
        {"endpoint": "batch-only"},
        status=existing,
        **{
            "Choose instances": lambda a: planned(
                knn_endpoint={"candidates": [], "needs": {"serverless_memory_mb": 1024}}
            )
        },
    )

    assert status == "SUCCEEDED"
    assert output["endpoint"]["status"] == "BatchOnly"
    assert "no instance was left" in output["endpoint"]["why"]
    assert "Smoke-test the endpoint" not in started.visited


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, {"knn_endpoint": "fmrec-knn", "fm_endpoint": "fmrec-fm"}),
        ({"name": "books"}, {"knn_endpoint": "fmrec-books-knn", "fm_endpoint": "fmrec-books-fm"}),
    ],
)
def test_every_plan_knows_the_endpoints_that_it_would_update(
    run: Any, given: dict[str, Any], names: dict[str, str]
) -> None:
    started, (status, _) = run(given)

    assert status == "SUCCEEDED"
    (asked,) = calls(started, "Choose instances")
    assert asked["Payload"]["serving"]["endpoint_names"] == names
    (looked,) = {arguments["EndpointName"] for arguments in calls(started, "Look up the endpoint")}
    assert looked == names["knn_endpoint"]


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ({}, "champion/model.json"),
        ({"name": "books"}, "champion/books/model.json"),
        ({"name": "books", "task": "predict-rating"}, "champion/books/predict-rating.json"),
        ({"replace_catalogue": True}, None),
    ],
)
def test_every_plan_is_told_what_the_run_would_replace(
    run: Any, given: dict[str, Any], uri: str | None
) -> None:
    started, (status, _) = run(given)

    assert status == "SUCCEEDED"
    (asked,) = calls(started, "Choose instances")
    assert asked["Payload"]["served_uri"] == (uri and f"s3://fmrecstorage-data/{uri}")
