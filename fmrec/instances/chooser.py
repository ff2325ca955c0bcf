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
from fmrec.instances.scaling import Bound, Scaling, lowest
from fmrec.instances.workloads import Workload

Reason = Literal["setting", "api", "family", "memory", "volume", "price", "quota"]


@dataclass(frozen=True)
class Candidate:
    """A type to try. ``usd_per_hour`` is for all that run at the same time; None when unknown."""

    instance_type: str
    instance_count: int
    volume_size_gb: int | None
    usd_per_hour: float | None
    why: str
    maximum_instances: int | None = None
    """Up to how many an endpoint may scale; None where the number is fixed."""
    fewer_than_before: bool = False
    """Whether an update starts fewer than run now, as there is no room for as many next to them."""
    memory_mb: int | None = None
    """Of a serverless endpoint; None on instances. So is the next."""
    maximum_concurrency: int | None = None

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "instance_type": self.instance_type,
            "instance_count": self.instance_count,
            "volume_size_gb": self.volume_size_gb,
            "usd_per_hour": self.usd_per_hour,
            "why": self.why,
        }
        if self.maximum_instances is not None:
            document |= {
                "maximum_instances": self.maximum_instances,
                "fewer_than_before": self.fewer_than_before,
            }
        if self.memory_mb is not None:
            document |= {"memory_mb": self.memory_mb, "maximum_concurrency": self.maximum_concurrency}
        return document


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
    wanted: int | None = None
    """What the quota would have to leave; None for the step's instances."""

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
    fixed = policy.instance_types.get(workload.step, ())
    judge = _Judge(
        workload, quotas, usage, prices, policy, bool(fixed), _cheapest(workload, types, prices, policy)
    )
    candidates: list[Candidate] = []
    rejected: list[Rejected] = []
    # A type that settings name twice is tried once.
    for name in dict.fromkeys(fixed) or sorted(types, key=lambda name: judge.rank(types[name])):
        if name not in types:
            why = f"{name}: isn't in the table of instance types, so its memory is unknown"
            rejected.append(Rejected(name, why, "setting"))
            continue
        refusal = judge.refusal(types[name])
        if refusal is None:
            candidates.append(judge.candidate(types[name]))
        else:
            rejected.append(refusal)
    return Choice(tuple(candidates), tuple(rejected))


def fits(workload: Workload, instance: InstanceType) -> bool:
    """Say whether the call accepts the type and its memory is enough."""
    return (
        workload.call in instance.accepted_by
        and workload.memory.gib_with(instance.vcpu) <= instance.memory_gib
    )


def _cheapest(
    workload: Workload, types: Mapping[str, InstanceType], prices: Prices, policy: Policy
) -> float | None:
    # Whatever the quotas: what prices are compared with must not move with them.
    return min(
        (
            price
            for t in types.values()
            if t.family in policy.families and fits(workload, t)
            if (price := prices.of(workload.call, t.name)) is not None
        ),
        default=None,
    )


