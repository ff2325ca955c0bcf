"""Trials that are compared by ranking: their way through the workflow, and their limits."""

import json
from typing import Any

import pytest

from stacks.settings import Settings
from stacks.workflow import definition as workflow_definition

TRAIN = "Train a trial"
EVALUATE = "Evaluate the ranking of a trial"
QUOTA = "SageMaker.ResourceLimitExceededException"
REFUSAL = (
    "The account-level service limit 'ml.m5.large for training job usage' is 2 Instances, with current "
    "utilization of 2 Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request "
    "an increase for this quota."
)
TUNING = {"maximum_jobs": 5, "parallel_jobs": 3}
PRICE = 0.115


def calls(started: Any, state: str) -> list[Any]:
    return [arguments for name, arguments in started.calls if name == state]


def report_of(started: Any) -> Any:
    (written,) = calls(started, "Write the run report")
    return written["Payload"]["report"]


@pytest.fixture
def plan(planned: Any) -> Any:
    """For three trials at the same time, whose price is said of all three together."""
    made = planned(fm_trials={"needs": {"parallel_jobs": 3}, "seconds": {"training": 60.0, "fixed": 120.0}})
    made["Payload"] |= {
        "hyperparameters": {
            "predictor_type": "binary_classifier",
            "num_factors": "64",
            "epochs": "4",
            "factors_wd": "3e-05",
            "factors_lr": "0.003",
        },
        "by_shape": {
            "shape": {"picks": 52_529},
            "hyperparameters": {"num_factors": "64", "epochs": "4", "factors_wd": "3e-05"},
        },
    }
    for candidate in made["Payload"]["steps"]["fm_trials"]["candidates"]:
        candidate["usd_per_hour"] = 3 * PRICE
    return made


@pytest.fixture
def tuned(run: Any, plan: Any) -> Any:
    """Run with trials, all of the same NDCG unless told otherwise."""

    def start(tuning: Any = TUNING, **changed: Any) -> Any:
        return run({"tuning": tuning}, Choose_instances_for_tuning=lambda a: plan, **changed)

    return start


@pytest.fixture
def by_decay() -> Any:
    """An answer of the evaluation by which the third trial is the best."""

    def evaluate(arguments: Any) -> Any:
        number = int(arguments["Payload"]["embeddings_uri"].split("/")[-2])
        return {"Payload": {"model": {"metrics": {"ndcg_at_10": 0.33 if number == 3 else 0.3}}}}

    return {EVALUATE: evaluate}


def test_the_best_trial_on_validation_rows_trains_the_model(tuned: Any, by_decay: Any) -> None:
    started, (status, _) = tuned(**by_decay)

    assert status == "SUCCEEDED"
    assert "Tune the hyperparameters" not in started.visited
    jobs = calls(started, TRAIN)
    assert [job["TrainingJobName"] for job in jobs] == [f"fmrec-run-1-trial-{n}-1" for n in range(1, 6)]
    folder = "s3://fmrecstorage-data/encoded/run-1/tuning"
    for job in jobs:
        (channel,) = job["InputDataConfig"]
        assert channel["DataSource"]["S3DataSource"]["S3Uri"] == f"{folder}/train/"
        # What input or settings give is no trial's to change.
        assert job["HyperParameters"]["factors_lr"] == "0.003"
        assert job["HyperParameters"]["feature_dim"] == "2625"
    decays = [job["HyperParameters"]["factors_wd"] for job in jobs]
    # The run's own value, above and below it; then from the best on.
    assert decays == ["3e-05", "4.5e-05", "2e-05", "1.3e-05", "2e-05"]
    (trained,) = calls(started, "Train the factorization machine")
    assert trained["HyperParameters"]["factors_wd"] == "2e-05"
    assert trained["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"].endswith("/run-1/train/")
    report = report_of(started)
    assert report["hyperparameters"]["factors_wd"] == "2e-05"
    assert report["tuned"]["objective"] == "ndcg_at_10"
    assert (report["tuned"]["best"], report["tuned"]["value"]) == (3, 0.33)
    assert report["tuned"]["hyperparameters"] == {"num_factors": "64", "epochs": "4", "factors_wd": "2e-05"}
    trials = report["tuned"]["trials"]
    assert [(t["number"], t["round"], t["ndcg"]) for t in trials] == [
        (1, 1, 0.3),
        (2, 1, 0.3),
        (3, 1, 0.33),
        (4, 2, 0.3),
        (5, 2, 0.3),
    ]
    assert trials[0]["job"] == {"name": jobs[0]["TrainingJobName"], "seconds": 61, "billable_seconds": 61}
    assert trials[0]["usd"] == pytest.approx(61 / 3600 * PRICE, abs=1e-6)


