"""Calls of SageMaker Model Registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fmrec.errors import ThrottledError
from fmrec.registry import packages
from fmrec.registry.packages import ApprovalStatus

EXISTS, MISSING = "already exists", "does not exist"
"""Recognised by the words: the API has one code, ValidationException, for both."""


THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")


def connect() -> Any:
    """A client that repeats a little by itself; the workflow sits out longer throttling."""
    import boto3
    from botocore.config import Config

    return boto3.client("sagemaker", config=Config(retries={"mode": "standard", "total_max_attempts": 4}))


class ModelRegistry:
    """The model package groups of one deployment.

    Parameters
    ----------
    client
        boto3's client of ``sagemaker``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._error = client.exceptions.ClientError

    def register(self, creation: dict[str, Any], description: str) -> str:
        """Make a version, in a group that is made if need be; return its ARN.

        Twice with the same ``ClientToken`` makes one version.

        Parameters
        ----------
        creation
            Parameters of CreateModelPackage (`fmrec.registry.packages.creation`).
        description
            Why it is approved or rejected.
        """
        with self._telling_throttling():
            self._ensure_group(creation["ModelPackageGroupName"])
            arn: str = self._client.create_model_package(**creation)["ModelPackageArn"]
        self.judge(arn, creation["ModelApprovalStatus"], description)
        return arn

    def judge(self, arn: str, status: ApprovalStatus, description: str) -> None:
        """Set whether a version may serve, and why."""
        with self._telling_throttling():
            self._client.update_model_package(
                ModelPackageArn=arn,
                ModelApprovalStatus=status,
                ApprovalDescription=packages.one_line(description),
            )

    @contextmanager
    def _telling_throttling(self) -> Iterator[None]:
        """Raise what the workflow repeats: a function's errors are distinguished by their class alone."""
        try:
            yield
        except self._error as error:
            if error.response["Error"]["Code"] in THROTTLED:
                raise ThrottledError(str(error)) from error
            raise

    def describe(self, arn: str) -> dict[str, Any] | None:
        """All that the registry knows of a version; None if there is none of that ARN."""
        try:
            found: dict[str, Any] = self._client.describe_model_package(ModelPackageName=arn)
        except self._error as error:
            if MISSING in str(error):
                return None
            raise
        return found

    def latest(self, group: str, limit: int) -> Iterator[dict[str, Any]]:
        """Describe a group's versions, the latest first; nothing if there is no group yet."""
        pages = self._client.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group,
            SortBy="CreationTime",
            SortOrder="Descending",
            PaginationConfig={"MaxItems": limit, "PageSize": min(limit, 100)},
        )
        try:
            summaries = [summary for page in pages for summary in page["ModelPackageSummaryList"]]
        except self._error as error:
            if MISSING in str(error):
                return
            raise
        for summary in summaries:
            described = self.describe(summary["ModelPackageArn"])
            if described is not None:
                yield described

    def _ensure_group(self, name: str) -> None:
        try:
            self._client.describe_model_package_group(ModelPackageGroupName=name)
        except self._error as error:
            if MISSING not in str(error):
                raise
        else:
            return
        try:
            self._client.create_model_package_group(
                ModelPackageGroupName=name,
                ModelPackageGroupDescription="Models that the recommendation pipeline has trained and judged",
            )
        except self._error as error:
            # Another run was quicker.
            if EXISTS not in str(error):
                raise
