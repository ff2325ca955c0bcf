"""Training jobs: the stand-in program as a subprocess in a folder shaped like ``/opt/ml``.

One program runs whatever the instance count; quotas count all instances. Limits and texts follow
botocore's model of SageMaker, the developer guide and public reports of refusals.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import tarfile
import threading
from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.channels import deliver_channel
from localcloud.sagemaker.children import STOP_GRACE_SECONDS, Child, ShutDownError
from localcloud.sagemaker.exits import exit_reason
from localcloud.sagemaker.limits import Demand, Usage, instance_demands, volume_demand
from localcloud.sagemaker.lists import list_records, pick
from localcloud.sagemaker.metrics import final_metrics
from localcloud.sagemaker.objects import StorageError, join_key, parse_s3_uri
from localcloud.sagemaker.platform import (
    CAPACITY_SECONDS,
    FAILURE_REASON_LENGTH,
    INTERRUPTED,
    JobError,
    Platform,
    StoppedError,
    echo,
    instances_of,
)
from localcloud.sagemaker.records import Record, now, public
from localcloud.sagemaker.requests import check_training_request

KIND = "training-job"
_DEFAULT_MAX_RUNTIME_SECONDS = 86400
_ECHOED = (
    "TrainingJobName",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ExperimentConfig",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
    "Environment",
    "RetryStrategy",
)
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class _TimeLimitError(Exception):
    """The job ran for ``MaxRuntimeInSeconds``."""


class TrainingJobs:
    """CreateTrainingJob, DescribeTrainingJob, ListTrainingJobs, StopTrainingJob."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._stops: dict[str, threading.Event] = {}
        self._ended = threading.Condition()

    def create(self, parameters: dict[str, Any], tuning_job_arn: str | None = None) -> Record:
        """Accept or refuse a job and start it."""
        name = parameters["TrainingJobName"]
        arn = self._platform.account.arn(KIND, name)
        program = check_training_request(parameters, self._platform.images)
        spot = bool(parameters.get("EnableManagedSpotTraining"))
        with self._platform.records.lock:
            if self._platform.records.get(KIND, name) is not None:
                raise ServiceFault(
                    "ResourceInUse",
                    "Job name must be unique within an AWS account and region, and a job with this name already "
                    f"exists ({arn})",
                )
            resource = self._reserve(name, dict(parameters["ResourceConfig"]), spot)
            moment = now()
            bucket, prefix = parse_s3_uri(parameters["OutputDataConfig"]["S3OutputPath"])
            record = echo(parameters, _ECHOED) | {
                "TrainingJobArn": arn,
                "TuningJobArn": tuning_job_arn,
                "ResourceConfig": resource,
                "ModelArtifacts": {
                    "S3ModelArtifacts": f"s3://{bucket}/{join_key(prefix, f'{name}/output/model.tar.gz')}"
                },
                "TrainingJobStatus": "InProgress",
                "SecondaryStatus": "Starting",
                "SecondaryStatusTransitions": [_transition("Starting", moment)],
                "CreationTime": moment,
                "LastModifiedTime": moment,
                "EnableNetworkIsolation": bool(parameters.get("EnableNetworkIsolation")),
                "EnableInterContainerTrafficEncryption": bool(
                    parameters.get("EnableInterContainerTrafficEncryption")
                ),
                "EnableManagedSpotTraining": spot,
                "ProfilingStatus": "Disabled",
            }
            self._platform.records.put(KIND, name, record)
            stop = self._stops[name] = threading.Event()
        self._platform.run(f"training-{name}", self._run, name, program, stop)
        return {"TrainingJobArn": arn}

    def describe(self, parameters: dict[str, Any]) -> Record:
        """The job's whole state."""
        return public(self._existing(parameters["TrainingJobName"]))

    def page(self, parameters: dict[str, Any]) -> Record:
        """One page of jobs."""
        return list_records(
            self._platform.records.every(KIND),
            parameters,
            answer="TrainingJobSummaries",
            name_key="TrainingJobName",
            status_key="TrainingJobStatus",
            summarise=pick(
                "TrainingJobName",
                "TrainingJobArn",
                "CreationTime",
                "TrainingEndTime",
                "LastModifiedTime",
                "TrainingJobStatus",
                "SecondaryStatus",
            ),
            default_order="Ascending",
            filter_after_paging="MaxResults" in parameters,
        )

    def stop(self, parameters: dict[str, Any]) -> Record:
        """Ask a running job to stop; nothing happens to one that has ended."""
        name = parameters["TrainingJobName"]
        with self._platform.records.lock:
            if self._existing(name)["TrainingJobStatus"] == "InProgress":
                self._move(name, "Stopping", TrainingJobStatus="Stopping")
                self._stops[name].set()
        return {}

    def delete(self, parameters: dict[str, Any]) -> Record:
        """Forget a job that has ended."""
        name = parameters["TrainingJobName"]
        with self._platform.records.lock:
            record = self._platform.records.get(KIND, name)
            if record is None:
                raise ServiceFault("ResourceNotFound", f"Could not find training job '{name}'.")
            if record["TrainingJobStatus"] in ("InProgress", "Stopping"):
                raise ServiceFault(
                    "ResourceInUse", f"Training job '{name}' is {record['TrainingJobStatus']}."
                )
            self._platform.records.delete(KIND, name)
        return {}

    def wait(self, name: str) -> Record:
        """Block until a job has ended, and return its record."""
        with self._ended:
            while True:
                record = self._existing(name)
                if record["TrainingJobStatus"] not in ("InProgress", "Stopping"):
                    return record
                self._ended.wait()

    def recover(self) -> None:
        """After a restart: a job that was running when the server went down has failed."""
        for record in self._platform.records.every(KIND):
            if record["TrainingJobStatus"] in ("InProgress", "Stopping"):
                self._finish(record["TrainingJobName"], "Failed", "Failed", INTERRUPTED)

    def _existing(self, name: str) -> Record:
        return self._platform.existing(KIND, name, "Requested resource not found.")

    def _reserve(self, name: str, resource: dict[str, Any], spot: bool) -> dict[str, Any]:
        """Take quota for the job; of a preference list, for the first type that has room and capacity."""
        usage: Usage = "spot training job" if spot else "training job"
        preferred = [preference["InstanceType"] for preference in resource.get("InstancePreferences", [])]
        lacking = self._platform.without_capacity(preferred)
        candidates: list[str | None] = (
            [kind for kind in preferred if kind not in lacking] or preferred[:1] or [None]
        )
        volume = resource.get("VolumeSizeInGB")
        for index, candidate in enumerate(candidates):
            if candidate is not None:
                resource = resource | {
                    "SelectedInstanceType": candidate,
                    "SelectedInstanceCount": resource.get("InstanceCount", 1),
                }
            demands: list[Demand] = instance_demands(usage, instances_of(resource))
            if volume is not None:
                demands.append(volume_demand("training", volume))
            try:
                self._platform.limits.reserve((KIND, name), demands)
                break
            except ServiceFault:
                if index == len(candidates) - 1:
                    raise
        return resource

    def _run(self, name: str, program: list[str], stop: threading.Event) -> None:
        record = self._existing(name)
        folder = self._platform.folder("training", name)
        status, secondary, reason = "Completed", "Completed", None
        try:
            self._steps(record, program, stop, folder)
        except (JobError, ShutDownError) as error:
            status, secondary, reason = "Failed", "Failed", self._platform.interrupted(str(error))
        except StoppedError:
            status, secondary = "Stopped", "Stopped"
        except _TimeLimitError:
            status, secondary = "Stopped", "MaxRuntimeExceeded"
        except Exception as error:
            status, secondary = "Failed", "Failed"
            reason = self._platform.interrupted(f"InternalServerError: {type(error).__name__}: {error}")
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._finish(name, status, secondary, reason)
            stream = f"{name}/algo-1-{int(record['CreationTime'].timestamp())}"
            self._platform.ship_log("training", name, "TrainingJobs", stream)

    def _steps(self, record: Record, program: list[str], stop: threading.Event, folder: pathlib.Path) -> None:
        name = record["TrainingJobName"]
        types = [kind for kind, _ in instances_of(record["ResourceConfig"])]
        if self._platform.without_capacity(types):
            if stop.wait(CAPACITY_SECONDS):
                raise StoppedError
            raise JobError(
                "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different "
                "ML instance type."
            )
        self._move(name, "Downloading", TrainingStartTime=now())
        self._prepare(record, folder, stop)
        if stop.is_set():
            raise StoppedError
        self._move(name, "Training")
        child = self._start(record, program, folder, types)
        try:
            self._watch(name, child, record, folder, stop)
        except (StoppedError, _TimeLimitError):
            # AWS keeps what a stopped job has left in its model folder.
            if any((folder / "model").iterdir()):
                self._upload(record, folder)
            raise
        self._move(name, "Uploading")
        self._upload(record, folder)

    def _prepare(self, record: Record, folder: pathlib.Path, stop: threading.Event) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("input/config", "input/data", "model", "output"):
            (folder / part).mkdir(parents=True)

        def check() -> None:
            if stop.is_set():
                raise StoppedError

        channels = record.get("InputDataConfig", [])
        configuration = {
            "hyperparameters": record.get("HyperParameters", {}),
            "inputdataconfig": {
                channel["ChannelName"]: _channel_configuration(channel) for channel in channels
            },
            "resourceconfig": {
                "current_host": "algo-1",
                "current_instance_type": instances_of(record["ResourceConfig"])[0][0],
                "hosts": ["algo-1"],
                "network_interface_name": "eth0",
            },
        }
        for name, document in configuration.items():
            (folder / "input/config" / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        for channel in channels:
            deliver_channel(
                self._platform.objects_of(record["RoleArn"]),
                channel,
                folder / "input/data" / channel["ChannelName"],
                region=self._platform.account.region,
                role=record["RoleArn"],
                check=check,
            )

    def _start(self, record: Record, program: list[str], folder: pathlib.Path, types: list[str]) -> Child:
        name = record["TrainingJobName"]
        limits = [limit for kind in types if (limit := self._platform.memory_limit_bytes(kind)) is not None]
        return self._platform.children.start(
            "training",
            name,
            [*program, "train", "--root", str(folder)],
            environment={
                "TRAINING_JOB_NAME": name,
                "TRAINING_JOB_ARN": record["TrainingJobArn"],
                "AWS_REGION": self._platform.account.region,
            }
            | record.get("Environment", {}),
            log=self._platform.log_path("training", name),
            memory_limit_bytes=min(limits, default=None),
        )

    def _watch(
        self, name: str, child: Child, record: Record, folder: pathlib.Path, stop: threading.Event
    ) -> None:
        """Wait for the program's end, a stop or the time limit, whichever comes first."""
        longest = record["StoppingCondition"].get("MaxRuntimeInSeconds", _DEFAULT_MAX_RUNTIME_SECONDS)
        # The wake-up comes from the program's end as well as from StopTrainingJob.
        threading.Thread(target=_set_at_end, args=(child, stop), daemon=True).start()
        in_time = stop.wait(longest)
        ended = child.process.poll()
        if ended is None and not in_time:
            self._move(name, "Stopping", TrainingJobStatus="Stopping")
        if ended is None:
            child.stop(STOP_GRACE_SECONDS)
            raise StoppedError if in_time else _TimeLimitError
        if self._existing(name)["TrainingJobStatus"] == "Stopping":
            raise StoppedError
        if ended != 0:
            raise JobError(exit_reason(child, ended, folder / "output" / "failure"))

    def _upload(self, record: Record, folder: pathlib.Path) -> None:
        artifact = folder / "model.tar.gz"
        with tarfile.open(artifact, "w:gz", compresslevel=1) as archive:
            for path in sorted((folder / "model").iterdir()):
                archive.add(path, arcname=path.name)
        bucket, key = parse_s3_uri(record["ModelArtifacts"]["S3ModelArtifacts"])
        try:
            self._platform.objects_of(record["RoleArn"]).upload(artifact, bucket, key)
        except StorageError as error:
            raise JobError(f"ClientError: Artifact upload failed: {error}") from error

    def _move(self, name: str, secondary: str, **changes: Any) -> None:
        """Enter a secondary status."""
        moment = now()
        with self._platform.records.lock:
            record = self._existing(name)
            transitions = record["SecondaryStatusTransitions"]
            transitions[-1].setdefault("EndTime", moment)
            self._platform.records.update(
                KIND,
                name,
                SecondaryStatus=secondary,
                SecondaryStatusTransitions=[*transitions, _transition(secondary, moment)],
                **changes,
            )

    def _finish(self, name: str, status: str, secondary: str, reason: str | None) -> None:
        moment = now()
        record = self._existing(name)
        changes: dict[str, Any] = {"TrainingJobStatus": status, "TrainingEndTime": moment}
        if reason is not None:
            changes["FailureReason"] = reason[:FAILURE_REASON_LENGTH]
        log = self._platform.log_path("training", name)
        if log.is_file():
            changes["FinalMetricDataList"] = final_metrics(log)
        if "TrainingStartTime" in record:
            seconds = max(1, round((moment - record["TrainingStartTime"]).total_seconds()))
            changes |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        self._platform.limits.release((KIND, name))
        self._move(name, secondary, **changes)
        self._stops.pop(name, None)
        with self._ended:
            self._ended.notify_all()


def _set_at_end(child: Child, event: threading.Event) -> None:
    child.process.wait()
    event.set()


def _transition(status: str, moment: Any) -> dict[str, Any]:
    transition = {"Status": status, "StartTime": moment}
    if status in _MESSAGES:
        transition["StatusMessage"] = _MESSAGES[status]
    return transition


def _channel_configuration(channel: dict[str, Any]) -> dict[str, str]:
    source = channel["DataSource"]["S3DataSource"]
    configuration = {
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    if "ContentType" in channel:
        configuration["ContentType"] = channel["ContentType"]
    return configuration
