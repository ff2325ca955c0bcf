"""Tuning through the deployed workflow, by SageMaker and by ranking: on validation rows, in its budget."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any

import pytest

USERS, ITEMS, RATED, HELD_OUT = 80, 40, 12, 3
BETWEEN = [0.02, 0.08]
INPUT: dict[str, Any] = {
    "task": "recommend",
    "dataset": {
        "interactions": {"path": "tuning/", "format": "csv", "header": True},
        "split": {"method": "leave-first-n", "n": HELD_OUT},
    },
    "hyperparameters": {
        "num_factors": 4,
        "epochs": 15,
        "mini_batch_size": 100,
        "linear_lr": 0.02,
        "factors_init_sigma": 0.1,
    },
    "tuning": {"maximum_jobs": 2, "maximum_usd": 0.5, "ranges": {"factors_lr": BETWEEN}},
    "serving": {"recommendations_per_user": 5, "endpoint": False},
}


def ratings() -> str:
    """CSV: users pick items of their own half, by chance."""
    chance = random.Random(3)  # noqa: S311 - data, not secrets
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["user_id", "item_id", "rating", "timestamp"])
    for user in range(USERS):
        half = [item for item in range(ITEMS) if item % 2 == user % 2]
        for at, item in enumerate(chance.sample(half, RATED)):
            writer.writerow([user + 1, item + 1, 5, 1_000_000 + at])
    return text.getvalue()


def read(pipeline: Any, key: str) -> Any:
    body = pipeline.cloud.client("s3").get_object(Bucket=pipeline.outputs["DataBucket"], Key=key)["Body"]
    return json.loads(body.read())


def test_the_best_of_the_tried_hyperparameters_on_validation_rows_trains_the_model(pipeline: Any) -> None:
    pipeline.upload("raw/tuning/ratings.csv", ratings())
    run = pipeline.run(INPUT)
    assert run.status == "SUCCEEDED", run.cause

    report = read(pipeline, f"runs/{run.name}/report.json")
    tuned, sagemaker = report["tuned"], pipeline.cloud.client("sagemaker")
    job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=tuned["job"])
    tried = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuned["job"]
    )["TrainingJobSummaries"]
    measured = {
        each["TunedHyperParameters"]["factors_lr"]: each["FinalHyperParameterTuningJobObjectiveMetric"][
            "Value"
        ]
        for each in tried
    }
    best = min(measured, key=lambda rate: measured[rate])
    assert len(measured) == 2
    assert all(BETWEEN[0] <= float(rate) <= BETWEEN[1] for rate in measured)
    assert tuned["hyperparameters"] == {"factors_lr": best}
    assert tuned["value"] == pytest.approx(measured[best])
    trained = sagemaker.describe_training_job(TrainingJobName=f"fmrec-{run.name}-fm-1")
    assert trained["HyperParameters"]["factors_lr"] == report["hyperparameters"]["factors_lr"] == best

    # Within the budget, by limits that SageMaker itself keeps.
    limits = tuned["limits"]
    longest = job["TrainingJobDefinition"]["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert longest == limits["seconds_per_job"]
    assert 0.4 < limits["usd_at_most"] <= limits["maximum_usd"] == 0.5

    # Test rows are in neither channel of the tuning jobs; validation rows were training rows.
    whole = read(pipeline, f"encoded/{run.name}/manifest.json")
    cut = read(pipeline, f"encoded/{run.name}/tuning/manifest.json")
    assert cut["dropped_reasons"] == {"held out for test": USERS * HELD_OUT}
    assert cut["rows"]["read"] == whole["rows"]["read"] == USERS * RATED
    assert cut["feature_dim"] == whole["feature_dim"]
    assert cut["dataset"]["validation"] is True
    assert cut["train"]["rows"] < whole["train"]["rows"]
    assert cut["test"]["rows"] == whole["test"]["rows"] > 0


def test_the_trial_that_ranks_validation_rows_best_trains_the_model(pipeline: Any) -> None:
    pipeline.upload("raw/tuning/ratings.csv", ratings())
    # Of another name: what chance proposed to SageMaker's tuning may have made a champion that is not beaten.
    ranked = {"dataset": INPUT["dataset"] | {"name": "ranked"}}
    run = pipeline.run(
        INPUT | ranked | {"tuning": {"maximum_jobs": 2, "parallel_jobs": 2, "maximum_usd": 0.5}}
    )
    assert run.status == "SUCCEEDED", run.cause

    report, sagemaker = read(pipeline, f"runs/{run.name}/report.json"), pipeline.cloud.client("sagemaker")
    tuned = report["tuned"]
    own, other = tuned["trials"]
    jobs = [sagemaker.describe_training_job(TrainingJobName=trial["job"]["name"]) for trial in (own, other)]
    # The first has the run's own values; what the input gives is the same in both.
    given = INPUT["hyperparameters"]
    for trial, job in zip((own, other), jobs, strict=True):
        assert job["HyperParameters"] | trial["hyperparameters"] == job["HyperParameters"]
        assert {name: float(job["HyperParameters"][name]) for name in given} == given
        assert job["StoppingCondition"]["MaxRuntimeInSeconds"] / 3600 * 2 * 0.115 <= 0.5
        assert [channel["ChannelName"] for channel in job["InputDataConfig"]] == ["train"]
    assert float(other["hyperparameters"]["factors_wd"]) == pytest.approx(
        1.5 * float(own["hyperparameters"]["factors_wd"]), rel=0.05
    )
    # Each is judged by its lists for who has validation rows, and the better one trains the model.
    for trial in (own, other):
        judged = read(pipeline, f"evaluations/{run.name}/trials/{trial['number']}/ranking.json")
        assert trial["ndcg"] == judged["model"]["metrics"]["ndcg_at_10"] > 0
        assert (judged["champion"], judged["simple_models"]) == (None, {})
    best = max((own, other), key=lambda trial: trial["ndcg"])
    assert tuned["hyperparameters"] == best["hyperparameters"]
    trained = sagemaker.describe_training_job(TrainingJobName=f"fmrec-{run.name}-fm-1")
    decay = best["hyperparameters"]["factors_wd"]
    assert trained["HyperParameters"]["factors_wd"] == report["hyperparameters"]["factors_wd"] == decay
    assert report["spent"]["steps"]["fm_trials"]["usd"] == pytest.approx(own["usd"] + other["usd"], abs=1e-5)
