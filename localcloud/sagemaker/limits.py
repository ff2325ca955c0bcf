"""Who uses how much of which quota, and the refusal when there is no room.

A quota that the quotas file doesn't name is unknown: it never refuses. The text is AWS's own,
as public reports of ``ResourceLimitExceeded`` quote it; the unit of the serverless concurrency quotas is a
guess.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from localcloud.faults import ServiceFault

Usage = Literal["training job", "spot training job", "transform job", "endpoint"]
Holder = tuple[str, str]
"""Kind and name of the resource that uses instances."""

_ACCOUNT_WIDE: Mapping[Usage, str] = {
    "training job": "Number of instances across all training jobs",
    "spot training job": "Number of instances across all spot training jobs",
    "transform job": "Number of instances across all transform jobs",
    "endpoint": "Number of instances across active endpoints",
}
_EACH: Mapping[Usage, str] = {
    "training job": "Maximum number of instances per training job",
    "spot training job": "Maximum number of instances per spot training job",
    "endpoint": "Maximum number of instances per endpoint",
}


class QuotaValues(Protocol):
    """The account's applied quota values."""

    def value(self, name: str) -> float | None:
        """The value of a quota, or None when unknown."""


@dataclass(frozen=True)
class Demand:
    """What a resource needs of one quota.

    ``shared`` quotas are used up by all resources together; the others limit each one by itself.
    """

    quota: str
    amount: float
    unit: str = "Instances"
    shared: bool = True


def instance_demands(usage: Usage, instances: Iterable[tuple[str, int]]) -> list[Demand]:
    """Demands of a job or endpoint on ``(instance type, count)`` pairs: type quotas, then
    account-wide ones.
    """
    by_type: dict[str, int] = {}
    for instance_type, count in instances:
        by_type[instance_type] = by_type.get(instance_type, 0) + count
    total = sum(by_type.values())
    demands = [Demand(f"{name} for {usage} usage", count) for name, count in by_type.items() if count]
    if total:
        demands.append(Demand(_ACCOUNT_WIDE[usage], total))
        if usage in _EACH:
            demands.append(Demand(_EACH[usage], total, shared=False))
    return demands


def volume_demand(job: Literal["training", "transform"], gigabytes: float) -> Demand:
    """The demand on the quota for the size of one instance's volume."""
    return Demand(f"Size of EBS volume for a {job} job instance (GB)", gigabytes, "GBs", shared=False)


def serverless_demands(configurations: Iterable[Mapping[str, int]]) -> list[Demand]:
    """Demands of an endpoint's ``ServerlessConfig`` documents."""
    documents = list(configurations)
    if not documents:
        return []
    concurrency = sum(document["MaxConcurrency"] for document in documents)
    memory = max(document["MemorySizeInMB"] for document in documents)
    return [
        Demand("Memory size in MB per serverless endpoint", memory, "MBs", shared=False),
        Demand("Maximum number of serverless endpoints", 1, "Endpoints"),
        Demand(
            "Maximum total concurrency that can be allocated across all serverless endpoints",
            concurrency,
            "Units",
        ),
    ]


class Limits:
    """The ledger of what is in use."""

    def __init__(self, quotas: QuotaValues) -> None:
        self._quotas = quotas
        self._lock = threading.Lock()
        self._held: dict[Holder, list[Demand]] = {}

    def reserve(self, holder: Holder, demands: Iterable[Demand]) -> None:
        """Take what a resource needs in place of what it has, all of it or nothing.

        Raises
        ------
        ServiceFault
            ``ResourceLimitExceeded``, naming the first quota without room; the resource keeps what it has.
        """
        wanted = list(demands)
        with self._lock:
            for demand in wanted:
                self._refuse_without_room(demand, holder)
            self._held[holder] = wanted

    def check(self, demands: Iterable[Demand]) -> None:
        """Refuse what there is no room for now, without taking it.

        Raises
        ------
        ServiceFault
            ``ResourceLimitExceeded``, naming the first quota without room.
        """
        with self._lock:
            for demand in demands:
                self._refuse_without_room(demand)

    def hold(self, holder: Holder, demands: Iterable[Demand]) -> None:
        """Count what a resource already has, whatever the quotas say: after a restart, or in place of what it
        held.
        """
        with self._lock:
            self._held[holder] = list(demands)

    def release(self, holder: Holder) -> None:
        """Give everything back that a resource took."""
        with self._lock:
            self._held.pop(holder, None)

    def in_use(self, quota: str) -> float:
        """How much of a shared quota is in use."""
        with self._lock:
            return self._in_use(quota)

    def _in_use(self, quota: str, apart_from: Holder | None = None) -> float:
        return sum(
            demand.amount
            for holder, demands in self._held.items()
            if holder != apart_from
            for demand in demands
            if demand.shared and demand.quota == quota
        )

    def _refuse_without_room(self, demand: Demand, holder: Holder | None = None) -> None:
        limit = self._quotas.value(demand.quota)
        used = self._in_use(demand.quota, holder) if demand.shared else 0.0
        if limit is None or used + demand.amount <= limit:
            return
        unit = demand.unit
        raise ServiceFault(
            "ResourceLimitExceeded",
            f"The account-level service limit '{demand.quota}' is {limit:.15g} {unit}, with current utilization "
            f"of {used:.15g} {unit} and a request delta of {demand.amount:.15g} {unit}. Please use AWS Service "
            "Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact AWS "
            "support to request an increase for this quota.",
        )
