"""What each step needs of the account's quotas, compared with what the account has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from fmrec.instances import quotas as names
from fmrec.instances.catalogue import Prices, catalogue
from fmrec.instances.chooser import choose
from fmrec.instances.policy import STEPS
from fmrec.instances.quota_increases import Increase, increase_for
from fmrec.instances.quotas import Account
from fmrec.instances.serverless_choice import quotas_of
from fmrec.instances.step_workloads import workload
from fmrec.instances.workloads import Request


@dataclass(frozen=True)
class QuotaNeed:
    """One quota of one step. ``applied`` and ``used`` are None when unknown."""

    step: str
    quota: str
    code: str | None
    wanted: int
    applied: float | None
    used: float | None
    default: float | None
    increase: Increase | None
    """What to ask for, where the quota is known to be too small."""

    @property
    def enough(self) -> bool | None:
        """Whether the step would start now; None when the quota is unknown."""
        return None if self.applied is None else self.applied - (self.used or 0.0) >= self.wanted

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "quota_name": self.quota,
            "quota_code": self.code,
            "wanted": self.wanted,
            "applied": self.applied,
            "used": self.used,
            "default": self.default,
            "enough": self.enough,
            "increase": self.increase.to_json() if self.increase else None,
        }


def against_account(
    request: Request, account: Account, prices: Prices, steps: Iterable[str] = STEPS
) -> list[QuotaNeed]:
    """List, step by step, the quotas of every type that would do, best first, and the shared ones.

    An endpoint step that the run doesn't take is left out.
    """
    rows: list[QuotaNeed] = []
    for step in steps:
        work = workload(step, request)
        if work.call == "hosting" and request.serving.get("endpoint", True) is False:
            continue
        if work.serverless is not None:
            rows += [_need(step, quota, least, account) for quota, least in quotas_of(work)]
            continue
        # Without any quota the order is the one in which the types would be tried.
        choice = choose(work, catalogue(), {}, {}, prices, request.policy)
        shared = [names.account_quota(work.call, work.spot)]
        if (per_job := names.job_quota(work.call, work.spot)) is not None and work.instance_count > 1:
            shared.append(per_job)
        types = [names.type_quota(work.call, c.instance_type, work.spot) for c in choice.candidates]
        rows += [_need(step, quota, work.instances, account) for quota in (*shared, *types)]
    return rows


def _need(step: str, quota: str, wanted: int, account: Account) -> QuotaNeed:
    need = QuotaNeed(
        step=step,
        quota=quota,
        code=account.codes.get(quota) or names.known_codes().get(quota),
        wanted=wanted,
        applied=account.quotas.get(quota),
        used=account.usage.get(quota),
        default=account.defaults.get(quota),
        increase=None,
    )
    if need.enough is not False or need.applied is None:
        return need
    increase = increase_for(
        quota,
        limit=need.applied,
        used=need.used,
        wanted=wanted,
        codes=account.codes,
        region=account.region,
        partition=account.partition,
    )
    return replace(need, increase=increase)
