"""Batch transform jobs: every object under a prefix through a serving program, one ``.out`` object each.

One program runs whatever the instance count; quotas count all instances. Limits and defaults follow
botocore's model of SageMaker and the developer guide's pages on batch transform.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import shutil
import threading
from collections.abc import Callable
from typing import IO, Any, cast

from localcloud.faults import ServiceFault
from localcloud.sagemaker.channels import SourceObject, source_objects
from localcloud.sagemaker.children import ShutDownError
from localcloud.sagemaker.container import Container, start_container, unpack_model
from localcloud.sagemaker.joining import join_lines
from localcloud.sagemaker.limits import instance_demands
from localcloud.sagemaker.lists import list_records, pick
from localcloud.sagemaker.models import Models
from localcloud.sagemaker.objects import ObjectStore, StorageError, join_key, parse_s3_uri
from localcloud.sagemaker.platform import (
    CAPACITY_SECONDS,
    FAILURE_REASON_LENGTH,
    INTERRUPTED,
    JobError,
    Platform,
    StoppedError,
    echo,
)
from localcloud.sagemaker.records import Record, now, public
from localcloud.sagemaker.splitting import SplitError, batches, split_records

KIND = "transform-job"
_MEGABYTE = 1 << 20
_DEFAULT_PAYLOAD_MB = 6
_LARGEST_PAYLOAD_MB = 100
_STARTUP_SECONDS = 300.0
_DEATH_SECONDS = 0.5


class TransformJobs:
    """CreateTransformJob, DescribeTransformJob, ListTransformJobs, StopTransformJob."""

    def __init__(self, platform: Platform, models: Models) -> None:
        self._platform = platform
        self._models = models
        self._stops: dict[str, threading.Event] = {}

    def create(self, parameters: dict[str, Any]) -> Record:
        """Accept or refuse a job and start it."""
        name = parameters["TransformJobName"]
        arn = self._platform.account.arn(KIND, name)
        _check_request(parameters)
        model = self._models.existing(parameters["ModelName"])
        resources = parameters["TransformResources"]
        with self._platform.records.lock:
            if self._platform.records.get(KIND, name) is not None:
                raise ServiceFault(
                    "ResourceInUse",
                    "Job name must be unique within an AWS account and region, and a job with this name already "
                    f"exists ({arn})",
                )
            self._platform.limits.reserve(
                (KIND, name),
                instance_demands("transform job", [(resources["InstanceType"], resources["InstanceCount"])]),
            )
            moment = now()
            record = echo(
                parameters,
                (
                    "TransformJobName",
                    "ModelName",
                    "MaxConcurrentTransforms",
                    "ModelClientConfig",
                    "MaxPayloadInMB",
                    "BatchStrategy",
                    "Environment",
                    "TransformInput",
                    "TransformOutput",
                    "DataCaptureConfig",
                    "TransformResources",
                    "DataProcessing",
                    "ExperimentConfig",
                ),
            ) | {
                "TransformJobArn": arn,
                "TransformJobStatus": "InProgress",
                "CreationTime": moment,
                "LastModifiedTime": moment,
                "_model": model,
            }
            self._platform.records.put(KIND, name, record)
            stop = self._stops[name] = threading.Event()
        self._platform.run(f"transform-{name}", self._run, name, stop)
        return {"TransformJobArn": arn}

    def describe(self, parameters: dict[str, Any]) -> Record:
        """The job's whole state."""
        described = public(self._existing(parameters["TransformJobName"]))
        described.pop("LastModifiedTime")  # only ListTransformJobs has it
        return described

    def page(self, parameters: dict[str, Any]) -> Record:
        """One page of jobs."""
        return list_records(
            self._platform.records.every(KIND),
            parameters,
            answer="TransformJobSummaries",
            name_key="TransformJobName",
            status_key="TransformJobStatus",
            summarise=pick(
                "TransformJobName",
                "TransformJobArn",
                "CreationTime",
                "TransformEndTime",
                "LastModifiedTime",
                "TransformJobStatus",
                "FailureReason",
            ),
        )

    def stop(self, parameters: dict[str, Any]) -> Record:
        """Ask a running job to stop."""
        name = parameters["TransformJobName"]
        with self._platform.records.lock:
            if self._existing(name)["TransformJobStatus"] == "InProgress":
                self._platform.records.update(KIND, name, TransformJobStatus="Stopping")
                self._stops[name].set()
        return {}

    def recover(self) -> None:
        """After a restart: a job that was running when the server went down has failed."""
        for record in self._platform.records.every(KIND):
            if record["TransformJobStatus"] in ("InProgress", "Stopping"):
                self._finish(
                    record["TransformJobName"],
                    "Failed",
                    INTERRUPTED,
                )

    def _existing(self, name: str) -> Record:
        return self._platform.existing(KIND, name, f"Could not find requested job with name: {name}")

    def _run(self, name: str, stop: threading.Event) -> None:
        status, reason = "Completed", None
        try:
            self._steps(name, stop)
        except (JobError, ShutDownError) as error:
            status, reason = "Failed", self._platform.interrupted(str(error))
        except StoppedError:
            status = "Stopped"
        except Exception as error:
            status = "Failed"
            reason = self._platform.interrupted(f"InternalServerError: {type(error).__name__}: {error}")
            raise
        finally:
            shutil.rmtree(self._platform.folder("transform", name), ignore_errors=True)
            self._finish(name, status, reason)
            self._platform.ship_log("transform", name, "TransformJobs", f"{name}/i-local")

    def _steps(self, name: str, stop: threading.Event) -> None:
        def check() -> None:
            if stop.is_set():
                raise StoppedError

        record = self._existing(name)
        instance_type = record["TransformResources"]["InstanceType"]
        if self._platform.without_capacity([instance_type]):
            if stop.wait(CAPACITY_SECONDS):
                raise StoppedError
            raise JobError(
                "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different "
                "ML instance type."
            )
        folder = self._platform.folder("transform", name)
        try:
            unpack_model(self._platform, record["_model"], folder)
        except JobError as failure:
            raise JobError(f"ClientError: {failure}") from failure
        check()
        self._platform.records.update(KIND, name, TransformStartTime=now())
        container = start_container(
            self._platform,
            "transform",
            name,
            record["_model"],
            folder,
            environment={"SAGEMAKER_BATCH": "true"} | record.get("Environment", {}),
            instance_type=instance_type,
        )
        try:
            try:
                container.wait_until_healthy(_STARTUP_SECONDS, check)
            except JobError as failure:
                raise JobError(f"AlgorithmError: {failure}. See job logs for more information") from failure
            source = record["TransformInput"]["DataSource"]["S3DataSource"]
            role = record["_model"]["ExecutionRoleArn"]
            objects = self._platform.objects_of(role)
            request = _Request(record, container)
            for entry in source_objects(objects, source, self._platform.account.region, role):
                self._transform(record, request, objects, entry, check)
        finally:
            container.child.kill()

    def _transform(
        self,
        record: Record,
        request: _Request,
        objects: ObjectStore,
        entry: SourceObject,
        check: Callable[[], None],
    ) -> None:
        """One input object into one output object."""
        path = self._platform.folder("transform", record["TransformJobName"]) / "object.out"
        where = f"s3://{entry.bucket}/{entry.key}"
        try:
            with contextlib.ExitStack() as stack:
                body: IO[bytes] = stack.enter_context(objects.open(entry.bucket, entry.key))
                if record["TransformInput"].get("CompressionType") == "Gzip":
                    body = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=body)))
                output = stack.enter_context(path.open("wb"))
                for payload in request.payloads(body):
                    check()
                    output.write(request.send(payload, where))
        except (SplitError, EOFError) as error:
            raise JobError(f"ClientError: {where}: {error}") from error
        except StorageError as error:
            raise JobError(f"ClientError: {where} can't be read: {error}") from error
        bucket, prefix = parse_s3_uri(record["TransformOutput"]["S3OutputPath"])
        try:
            objects.upload(path, bucket, join_key(prefix, f"{entry.relative}.out"))
        except StorageError as error:
            raise JobError(f"ClientError: the output of {where} can't be written: {error}") from error

    def _finish(self, name: str, status: str, reason: str | None) -> None:
        changes: dict[str, Any] = {"TransformJobStatus": status, "TransformEndTime": now()}
        if reason is not None:
            changes["FailureReason"] = reason[:FAILURE_REASON_LENGTH]
        self._platform.limits.release((KIND, name))
        self._platform.records.update(KIND, name, **changes)
        self._stops.pop(name, None)