@dataclass(frozen=True)
class _Judge:
    """One step's view of any instance type."""

    workload: Workload
    quotas: Mapping[str, float]
    usage: Mapping[str, float]
    prices: Prices
    policy: Policy
    fixed: bool
    cheapest: float | None
    """Price of the cheapest type that fits, in the families allowed; None when none is known."""

    @property
    def shared_quota(self) -> str:
        return names.account_quota(self.workload.call, self.workload.spot)

    def own_quota(self, instance: InstanceType) -> str:
        return names.type_quota(self.workload.call, instance.name, self.workload.spot)

    def price(self, instance: InstanceType) -> float | None:
        return self.prices.of(self.workload.call, instance.name)

    def rank(self, instance: InstanceType) -> tuple[bool, bool, float, int, float, int, str]:
        price, families = self.price(instance), self.policy.families
        preferred = (
            instance.family in families[:1]
            and price is not None
            and self.cheapest is not None
            and price <= self.cheapest * self.policy.preferred_price_factor
        )
        return (
            not preferred,
            price is None,
            price or 0.0,
            families.index(instance.family) if instance.family in families else len(families),
            instance.memory_gib,
            instance.vcpu,
            instance.name,
        )

    def refusal(self, instance: InstanceType) -> Rejected | None:
        """Return why not, from what can't change to what may: family, API, size, price, quota."""
        name, work, volume = instance.name, self.workload, self.workload.volume
        if work.impossible is not None:
            return Rejected(name, f"{name}: {work.impossible}", "setting")
        if not self.fixed and instance.family not in self.policy.families:
            why = f"{name}: family {instance.family} is not among the policy's families"
            return Rejected(name, why, "family")
        if work.call not in instance.accepted_by:
            why = f"{name}: not in {ENUM_NAMES[work.call]}, so the {work.call} call refuses it"
            return Rejected(name, why, "api")
        if not fits(work, instance):
            needed = work.memory.gib_with(instance.vcpu)
            why = f"{name}: needs {needed:.1f} GiB, has {instance.memory_gib:g}{self._workers(instance)}"
            return Rejected(name, why, "memory")
        if volume.size_gb > volume.limit_gb:
            way_out = "; stream with input mode Pipe, or shard over more instances" if volume.settable else ""
            why = f"{name}: needs {volume.size_gb:,} GB of disk, {volume.limit_gb:,} is the most{way_out}"
            return Rejected(name, why, "volume")
        too_dear = None if self.fixed else self._price_refusal(instance)
        return too_dear or self._quota_refusal(instance)

    def _price_refusal(self, instance: InstanceType) -> Rejected | None:
        name, policy, price = instance.name, self.policy, self.price(instance)
        limit, currency = policy.maximum_usd_per_hour, self.prices.currency
        if price is None:
            if limit is None:
                return None
            why = f"{name}: its price is unknown, so it can't be held under the limit of {limit:g} {currency} an hour"
            return Rejected(name, why, "price")
        total = price * self.workload.instances
        if limit is not None and total > limit:
            why = f"{name}: costs {total:g} {currency} an hour, the policy's limit is {limit:g}"
            return Rejected(name, why, "price")
        if self.cheapest is not None and price > self.cheapest * policy.maximum_price_factor:
            why = (
                f"{name}: costs {price / self.cheapest:.1f} times the cheapest type that fits, the policy "
                f"stops at {policy.maximum_price_factor:g} times"
            )
            return Rejected(name, why, "price")
        return None

    def _quota_refusal(self, instance: InstanceType) -> Rejected | None:
        name, wanted = instance.name, self.workload.instances
        per_job, of_a_job = (
            names.job_quota(self.workload.call, self.workload.spot),
            self.workload.instance_count,
        )
        if per_job is not None and self.quotas.get(per_job, of_a_job) < of_a_job:
            limit = self.quotas[per_job]
            why = f"{name}: quota '{per_job}' is {limit:g}, {of_a_job} wanted"
            return Rejected(name, why, "quota", per_job, limit, 0.0)
        known = [quota for quota in (self.own_quota(instance), self.shared_quota) if quota in self.quotas]
        # A quota that is too small for good says more than one that is only in use.
        for hopeless in (True, False):
            for quota in known:
                limit, used, kept = self.quotas[quota], self._used(quota), self._kept(quota)
                if limit - (kept if hopeless else used or 0.0) >= wanted:
                    continue
                why = f"{name}: quota '{quota}' is {limit:g}"
                if limit > 0:
                    why += f", {used or 0:g} in use, {wanted} wanted"
                return Rejected(name, why, "quota", quota, limit, used, waiting_can_help=not hopeless)
        return None

    def _scales_to(self, instance: InstanceType, scaling: Scaling) -> tuple[int, str]:
        """Up to how many instances, and why not up to the settings' maximum."""
        bounds = [
            Bound(
                limit - used,
                f"quota '{quota}' is {limit:g}" + (f", {used:g} of it in use by others" if used else ""),
            )
            for quota in (self.own_quota(instance), self.shared_quota)
            if (limit := self.quotas.get(quota)) is not None
            # What runs now makes room: an update ends it.
            for used in (max(0.0, (self._used(quota) or 0.0) - self._kept(quota)),)
        ]
        each = names.job_quota(self.workload.call, self.workload.spot)
        if each is not None and each in self.quotas:
            bounds.append(Bound(self.quotas[each], f"quota '{each}' is {self.quotas[each]:g}"))
        price, limit_usd = self.price(instance), self.policy.maximum_usd_per_hour
        if not self.fixed and price and limit_usd is not None:
            why = f"each costs {price:g} {self.prices.currency} an hour, the policy's limit is {limit_usd:g}"
            bounds.append(Bound(limit_usd / price, why))
        return lowest(scaling, bounds)

    def _kept(self, quota: str) -> float:
        """Return what an endpoint update keeps running until the new instances serve."""
        fleet = self.workload.replaces
        if fleet is None:
            return 0.0
        own = names.type_quota(self.workload.call, fleet.instance_type, self.workload.spot)
        return float(fleet.instance_count) if quota in {own, self.shared_quota} else 0.0

    def _used(self, quota: str) -> float | None:
        used, kept = self.usage.get(quota), self._kept(quota)
        return max(used or 0.0, kept) if kept else used

    def candidate(self, instance: InstanceType) -> Candidate:
        work, volume, price = self.workload, self.workload.volume, self.price(instance)
        total = None if price is None else round(price * work.instances, 6)
        cost = "price unknown" if total is None else f"{total:g} {self.prices.currency} an hour"
        if total is not None and work.spot:
            cost += " on demand, less on spot"
        why = (
            f"{'fixed by settings; ' if self.fixed else ''}"
            f"needs {work.memory.gib_with(instance.vcpu):.1f} GiB, has {instance.memory_gib:g}"
            f"{self._workers(instance)}; {self._headroom(instance)}; {cost}"
        )
        most, fewer = None, False
        if work.scaling is not None:
            most, lowered = self._scales_to(instance, work.scaling)
            why += f"; {lowered or f'scales to {most} instances'}"
            before = 0 if work.replaces is None else min(work.replaces.instance_count, most)
            if work.instance_count < before:
                fewer = True
                why += f"; starts with {work.instance_count}, as the {before} that run leave no room for more"
        return Candidate(
            instance_type=instance.name,
            instance_count=work.instance_count,
            volume_size_gb=volume.size_gb if volume.settable else None,
            usd_per_hour=total,
            why=why,
            maximum_instances=most,
            fewer_than_before=fewer,
        )

    def _headroom(self, instance: InstanceType) -> str:
        own = self.own_quota(instance)
        if own not in self.quotas:
            return "quota unknown"
        used = self._used(own)
        text = f"quota {self.quotas[own]:g}, " + ("use unknown" if used is None else f"{used:g} in use")
        return text if self.shared_quota in self.quotas else f"{text}, account-wide quota unknown"

    def _workers(self, instance: InstanceType) -> str:
        return f" with {instance.vcpu} workers" if self.workload.memory.per_worker else ""
