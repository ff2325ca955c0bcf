"""Step Functions' service integrations for Glue, SageMaker and the services around it.

Optimised integrations (``glue:startJobRun.sync``) answer in the API's names with timestamps in
milliseconds and fail under the names of the Java SDK's version 1; AWS SDK integrations
(``aws-sdk:sagemaker:describeEndpoint``) under those of version 2. Sources: AWS Step Functions
developer guide, "Integrating services", "Run a job (.sync)" and "Handling errors"; observed names
in public samples and reports.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localcloud import wire
from localcloud.faults import ServiceFault
from localcloud.gateway import InferenceService, Service
from localcloud.glue.runs import GlueRuns

POLL_SECONDS = 0.1


class TaskError(Exception):
    """A task fails with an error name that Retry and Catch can match, and a cause."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


@dataclass(frozen=True)
class Job:
    """How an optimised integration waits for a SageMaker job."""

    name: str
    status: str
    describe: str
    stop: str


_SAGEMAKER_JOBS = {
    "CreateTrainingJob": Job(
        "TrainingJobName", "TrainingJobStatus", "DescribeTrainingJob", "StopTrainingJob"
    ),
    "CreateTransformJob": Job(
        "TransformJobName", "TransformJobStatus", "DescribeTransformJob", "StopTransformJob"
    ),
    "CreateProcessingJob": Job(
        "ProcessingJobName", "ProcessingJobStatus", "DescribeProcessingJob", "StopProcessingJob"
    ),
    "CreateHyperParameterTuningJob": Job(
        "HyperParameterTuningJobName",
        "HyperParameterTuningJobStatus",
        "DescribeHyperParameterTuningJob",
        "StopHyperParameterTuningJob",
    ),
}
_SAGEMAKER_CALLS = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint")

# Name in aws-sdk resources → botocore's name, prefix of error names.
_SDK_SERVICES = {
    "sagemaker": ("sagemaker", "SageMaker"),
    "servicequotas": ("service-quotas", "ServiceQuotas"),
    "pricing": ("pricing", "Pricing"),
    "applicationautoscaling": ("application-autoscaling", "ApplicationAutoScaling"),
}


@dataclass(frozen=True)
class Task:
    """One attempt of a Task state: what it may still do, and in whose name."""

    over: Callable[[], bool]
    """Whether the execution was stopped or the state has timed out."""


