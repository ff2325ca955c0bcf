"""What CreateTrainingJob refuses beyond the API model's constraints."""

from __future__ import annotations

from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.images import Images
from localcloud.sagemaker.objects import parse_s3_uri

_SPOT_WITHOUT_CHECKPOINTS_SECONDS = 3600


def check_training_request(parameters: dict[str, Any], images: Images) -> list[str]:
    """Refuse what AWS would refuse; return the program that stands in for the image.

    Raises
    ------
    ServiceFault
        ``ValidationException``.
    """
    algorithm = parameters["AlgorithmSpecification"]
    image = algorithm.get("TrainingImage")
    if image is None:
        raise _refused(
            "The local cloud runs training images only: AlgorithmSpecification needs TrainingImage."
        )
    program = images.program(image)
    if program is None:
        repository, registry = images.repository(image)
        raise _refused(
            f"Cannot find repository: {repository} in registry ID: {registry} Please check if your ECR repository "
            f"and image exist and role {parameters['RoleArn']} has proper pull permissions for SageMaker: "
            "ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:GetDownloadUrlForLayer"
        )
    if algorithm.get("MetricDefinitions"):
        raise _refused(
            "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request "
            "without specifying metric definitions."
        )
    _check_channels(parameters.get("InputDataConfig", []), algorithm["TrainingInputMode"])
    _check_output(parameters["OutputDataConfig"])
    _check_resources(parameters["ResourceConfig"])
    _check_stopping(parameters)
    return program


def _check_channels(channels: list[dict[str, Any]], default_mode: str) -> None:
    names = [channel["ChannelName"] for channel in channels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _refused(f"Duplicate channel names are not allowed: {', '.join(twice)}")
    for channel in channels:
        name = channel["ChannelName"]
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise _refused(f"Channel {name}: the local cloud reads S3DataSource only.")
        if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
            raise _refused(f"Channel {name}: built-in algorithms read S3DataType S3Prefix or ManifestFile.")
        if channel.get("CompressionType") == "Gzip" and channel.get("InputMode", default_mode) != "Pipe":
            raise _refused(f"Channel {name}: CompressionType Gzip is supported in Pipe mode only.")


def _check_output(output: dict[str, Any]) -> None:
    parse_s3_uri(output["S3OutputPath"])
    if output.get("CompressionType", "GZIP") != "GZIP":
        raise _refused(
            "The local cloud writes model.tar.gz only: OutputDataConfig.CompressionType must be GZIP."
        )


def _check_resources(resource: dict[str, Any]) -> None:
    ways = [way for way in ("InstanceType", "InstanceGroups", "InstancePreferences") if resource.get(way)]
    if len(ways) != 1:
        raise _refused(
            "ResourceConfig must have exactly one of InstanceType, InstanceGroups and InstancePreferences, "
            f"found {', '.join(ways) or 'none'}."
        )


def _check_stopping(parameters: dict[str, Any]) -> None:
    stopping = parameters["StoppingCondition"]
    longest_wait = stopping.get("MaxWaitTimeInSeconds")
    if not parameters.get("EnableManagedSpotTraining"):
        if longest_wait is not None:
            raise _refused("MaxWaitTimeInSeconds can only be set if EnableManagedSpotTraining is true.")
        return
    if parameters["ResourceConfig"].get("InstancePreferences"):
        raise _refused("InstancePreferences can't be used with managed spot training.")
    if longest_wait is None or longest_wait < stopping.get("MaxRuntimeInSeconds", 86400):
        raise _refused(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds."
        )
    if "CheckpointConfig" not in parameters and longest_wait > _SPOT_WITHOUT_CHECKPOINTS_SECONDS:
        raise _refused(
            "MaxWaitTimeInSeconds above 3600 is not supported for built-in algorithms without checkpointing."
        )


def _refused(message: str) -> ServiceFault:
    return ServiceFault("ValidationException", message)
