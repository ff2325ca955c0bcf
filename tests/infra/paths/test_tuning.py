"""The workflow's way through hyperparameter tuning, and what holds it to its budget."""

from typing import Any

import pytest

from stacks.settings import Settings
from stacks.workflow import definition as workflow_definition

TUNING = {"maximum_jobs": 4, "maximum_usd": 1, "ranges": {"factors_lr": [0.001, 0.1]}}
PRICE = 0.115


def calls(started: Any, state: str) -> list[Any]:
    return [arguments for name, arguments in started.calls if name == state]


def test_without_tuning_there_is_no_second_encoding(run: Any) -> None:
    started, (status, _) = run({})

    assert status == "SUCCEEDED"
    assert "Is tuning requested?" in started.visited
    assert not {"Encode the validation split", "Tune the hyperparameters"} & set(started.visited)
    (report,) = calls(started, "Write the run report")
    assert report["Payload"]["report"]["tuned"] is None


def test_the_best_hyperparameters_on_validation_rows_train_the_model(run: Any) -> None:
    started, (status, _) = run({"tuning": TUNING})

    assert status == "SUCCEEDED"
    (cut,) = calls(started, "Encode the validation split")
    assert cut["Arguments"]["--validation"] == "true"
    assert cut["Arguments"]["--output"] == "s3://fmrecstorage-data/encoded/run-1/tuning/"
    (tuned,) = calls(started, "Tune the hyperparameters")
    assert len(tuned["HyperParameterTuningJobName"]) <= 32
    definition = tuned["TrainingJobDefinition"]
    channels = [
        (channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"])
        for channel in definition["InputDataConfig"]
    ]
    folder = "s3://fmrecstorage-data/encoded/run-1/tuning"
    assert channels == [("train", f"{folder}/train/"), ("test", f"{folder}/test/")]
    assert "factors_lr" not in definition["StaticHyperParameters"]
    assert definition["StaticHyperParameters"]["feature_dim"] == "2625"
    # What the data's shape gave is not chosen again for the training itself, and the tuned value wins.
    assert definition["StaticHyperParameters"]["epochs"] == "4"
    config = tuned["HyperParameterTuningJobConfig"]
    assert config["HyperParameterTuningJobObjective"]["Type"] == "Minimize"
    assert config["ParameterRanges"]["ContinuousParameterRanges"][0]["Name"] == "factors_lr"
    (trained,) = calls(started, "Train the factorization machine")
    assert trained["HyperParameters"]["factors_lr"] == "0.0123"
    assert trained["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"].endswith("/run-1/train/")
    (report,) = (arguments["Payload"]["report"] for arguments in calls(started, "Write the run report"))
    assert report["hyperparameters"]["factors_lr"] == "0.0123"
    assert trained["HyperParameters"]["epochs"] == report["hyperparameters"]["epochs"] == "4"
    assert report["by_shape"]["hyperparameters"]["epochs"] == "4"
    assert report["tuned"]["hyperparameters"] == {"factors_lr": "0.0123"}
    assert (report["tuned"]["value"], report["tuned"]["jobs"]["Completed"]) == (0.53, 2)
    assert report["jobs"]["tuning_encoding"]["id"] == "jr_2"


@pytest.mark.parametrize(
    ("usd", "jobs", "seconds"),
    [
        (100.0, 4, 24 * 3600),  # more than four whole days' worth: the setting's limit of a job
        (1.0, 4, 7826),  # a quarter of what a dollar pays for
        (0.03, 3, 313),  # 939 seconds: four jobs would be too short
        (0.0096, 1, 300),
    ],
)
def test_jobs_and_their_time_are_cut_to_the_dollars(run: Any, usd: float, jobs: int, seconds: int) -> None:
    started, (status, _) = run({"tuning": TUNING | {"maximum_usd": usd, "parallel_jobs": 2}})

    assert status == "SUCCEEDED"
    (tuned,) = calls(started, "Tune the hyperparameters")
    limits = tuned["HyperParameterTuningJobConfig"]["ResourceLimits"]
    longest = tuned["TrainingJobDefinition"]["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert (limits["MaxNumberOfTrainingJobs"], longest) == (jobs, seconds)
    assert limits["MaxParallelTrainingJobs"] == min(2, jobs)
    assert jobs * longest / 3600 * PRICE <= usd
    (report,) = (arguments["Payload"]["report"] for arguments in calls(started, "Write the run report"))
    assert report["tuned"]["limits"]["wanted_jobs"] == 4
    assert report["tuned"]["limits"]["usd_at_most"] == pytest.approx(jobs * seconds / 3600 * PRICE, abs=1e-4)


@pytest.mark.parametrize("price", [PRICE, None])
def test_too_few_dollars_or_an_unknown_price_start_nothing(run: Any, planned: Any, price: Any) -> None:
    plan = planned()
    for candidate in plan["Payload"]["steps"]["fm_training"]["candidates"]:
        candidate["usd_per_hour"] = price
    budget = 0.009 if price else 100
    started, (status, output) = run(
        {"tuning": TUNING | {"maximum_usd": budget}}, Choose_instances_for_tuning=lambda a: plan
    )

    assert status == "FAILED"
    assert "TuningBudgetError" in output["Cause"]
    assert f"tuning may cost {budget} dollars" in output["Cause"]
    assert "Tune the hyperparameters" not in started.visited
    assert "Train the factorization machine" not in started.visited


def test_a_refused_quota_tries_the_next_instance_under_a_new_name(
    run: Any, answers: Any, task_error: Any
) -> None:
    def refuse(arguments: Any) -> Any:
        kind = arguments["TrainingJobDefinition"]["ResourceConfig"]["InstanceType"]
        if kind == "ml.m5.large":
            raise task_error("SageMaker.ResourceLimitExceededException", "The account-level service limit …")
        return answers["Tune the hyperparameters"](arguments)

    started, (status, _) = run({"tuning": TUNING}, Tune_the_hyperparameters=refuse)

    assert status == "SUCCEEDED"
    first, second = calls(started, "Tune the hyperparameters")
    assert first["HyperParameterTuningJobName"] != second["HyperParameterTuningJobName"]
    kind = second["TrainingJobDefinition"]["ResourceConfig"]["InstanceType"]
    assert kind == "ml.m5.xlarge"
    (trained,) = calls(started, "Train the factorization machine")
    assert trained["ResourceConfig"]["InstanceType"] == "ml.m5.large"


@pytest.mark.parametrize(
    "broken", ["Encode the validation split", "Choose instances for tuning", "Tune the hyperparameters"]
)
def test_a_failure_of_tuning_is_told_by_its_own_state_and_nothing_is_trained(
    run: Any, task_error: Any, broken: str
) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("States.TaskFailed", '{"FailureReason": "All training jobs failed."}')

    started, (status, output) = run({"tuning": TUNING}, **{broken.replace(" ", "_"): fail})

    assert status == "FAILED"
    assert f'"state": "{broken}"' in output["Cause"]
    assert "Train the factorization machine" not in started.visited


def test_spot_jobs_wait_no_longer_than_they_may_run(machine: Any, answers: Any) -> None:
    settings = Settings.model_validate(
        {
            "instances": {"policy": {"spot_training": True}},
            "tuning": {"maximum_usd": 100.0, "ranges": {"factors_lr": [0.001, 0.1]}},
        }
    )
    started = machine(workflow_definition(settings), answers)
    status, _ = started.run({})

    assert status == "SUCCEEDED"
    (tuned,) = calls(started, "Tune the hyperparameters")
    assert tuned["TrainingJobDefinition"]["EnableManagedSpotTraining"] is True
    assert tuned["TrainingJobDefinition"]["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 3600,
        "MaxWaitTimeInSeconds": 3600,
    }
