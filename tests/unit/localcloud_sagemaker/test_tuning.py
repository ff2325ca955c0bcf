"""Tuning jobs: what is drawn, what is best, and when the search ends."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.faults import ServiceFault
from localcloud.sagemaker.ranges import draw

IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/factorization-machines:1"
LOSS = {"Name": "loss", "MinValue": "0.001", "MaxValue": "1.0"}


def tune(cloud: Any, name: str = "tune", static: dict[str, str] | None = None, **config: Any) -> None:
    cloud.put("train/part-00000", "rows")
    limits = {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2}
    document: dict[str, Any] = {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "test:rmse"},
        "ResourceLimits": limits,
        "ParameterRanges": {"ContinuousParameterRanges": [LOSS]},
        "RandomSeed": 7,
    }
    cloud(
        "CreateHyperParameterTuningJob",
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig=document | config,
        TrainingJobDefinition={
            "StaticHyperParameters": static or {"k": "3"},
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": "arn:aws:iam::000000000000:role/training",
            "InputDataConfig": [cloud.channel()],
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    )


def tuned(cloud: Any, name: str = "tune") -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        job = cloud("DescribeHyperParameterTuningJob", HyperParameterTuningJobName=name)
        return None if job["HyperParameterTuningJobStatus"] in ("InProgress", "Stopping") else job

    job: dict[str, Any] = cloud.until(ended, 60)
    return job


def test_the_best_training_job_has_the_best_objective(cloud: Any) -> None:
    tune(cloud)
    job = tuned(cloud)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 4
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    listed = cloud(
        "ListTrainingJobsForHyperParameterTuningJob",
        HyperParameterTuningJobName="tune",
        SortBy="FinalObjectiveMetricValue",
    )["TrainingJobSummaries"]
    values = [entry["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for entry in listed]
    assert values == sorted(values)
    assert len(set(values)) == 4
    assert [float(entry["TunedHyperParameters"]["loss"]) for entry in listed] == pytest.approx(values)
    assert job["BestTrainingJob"]["TrainingJobName"] == listed[0]["TrainingJobName"]
    best = cloud("DescribeTrainingJob", TrainingJobName=listed[0]["TrainingJobName"])
    assert best["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert best["HyperParameters"] == {
        "k": "3",
        "loss": listed[0]["TunedHyperParameters"]["loss"],
        "_tuning_objective_metric": "test:rmse",
    }
    [summary] = cloud("ListHyperParameterTuningJobs")["HyperParameterTuningJobSummaries"]
    assert summary["HyperParameterTuningJobName"] == "tune"


def test_a_grid_tries_every_combination_once(cloud: Any) -> None:
    values = [{"Name": "loss", "Values": ["0.5", "0.1", "0.9"]}, {"Name": "x", "Values": ["a", "b"]}]
    tune(
        cloud,
        Strategy="Grid",
        ParameterRanges={"CategoricalParameterRanges": values},
        HyperParameterTuningJobObjective={"Type": "Maximize", "MetricName": "test:rmse"},
        ResourceLimits={"MaxParallelTrainingJobs": 3},
    )
    job = tuned(cloud)
    listed = cloud(
        "ListTrainingJobsForHyperParameterTuningJob", HyperParameterTuningJobName="tune", MaxResults=100
    )["TrainingJobSummaries"]
    tried = {(e["TunedHyperParameters"]["loss"], e["TunedHyperParameters"]["x"]) for e in listed}
    assert len(listed) == 6
    assert tried == {(loss, x) for loss in ("0.5", "0.1", "0.9") for x in ("a", "b")}
    assert job["BestTrainingJob"]["TunedHyperParameters"]["loss"] == "0.9"


def test_a_reached_target_ends_the_search(cloud: Any) -> None:
    tune(
        cloud,
        TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 2.0},
        ResourceLimits={"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 1},
    )
    job = tuned(cloud)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 1


def test_stopping_stops_the_training_jobs_too(cloud: Any) -> None:
    tune(cloud, static={"sleep": "600"})
    cloud.until(lambda: len(cloud.service.processes()) == 2)
    cloud("StopHyperParameterTuningJob", HyperParameterTuningJobName="tune")
    job = tuned(cloud)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2
    assert cloud.service.processes() == []


def test_a_search_without_any_success_fails(cloud: Any) -> None:
    tune(cloud, static={"exit": "2"})
    job = tuned(cloud)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("All training jobs failed.")
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 4


def test_parallel_jobs_must_fit_into_the_quota(make_cloud: Any) -> None:
    cloud = make_cloud({"ml.m5.large for training job usage": 1})
    with pytest.raises(ServiceFault, match=r"is 1 Instances, .* a request delta of 2 Instances"):
        tune(cloud)
    tune(cloud, ResourceLimits={"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1})
    assert tuned(cloud)["TrainingJobStatusCounters"]["Completed"] == 2


def test_the_search_waits_for_room_that_others_use(make_cloud: Any) -> None:
    cloud = make_cloud({"ml.m5.large for training job usage": 1})
    tune(
        cloud,
        ResourceLimits={"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
        static={"sleep": "0.3"},
    )
    cloud.until(cloud.service.processes)
    cloud.quotas.put({"ml.m5.large for training job usage": 2})
    tune(cloud, "second", ResourceLimits={"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1})
    assert tuned(cloud, "second")["HyperParameterTuningJobStatus"] == "Completed"
    assert tuned(cloud)["HyperParameterTuningJobStatus"] == "Completed"


def test_a_search_that_was_cut_off_has_failed_after_a_restart(make_cloud: Any) -> None:
    first = make_cloud()
    tune(first, static={"sleep": "600"})
    first.until(first.service.processes)
    first.service.close()
    job = tuned(make_cloud())
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "was stopped while the job ran" in job["FailureReason"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Strategy": "Hyperband"}, "no strategy Hyperband"),
        ({"Strategy": "Grid"}, "categorical parameters only"),
        ({"ParameterRanges": {}}, "at least one parameter"),
        ({"ParameterRanges": {"IntegerParameterRanges": [LOSS]}}, "must be integers"),
        ({"ParameterRanges": {"ContinuousParameterRanges": [LOSS | {"MaxValue": "0"}]}}, "is empty"),
        (
            {"ParameterRanges": {"ContinuousParameterRanges": [LOSS | {"Name": "k"}]}},
            "both the ranges and Static",
        ),
        (
            {
                "ParameterRanges": {
                    "ContinuousParameterRanges": [LOSS | {"MinValue": "0", "ScalingType": "Logarithmic"}]
                }
            },
            "above 0 for logarithmic",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "test:mape"}},
            "The objective metric test:mape is none of the algorithm's",
        ),
    ],
)
def test_impossible_searches_are_refused(cloud: Any, config: dict[str, Any], words: str) -> None:
    with pytest.raises(ServiceFault, match=words) as refusal:
        tune(cloud, **config)
    assert refusal.value.code == "ValidationException"


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a search, no secret


SCALES = st.sampled_from(["Auto", "Linear", "Logarithmic"])


@given(st.integers(1, 1000), st.integers(0, 100_000), SCALES, st.integers())
def test_drawn_integers_lie_in_their_range(low: int, width: int, scale: str, seed: int) -> None:
    entry = {"Name": "n", "MinValue": str(low), "MaxValue": str(low + width), "ScalingType": scale}
    drawn = draw({"IntegerParameterRanges": [entry]}, seeded(seed))
    assert low <= int(drawn["n"]) <= low + width


@given(
    st.floats(0.0, 0.9),
    st.floats(0.0, 0.09),
    st.sampled_from(["Linear", "ReverseLogarithmic"]),
    st.integers(),
)
def test_drawn_numbers_lie_in_their_range(low: float, width: float, scale: str, seed: int) -> None:
    entry = {"Name": "n", "MinValue": repr(low), "MaxValue": repr(low + width), "ScalingType": scale}
    drawn = draw({"ContinuousParameterRanges": [entry]}, seeded(seed))
    assert low <= float(drawn["n"]) <= low + width


def test_a_logarithmic_scale_spreads_over_orders_of_magnitude() -> None:
    entry = {"Name": "n", "MinValue": "1e-6", "MaxValue": "1"}
    generator = seeded(1)
    values = [float(draw({"ContinuousParameterRanges": [entry]}, generator)["n"]) for _ in range(400)]
    assert 0.4 < sum(value < 1e-3 for value in values) / 400 < 0.6
