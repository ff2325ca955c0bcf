"""Several models for one index: trained at the same time, each with its own candidates, refusals and cost."""

import json
from typing import Any

import pytest

from stacks.settings import Settings
from stacks.workflow import definition as workflow_definition

TRAIN = "Train one model of the ensemble"
QUOTA = "SageMaker.ResourceLimitExceededException"
REFUSAL = (
    "The account-level service limit 'ml.m5.large for training job usage' is 2 Instances, with current "
    "utilization of 2 Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request "
    "an increase for this quota."
)


def calls(started: Any, state: str) -> list[Any]:
    return [arguments for name, arguments in started.calls if name == state]


def report_of(started: Any) -> Any:
    (written,) = calls(started, "Write the run report")
    return written["Payload"]["report"]


@pytest.fixture
def plan(planned: Any) -> Any:
    """For three jobs at the same time, whose price is said of all three together."""
    made = planned(fm_training={"needs": {"parallel_jobs": 3}})
    made["Payload"]["sizes"]["models"] = 3
    for candidate in made["Payload"]["steps"]["fm_training"]["candidates"]:
        candidate["usd_per_hour"] = 0.345
    return made


@pytest.fixture
def ensemble(run: Any, plan: Any) -> Any:
    return lambda **answers: run({"ensemble": 3}, Choose_instances=lambda a: plan, **answers)


def test_all_models_are_trained_at_the_same_time_each_on_rows_of_its_own(ensemble: Any) -> None:
    started, (status, _) = ensemble()

    assert status == "SUCCEEDED"
    assert "Train the factorization machine" not in started.visited
    assert calls(started, "Choose instances")[0]["Payload"]["ensemble"] == 3
    (encoding,) = calls(started, "Encode the interactions")
    assert json.loads(encoding["Arguments"]["--dataset"])["label"]["models"] == 3
    jobs = calls(started, TRAIN)
    assert [job["TrainingJobName"] for job in jobs] == [f"fmrec-run-1-fm-{n}-1" for n in (1, 2, 3)]
    channels = [[c["DataSource"]["S3DataSource"]["S3Uri"] for c in job["InputDataConfig"]] for job in jobs]
    folder = "s3://fmrecstorage-data/encoded/run-1"
    assert channels == [[f"{folder}/train/part-0{n}", f"{folder}/test/"] for n in (1, 2, 3)]
    assert [job["HyperParameters"] for job in jobs] == [jobs[0]["HyperParameters"]] * 3