class Integrations:
    """Runs the tasks that the emulator has not, or has wrong."""

    def __init__(
        self,
        sagemaker: InferenceService,
        service_quotas: Service,
        pricing: Service,
        scaling: Service,
        glue: GlueRuns,
        s3_client: Callable[[], Any],
    ) -> None:
        self._sagemaker = sagemaker
        self._sdk: dict[str, Service] = {
            "sagemaker": sagemaker,
            "servicequotas": service_quotas,
            "pricing": pricing,
            "applicationautoscaling": scaling,
        }
        self._glue = glue
        self._s3_client = s3_client

    def handler(self, resource: str) -> Callable[[dict[str, Any], Task], Any] | None:
        """What runs a Task's ``Resource``, or None if the emulator is to."""
        _, _, integration = resource.partition(":states:::")
        service, _, rest = integration.partition(":")
        if service == "aws-sdk":
            sdk_service, _, action = rest.partition(":")
            return self._sdk_handler(sdk_service.lower(), action[:1].upper() + action[1:])
        action, _, pattern = rest.partition(".")
        operation = action[:1].upper() + action[1:]
        synchronous = pattern == "sync"
        if service == "glue" and operation == "StartJobRun" and pattern in ("", "sync"):
            return lambda request, task: self._glue_job(request, task, synchronous)
        if service == "sagemaker" and operation in _SAGEMAKER_JOBS and pattern in ("", "sync"):
            job = _SAGEMAKER_JOBS[operation]
            return lambda request, task: self._sagemaker_job(operation, job, request, task, synchronous)
        if service == "sagemaker" and operation in _SAGEMAKER_CALLS and not pattern:
            return lambda request, task: self._sagemaker_call(operation, request)
        return None

    def _sdk_handler(self, service: str, operation: str) -> Callable[[dict[str, Any], Task], Any] | None:
        if service in _SDK_SERVICES:
            return lambda request, task: self._sdk_call(service, operation, request)
        if service == "sagemakerruntime" and operation == "InvokeEndpoint":
            return lambda request, task: self._invoke_endpoint(request)
        if service == "s3":
            return lambda request, task: self._s3_call(operation, request)
        return None

    # Optimised integrations

    def _sagemaker_call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        parameters = _checked("sagemaker", operation, request)
        try:
            result = self._sagemaker.call(operation, parameters)
        except ServiceFault as fault:
            raise _first_sdk_error("sagemaker", operation, "SageMaker", "AmazonSageMaker", fault) from fault
        return wire.answer("sagemaker", operation, result, wire.epoch_millis, wire.as_is)

    def _sagemaker_job(
        self, operation: str, job: Job, request: dict[str, Any], task: Task, synchronous: bool
    ) -> dict[str, Any]:
        created = self._sagemaker_call(operation, request)
        if not synchronous:
            return created
        name = {job.name: request[job.name]}
        while True:
            description = wire.answer(
                "sagemaker",
                job.describe,
                self._sagemaker.call(job.describe, name),
                wire.epoch_millis,
                wire.as_is,
            )
            if description[job.status] == "Completed":
                return description
            if description[job.status] in ("Failed", "Stopped"):
                raise TaskError("States.TaskFailed", json.dumps(description))
            if task.over():
                self._sagemaker.call(job.stop, name)
                raise TaskError("States.Timeout", f"{operation} was stopped with its state")
            time.sleep(POLL_SECONDS)

    def _glue_job(self, request: dict[str, Any], task: Task, synchronous: bool) -> dict[str, Any]:
        parameters = _checked("glue", "StartJobRun", request)
        try:
            run_id = self._glue.start(parameters)
        except ServiceFault as fault:
            raise _first_sdk_error("glue", "StartJobRun", "Glue", "AWSGlue", fault) from fault
        if not synchronous:
            return {"JobRunId": run_id, "JobName": parameters["JobName"]}
        while True:
            run = self._glue.describe(parameters["JobName"], run_id)
            if run["JobRunState"] in ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"):
                description = _millis("glue", "GetJobRun", "JobRun", run)
                if run["JobRunState"] == "SUCCEEDED":
                    return description
                raise TaskError("States.TaskFailed", json.dumps(description))
            if task.over():
                self._glue.stop(parameters["JobName"], [run_id])
                raise TaskError("States.Timeout", "the job run was stopped with its state")
            time.sleep(POLL_SECONDS)

    # AWS SDK integrations

    def _sdk_call(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        botocore_name, prefix = _SDK_SERVICES[service]
        parameters = _checked(botocore_name, operation, request)
        try:
            result = self._sdk[service].call(operation, parameters)
        except ServiceFault as fault:
            raise _second_sdk_error(botocore_name, operation, prefix, fault) from fault
        return wire.answer(botocore_name, operation, result, wire.iso_8601, wire.as_is)

    def _invoke_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        shape = wire.operation_model("sagemaker-runtime", "InvokeEndpoint").input_shape
        for member in request:
            if member not in shape.members:
                raise _unsupported(member)
        if "EndpointName" not in request:
            raise TaskError("States.Runtime", "The field 'EndpointName' is required but was missing")
        try:
            body, content_type, variant = self._sagemaker.invoke_endpoint(
                request["EndpointName"],
                _blob(request.get("Body", "")),
                request.get("ContentType"),
                request.get("Accept"),
                request.get("CustomAttributes"),
            )
        except ServiceFault as fault:
            raise _second_sdk_error(
                "sagemaker-runtime", "InvokeEndpoint", "SageMakerRuntime", fault
            ) from fault
        return {
            "Body": body.decode("utf-8"),
            "ContentType": content_type,
            "InvokedProductionVariant": variant,
        }

    def _s3_call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Through boto3 with the state machine's role, so that IAM and bucket policies count."""
        import botocore.exceptions
        from botocore import xform_name

        shape = wire.operation_model("s3", operation).input_shape
        parameters = dict(request)
        for name, member in shape.members.items():
            if name in parameters and member.type_name == "blob":
                parameters[name] = _blob(parameters[name])
        client = self._s3_client()
        try:
            result = getattr(client, xform_name(operation))(**parameters)
        except botocore.exceptions.ParamValidationError as error:
            raise TaskError("States.Runtime", str(error)) from error
        except botocore.exceptions.ClientError as error:
            found = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            fault = ServiceFault(found.get("Code", ""), found.get("Message", ""), status)
            raise _second_sdk_error("s3", operation, "S3", fault) from error
        if hasattr(result.get("Body"), "read"):
            result["Body"] = result["Body"].read().decode("utf-8")
        return wire.answer("s3", operation, result, wire.iso_8601, wire.as_is, wire.text)


def _checked(service: str, operation: str, request: Any) -> dict[str, Any]:
    """The parameters, or the error with which Step Functions itself refuses them."""
    shape = wire.operation_model(service, operation).input_shape
    if isinstance(request, dict):
        for member in request:
            if member not in shape.members:
                raise _unsupported(member)
    try:
        return wire.request(service, operation, request)
    except ServiceFault as fault:
        raise TaskError("States.Runtime", fault.message) from fault


def _unsupported(member: str) -> TaskError:
    return TaskError("States.Runtime", f"The field '{member}' is not supported by Step Functions")


def _modelled(service: str, operation: str, code: str) -> bool:
    return any(
        code in (shape.name, shape.error_code)
        for shape in wire.operation_model(service, operation).error_shapes
    )


def _exception_class(code: str) -> str:
    return code if code.endswith("Exception") else f"{code}Exception"


def _first_sdk_error(
    service: str, operation: str, prefix: str, client: str, fault: ServiceFault
) -> TaskError:
    """Errors of the optimised integrations carry the class names of the Java SDK, version 1."""
    name = _exception_class(fault.code) if _modelled(service, operation, fault.code) else f"{client}Exception"
    return TaskError(
        f"{prefix}.{name}",
        f"{fault.message} (Service: {client}; Status Code: {fault.status}; Error Code: {fault.code}; "
        f"Request ID: {uuid.uuid4()}; Proxy: null)",
    )


def _second_sdk_error(service: str, operation: str, prefix: str, fault: ServiceFault) -> TaskError:
    """Errors of the AWS SDK integrations carry the class names of the Java SDK, version 2."""
    name = _exception_class(fault.code) if _modelled(service, operation, fault.code) else f"{prefix}Exception"
    return TaskError(
        f"{prefix}.{name}",
        f"{fault.message} (Service: {prefix}, Status Code: {fault.status}, Request ID: {uuid.uuid4()})",
    )


def _millis(service: str, operation: str, member: str, document: dict[str, Any]) -> dict[str, Any]:
    """A member of an answer whose timestamps are seconds, as an optimised integration gives it."""
    shape = wire.operation_model(service, operation).output_shape.members[member]
    result: dict[str, Any] = wire.written(shape, wire.parsed(shape, document), wire.epoch_millis, wire.as_is)
    return result


def _blob(value: Any) -> bytes:
    """Text stands for its UTF-8 bytes, anything else for its JSON."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()
