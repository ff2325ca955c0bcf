"""Choose instance types for one step: pure, total, and in words.

The order of the types depends on the step, the prices and the policy alone; quotas and use only
take types away. So more quota never makes the answer worse, and an unknown quota neither hides
a type nor promotes it: it is tried in its place, and the refusal, if any, comes at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fmrec.instances import quotas as names
from fmrec.instances.catalogue import ENUM_NAMES, InstanceType, Prices
from fmrec.instances.policy import Policy
from fmrec.instances.workloads import Workload

Reason = Literal["setting", "api", "family", "memory", "volume", "price", "quota"]


@dataclass(frozen=True)
class Candidate:
    """A type to try. ``usd_per_hour`` is for all its instances; None when unknown."""

    instance_type: str
    instance_count: int
    volume_size_gb: int | None
    usd_per_hour: float | None
    why: str

    def to_json(self) -> dict[str, Any]:
        return {
            "instance_type": self.instance_type,
            "instance_count": self.instance_count,
            "volume_size_gb": self.volume_size_gb,
            "usd_per_hour": self.usd_per_hour,
            "why": self.why,
        }


@dataclass(frozen=True)
class Rejected:
    """A type not to try, and why not; ``quota`` and numbers are set when a quota is the reason."""

    instance_type: str
    why: str
    reason: Reason
    quota: str | None = None
    limit: float | None = None
    used: float | None = None
    waiting_can_help: bool = False

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "instance_type": self.instance_type,
            "why": self.why,
            "reason": self.reason,
        }
        if self.quota is not None:
            document["quota"] = {
                "name": self.quota,
                "limit": self.limit,
                "used": self.used,
                "waiting_can_help": self.waiting_can_help,
            }
        return document


@dataclass(frozen=True)
class Choice:
    """Candidates in the order to try; rejected types in the order in which they would have come."""

    candidates: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...]


def choose(
    workload: Workload,
    catalogue: Iterable[InstanceType],
    quotas: Mapping[str, float],
    usage: Mapping[str, float],
    prices: Prices,
    policy: Policy,
) -> Choice:
    """Order the types that may run ``workload`` and say why each other one may not.

    Parameters
    ----------
    quotas, usage
        Quota name → applied value and instances in use. A missing name is unknown.
    """
    types = {t.name: t for t in catalogue}
    ranked = _ranked(workload, types, prices, policy)
    fixed = policy.instance_types.get(workload.step, ())
    ceiling = None if fixed else _price_ceiling(workload, ranked, prices, policy)
    candidates: list[Candidate] = []
    rejected: list[Rejected] = []
    for name in fixed or [t.name for t in ranked]:
        if name not in types:
            why = f"{name}: isn't in the table of instance types, so its memory is unknown"
            rejected.append(Rejected(name, why, "setting"))
            continue
        refusal = _refusal(workload, types[name], quotas, usage, prices, policy, ceiling, bool(fixed))
        if refusal is None:
            candidates.append(_candidate(workload, types[name], quotas, usage, prices, bool(fixed)))
        else:
            rejected.append(refusal)
    if fixed:
        # A name fixed twice is one candidate.
        candidates = list({c.instance_type: c for c in candidates}.values())
    return Choice(tuple(candidates), tuple(rejected))


def fits(workload: Workload, instance: InstanceType) -> bool:
    """Say whether the call accepts the type and its memory is enough."""
    return (
        workload.call in instance.accepted_by
        and workload.memory.gib_with(instance.vcpu) <= instance.memory_gib
    )


def _ranked(
    workload: Workload, types: Mapping[str, InstanceType], prices: Prices, policy: Policy
) -> list[InstanceType]:
    cheapest = _cheapest_fitting(workload, types.values(), prices, policy)
    family_rank = {family: rank for rank, family in enumerate(policy.families)}

    def key(instance: InstanceType) -> tuple[bool, bool, float, int, float, int, str]:
        price = prices.of(workload.call, instance.name)
        preferred = (
            bool(policy.families)
            and instance.family == policy.families[0]
            and price is not None
            and cheapest is not None
            and price <= cheapest * policy.preferred_price_factor
        )
        return (
            not preferred,
            price is None,
            0.0 if price is None else price,
            family_rank.get(instance.family, len(family_rank)),
            instance.memory_gib,
            instance.vcpu,
            instance.name,
        )

    return sorted(types.values(), key=key)


def _cheapest_fitting(
    workload: Workload, types: Iterable[InstanceType], prices: Prices, policy: Policy
) -> float | None:
    # Whatever the quotas: the anchor must not move with them.
    fitting = [
        price
        for t in types
        if t.family in policy.families
        and fits(workload, t)
        and (price := prices.of(workload.call, t.name)) is not None
    ]
    return min(fitting, default=None)


def _price_ceiling(
    workload: Workload, types: Iterable[InstanceType], prices: Prices, policy: Policy
) -> tuple[float, float] | None:
    cheapest = _cheapest_fitting(workload, types, prices, policy)
    return None if cheapest is None else (cheapest, cheapest * policy.maximum_price_factor)


def _refusal(
    workload: Workload,
    instance: InstanceType,
    quotas: Mapping[str, float],
    usage: Mapping[str, float],
    prices: Prices,
    policy: Policy,
    ceiling: tuple[float, float] | None,
    fixed: bool,
) -> Rejected | None:
    name = instance.name
    if workload.impossible is not None:
        return Rejected(name, f"{name}: {workload.impossible}", "setting")
    if workload.call not in instance.accepted_by:
        why = f"{name}: not in {ENUM_NAMES[workload.call]}, so the {workload.call} call refuses it"
        return Rejected(name, why, "api")
    if not fixed and instance.family not in policy.families:
        return Rejected(
            name, f"{name}: family {instance.family} is not among the policy's families", "family"
        )
    needed = workload.memory.gib_with(instance.vcpu)
    if needed > instance.memory_gib:
        why = f"{name}: needs {_gib(needed)} GiB, has {instance.memory_gib:g}"
        return Rejected(name, why + _workers(workload, instance), "memory")
    volume = workload.volume
    if volume.size_gb > volume.limit_gb:
        way_out = "; stream with input mode Pipe, or shard over more instances" if volume.settable else ""
        why = f"{name}: needs {volume.size_gb:,} GB of disk, {volume.limit_gb:,} is the most{way_out}"
        return Rejected(name, why, "volume")
    refused = None if fixed else _price_refusal(workload, instance, prices, policy, ceiling)
    return refused or _quota_refusal(workload, instance, quotas, usage)


def _price_refusal(
    workload: Workload,
    instance: InstanceType,
    prices: Prices,
    policy: Policy,
    ceiling: tuple[float, float] | None,
) -> Rejected | None:
    name = instance.name
    price = prices.of(workload.call, name)
    if price is None:
        if policy.maximum_usd_per_hour is None:
            return None
        why = (
            f"{name}: its price is unknown, so it can't be held under the limit of "
            f"{policy.maximum_usd_per_hour:g} {prices.currency} an hour"
        )
        return Rejected(name, why, "price")
    total = price * workload.instance_count
    if policy.maximum_usd_per_hour is not None and total > policy.maximum_usd_per_hour:
        why = (
            f"{name}: costs {total:g} {prices.currency} an hour, the policy's limit is "
            f"{policy.maximum_usd_per_hour:g}"
        )
        return Rejected(name, why, "price")
    if ceiling is not None and price > ceiling[1]:
        why = (
            f"{name}: costs {price / ceiling[0]:.0f} times the cheapest type that fits, the policy stops "
            f"at {policy.maximum_price_factor:g} times"
        )
        return Rejected(name, why, "price")
    return None


def _quota_refusal(
    workload: Workload, instance: InstanceType, quotas: Mapping[str, float], usage: Mapping[str, float]
) -> Rejected | None:
    name, wanted = instance.name, workload.instance_count
    own = names.type_quota(workload.call, name, workload.spot)
    shared = names.account_quota(workload.call, workload.spot)
    per_job = names.job_quota(workload.call, workload.spot)
    if per_job is not None and per_job in quotas and quotas[per_job] < wanted:
        why = f"{name}: quota '{per_job}' is {quotas[per_job]:g}, {wanted} wanted"
        return Rejected(name, why, "quota", per_job, quotas[per_job], 0.0)
    for quota in (own, shared):
        if quota not in quotas:
            continue
        limit, used = quotas[quota], in_use(workload, quota, own, shared, usage)
        if limit - (used or 0.0) >= wanted:
            continue
        why = f"{name}: quota '{quota}' is {limit:g}"
        if limit > 0:
            why += f", {used or 0:g} in use, {wanted} wanted"
        return Rejected(name, why, "quota", quota, limit, used, waiting_can_help=limit >= wanted)
    return None


def in_use(workload: Workload, quota: str, own: str, shared: str, usage: Mapping[str, float]) -> float | None:
    """Return what is in use of ``quota``: at least the fleet that an endpoint update keeps running."""
    used = usage.get(quota)
    fleet = workload.replaces
    if fleet is None:
        return used
    kept = names.type_quota(workload.call, fleet.instance_type, workload.spot)
    if quota == shared or (quota == own == kept):
        return max(used or 0.0, float(fleet.instance_count))
    return used


def _candidate(
    workload: Workload,
    instance: InstanceType,
    quotas: Mapping[str, float],
    usage: Mapping[str, float],
    prices: Prices,
    fixed: bool,
) -> Candidate:
    price = prices.of(workload.call, instance.name)
    total = None if price is None else round(price * workload.instance_count, 6)
    why = (
        f"{'fixed by settings; ' if fixed else ''}needs "
        f"{_gib(workload.memory.gib_with(instance.vcpu))} GiB, has {instance.memory_gib:g}"
        f"{_workers(workload, instance)}; {_headroom(workload, instance, quotas, usage)}; "
        + ("price unknown" if total is None else f"{total:g} {prices.currency} an hour")
    )
    if total is not None and workload.spot:
        why += " on demand, spot less"
    volume = workload.volume
    return Candidate(
        instance_type=instance.name,
        instance_count=workload.instance_count,
        volume_size_gb=volume.size_gb if volume.settable else None,
        usd_per_hour=total,
        why=why,
    )


def _headroom(
    workload: Workload, instance: InstanceType, quotas: Mapping[str, float], usage: Mapping[str, float]
) -> str:
    own = names.type_quota(workload.call, instance.name, workload.spot)
    shared = names.account_quota(workload.call, workload.spot)
    if own not in quotas:
        return "quota unknown"
    used = in_use(workload, own, own, shared, usage)
    text = f"quota {quotas[own]:g}, " + ("use unknown" if used is None else f"{used:g} in use")
    return text if shared in quotas else f"{text}, account-wide quota unknown"


def _workers(workload: Workload, instance: InstanceType) -> str:
    return f" with {instance.vcpu} workers" if workload.memory.per_worker else ""


def _gib(value: float) -> str:
    return f"{value:.1f}"
