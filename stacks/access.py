"""Who may do what: named actions on named resources, and a reason for every wildcard.

Objects under a prefix, jobs whose names begin alike and log groups that AWS services name can't be
listed one by one. cdk-nag (AwsSolutions-IAM5) asks for a reason for each such wildcard; it stands with
the permission here and is given for the one role that gets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aws_cdk import Acknowledgment, ArnFormat, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

if TYPE_CHECKING:
    from stacks.storage import StorageStack


@dataclass(frozen=True)
class Permission:
    """One statement. ``wildcards`` gives cdk-nag's name of each wildcard and the reason for it."""

    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Any] = field(default_factory=dict)
    wildcards: Mapping[str, str] = field(default_factory=dict)


def grant(role: iam.Role, *permissions: Permission) -> None:
    """Add permissions to a role's policy."""
    for permission in permissions:
        role.add_to_policy(
            iam.PolicyStatement(
                actions=list(permission.actions),
                resources=list(permission.resources),
                conditions=dict(permission.conditions),
            )
        )
    reasons: dict[str, str] = {}
    for permission in permissions:
        reasons |= permission.wildcards
    acknowledge(role, reasons)


def acknowledge(role: iam.Role, reasons: Mapping[str, str]) -> None:
    """Give cdk-nag the reasons for a role's wildcards."""
    Validations.of(role).acknowledge(
        *(
            Acknowledgment(id=f"AwsSolutions-IAM5[Resource::{wildcard}]", reason=reason)
            for wildcard, reason in reasons.items()
        )
    )


def read_objects(storage: StorageStack, *prefixes: str) -> list[Permission]:
    """Read and list what lies under prefixes of the data bucket."""
    return [
        _objects(storage, ["s3:GetObject"], prefixes),
        Permission(
            ["s3:ListBucket"],
            [storage.data.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
        ),
    ]


def write_objects(storage: StorageStack, *prefixes: str) -> Permission:
    """Write under prefixes of the data bucket, whole or in parts."""
    return _objects(storage, ["s3:PutObject", "s3:AbortMultipartUpload"], prefixes)


def delete_objects(storage: StorageStack, *prefixes: str) -> Permission:
    """Delete under prefixes of the data bucket; versions stay until the lifecycle ends them."""
    return _objects(storage, ["s3:DeleteObject"], prefixes)


def use_key(key: kms.IKey, *, write: bool = False) -> Permission:
    """Decrypt, and with `write` encrypt, under the key."""
    return Permission(["kms:Decrypt", *(["kms:GenerateDataKey"] if write else [])], [key.key_arn])


def attach_volumes(key: kms.IKey) -> list[Permission]:
    """Let AWS services encrypt the volumes of instances with the key."""
    return [
        Permission(["kms:DescribeKey"], [key.key_arn]),
        Permission(
            ["kms:CreateGrant"], [key.key_arn], conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}}
        ),
    ]


def write_service_logs(scope: Construct, log_groups: str, *actions: str) -> Permission:
    """Write to log groups that an AWS service makes and names, such as ``/aws-glue/*``."""
    return Permission(
        ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", *actions],
        [
            Stack.of(scope).format_arn(
                service="logs",
                resource="log-group",
                resource_name=log_groups,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
        ],
        wildcards={
            f"arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:{log_groups}": (
                "The service names its log groups and streams by job and run."
            )
        },
    )


def put_metrics(*namespaces: str) -> Permission:
    """Put metrics into namespaces."""
    return Permission(
        ["cloudwatch:PutMetricData"],
        ["*"],
        conditions={"StringEquals": {"cloudwatch:namespace": list(namespaces)}},
        wildcards={"*": "Actions without resource-level permissions; PutMetricData is held to a namespace."},
    )


def without_resource(*actions: str, why: str) -> Permission:
    """Actions that IAM can't limit to a resource."""
    return Permission(actions, ["*"], wildcards={"*": why})


def sagemaker_names(
    scope: Construct, prefix: str, kinds: Iterable[str], actions: Sequence[str], end: str = ""
) -> Permission:
    """Actions on SageMaker's resources of some kinds whose names begin with the deployment's prefix.

    `end` is what the names end with.
    """
    names = [f"{kind}/{prefix}-*{end}" for kind in kinds]
    return Permission(
        actions,
        [Stack.of(scope).format_arn(service="sagemaker", resource=name) for name in names],
        wildcards={
            f"arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:{name}": (
                "Each run names its jobs and models after itself, its endpoints after its data set."
            )
            for name in names
        },
    )


def _objects(storage: StorageStack, actions: Sequence[str], prefixes: Sequence[str]) -> Permission:
    return Permission(
        actions,
        [f"{storage.objects_arn}/{prefix}*" for prefix in prefixes],
        wildcards={
            f"{storage.objects_export}/{prefix}*": (
                "A run's objects are named by the run; the prefix is what this role has to do with."
            )
            for prefix in prefixes
        },
    )
