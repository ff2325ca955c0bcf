"""Training jobs: what comes out, how they fail, how they are stopped."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tarfile
import time
from typing import Any

import pytest

from localcloud.faults import ServiceFault
from localcloud.sagemaker.logs import event_batches


def artifact(cloud: Any, name: str = "job") -> dict[str, Any]:
    with tarfile.open(cloud.bucket / "models" / name / "output/model.tar.gz") as archive:
        member = archive.extractfile("model_algo-1")
        assert member is not None
        document: dict[str, Any] = json.loads(member.read())
        return document


def alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_job_leaves_its_artifact_metrics_and_transitions(cloud: Any) -> None:
    job = cloud.trained(HyperParameters={"k": "3"})
    assert job["TrainingJobStatus"] == "Completed"
    assert job["SecondaryStatus"] == "Completed"
    assert [step["Status"] for step in job["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/models/job/output/model.tar.gz"
    assert {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]} == {
        "train:rmse:batch": 3.5,
        "train:rmse:epoch": 2.5,
        "train:rmse": 1.5,
        "test:rmse": 0.25,
        "test:binary_f_beta": 0.75,
        "train:throughput": 99.5,
    }
    assert job["TrainingStartTime"] <= job["TrainingEndTime"]
    left = artifact(cloud)
    assert left["hyperparameters"] == {"k": "3"}
    assert left["files"] == {"train/part-00000": "rows"}
    assert left["channels"]["train"] == {
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    assert left["environment"]["TRAINING_JOB_NAME"] == "job"
    assert "AWS_ACCESS_KEY_ID" not in left["environment"]
    assert "Docker entrypoint called" in cloud.service.log("training", "job")
    assert cloud.service.processes() == []
    assert not (cloud.home / "sagemaker/work/training/job").exists()


@pytest.mark.parametrize("loss", ["nan", "inf", "oops"])
def test_what_is_no_number_is_no_metric(cloud: Any, loss: str) -> None:
    job = cloud.trained(HyperParameters={"loss": loss})
    assert job["TrainingJobStatus"] == "Completed"
    assert "test:rmse" not in {metric["MetricName"] for metric in job["FinalMetricDataList"]}


def test_a_prefix_is_a_plain_string_prefix(cloud: Any) -> None:
    cloud.put("data/train/a", "1")
    cloud.put("data/train/sub/b", "2")
    cloud.put("data/train-old/c", "3")
    cloud.trained(InputDataConfig=[cloud.channel(uri="s3://bucket/data/train")])
    assert artifact(cloud)["files"] == {"train/a": "1", "train/sub/b": "2", "train/train-old/c": "3"}


def test_the_https_form_and_a_manifest_are_read(cloud: Any) -> None:
    cloud.put("data/a", "1")
    cloud.put("data/b", "2")
    cloud.put("data/c", "3")
    cloud.put("list.json", json.dumps([{"prefix": "s3://bucket/data/"}, "a", "c"]))
    manifest = cloud.channel("test", "s3://bucket/list.json")
    manifest["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    cloud.trained(
        InputDataConfig=[cloud.channel(uri="https://s3.us-east-1.amazonaws.com/bucket/data/b"), manifest]
    )
    assert artifact(cloud)["files"] == {"train/b": "2", "test/a": "1", "test/c": "3"}


def test_an_empty_channel_fails_the_job_with_its_address(cloud: Any) -> None:
    job = cloud.trained(InputDataConfig=[cloud.channel(uri="s3://bucket/nothing/")])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        'ClientError: Data download failed: No S3 objects found under S3 URL "s3://bucket/nothing/" given in input '
        "data source."
    )


def test_a_missing_bucket_fails_the_job_with_the_words_of_s3(cloud: Any) -> None:
    job = cloud.trained(InputDataConfig=[cloud.channel(uri="s3://elsewhere/x/")])
    assert job["FailureReason"].endswith("Error message from S3: The specified bucket does not exist")


@pytest.mark.parametrize(
    ("orders", "reason"),
    [
        ({"exit": "1", "failure": "it broke"}, "AlgorithmError: it broke, exit code: 1"),
        ({"exit": "2", "failure": "bad data"}, "ClientError: bad data, exit code: 2"),
        (
            {"exit": "3", "failure": ""},
            "InternalServerError: We encountered an internal error. Please try again.",
        ),
        ({"exit": "2", "failure": "ClientError: named"}, "ClientError: named, exit code: 2"),
        ({"exit": "1"}, "AlgorithmError: , exit code: 1"),
        (
            {"signal": "9"},
            "AlgorithmError: the algorithm's process was killed by signal 9 (SIGKILL), exit code: 137",
        ),
        (
            {"signal": "11"},
            "AlgorithmError: the algorithm's process was killed by signal 11 (SIGSEGV), exit code: 139",
        ),
    ],
)
def test_how_the_program_ends_is_the_failure_reason(cloud: Any, orders: dict[str, str], reason: str) -> None:
    job = cloud.trained(HyperParameters=orders)
    assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", reason)


def test_a_long_failure_keeps_its_exit_code_within_the_limit(cloud: Any) -> None:
    reason = cloud.trained(HyperParameters={"exit": "2", "failure": "x" * 2400})["FailureReason"]
    assert len(reason) <= 1024
    assert reason.endswith("x, exit code: 2")


def test_stopping_ends_the_program_and_keeps_what_it_left(cloud: Any) -> None:
    cloud.train(HyperParameters={"sleep": "600", "descendant": "1"})
    [process] = cloud.until(cloud.service.processes)
    assert (process["kind"], process["name"]) == ("training", "job")
    cloud.until(lambda: "#quality_metric" in cloud.service.log("training", "job"))
    children = pathlib.Path(f"/proc/{process['pid']}/task/{process['pid']}/children").read_text().split()
    cloud("StopTrainingJob", TrainingJobName="job")
    job = cloud.end_of_training()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "FailureReason" not in job
    assert artifact(cloud)["hyperparameters"]["sleep"] == "600"
    cloud.until(lambda: not any(alive(int(pid)) for pid in [process["pid"], *children]))


def test_the_time_limit_stops_the_job(cloud: Any) -> None:
    job = cloud.trained(HyperParameters={"sleep": "600"}, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_closing_the_service_leaves_no_process(cloud: Any) -> None:
    cloud.train(HyperParameters={"sleep": "600", "descendant": "1"})
    [process] = cloud.until(cloud.service.processes)
    cloud.until(lambda: "#quality_metric" in cloud.service.log("training", "job"))
    children = pathlib.Path(f"/proc/{process['pid']}/task/{process['pid']}/children").read_text().split()
    assert len(children) == 1
    cloud.service.close()
    cloud.until(lambda: not any(alive(int(pid)) for pid in [process["pid"], *children]))


def test_a_job_that_ran_when_the_server_went_down_has_failed_after_the_restart(make_cloud: Any) -> None:
    first = make_cloud()
    first.trained("done")
    first.train("cut", HyperParameters={"sleep": "600"})
    first.until(first.service.processes)
    first.service.close()
    second = make_cloud()
    jobs = second("ListTrainingJobs")["TrainingJobSummaries"]
    assert {job["TrainingJobName"]: job["TrainingJobStatus"] for job in jobs} == {
        "done": "Completed",
        "cut": "Failed",
    }
    assert (
        "was stopped while the job ran"
        in second("DescribeTrainingJob", TrainingJobName="cut")["FailureReason"]
    )
    assert second.trained("next")["TrainingJobStatus"] == "Completed"


def test_names_are_unique(cloud: Any) -> None:
    cloud.trained()
    with pytest.raises(ServiceFault, match="a job with this name already exists") as refusal:
        cloud.train()
    assert refusal.value.code == "ResourceInUse"


def refused(cloud: Any, **changes: Any) -> str:
    with pytest.raises(ServiceFault) as refusal:
        cloud.train(**changes)
    assert refusal.value.code == "ValidationException"
    with pytest.raises(ServiceFault, match="Requested resource not found"):
        cloud("DescribeTrainingJob", TrainingJobName="job")
    return refusal.value.message


def test_the_api_models_constraints_are_checked(cloud: Any) -> None:
    message = refused(
        cloud,
        ResourceConfig={"InstanceType": "ml.m5.8xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        HyperParameters={"k": "x" * 2501},
        RoleArn="a role that is long enough",
    )
    assert message.startswith("3 validation errors detected: ")
    assert "Value 'ml.m5.8xlarge' at 'resourceConfig.instanceType' failed to satisfy constraint" in message
    with pytest.raises(ServiceFault, match=r"'bad_name' at 'trainingJobName' .* regular expression pattern"):
        cloud.train("bad_name")


def test_metric_definitions_are_refused_for_a_built_in_image(cloud: Any) -> None:
    algorithm = {
        "TrainingImage": "382416733822.dkr.ecr.us-east-1.amazonaws.com/factorization-machines:1",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "test:rmse", "Regex": "x"}],
    }
    message = refused(cloud, AlgorithmSpecification=algorithm)
    assert message == (
        "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request "
        "without specifying metric definitions."
    )


@pytest.mark.parametrize(
    "image",
    [
        "382416733822.dkr.ecr.us-east-1.amazonaws.com/xgboost:1",
        "404615174143.dkr.ecr.us-east-1.amazonaws.com/knn:1",  # us-east-2's registry
        "404615174143.dkr.ecr.us-east-2.amazonaws.com/knn:1",
        "382416733822.dkr.ecr.us-east-1.amazonaws.com/knn:7",
        "knn",
    ],
)
def test_an_image_that_sagemaker_cannot_pull_is_refused(cloud: Any, image: str) -> None:
    algorithm = {"TrainingImage": image, "TrainingInputMode": "File"}
    assert refused(cloud, AlgorithmSpecification=algorithm).startswith("Cannot find repository: ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"StoppingCondition": {"MaxWaitTimeInSeconds": 900}}, "EnableManagedSpotTraining is true"),
        (
            {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 900}},
            "Invalid MaxWaitTimeInSeconds",
        ),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 900, "MaxWaitTimeInSeconds": 7200},
            },
            "without checkpointing",
        ),
        ({"ResourceConfig": {"VolumeSizeInGB": 1, "InstanceCount": 1}}, "exactly one of InstanceType"),
    ],
)
def test_contradictory_requests_are_refused(cloud: Any, changes: dict[str, Any], words: str) -> None:
    assert words in refused(cloud, **changes)


def test_a_job_costs_little_more_than_its_program(cloud: Any) -> None:
    cloud.trained("warm")
    start = time.monotonic()
    cloud.trained("timed")
    assert time.monotonic() - start < 1.0


def test_tags_are_kept_by_arn(cloud: Any) -> None:
    arn = cloud.train(Tags=[{"Key": "team", "Value": "a"}])
    cloud("AddTags", ResourceArn=arn, Tags=[{"Key": "run", "Value": "7"}, {"Key": "team", "Value": "b"}])
    cloud("DeleteTags", ResourceArn=arn, TagKeys=["run"])
    assert cloud("ListTags", ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "b"}]


def test_status_filters_after_the_page_is_cut(cloud: Any) -> None:
    for number in range(3):
        cloud.trained(f"job-{number}", HyperParameters={"exit": "1"} if number < 2 else {})
    page = cloud("ListTrainingJobs", StatusEquals="Completed", MaxResults=2)
    assert page["TrainingJobSummaries"] == []
    last = cloud("ListTrainingJobs", StatusEquals="Completed", MaxResults=2, NextToken=page["NextToken"])
    assert [job["TrainingJobName"] for job in last["TrainingJobSummaries"]] == ["job-2"]
    assert "NextToken" not in last
    named = cloud("ListTrainingJobs", NameContains="JOB-1", SortBy="Name")
    assert [job["TrainingJobName"] for job in named["TrainingJobSummaries"]] == ["job-1"]


def test_the_environment_given_to_the_job_reaches_its_program(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "server's own")
    cloud.trained(Environment={"TRAINING_COLOUR": "blue"})
    environment = artifact(cloud)["environment"]
    assert environment["TRAINING_COLOUR"] == "blue"
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "server's own"


def test_the_log_is_kept_when_the_job_has_ended(cloud: Any) -> None:
    job = cloud.trained()
    created = int(job["CreationTime"].timestamp())
    stream = ("/aws/sagemaker/TrainingJobs", f"job/algo-1-{created}")
    cloud.until(lambda: stream in cloud.logs.streams)
    assert cloud.logs.streams[stream] == cloud.service.log("training", "job")


def test_log_events_are_cut_to_what_a_call_may_carry() -> None:
    batches = list(event_batches(iter(["short\n", "\n"] * 15_000), 7))
    assert [len(batch) for batch in batches] == [10_000, 5_000]
    assert batches[0][0] == {"timestamp": 7, "message": "short"}
    batches = list(event_batches(iter(["x" * 300_000] * 5), 7))
    assert [len(batch) for batch in batches] == [4, 1]
    assert len(batches[0][0]["message"]) + 26 == 256 << 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_programs_die_with_a_server_that_is_killed(tmp_path: pathlib.Path) -> None:
    server = f"""
import pathlib, sys, time
from localcloud.sagemaker.children import Children
children = Children()
child = children.start("training", "x", [sys.executable, "-c", "import time; time.sleep(600)"],
    environment={{}}, log=pathlib.Path({str(tmp_path / "log")!r}))
print(child.process.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", server],
        stdout=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parents[3],
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