class _Request:
    """How one job cuts its objects and talks to its container."""

    def __init__(self, record: Record, container: Container) -> None:
        advice = container.execution_parameters()
        source = record["TransformInput"]
        self._container = container
        self._split = source.get("SplitType", "None")
        strategy = record.get("BatchStrategy") or {"SINGLE_RECORD": "SingleRecord"}.get(
            str(advice.get("BatchStrategy")), "MultiRecord"
        )
        self._many = strategy == "MultiRecord"
        payload = record.get("MaxPayloadInMB") or int(advice.get("MaxPayloadInMB") or _DEFAULT_PAYLOAD_MB)
        self._limit = payload * _MEGABYTE
        client = record.get("ModelClientConfig", {})
        self._seconds = float(client.get("InvocationsTimeoutInSeconds", 600))
        self._retries = int(client.get("InvocationsMaxRetries", 3))
        self._lines = record["TransformOutput"].get("AssembleWith") == "Line"
        self._join = record.get("DataProcessing", {}).get("JoinSource") == "Input"
        self._headers = {
            name: value
            for name, value in (
                ("Content-Type", source.get("ContentType")),
                ("Accept", record["TransformOutput"].get("Accept")),
            )
            if value
        }

    def payloads(self, body: IO[bytes]) -> Any:
        """The requests that an object becomes."""
        records = split_records(body, self._split, framed=self._many)
        return batches(records, self._limit, many=self._many)

    def send(self, payload: bytes, where: str) -> bytes:
        """The container's answer to one request, as it goes into the output object."""
        answer = self._ask(payload, where)
        if self._join:
            answer = join_lines(payload, answer, where)
        if self._lines and not answer.endswith(b"\n"):
            answer += b"\n"
        return answer

    def _ask(self, payload: bytes, where: str) -> bytes:
        problem = ""
        for _ in range(self._retries + 1):
            try:
                answer = self._container.invoke(payload, self._headers, self._seconds)
            except (OSError, http.client.HTTPException) as error:
                if self._container.ends_within(_DEATH_SECONDS):
                    raise JobError(self._death(where)) from error
                problem = f"Unable to get response from algorithm ({error or type(error).__name__})"
                continue
            if answer.status < http.client.BAD_REQUEST:
                return answer.body
            text = answer.body.decode("utf-8", "replace").strip()
            problem = f"Bad HTTP status received from algorithm: {answer.status} {text}"
            if answer.status < http.client.INTERNAL_SERVER_ERROR:
                raise JobError(f"ClientError: {where}: {problem}. See job logs for more information")
        raise JobError(f"AlgorithmError: {where}: {problem}. See job logs for more information")

    def _death(self, where: str) -> str:
        cause = (
            "it ran out of memory (exit code 137)"
            if self._container.child.out_of_memory
            else f"its process ended ({self._container.ending()})"
        )
        return f"AlgorithmError: {where}: Unable to get response from algorithm: {cause}. See job logs for more information"