def test_one_model_on_rows_for_several_reads_those_of_the_first(run: Any, planned: Any) -> None:
    made = planned()
    made["Payload"]["sizes"]["models"] = 3
    started, (status, _) = run({}, Choose_instances=lambda a: made)

    assert status == "SUCCEEDED"
    (job,) = calls(started, "Train the factorization machine")
    uri = job["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    assert uri == "s3://fmrecstorage-data/encoded/run-1/train/part-01"


def test_tuning_compares_hyperparameters_on_the_rows_of_one_model(run: Any, plan: Any) -> None:
    tuning = {"maximum_jobs": 2, "maximum_usd": 1, "ranges": {"factors_lr": [0.001, 0.1]}}
    started, (status, _) = run({"ensemble": 3, "tuning": tuning}, Choose_instances=lambda a: plan)

    assert status == "SUCCEEDED"
    (cut,) = calls(started, "Encode the validation split")
    assert json.loads(cut["Arguments"]["--dataset"])["label"]["models"] == 1
    assert calls(started, "Choose instances for tuning")[0]["Payload"]["ensemble"] == 1


def test_all_artifacts_make_the_embeddings_and_are_registered_and_reported(ensemble: Any) -> None:
    started, _ = ensemble()

    uris = [f"s3://b/models/fmrec-run-1-fm-{n}-1/output/model.tar.gz" for n in (1, 2, 3)]
    (export,) = calls(started, "Export the embeddings")
    assert export["Payload"]["model_uris"] == uris
    (registered,) = calls(started, "Register the model")
    assert registered["Payload"]["model"]["model_uris"] == uris
    assert registered["Payload"]["model"]["model_uri"] == uris[0]
    report = report_of(started)
    assert report["model_uris"] == uris
    assert report["model_version"] == "fmrec-run-1-fm-1-1"
    assert report["metrics"]["test:binary_classification_accuracy"] == pytest.approx(0.71)
    steps = {"fm_training", "fm_training_2", "fm_training_3"}
    assert steps <= set(report["jobs"])
    assert [report["chosen"][step]["usd_per_hour"] for step in sorted(steps)] == [pytest.approx(0.115)] * 3


def test_metrics_are_the_mean_over_the_models(ensemble: Any, answers: Any) -> None:
    values = iter((0.6, 0.7, 0.9))

    def trained(arguments: Any) -> Any:
        answer = answers[TRAIN](arguments)
        answer["FinalMetricDataList"][0]["Value"] = next(values)
        return answer

    started, _ = ensemble(**{TRAIN: trained})

    metrics = report_of(started)["metrics"]
    assert metrics == {
        "test:binary_classification_accuracy": pytest.approx(2.2 / 3),
        "test:binary_f_beta": pytest.approx(0.76),
    }


def test_a_refused_model_goes_on_with_its_next_candidate_and_the_others_keep_theirs(
    ensemble: Any, answers: Any, task_error: Any
) -> None:
    def refuse(arguments: Any) -> Any:
        if arguments["TrainingJobName"] == "fmrec-run-1-fm-2-1":
            raise task_error(QUOTA, REFUSAL)
        return answers[TRAIN](arguments)

    started, (status, _) = ensemble(**{TRAIN: refuse})

    assert status == "SUCCEEDED"
    report = report_of(started)
    assert [report["chosen"][f"fm_training{n}"]["instance_type"] for n in ("", "_2", "_3")] == [
        "ml.m5.large",
        "ml.m5.xlarge",
        "ml.m5.large",
    ]
    (refusal,) = report["refusals"]
    assert (refusal["step"], refusal["model"], refusal["instance_type"]) == ("fm_training", 2, "ml.m5.large")
    assert report["jobs"]["fm_training_2"]["name"] == "fmrec-run-1-fm-2-2"
    assert [uri.split("/")[4] for uri in report["model_uris"]] == [
        "fmrec-run-1-fm-1-1",
        "fmrec-run-1-fm-2-2",
        "fmrec-run-1-fm-3-1",
    ]


def test_missing_capacity_of_one_model_is_a_refusal_too(ensemble: Any, answers: Any, task_error: Any) -> None:
    cause = json.dumps({"FailureReason": "CapacityError: Unable to provision requested ML compute capacity."})

    def refuse(arguments: Any) -> Any:
        if arguments["TrainingJobName"].endswith("fm-3-1"):
            raise task_error("States.TaskFailed", cause)
        return answers[TRAIN](arguments)

    started, (status, _) = ensemble(**{TRAIN: refuse})

    assert status == "SUCCEEDED"
    assert report_of(started)["chosen"]["fm_training_3"]["instance_type"] == "ml.m5.xlarge"


def test_a_model_whose_job_fails_ends_the_run_with_that_job(
    ensemble: Any, answers: Any, task_error: Any
) -> None:
    def fail(arguments: Any) -> Any:
        if arguments["TrainingJobName"].endswith("fm-2-1"):
            raise task_error("States.TaskFailed", json.dumps({"FailureReason": "ClientError: NaN values"}))
        return answers[TRAIN](arguments)

    _, (status, output) = ensemble(**{TRAIN: fail})

    failure = json.loads(output["Cause"])
    assert status == "FAILED"
    assert (failure["state"], failure["name"]) == (TRAIN, "fmrec-run-1-fm-2-1")
    assert "NaN values" in failure["error"]["Cause"]


def test_when_one_model_finds_no_instance_the_failure_names_its_refusals(
    ensemble: Any, answers: Any, task_error: Any
) -> None:
    def refuse(arguments: Any) -> Any:
        if "-fm-2-" in arguments["TrainingJobName"]:
            raise task_error(QUOTA, REFUSAL)
        return answers[TRAIN](arguments)

    _, (status, output) = ensemble(**{TRAIN: refuse})

    failure = json.loads(output["Cause"])
    assert status == "FAILED"
    assert failure["error"]["Error"] == "NoInstanceLeft"
    assert [r["instance_type"] for r in failure["refused"]] == ["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"]


def test_waiting_trains_only_the_models_that_are_missing_under_new_names(
    machine: Any, answers: Any, plan: Any, task_error: Any
) -> None:
    waiting = Settings.model_validate(
        {"ensemble": 3, "instances": {"last_resort": {"training": "wait", "wait_minutes": 10}}}
    )
    refused: list[str] = []

    def refuse_thrice(arguments: Any) -> Any:
        if "-fm-2-" in arguments["TrainingJobName"] and len(refused) < 3:
            refused.append(arguments["TrainingJobName"])
            raise task_error(QUOTA, REFUSAL)
        return answers[TRAIN](arguments)

    changed = {
        "Choose instances": lambda a: plan,
        "Choose instances again for the ensemble": lambda a: plan,
        TRAIN: refuse_thrice,
    }
    started = machine(workflow_definition(waiting), {**answers, **changed})
    status, _ = started.run({})

    assert status == "SUCCEEDED"
    assert started.visited.count("Wait for an instance for the ensemble") == 1
    names = [job["TrainingJobName"].removeprefix("fmrec-run-1-fm-") for job in calls(started, TRAIN)]
    assert names == ["1-1", "2-1", "2-2", "2-3", "3-1", "2-4"]
    report = report_of(started)
    assert len(report["refusals"]) == 3
    assert [uri.split("/")[4][-3:] for uri in report["model_uris"]] == ["1-1", "2-4", "3-1"]


def test_with_room_for_fewer_jobs_the_others_are_trained_after_the_first(run: Any, plan: Any) -> None:
    plan["Payload"]["steps"]["fm_training"]["needs"]["parallel_jobs"] = 2
    started, (status, _) = run({"ensemble": 5}, Choose_instances=lambda a: plan)

    assert status == "SUCCEEDED"
    assert started.visited.count("Train the models of the ensemble") == 3
    assert [job["TrainingJobName"][-3:] for job in calls(started, TRAIN)] == [f"{n}-1" for n in range(1, 6)]
    assert len(report_of(started)["model_uris"]) == 5


def test_one_model_is_trained_as_ever(run: Any) -> None:
    started, (status, _) = run({"ensemble": 1})

    assert status == "SUCCEEDED"
    assert calls(started, TRAIN) == []
    (job,) = calls(started, "Train the factorization machine")
    assert job["HyperParameters"]["mini_batch_size"] == "1000"
    assert report_of(started)["model_uris"] == ["s3://b/models/fmrec-run-1-fm-1/output/model.tar.gz"]