def test_a_trial_is_exported_and_evaluated_alone_on_the_validation_encoding(tuned: Any) -> None:
    started, _ = tuned({"maximum_jobs": 1})

    (exported,) = calls(started, "Export the embeddings of a trial")
    validation = "s3://fmrecstorage-data/encoded/run-1/tuning/manifest.json"
    assert exported["Payload"] == {
        "model_uris": ["s3://b/models/fmrec-run-1-trial-1-1/output/model.tar.gz"],
        "manifest_uri": validation,
        "output_uri": "s3://fmrecstorage-data/embeddings/run-1/trials/1/",
        "co_occurrence": 0.3,
        "folding_in": False,
    }
    (evaluated,) = calls(started, EVALUATE)
    assert evaluated["Payload"] == {
        "manifest_uri": validation,
        "embeddings_uri": "s3://fmrecstorage-data/embeddings/run-1/trials/1/embeddings.json",
        "champion_uri": None,
        "output_uri": "s3://fmrecstorage-data/evaluations/run-1/trials/1/ranking.json",
    }
    (asked,) = calls(started, "Choose instances for tuning")
    assert asked["Payload"]["tuning"]["maximum_jobs"] == 1
    assert calls(started, "Choose instances")[0]["Payload"]["tuning"] is None


@pytest.mark.parametrize(
    ("usd", "minutes", "jobs", "seconds"),
    [
        (100.0, 240, 5, 7200),  # two rounds of three: half of the four hours
        (0.05, 240, 5, 313),  # a fifth of what five cents pay for
        (0.03, 240, 3, 313),  # 939 seconds: five would be too short
        (100.0, 9, 3, 540),  # a second round would have less than five minutes
    ],
)
def test_trials_and_their_time_are_cut_to_dollars_and_minutes(
    tuned: Any, usd: float, minutes: int, jobs: int, seconds: int
) -> None:
    started, (status, _) = tuned(TUNING | {"maximum_usd": usd, "maximum_minutes": minutes})

    assert status == "SUCCEEDED"
    trained = calls(started, TRAIN)
    assert len(trained) == jobs
    for job in trained:
        assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": seconds}
    assert jobs * seconds / 3600 * PRICE <= usd
    assert started.visited.count("Run the trials") * seconds <= minutes * 60
    limits = report_of(started)["tuned"]["limits"]
    assert (limits["wanted_jobs"], limits["jobs"]) == (5, jobs)


@pytest.mark.parametrize("price", [PRICE, None])
def test_too_few_dollars_or_an_unknown_price_start_nothing(tuned: Any, plan: Any, price: Any) -> None:
    for candidate in plan["Payload"]["steps"]["fm_trials"]["candidates"]:
        candidate["usd_per_hour"] = price and 3 * price
    started, (status, output) = tuned({"maximum_usd": 0.009 if price else 100})

    assert status == "FAILED"
    assert "TuningBudgetError" in output["Cause"]
    assert calls(started, TRAIN) == []


def test_a_refused_trial_goes_on_with_a_candidate_that_its_share_pays_for(
    tuned: Any, plan: Any, answers: Any, task_error: Any
) -> None:
    candidates = plan["Payload"]["steps"]["fm_trials"]["candidates"]
    # The second would eat up a trial's share in less than five minutes.
    candidates[1]["usd_per_hour"] = 3 * 30.0

    def refuse(arguments: Any) -> Any:
        if arguments["TrainingJobName"] == "fmrec-run-1-trial-2-1":
            raise task_error(QUOTA, REFUSAL)
        return answers[TRAIN](arguments)

    started, (status, _) = tuned(**{TRAIN: refuse})

    assert status == "SUCCEEDED"
    report = report_of(started)
    (refusal,) = report["refusals"]
    assert (refusal["step"], refusal["trial"], refusal["instance_type"]) == ("fm_trials", 2, "ml.m5.large")
    kinds = {trial["number"]: trial["instance_type"] for trial in report["tuned"]["trials"]}
    assert kinds == {
        1: "ml.m5.large",
        2: "ml.c5.xlarge",
        3: "ml.m5.large",
        4: "ml.m5.large",
        5: "ml.m5.large",
    }
    assert calls(started, TRAIN)[2]["TrainingJobName"] == "fmrec-run-1-trial-2-2"


