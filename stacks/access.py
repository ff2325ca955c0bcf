"""Who may do what: statements with named actions on named resources.

Prefixes in a bucket can't be named without a wildcard, and cdk-nag (AwsSolutions-IAM5) asks for a
reason for each; `grant` gives it on the one role that it adds a statement to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3


def read_objects(bucket: s3.IBucket, prefixes: Sequence[str]) -> list[iam.PolicyStatement]:
    """Read and list what lies under the prefixes."""
    return [
        iam.PolicyStatement(
            actions=["s3:GetObject"], resources=[bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes]
        ),
        iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
        ),
    ]


def write_objects(
    bucket: s3.IBucket, prefixes: Sequence[str], *, delete: bool = False
) -> list[iam.PolicyStatement]:
    """Write under the prefixes, whole or in parts; `delete` also lets objects be replaced by fewer."""
    actions = ["s3:PutObject", "s3:AbortMultipartUpload", *(["s3:DeleteObject"] if delete else [])]
    return [
        iam.PolicyStatement(
            actions=actions, resources=[bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes]
        )
    ]


def use_key(key: kms.IKey, *, write: bool) -> iam.PolicyStatement:
    """Decrypt, and with `write` encrypt, under the key."""
    return iam.PolicyStatement(
        actions=["kms:Decrypt", *(["kms:GenerateDataKey"] if write else [])], resources=[key.key_arn]
    )


def attach_volumes(key: kms.IKey) -> list[iam.PolicyStatement]:
    """Let AWS services encrypt the volumes of instances with the key."""
    return [
        iam.PolicyStatement(actions=["kms:DescribeKey"], resources=[key.key_arn]),
        iam.PolicyStatement(
            actions=["kms:CreateGrant"],
            resources=[key.key_arn],
            conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
    ]


def grant(role: iam.Role, statements: Iterable[iam.PolicyStatement], *, wildcards: dict[str, str]) -> None:
    """Add statements to a role's policy.

    Parameters
    ----------
    wildcards
        Resource that has a wildcard → why it can't be named more closely.
    """
    for statement in statements:
        role.add_to_policy(statement)
    acknowledge(role, wildcards)


def acknowledge(role: iam.Role, wildcards: dict[str, str]) -> None:
    """Give cdk-nag the reasons for a role's wildcards."""
    Validations.of(role).acknowledge(
        *(
            Acknowledgment(id=f"AwsSolutions-IAM5[{finding}]", reason=reason)
            for finding, reason in wildcards.items()
        )
    )
