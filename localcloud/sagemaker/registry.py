"""The Model Registry: model package groups, their versions, approval, metrics.

Sources: API texts of the ModelPackage operations.
"""

from __future__ import annotations

from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.lists import list_records, pick
from localcloud.sagemaker.platform import Platform, echo
from localcloud.sagemaker.records import Record, now, public

GROUP = "model-package-group"
PACKAGE = "model-package"
_ECHOED = (
    "ModelPackageDescription",
    "ModelPackageRegistrationType",
    "InferenceSpecification",
    "MetadataProperties",
    "ModelMetrics",
    "Domain",
    "Task",
    "SamplePayloadUrl",
    "CustomerMetadataProperties",
    "DriftCheckBaselines",
    "AdditionalInferenceSpecifications",
    "SkipModelValidation",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)
_UPDATED = (
    "ModelApprovalStatus",
    "ModelPackageRegistrationType",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)


class ModelRegistry:
    """Operations on model package groups and model packages."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def create_group(self, parameters: dict[str, Any]) -> Record:
        """Keep a group; its versions are numbered from 1."""
        name = parameters["ModelPackageGroupName"]
        arn = self._platform.account.arn(GROUP, name)
        with self._platform.records.lock:
            if self._platform.records.get(GROUP, name) is not None:
                raise ServiceFault("ValidationException", f"Model Package Group already exists: {arn}")
            record = {
                "ModelPackageGroupName": name,
                "ModelPackageGroupArn": arn,
                "ModelPackageGroupDescription": parameters.get("ModelPackageGroupDescription"),
                "CreationTime": now(),
                "CreatedBy": {},
                "ModelPackageGroupStatus": "Completed",
                "_versions": 0,
            }
            self._platform.records.put(GROUP, name, record)
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, parameters: dict[str, Any]) -> Record:
        """The group as it was created."""
        described = public(self._group(parameters["ModelPackageGroupName"]))
        described.pop("LastModifiedTime", None)  # of the version counter
        return described

    def page_groups(self, parameters: dict[str, Any]) -> Record:
        """One page of groups."""
        return list_records(
            self._platform.records.every(GROUP),
            parameters,
            answer="ModelPackageGroupSummaryList",
            name_key="ModelPackageGroupName",
            status_key=None,
            summarise=pick(
                "ModelPackageGroupName",
                "ModelPackageGroupArn",
                "ModelPackageGroupDescription",
                "CreationTime",
                "ModelPackageGroupStatus",
            ),
            default_order="Ascending",
        )

    def delete_group(self, parameters: dict[str, Any]) -> Record:
        """Forget an empty group."""
        name = parameters["ModelPackageGroupName"]
        arn = self._group(name)["ModelPackageGroupArn"]
        if any(
            record.get("ModelPackageGroupName") == name for record in self._platform.records.every(PACKAGE)
        ):
            raise ServiceFault("ConflictException", f"Model Package Group {arn} contains Model Packages.")
        self._platform.records.delete(GROUP, name)
        return {}

    def create(self, parameters: dict[str, Any]) -> Record:
        """Keep a model package: a version of a group, or one by itself."""
        group, name = parameters.get("ModelPackageGroupName"), parameters.get("ModelPackageName")
        if (group is None) == (name is None):
            raise ServiceFault(
                "ValidationException",
                "Exactly one of ModelPackageGroupName and ModelPackageName must be set.",
            )
        if group is not None and parameters.get("Tags"):
            raise ServiceFault(
                "ValidationException", "Tags are not supported for versioned Model Packages; tag the group."
            )
        if "InferenceSpecification" not in parameters:
            raise ServiceFault(
                "ValidationException", "The local cloud's model packages need an InferenceSpecification."
            )
        for container in parameters["InferenceSpecification"]["Containers"]:
            if self._platform.images.program(container.get("Image", "")) is None:
                raise ServiceFault(
                    "ValidationException", f"Requested image {container.get('Image')} not found."
                )
        group_name = None if group is None else group.rpartition("/")[2]
        token = parameters.get("ClientToken")
        with self._platform.records.lock:
            for record in self._platform.records.every(PACKAGE) if token else ():
                if record["_client_token"] == token:
                    return {"ModelPackageArn": record["ModelPackageArn"]}
            version = None if group_name is None else self._next_version(group_name)
            arn = self._platform.account.arn(PACKAGE, f"{group_name}/{version}" if version else str(name))
            if self._platform.records.get(PACKAGE, arn) is not None:
                raise ServiceFault("ConflictException", f"Model Package already exists: {arn}")
            moment = now()
            approval = parameters.get("ModelApprovalStatus")
            record = echo(parameters, _ECHOED) | {
                "ModelPackageName": group_name or name,
                "ModelPackageGroupName": group_name,
                "ModelPackageVersion": version,
                "ModelPackageArn": arn,
                "CreationTime": moment,
                "LastModifiedTime": moment,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "ModelApprovalStatus": approval or ("PendingManualApproval" if version else None),
                "CertifyForMarketplace": bool(parameters.get("CertifyForMarketplace")),
                "CreatedBy": {},
                "_client_token": token,
            }
            self._platform.records.put(PACKAGE, arn, record)
        return {"ModelPackageArn": arn}

    def describe(self, parameters: dict[str, Any]) -> Record:
        """A package by ARN, or by name if it has no versions."""
        return public(self.existing(parameters["ModelPackageName"]))

    def page(self, parameters: dict[str, Any]) -> Record:
        """One page of a group's versions, or of the packages without versions."""
        group = parameters.get("ModelPackageGroupName")
        kind = parameters.get("ModelPackageType", "Unversioned" if group is None else "Versioned")
        approval = parameters.get("ModelApprovalStatus")
        found = [
            record
            for record in self._platform.records.every(PACKAGE)
            if group in (None, record["ModelPackageGroupName"], self._group_arn(record))
            and kind in ("Both", "Versioned" if record["ModelPackageVersion"] else "Unversioned")
            and approval in (None, record["ModelApprovalStatus"])
        ]
        return list_records(
            found,
            parameters,
            answer="ModelPackageSummaryList",
            name_key="ModelPackageName",
            status_key=None,
            summarise=pick(
                "ModelPackageName",
                "ModelPackageGroupName",
                "ModelPackageVersion",
                "ModelPackageArn",
                "ModelPackageDescription",
                "CreationTime",
                "ModelPackageStatus",
                "ModelApprovalStatus",
                "ModelPackageRegistrationType",
            ),
            default_order="Ascending",
        )

    def update(self, parameters: dict[str, Any]) -> Record:
        """Approve, reject, describe, or note something about a package."""
        record = self.existing(parameters["ModelPackageArn"])
        arn = record["ModelPackageArn"]
        changes = echo(parameters, _UPDATED)
        properties = record.get("CustomerMetadataProperties", {}) | parameters.get(
            "CustomerMetadataProperties", {}
        )
        for key in parameters.get("CustomerMetadataPropertiesToRemove", []):
            properties.pop(key, None)
        if properties or "CustomerMetadataProperties" in record:
            changes["CustomerMetadataProperties"] = properties
        added = parameters.get("AdditionalInferenceSpecificationsToAdd")
        if added:
            changes["AdditionalInferenceSpecifications"] = (
                record.get("AdditionalInferenceSpecifications", []) + added
            )
        self._platform.records.update(PACKAGE, arn, **changes)
        return {"ModelPackageArn": arn}

    def delete(self, parameters: dict[str, Any]) -> Record:
        """Forget a package; its version number isn't used again."""
        self._platform.records.delete(
            PACKAGE, self.existing(parameters["ModelPackageName"])["ModelPackageArn"]
        )
        return {}

    def existing(self, name_or_arn: str) -> Record:
        """The record of a package."""
        arn = (
            name_or_arn
            if name_or_arn.startswith("arn:")
            else self._platform.account.arn(PACKAGE, name_or_arn)
        )
        return self._platform.existing(PACKAGE, arn, f"ModelPackage {arn} does not exist.")

    def _group(self, name_or_arn: str) -> Record:
        name = name_or_arn.rpartition("/")[2]
        arn = self._platform.account.arn(GROUP, name)
        return self._platform.existing(GROUP, name, f"ModelPackageGroup {arn} does not exist.")

    def _group_arn(self, package: Record) -> str | None:
        name = package["ModelPackageGroupName"]
        return None if name is None else self._platform.account.arn(GROUP, name)

    def _next_version(self, group_name: str) -> int:
        version: int = self._group(group_name)["_versions"] + 1
        self._platform.records.update(GROUP, group_name, _versions=version)
        return version
