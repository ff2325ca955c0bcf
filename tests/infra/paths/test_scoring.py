"""The way of a `predict-rating` run: held-out pairs scored, a threshold chosen, the FM model at an
endpoint.
"""

import json
from typing import Any

import pytest

from fmrec.instances import memory
from stacks.settings import Settings
from stacks.workflow import definition as workflow_definition

RATINGS = {"task": "predict-rating"}
MODEL, SCORE = "Create the scoring model", "Score the held-out pairs"
CHOOSE, ASK = "Choose the decision threshold", "Smoke-test the scoring endpoint"
BUCKET = "s3://fmrecstorage-data"


def calls(started: Any, state: str) -> list[Any]:
    return [arguments for name, arguments in started.calls if name == state]


def report_of(started: Any) -> Any:
    (written,) = calls(started, "Write the run report")
    return written["Payload"]


def test_pairs_are_scored_decided_upon_and_asked_for_at_an_endpoint(run: Any) -> None:
    started, (status, output) = run(RATINGS)

    assert status == "SUCCEEDED"
    of_lists = ("k-NN", "Publish", "embeddings", "Find the best", "one question")
    assert not [state for state in started.visited if any(word in state for word in of_lists)]
    (model,) = calls(started, MODEL)
    assert model["ModelName"] == "fmrec-run-1-fm"
    assert model["PrimaryContainer"]["Image"].endswith("/factorization-machines:1")
    assert model["PrimaryContainer"]["ModelDataUrl"].endswith("/fmrec-run-1-fm-1/output/model.tar.gz")
    (scores,) = calls(started, SCORE)
    assert scores["ModelName"] == "fmrec-run-1-fm"
    assert scores["TransformInput"]["SplitType"] == "RecordIO"
    assert scores["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == f"{BUCKET}/encoded/run-1/test/"
    assert scores["TransformOutput"]["S3OutputPath"] == f"{BUCKET}/scores/run-1/"
    assert scores["TransformOutput"]["Accept"] == "application/jsonlines"
    (chosen,) = calls(started, CHOOSE)
    assert chosen["Payload"] == {
        "manifest_uri": f"{BUCKET}/encoded/run-1/manifest.json",
        "scores_uri": f"{BUCKET}/scores/run-1/",
        "output_uri": f"{BUCKET}/predictions/run-1/",
        "model_version": "fmrec-run-1-fm-1",
    }
    (created,) = calls(started, "Create the endpoint")
    assert created["EndpointName"] == "fmrec-fm"
    (variant,) = calls(started, "Configure the endpoint")[0]["ProductionVariants"]
    assert (variant["ModelName"], variant["InstanceType"]) == ("fmrec-run-1-fm", "ml.m5.large")
    (asked,) = calls(started, ASK)
    assert asked["Payload"] == {
        "endpoint_name": "fmrec-fm",
        "manifest_uri": f"{BUCKET}/encoded/run-1/manifest.json",
        "scores_uri": f"{BUCKET}/scores/run-1/",
    }
    assert output["decision"] == "A score of 0.47 or more means yes."
    assert output["endpoint"]["name"] == "fmrec-fm"
    assert output["endpoint"]["status"] == "InService"


def test_the_report_has_the_decision_and_the_record_of_what_serves_pairs(run: Any) -> None:
    started, _ = run(RATINGS)

    written = report_of(started)
    assert written["report"]["decision"]["threshold"] == 0.47
    assert set(written["report"]["chosen"]) == {"fm_training", "fm_transform", "fm_endpoint"}
    assert written["champion"] is None
    assert written["served_uri"] == f"{BUCKET}/champion/predict-rating.json"
    assert written["served"] == {
        "run": "run-1",
        "model_version": "fmrec-run-1-fm-1",
        "model_uri": "s3://b/models/fmrec-run-1-fm-1/output/model.tar.gz",
        "manifest_uri": f"{BUCKET}/encoded/run-1/manifest.json",
        "decision_uri": f"{BUCKET}/predictions/run-1/decision.json",
        "endpoint_name": "fmrec-fm",
    }


def test_the_plan_is_asked_for_by_task(run: Any) -> None:
    for given, task in (({}, "recommend"), (RATINGS, "predict-rating")):
        started, _ = run(given)
        (asked,) = calls(started, "Choose instances")
        assert asked["Payload"]["task"] == task


def test_lists_leave_the_record_of_what_serves_pairs_alone(run: Any) -> None:
    started, (status, output) = run({})

    assert status == "SUCCEEDED"
    assert MODEL not in started.visited
    assert report_of(started)["served"] is None
    assert report_of(started)["report"]["decision"] is None
    assert output["decision"] is None
    assert calls(started, "Create the endpoint")[0]["EndpointName"] == "fmrec-knn"


def test_without_an_endpoint_pairs_are_scored_and_what_serves_stays_recorded(run: Any) -> None:
    started, (status, output) = run(RATINGS | {"serving": {"endpoint": False}})

    assert status == "SUCCEEDED"
    assert CHOOSE in started.visited
    assert "Configure the endpoint" not in started.visited
    assert output["endpoint"] == {
        "name": "fmrec-fm",
        "status": "NotWanted",
        "why": "serving.endpoint is false.",
    }
    assert report_of(started)["served"] is None


def test_where_nothing_is_held_out_nothing_is_scored_and_the_report_says_so(run: Any, planned: Any) -> None:
    plan = planned()
    plan["Payload"]["sizes"]["test_rows"] = 0
    started, (status, output) = run(RATINGS, **{"Choose instances": lambda a: plan})

    assert status == "SUCCEEDED"
    assert SCORE not in started.visited
    assert CHOOSE not in started.visited
    assert "No pairs were held out" in output["decision"]
    assert calls(started, ASK)[0]["Payload"]["scores_uri"] is None
    assert report_of(started)["served"]["decision_uri"] == ""


def test_a_run_on_an_earlier_encoding_scores_what_that_held_out(run: Any) -> None:
    started, (status, _) = run(RATINGS | {"encoded": "run-0"})

    assert status == "SUCCEEDED"
    (scores,) = calls(started, SCORE)
    assert scores["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == f"{BUCKET}/encoded/run-0/test/"
    assert scores["TransformOutput"]["S3OutputPath"] == f"{BUCKET}/scores/run-1/"


def test_a_model_that_is_not_good_enough_scores_nothing(run: Any) -> None:
    verdict = {"Payload": {"passed": False, "sentence": "accuracy is 0.5"}}
    started, (status, output) = run(RATINGS, **{"Check the quality": lambda a: verdict})

    assert status == "FAILED"
    assert "accuracy is 0.5" in output["Cause"]
    assert MODEL not in started.visited


@pytest.mark.parametrize("missing", ["quota", "capacity"])
def test_scoring_moves_on_to_the_next_instance(run: Any, answers: Any, task_error: Any, missing: str) -> None:
    error = {
        "quota": task_error("SageMaker.ResourceLimitExceededException", "is 0 Instances"),
        "capacity": task_error(
            "States.TaskFailed", json.dumps({"FailureReason": "InsufficientInstanceCapacity"})
        ),
    }[missing]

    def score(arguments: Any) -> Any:
        if arguments["TransformResources"]["InstanceType"] == "ml.m5.large":
            raise error
        return answers[SCORE](arguments)

    started, (status, _) = run(RATINGS, **{SCORE: score})

    assert status == "SUCCEEDED"
    tried = [a["TransformResources"]["InstanceType"] for a in calls(started, SCORE)]
    assert tried == ["ml.m5.large", "ml.m5.xlarge"]
    (refusal,) = report_of(started)["report"]["refusals"]
    assert (refusal["step"], refusal["instance_type"]) == ("fm_transform", "ml.m5.large")


def test_the_endpoint_takes_the_instances_planned_for_this_model(run: Any, planned: Any) -> None:
    plan = planned(fm_endpoint={"candidates": planned()["Payload"]["steps"]["fm_training"]["candidates"][2:]})

    started, (status, output) = run(RATINGS, **{"Choose instances": lambda a: plan})

    assert status == "SUCCEEDED"
    assert output["endpoint"]["instance_type"] == "ml.c5.xlarge"
    assert report_of(started)["report"]["chosen"]["fm_endpoint"]["instance_type"] == "ml.c5.xlarge"
    lists, (_, output) = run({}, **{"Choose instances": lambda a: plan})
    assert output["endpoint"]["instance_type"] == "ml.m5.large"
    assert set(report_of(lists)["report"]["chosen"]) >= {"knn_endpoint"}


def test_a_full_quota_of_endpoints_names_the_step_and_its_plan(run: Any, planned: Any) -> None:
    increase = {"quota_name": "ml.m5.large for endpoint usage", "sentence": "Ask for 1."}
    plan = planned(
        fm_endpoint={"candidates": [], "no_candidate": "fm_endpoint: no type", "quota_increase": increase}
    )
    _, (status, output) = run(RATINGS, **{"Choose instances": lambda a: plan})

    assert status == "FAILED"
    failure = json.loads(output["Cause"])
    assert failure["step"] == "fm_endpoint"
    assert failure["planned"] == {"no_candidate": "fm_endpoint: no type", "quota_increase": increase}


def test_an_endpoint_that_answers_another_score_fails_the_run_and_is_not_recorded(run: Any) -> None:
    wrong = {"Payload": {"passed": False, "sentence": "The endpoint and the scores disagree."}}
    started, (status, output) = run(RATINGS, **{ASK: lambda a: wrong})

    assert status == "FAILED"
    failure = json.loads(output["Cause"])
    assert (failure["state"], failure["name"]) == (ASK, "fmrec-fm")
    assert failure["error"]["Error"] == "WrongAnswerError"
    assert "Write the run report" not in started.visited


def test_scores_that_can_not_be_read_are_explained(run: Any, task_error: Any) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("FormatError", "part-00000.pbr.out has 7 scores")

    _, (status, output) = run(RATINGS, **{CHOOSE: fail})

    assert status == "FAILED"
    failure = json.loads(output["Cause"])
    assert (failure["state"], failure["log"]) == (CHOOSE, "function")
    assert "7 scores" in failure["error"]["Cause"]


@pytest.mark.parametrize(("features", "fits"), [(1_000_000, True), (20_000_000, False)])
def test_the_endpoint_goes_serverless_where_the_model_fits(
    machine: Any, answers: Any, planned: Any, features: int, fits: bool
) -> None:
    resort = {"instances": {"last_resort": {"endpoint": "serverless"}}}
    definition = workflow_definition(Settings.model_validate(resort))
    need = memory.fm_serving(feature_dim=features, num_factors=64, safety_factor=1.5)
    needs = {"serverless_memory_mb": memory.serverless_memory_mb(need)}
    plan = planned(fm_endpoint={"candidates": [], "needs": needs})
    serverless = {"Configure a serverless endpoint": lambda a: {"EndpointConfigArn": "arn:x"}}
    started = machine(definition, {**answers, **serverless, "Choose instances": lambda a: plan})
    status, _ = started.run(RATINGS | {"hyperparameters": {"num_factors": 64}})

    assert status == ("SUCCEEDED" if fits else "FAILED")
    if fits:
        (configured,) = calls(started, "Configure a serverless endpoint")
        (variant,) = configured["ProductionVariants"]
        # Twice 260 MB and half a GiB, in whole GiB; settings want two at least.
        assert variant["ServerlessConfig"]["MemorySizeInMB"] == 2048
        assert variant["ModelName"] == "fmrec-run-1-fm"


def test_waiting_for_an_instance_works_for_scoring_and_its_endpoint(
    machine: Any, answers: Any, planned: Any
) -> None:
    resorts = {"transform": "wait", "endpoint": "wait", "wait_minutes": 60}
    settings = Settings.model_validate({"instances": {"last_resort": resorts}})
    busy = {
        "candidates": [],
        "rejected": [{"instance_type": "ml.m5.large", "quota": {"waiting_can_help": True}}],
    }
    plans = [
        planned(fm_transform=busy, fm_endpoint=busy),
        planned(fm_endpoint=busy),
        planned(fm_endpoint=busy),
        planned(),
    ]
    choose = {
        state: lambda a: plans.pop(0)
        for state in (
            "Choose instances",
            "Choose instances again for scoring",
            "Choose instances again for the endpoint",
        )
    }
    started = machine(workflow_definition(settings), {**answers, **choose})
    status, _ = started.run(RATINGS)

    assert status == "SUCCEEDED"
    assert started.visited.count("Wait for an instance for scoring") == 1
    assert started.visited.count("Wait for an instance for the endpoint") == 2
    assert not plans
