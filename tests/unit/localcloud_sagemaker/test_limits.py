"""Quotas are enforced in AWS's words, and faults make the trouble that they name."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from localcloud.faults import ServiceFault
from localcloud.quotas import Quotas

# As public reports of ResourceLimitExceeded quote it.
REFUSAL = re.compile(
    r"service limit '(?P<quota>[^']+)' is (?P<limit>[\d.,]+) (?P<unit>\w+), with current utilization of "
    r"(?P<used>[\d.,]+) \w+ and a request delta of (?P<delta>[\d.,]+) \w+"
)


def refusal(attempt: Any) -> tuple[str, str, str, str]:
    with pytest.raises(ServiceFault) as refused:
        attempt()
    assert refused.value.code == "ResourceLimitExceeded"
    assert refused.value.status == 400
    match = REFUSAL.search(refused.value.message)
    assert match is not None
    return match["quota"], match["limit"], match["used"], match["delta"]


def resources(count: int = 1, kind: str = "ml.m5.large") -> dict[str, Any]:
    return {"InstanceType": kind, "InstanceCount": count, "VolumeSizeInGB": 10}


def test_a_type_quota_of_zero_refuses_training(make_cloud: Any) -> None:
    cloud = make_cloud({"ml.m5.large for training job usage": 0})
    assert refusal(cloud.train) == ("ml.m5.large for training job usage", "0", "0", "1")
    assert cloud("ListTrainingJobs")["TrainingJobSummaries"] == []
    assert cloud.trained(ResourceConfig=resources(kind="ml.m5.xlarge"))["TrainingJobStatus"] == "Completed"


def test_running_jobs_use_the_quota_and_ended_ones_give_it_back(make_cloud: Any) -> None:
    cloud = make_cloud(
        {"ml.m5.large for training job usage": 4, "Number of instances across all training jobs": 5}
    )
    cloud.train("first", HyperParameters={"sleep": "600"}, ResourceConfig=resources(3))
    assert refusal(lambda: cloud.train("a", ResourceConfig=resources(2))) == (
        "ml.m5.large for training job usage",
        "4",
        "3",
        "2",
    )
    assert refusal(lambda: cloud.train("b", ResourceConfig=resources(3, "ml.c5.xlarge"))) == (
        "Number of instances across all training jobs",
        "5",
        "3",
        "3",
    )
    cloud("StopTrainingJob", TrainingJobName="first")
    cloud.end_of_training("first")
    assert cloud.trained("c", ResourceConfig=resources(2))["TrainingJobStatus"] == "Completed"


def test_a_quota_is_never_overdrawn_by_calls_at_the_same_time(make_cloud: Any) -> None:
    cloud = make_cloud({"ml.m5.large for training job usage": 3})
    cloud.put("train/part-00000", "rows")

    def attempt(number: int) -> str:
        try:
            cloud.train(f"job-{number}", HyperParameters={"sleep": "600"})
        except ServiceFault as fault:
            return fault.code
        return "started"

    with ThreadPoolExecutor(16) as pool:
        outcomes = Counter(pool.map(attempt, range(16)))
    assert outcomes == {"started": 3, "ResourceLimitExceeded": 13}
    assert len(cloud("ListTrainingJobs", MaxResults=100)["TrainingJobSummaries"]) == 3


def test_spot_training_has_quotas_of_its_own(make_cloud: Any) -> None:
    cloud = make_cloud(
        {"ml.m5.large for training job usage": 0, "Number of instances across all spot training jobs": 1}
    )
    spot = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
    }
    assert refusal(lambda: cloud.train(ResourceConfig=resources(2), **spot))[0] == (
        "Number of instances across all spot training jobs"
    )
    assert cloud.trained(**spot)["EnableManagedSpotTraining"] is True


def test_volume_and_size_of_one_job_have_limits(make_cloud: Any) -> None:
    cloud = make_cloud(
        {
            "Size of EBS volume for a training job instance (GB)": 5,
            "Maximum number of instances per training job": 2,
        }
    )
    assert refusal(cloud.train) == ("Size of EBS volume for a training job instance (GB)", "5", "0", "10")
    assert (
        refusal(lambda: cloud.train(ResourceConfig=resources(3)))[0]
        == "Maximum number of instances per training job"
    )


def test_transform_quotas_refuse(make_cloud: Any) -> None:
    cloud = make_cloud(
        {"ml.m5.large for transform job usage": 0, "Number of instances across all transform jobs": 1}
    )
    cloud.model()
    assert refusal(cloud.transform)[0] == "ml.m5.large for transform job usage"
    two = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}
    assert (
        refusal(lambda: cloud.transform(TransformResources=two))[0]
        == "Number of instances across all transform jobs"
    )


def test_an_endpoint_update_needs_room_for_a_second_fleet(make_cloud: Any) -> None:
    cloud = make_cloud({"ml.m5.large for endpoint usage": 1, "ml.m5.2xlarge for endpoint usage": 0})
    cloud.model()
    cloud.config("one")
    cloud.config("two")
    cloud.config("big", InstanceType="ml.m5.2xlarge")
    cloud.endpoint(config="one")
    assert refusal(lambda: cloud.endpoint("other", "two")) == (
        "ml.m5.large for endpoint usage",
        "1",
        "1",
        "1",
    )
    assert refusal(lambda: cloud.endpoint("other", "big")) == (
        "ml.m5.2xlarge for endpoint usage",
        "0",
        "0",
        "1",
    )
    update = {"EndpointName": "endpoint", "EndpointConfigName": "two"}
    assert refusal(lambda: cloud("UpdateEndpoint", **update)) == (
        "ml.m5.large for endpoint usage",
        "1",
        "1",
        "1",
    )
    assert cloud("DescribeEndpoint", EndpointName="endpoint")["EndpointStatus"] == "InService"
    cloud.quotas.put({"ml.m5.large for endpoint usage": 2})
    for config in ("two", "one"):  # the old fleet's use is given back each time
        cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName=config)
        assert cloud.settled()["EndpointConfigName"] == config
        cloud.until(lambda: len(cloud.service.processes()) == 1)
    cloud("DeleteEndpoint", EndpointName="endpoint")
    cloud.until(lambda: not cloud("ListEndpoints")["Endpoints"])
    assert cloud.endpoint("other", "two")["EndpointStatus"] == "InService"


def test_a_failed_update_gives_its_room_back(make_cloud: Any) -> None:
    cloud = make_cloud({"ml.m5.large for endpoint usage": 2})
    cloud.model()
    cloud.model("broken", Environment={"CRASH": "1"})
    cloud.config("one")
    cloud.config("two", "broken")
    cloud.endpoint(config="one")
    for _ in range(2):
        cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="two")
        assert "FailureReason" in cloud.settled()


def test_serverless_quotas_count_memory_endpoints_and_concurrency(make_cloud: Any) -> None:
    concurrency = "Maximum total concurrency that can be allocated across all serverless endpoints"
    memory = "Memory size in MB per serverless endpoint"
    cloud = make_cloud({concurrency: 10, memory: 3072, "Maximum number of serverless endpoints": 1})
    cloud.model()
    cloud.config("large", ServerlessConfig={"MemorySizeInMB": 4096, "MaxConcurrency": 2})
    cloud.config("busy", ServerlessConfig={"MemorySizeInMB": 2048, "MaxConcurrency": 20})
    cloud.config("fits", ServerlessConfig={"MemorySizeInMB": 3072, "MaxConcurrency": 10})
    assert refusal(lambda: cloud.endpoint(config="large")) == (memory, "3072", "0", "4096")
    assert refusal(lambda: cloud.endpoint(config="busy")) == (concurrency, "10", "0", "20")
    assert cloud.endpoint(config="fits")["EndpointStatus"] == "InService"
    assert refusal(lambda: cloud.endpoint("other", "fits"))[0] == "Maximum number of serverless endpoints"


def test_endpoints_use_their_quota_after_a_restart(make_cloud: Any) -> None:
    first = make_cloud()
    first.model()
    first.config()
    first.endpoint()
    first.service.close()
    second = make_cloud({"ml.m5.large for endpoint usage": 1})
    assert refusal(lambda: second.endpoint("other")) == ("ml.m5.large for endpoint usage", "1", "1", "1")


def test_missing_capacity_fails_jobs_and_endpoints_later(cloud: Any) -> None:
    cloud.model()
    cloud.put("queries/part-0", "x")
    cloud.config()
    cloud.faults.put({"capacity_missing": ["ml.m5.large"]})
    reason = (
        "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML "
        "instance type."
    )
    job = cloud.trained()
    assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", reason)
    assert "TrainingStartTime" not in job
    assert cloud.transformed()["FailureReason"] == reason
    assert cloud.endpoint()["FailureReason"].startswith(
        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
    )
    other = cloud.trained("other", ResourceConfig=resources(kind="ml.m5.xlarge"))
    assert other["TrainingJobStatus"] == "Completed"


def test_a_preference_list_takes_the_first_type_with_capacity_and_room(make_cloud: Any) -> None:
    cloud = make_cloud({"ml.m5.xlarge for training job usage": 0})
    cloud.faults.put({"capacity_missing": ["ml.m5.large"]})
    preferences = [{"InstanceType": f"ml.m5.{size}"} for size in ("large", "xlarge", "2xlarge", "4xlarge")]
    job = cloud.trained(
        ResourceConfig={"InstancePreferences": preferences, "InstanceCount": 1, "VolumeSizeInGB": 1}
    )
    assert job["TrainingJobStatus"] == "Completed"
    assert job["ResourceConfig"]["SelectedInstanceType"] == "ml.m5.2xlarge"


def test_a_memory_limit_kills_what_outgrows_it(cloud: Any) -> None:
    cloud.faults.put({"memory_limit_gib": {"ml.m5.large": 0.1}})
    big = {"allocate_mib": "200", "sleep": "60"}
    job = cloud.trained(HyperParameters=big)
    assert job["FailureReason"] == (
        "AlgorithmError: Please use an instance type with more memory, or reduce the size of training data processed "
        "on an instance., exit code: 137"
    )
    small = cloud.trained("small", HyperParameters={"sleep": "0.2"})
    assert small["TrainingJobStatus"] == "Completed"
    other = cloud.trained(
        "other", HyperParameters=big | {"sleep": "0.2"}, ResourceConfig=resources(kind="ml.m5.xlarge")
    )
    assert other["TrainingJobStatus"] == "Completed"


def test_throttling_refuses_everything_but_describe(cloud: Any) -> None:
    cloud.trained("before")
    cloud.faults.put({"throttle_until": time.time() + 0.5})
    with pytest.raises(ServiceFault, match="Rate exceeded") as refused:
        cloud.train()
    assert refused.value.code == "ThrottlingException"
    with pytest.raises(ServiceFault, match="Rate exceeded"):
        cloud("ListTrainingJobs")
    assert cloud("DescribeTrainingJob", TrainingJobName="before")["TrainingJobStatus"] == "Completed"
    cloud.until(lambda: time.time() >= cloud.faults.get()["throttle_until"])
    assert cloud.trained()["TrainingJobStatus"] == "Completed"


@pytest.mark.parametrize("preset", ["new-account", "small", "large"])
def test_presets_name_every_quota_that_is_enforced(preset: str) -> None:
    values = Quotas.from_source(preset).as_dict()
    for usage in ("training job", "transform job", "endpoint"):
        assert f"ml.m5.large for {usage} usage" in values
    assert "Memory size in MB per serverless endpoint" in values
    assert all(f"Number of instances across all {jobs} jobs" in values for jobs in ("training", "transform"))


def test_the_new_account_makes_a_step_fall_back() -> None:
    quotas = Quotas.from_source("new-account")
    assert quotas.value("ml.m5.2xlarge for endpoint usage") == 0
    assert quotas.value("ml.m5.large for endpoint usage") == 4
    assert quotas.value("ml.m5.large for training job usage") == 1
    assert quotas.value("ml.m5.large for transform job usage") == 0
    assert quotas.value("ml.m5.xlarge for transform job usage") == 1


def test_an_unknown_quota_has_no_value_and_bad_files_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "quotas.json"
    path.write_text('{"ml.m5.large for training job usage": 2}')
    quotas = Quotas.from_source(path)
    assert quotas.value("ml.m5.large for training job usage") == 2.0
    assert quotas.value("ml.m5.xlarge for training job usage") is None
    path.write_text('{"a": -1}')
    with pytest.raises(ValueError, match="quota 'a' must have a value at or above 0"):
        Quotas.from_source(str(path))
    with pytest.raises(FileNotFoundError, match="presets large, new-account, small"):
        Quotas.from_source("huge")
    with pytest.raises(ServiceFault, match="found True"):
        quotas.put({"a": True})