def _check_request(parameters: dict[str, Any]) -> None:
    """Refuse what AWS would refuse of CreateTransformJob beyond the API model's constraints."""
    problem: str | None = None
    source, output = parameters["TransformInput"], parameters["TransformOutput"]
    payload = parameters.get("MaxPayloadInMB")
    split = source.get("SplitType", "None")
    if source["DataSource"]["S3DataSource"]["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        problem = "TransformInput: batch transform reads S3DataType S3Prefix or ManifestFile."
    elif split == "TFRecord":
        problem = "The local cloud splits by Line and RecordIO, not by TFRecord."
    elif parameters.get("BatchStrategy") == "SingleRecord" and split == "None":
        problem = "BatchStrategy SingleRecord requires a SplitType of Line, RecordIO or TFRecord."
    elif payload == 0:
        problem = (
            "Amazon SageMaker built-in algorithms do not support HTTP chunked encoding: MaxPayloadInMB is 0."
        )
    elif payload is not None and payload * parameters.get("MaxConcurrentTransforms", 1) > _LARGEST_PAYLOAD_MB:
        problem = "MaxConcurrentTransforms * MaxPayloadInMB must not exceed 100 MB."
    elif parameters.get("DataProcessing"):
        problem = _processing_problem(parameters["DataProcessing"], source, output, split)
    if problem is not None:
        raise ServiceFault("ValidationException", problem)


def _processing_problem(
    processing: dict[str, Any], source: dict[str, Any], output: dict[str, Any], split: str
) -> str | None:
    if processing.get("InputFilter", "$") != "$" or processing.get("OutputFilter", "$") != "$":
        return "The local cloud joins input and output only: DataProcessing filters are not supported."
    if processing.get("JoinSource", "None") == "None":
        return None
    if "recordio" in source.get("ContentType", ""):
        return "DataProcessing is not supported for recordIO-protobuf input."
    kinds = [str(value).split(";")[0].strip() for value in (source.get("ContentType"), output.get("Accept"))]
    if kinds != ["application/jsonlines"] * 2 or split != "Line":
        return (
            "The local cloud joins JSON Lines only: ContentType and Accept application/jsonlines, SplitType Line; "
            f"found {kinds[0]}, {kinds[1]} and {split}."
        )
    return None
