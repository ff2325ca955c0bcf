"""The account and region that this SageMaker belongs to, and the ARNs of its resources."""

from __future__ import annotations

from dataclasses import dataclass

_PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
)


@dataclass(frozen=True)
class Account:
    """An account number in one region."""

    number: str
    region: str

    @property
    def partition(self) -> str:
        """The region's partition, e.g. ``aws`` or ``aws-cn``."""
        return next((name for prefix, name, _ in _PARTITIONS if self.region.startswith(prefix)), "aws")

    @property
    def dns_suffix(self) -> str:
        """The partition's domain, e.g. ``amazonaws.com``."""
        return next(
            (suffix for prefix, _, suffix in _PARTITIONS if self.region.startswith(prefix)), "amazonaws.com"
        )

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a SageMaker resource, e.g. ``arn("training-job", "x")``; names go in lower case, as on
        AWS.
        """
        return f"arn:{self.partition}:sagemaker:{self.region}:{self.number}:{kind}/{name.lower()}"
