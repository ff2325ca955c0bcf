"""SageMaker's quota names, as Service Quotas, the refusal texts and the console spell them.

A quota is resolved by its name at run time. Two quotas count for every job and endpoint: the
type's own and the account-wide one; a third bounds the instances of one job or endpoint.
``Account`` holds what is known of one account.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from fmrec.instances.catalogue import Call

SERVICE_CODE = "sagemaker"


@dataclass(frozen=True)
class _Names:
    per_type: str
    across: str
    per_job: str | None


_NAMES: dict[tuple[Call, bool], _Names] = {
    ("training", False): _Names(
        "training job usage",
        "Number of instances across all training jobs",
        "Maximum number of instances per training job",
    ),
    ("training", True): _Names(
        "spot training job usage",
        "Number of instances across all spot training jobs",
        "Maximum number of instances per spot training job",
    ),
    ("transform", False): _Names(
        "transform job usage", "Number of instances across all transform jobs", None
    ),
    ("hosting", False): _Names(
        "endpoint usage",
        "Number of instances across active endpoints",
        "Maximum number of instances per endpoint",
    ),
    ("processing", False): _Names(
        "processing job usage",
        "Number of instances across all processing jobs",
        "Maximum number of instances per processing job",
    ),
}


QUOTA_KINDS: tuple[tuple[Call, bool], ...] = tuple(_NAMES)
"""Calls that take instances, each with whether they are managed spot."""


def type_quota(call: Call, instance_type: str, spot: bool = False) -> str:
    """Return the name of the type's own quota, as in ``ml.m5.large for endpoint usage``."""
    return f"{instance_type} for {_NAMES[call, spot].per_type}"


def account_quota(call: Call, spot: bool = False) -> str:
    """Return the name of the quota that all types share."""
    return _NAMES[call, spot].across


def job_quota(call: Call, spot: bool = False) -> str | None:
    """Return the name of the quota on one job's or endpoint's instances; transform has none."""
    return _NAMES[call, spot].per_job


@dataclass(frozen=True)
class Fleet:
    """Instances that an endpoint has now, and keeps until those of an update serve."""

    instance_type: str
    instance_count: int


@dataclass(frozen=True)
class Account:
    """Quotas and use of one account in one Region. A missing name is unknown, not zero."""

    quotas: Mapping[str, float] = field(default_factory=dict)
    """Quota name → applied value."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """Quota name → instances that count against it now."""
    fleets: Mapping[str, Fleet] = field(default_factory=dict)
    """Endpoint name → what its first variant with instances runs on."""
    defaults: Mapping[str, float] = field(default_factory=dict)
    """Quota name → AWS's list default, where no applied value was found: a guess, never a gate."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """Quota name → quota code, as read from this account."""
    region: str | None = None
    partition: str = "aws"
    notes: tuple[str, ...] = ()
    """What couldn't be read, and why, in words."""


MAXIMUM_QUOTA = 1e9


@cache
def known_codes() -> Mapping[str, str]:
    """Return quota name → code from public listings; codes agree between accounts and Regions."""
    with Path(__file__).with_name("quota_codes.csv").open(newline="", encoding="utf-8") as file:
        return {row["quota_name"]: row["quota_code"] for row in csv.DictReader(file)}
