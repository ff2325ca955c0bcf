"""What SageMaker Model Registry keeps of a model: a version of its task's model package group.

Sources: API texts of CreateModelPackage and UpdateModelPackage, botocore's limits of their fields.
Versions take no tags (the group has them), and only an update takes a description of the approval.
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Literal

from fmrec.dataset.names import DEFAULT, infix
from fmrec.registry.model_record import ModelRecord

ApprovalStatus = Literal["Approved", "Rejected"]

RECORD = "record_uri"
"""Key of the metadata under which a version names its `fmrec.registry.model_record`."""

GROUP_OUTPUTS = {"recommend": "RecommendModels", "predict-rating": "PredictRatingModels"}
"""The pipeline stack's outputs that name the model package groups, by task."""

MAXIMUM_PROPERTIES = 50
PROPERTY_CHARACTERS = 256
DESCRIPTION_CHARACTERS = 1024
NOT_IN_PROPERTIES = re.compile(r"[^\w\s.:/=+\-@]")
RECORDIO, JSON = "application/x-recordio-protobuf", "application/json"


def group_name(prefix: str, task: str, dataset: str = DEFAULT) -> str:
    """The model package group of a data set's models for a task, such as ``fmrec-recommend``."""
    return f"{prefix}-{infix(dataset, '-')}{task}"


def creation(
    record: ModelRecord, *, group: str, image: str, record_uri: str, evaluation_uri: str | None
) -> dict[str, Any]:
    """Parameters of CreateModelPackage, the same for the same run: a repeated call makes no second version.

    Parameters
    ----------
    image
        The image that serves the artifact.
    record_uri
        Where the record is going to lie.
    evaluation_uri
        The ranking report, where there is one; otherwise the record has the metrics.
    """
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": one_line(f"Run {record.run}, task {record.task}: {record.verdict}"),
        "ClientToken": str(uuid.uuid5(uuid.NAMESPACE_URL, record.execution_arn)),
        "InferenceSpecification": {
            "Containers": [
                {"Image": image, "ModelDataUrl": uri} for uri in record.model_uris or [record.model_uri]
            ],
            "SupportedContentTypes": [RECORDIO, JSON],
            "SupportedResponseMIMETypes": [JSON, RECORDIO],
        },
        "ModelMetrics": {
            "ModelQuality": {"Statistics": {"ContentType": JSON, "S3Uri": evaluation_uri or record_uri}}
        },
        "ModelApprovalStatus": approval(record),
        "CustomerMetadataProperties": properties(record, record_uri),
    }


def approval(record: ModelRecord) -> ApprovalStatus:
    """What the gate makes of it."""
    return "Approved" if record.passed else "Rejected"


def properties(record: ModelRecord, record_uri: str) -> dict[str, str]:
    """What the registry's pages show of a version: where it comes from, and what was measured."""
    facts = {
        "run": record.run,
        "task": record.task,
        "model_version": record.model_version,
        "manifest_uri": record.manifest_uri,
        **({"embeddings_uri": record.embeddings_uri} if record.embeddings_uri else {}),
        RECORD: record_uri,
    }
    measured = {name: f"{value:.6g}" for name, value in sorted(record.metrics.items())}
    room = MAXIMUM_PROPERTIES - len(facts)
    return {name: _property(value) for name, value in (facts | dict(list(measured.items())[:room])).items()}


def one_line(text: str) -> str:
    """A description as the registry takes it: no line breaks, at most 1024 characters."""
    plain = " ".join(text.split())
    return plain if len(plain) <= DESCRIPTION_CHARACTERS else plain[: DESCRIPTION_CHARACTERS - 2] + " …"


def version_of(arn: str) -> int:
    """The number at the end of a model package's ARN."""
    return int(arn.rpartition("/")[2])


def _property(value: str) -> str:
    return NOT_IN_PROPERTIES.sub("-", value)[:PROPERTY_CHARACTERS]
