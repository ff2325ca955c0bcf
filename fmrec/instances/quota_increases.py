"""A quota that is too small: read the refusal, and say what to ask for, where and how.

The refusal's form is the one that SageMaker's Create calls answer with
(``ResourceLimitExceeded``): one sentence with quota name, limit, use and what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.instances import quotas as names

_REFUSAL = re.compile(
    r"service limit '(?P<quota>[^']+)' is (?P<limit>[\d.,]+) (?P<unit>\w+), with current utilization of "
    r"(?P<used>[\d.,]+) \w+ and a request delta of (?P<delta>[\d.,]+) \w+"
)
_INSTANCE_TYPE = re.compile(r"^(ml\.\S+) for ")

_CONSOLES = {
    "aws": "https://console.aws.amazon.com",
    "aws-cn": "https://console.amazonaws.cn",
    "aws-us-gov": "https://console.amazonaws-us-gov.com",
    "aws-eusc": "https://console.amazonaws-eusc.eu",
}
"""Partition → console. The isolated partitions' consoles are not public, so there is no link."""


@dataclass(frozen=True)
class Refusal:
    """What a Create call said when it refused for a quota."""

    quota: str
    limit: float
    unit: str
    used: float
    delta: float

    @property
    def waiting_can_help(self) -> bool:
        """Whether the request would pass once what runs now has ended."""
        return self.limit >= self.delta

    @property
    def instance_type(self) -> str | None:
        """The type whose own quota it is; None when the quota is shared by all types."""
        found = _INSTANCE_TYPE.match(self.quota)
        return found[1] if found else None


def parse_refusal(text: str) -> Refusal | None:
    """Find a quota refusal in an error message; None when the text is something else.

    >>> refusal = parse_refusal(
    ...     "The account-level service limit 'ml.m5.2xlarge for endpoint usage' is 0 Instances, with "
    ...     "current utilization of 0 Instances and a request delta of 1 Instances. Please use AWS "
    ...     "Service Quotas to request an increase for this quota."
    ... )
    >>> refusal.quota, refusal.limit, refusal.waiting_can_help
    ('ml.m5.2xlarge for endpoint usage', 0.0, False)
    """
    found = _REFUSAL.search(text)
    if found is None:
        return None
    return Refusal(
        quota=found["quota"],
        limit=_number(found["limit"]),
        unit=found["unit"],
        used=_number(found["used"]),
        delta=_number(found["delta"]),
    )


def _number(text: str) -> float:
    return float(text.rstrip(".,").replace(",", ""))


@dataclass(frozen=True)
class Increase:
    """A quota to ask more of, for a person or for ``account.request_increase``."""

    quota: str
    code: str | None
    limit: float
    used: float | None
    desired: float
    waiting_can_help: bool
    region: str | None
    partition: str

    @property
    def console_url(self) -> str | None:
        """Link to the quota's page, or to the list where the code is unknown."""
        console = _CONSOLES.get(self.partition)
        if console is None:
            return None
        path = f"{console}/servicequotas/home/services/{names.SERVICE_CODE}/quotas"
        region = f"?region={self.region}" if self.region else ""
        return f"{path}/{self.code}{region}" if self.code else f"{path}{region}"

    @property
    def command(self) -> str:
        """The AWS CLI command that asks for it; it looks the code up by name where it is unknown."""
        region = f" --region {self.region}" if self.region else ""
        code = self.code
        if code is None:
            # Text output is made page by page, so the expression must yield nothing on the others;
            # without quotes around $(…) the shell drops the empty lines.
            code = (
                f"$(aws service-quotas list-service-quotas --service-code {names.SERVICE_CODE}{region} "
                f"--query \"Quotas[?QuotaName=='{self.quota}'].QuotaCode\" --output text)"
            )
        return (
            f"aws service-quotas request-service-quota-increase --service-code {names.SERVICE_CODE} "
            f"--quota-code {code} --desired-value {self.desired:g}{region}"
        )

    @property
    def sentence(self) -> str:
        used = "unknown use" if self.used is None else f"{self.used:g} in use"
        code = f" ({self.code})" if self.code else ""
        text = f"Quota '{self.quota}'{code} is {self.limit:g} with {used}; {self.desired:g} would do."
        if self.waiting_can_help:
            text += " Waiting until what runs now has ended would do too."
        text += f" Request the increase with: {self.command}"
        return f"{text} or at {self.console_url}" if self.console_url else text

    def to_json(self) -> dict[str, Any]:
        return {
            "quota_name": self.quota,
            "quota_code": self.code,
            "limit": self.limit,
            "used": self.used,
            "desired_value": self.desired,
            "waiting_can_help": self.waiting_can_help,
            "console_url": self.console_url,
            "command": self.command,
            "sentence": self.sentence,
        }


def increase_for(
    quota: str,
    *,
    limit: float,
    used: float | None,
    wanted: float,
    codes: Mapping[str, str] | None = None,
    region: str | None = None,
    partition: str = "aws",
    waiting_can_help: bool | None = None,
) -> Increase:
    """Work out what to ask for so that ``wanted`` more instances may start in addition to those in use.

    ``waiting_can_help`` is for a caller that knows of use which never ends; by default a limit that
    is as large as what is wanted is taken to become free.
    """
    return Increase(
        quota=quota,
        code=(codes or {}).get(quota) or names.known_codes().get(quota),
        limit=limit,
        used=used,
        desired=max((used or 0.0) + wanted, limit + 1),
        waiting_can_help=limit >= wanted if waiting_can_help is None else waiting_can_help,
        region=region,
        partition=partition,
    )


def increase_from_refusal(
    refusal: Refusal,
    codes: Mapping[str, str] | None = None,
    region: str | None = None,
    partition: str = "aws",
) -> Increase:
    """Work out what to ask for from the refusal's own numbers."""
    return increase_for(
        refusal.quota,
        limit=refusal.limit,
        used=refusal.used,
        wanted=refusal.delta,
        codes=codes,
        region=region,
        partition=partition,
    )
