"""SageMaker's quota names, as Service Quotas, the refusal texts and the console spell them.

A quota is resolved by its name at run time. Two quotas count for every job and endpoint: the
type's own and the account-wide one; a third bounds the instances of one job or endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from fmrec.instances.catalogue import Call


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


def type_quota(call: Call, instance_type: str, spot: bool = False) -> str:
    """Return the name of the type's own quota, as in ``ml.m5.large for endpoint usage``."""
    return f"{instance_type} for {_NAMES[call, spot].per_type}"


def account_quota(call: Call, spot: bool = False) -> str:
    """Return the name of the quota that all types share."""
    return _NAMES[call, spot].across


def job_quota(call: Call, spot: bool = False) -> str | None:
    """Return the name of the quota on one job's or endpoint's instances; transform has none."""
    return _NAMES[call, spot].per_job