def test_a_trial_without_an_instance_or_with_a_failure_is_left_out_and_the_others_choose(
    tuned: Any, answers: Any, task_error: Any
) -> None:
    def train(arguments: Any) -> Any:
        number = arguments["TrainingJobName"].split("-")[-2]
        if number == "1":
            raise task_error(QUOTA, REFUSAL)
        if number == "2":
            raise task_error("States.TaskFailed", json.dumps({"FailureReason": "ClientError: NaN values"}))
        if number == "3" and arguments["ResourceConfig"]["InstanceType"] == "ml.m5.large":
            raise task_error(
                "States.TaskFailed", "CapacityError: Unable to provision requested ML compute capacity."
            )
        return answers[TRAIN](arguments)

    started, (status, _) = tuned(**{TRAIN: train})

    assert status == "SUCCEEDED"
    first, second, third, *_ = report_of(started)["tuned"]["trials"]
    assert first["why"] == "no instance was left for it"
    assert "NaN values" in second["why"]
    assert "ndcg" not in first | second
    assert (third["ndcg"], third["instance_type"]) == (0.3, "ml.m5.xlarge")
    assert report_of(started)["tuned"]["best"] == 3


@pytest.mark.parametrize("broken", [TRAIN, "Export the embeddings of a trial", EVALUATE])
def test_where_every_trial_fails_the_run_ends_with_the_first_ones_failure(
    tuned: Any, task_error: Any, broken: str
) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("States.TaskFailed", "ClientError: NaN values")

    started, (status, output) = tuned(**{broken: fail})

    assert status == "FAILED"
    failure = json.loads(output["Cause"])
    assert failure["state"] == broken
    assert "NaN values" in failure["error"]["Cause"]
    assert "Train the factorization machine" not in started.visited


def test_where_every_trial_is_refused_the_failure_names_the_refusals(tuned: Any, task_error: Any) -> None:
    def refuse(arguments: Any) -> None:
        raise task_error(QUOTA, REFUSAL)

    _, (status, output) = tuned({"maximum_jobs": 1}, **{TRAIN: refuse})

    failure = json.loads(output["Cause"])
    assert status == "FAILED"
    assert (failure["error"]["Error"], failure["step"]) == ("NoInstanceLeft", "fm_trials")
    assert [r["instance_type"] for r in failure["refused"]] == ["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"]


def test_waiting_begins_the_trials_again_under_new_names(
    machine: Any, answers: Any, plan: Any, task_error: Any
) -> None:
    waiting = Settings.model_validate(
        {
            "tuning": {"maximum_jobs": 1},
            "instances": {"last_resort": {"training": "wait", "wait_minutes": 10}},
        }
    )
    refused: list[str] = []

    def refuse_thrice(arguments: Any) -> Any:
        if len(refused) < 3:
            refused.append(arguments["TrainingJobName"])
            raise task_error(QUOTA, REFUSAL)
        return answers[TRAIN](arguments)

    changed = {
        "Choose instances for tuning": lambda a: plan,
        "Choose instances again for trials": lambda a: plan,
        TRAIN: refuse_thrice,
    }
    started = machine(workflow_definition(waiting), {**answers, **changed})
    status, _ = started.run({})

    assert status == "SUCCEEDED"
    assert started.visited.count("Wait for an instance for trials") == 1
    assert calls(started, TRAIN)[-1]["TrainingJobName"] == "fmrec-run-1-trial-1-4"
    (asked,) = calls(started, "Choose instances again for trials")
    # What may be changed is what nobody gave, also where all is given by now.
    assert set(asked["Payload"]["tuning"]["free"]) == {"num_factors", "epochs", "factors_wd"}


def test_spot_trials_wait_no_longer_than_they_may_run(machine: Any, answers: Any, plan: Any) -> None:
    settings = Settings.model_validate(
        {"instances": {"policy": {"spot_training": True}}, "tuning": {"maximum_jobs": 1}}
    )
    started = machine(
        workflow_definition(settings), {**answers, "Choose instances for tuning": lambda a: plan}
    )
    status, _ = started.run({})

    assert status == "SUCCEEDED"
    (job,) = calls(started, TRAIN)
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 3600}
