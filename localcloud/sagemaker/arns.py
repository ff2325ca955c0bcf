"""The ARN that a SageMaker call is about, which IAM checks it against."""

from __future__ import annotations

from typing import Any

# Name of the resource in an operation's parameters → its kind in the ARN.
_SAGEMAKER_RESOURCES = {
    "TrainingJobName": "training-job",
    "TransformJobName": "transform-job",
    "ProcessingJobName": "processing-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "ModelName": "model",
    "EndpointConfigName": "endpoint-config",
    "EndpointName": "endpoint",
    "ModelPackageGroupName": "model-package-group",
}


def operation_arn(operation: str, parameters: dict[str, Any], region: str, account: str) -> str:
    """The ARN that IAM checks a SageMaker call against: the resource it is about, or ``*``.

    A call may name several resources (creating an endpoint names its configuration), so the one in
    the operation's own name counts; a list is about none, whatever it filters by.
    """
    for arn in (parameters.get("ResourceArn"), parameters.get("ModelPackageArn")):
        if isinstance(arn, str):
            return arn
    if operation.endswith("ModelPackage"):
        return _package_arn(parameters, region, account)
    for member in sorted(_SAGEMAKER_RESOURCES, key=len, reverse=True):
        name = parameters.get(member)
        if operation.endswith(member.removesuffix("Name")) and isinstance(name, str):
            return f"arn:aws:sagemaker:{region}:{account}:{_SAGEMAKER_RESOURCES[member]}/{name.lower()}"
    return "*"


def _package_arn(parameters: dict[str, Any], region: str, account: str) -> str:
    """Of a model package by ARN or name, or of a group's versions, whose numbers aren't known before."""
    name, group = parameters.get("ModelPackageName"), parameters.get("ModelPackageGroupName")
    if isinstance(name, str) and name.startswith("arn:"):
        return name
    versions = f"{str(group).rpartition('/')[2]}/*"
    return f"arn:aws:sagemaker:{region}:{account}:model-package/{name or versions}"
