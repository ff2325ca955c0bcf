"""Which endpoints run, since when, who calls them and what they cost: so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fmrec.errors import InputError
from fmrec.instances.catalogue import Prices
from fmrec.instances.serverless import INSTANCE_TYPE as SERVERLESS
from fmrec.reporting.columns import columns
from fmrec.reporting.run_summary import HOURS_A_MONTH

DAYS = 14
"""How far back calls are looked for."""
HOUR = 3600


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as it stands."""

    name: str
    status: str
    since: datetime
    instances: str
    """Such as ``1 x ml.m5.large``, or ``serverless``."""
    calls: int
    """In the last `DAYS` days."""
    last_call: datetime | None
    """The hour of it; None if there was none in these days."""
    usd_per_month: float | None
    """None where a price isn't known; 0 for serverless, which is paid by the call."""
    failure: str = ""

    @property
    def serverless(self) -> bool:
        return self.instances.startswith(SERVERLESS)

    @property
    def cost(self) -> str:
        """Of a month, in words."""
        if self.serverless:
            return "by the call"
        return "unknown" if self.usd_per_month is None else f"{self.usd_per_month:,.2f}"

    def to_document(self) -> dict[str, Any]:
        return {
            **vars(self),
            "since": self.since.isoformat(timespec="seconds"),
            "last_call": self.last_call.isoformat(timespec="minutes") if self.last_call else None,
        }


def endpoints(
    sagemaker: Any, cloudwatch: Any, prefix: str, prices: Prices, now: datetime | None = None
) -> list[Endpoint]:
    """The endpoints of a deployment, by name: those whose names begin with its prefix and a hyphen."""
    now = now or datetime.now(UTC)
    return sorted(
        (_endpoint(sagemaker, cloudwatch, name, prices, now) for name in names_of(sagemaker, prefix)),
        key=lambda each: each.name,
    )


def stop(sagemaker: Any, prefix: str, name: str) -> None:
    """Delete an endpoint of the deployment; the next run that wants one makes it again.

    Its models and its configuration stay: they cost nothing.

    Raises
    ------
    InputError
        The deployment has no endpoint of that name.
    """
    names = list(names_of(sagemaker, prefix))
    if name not in names:
        raise InputError(
            f"the deployment has no endpoint {name!r}: expected one of {', '.join(names) or 'none, as none runs'}"
        )
    sagemaker.delete_endpoint(EndpointName=name)


def names_of(sagemaker: Any, prefix: str) -> Iterator[str]:
    """The names of a deployment's endpoints: those that begin with its prefix and a hyphen."""
    for page in sagemaker.get_paginator("list_endpoints").paginate(NameContains=f"{prefix}-"):
        for found in page["Endpoints"]:
            if found["EndpointName"].startswith(f"{prefix}-"):
                yield found["EndpointName"]


def _endpoint(sagemaker: Any, cloudwatch: Any, name: str, prices: Prices, now: datetime) -> Endpoint:
    described = sagemaker.describe_endpoint(EndpointName=name)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    types = {variant["VariantName"]: variant.get("InstanceType") for variant in config["ProductionVariants"]}
    # None while the endpoint is being made.
    variants = described.get("ProductionVariants", [])
    hours = calls_by_period(cloudwatch, name, sorted(types), now - timedelta(days=DAYS), now)
    return Endpoint(
        name=name,
        status=described["EndpointStatus"],
        since=described["CreationTime"].astimezone(UTC),
        instances=", ".join(_instances(each, types) for each in variants) or "-",
        calls=sum(hours.values()),
        last_call=max(hours, default=None),
        usd_per_month=_usd(variants, types, prices),
        failure=described.get("FailureReason", ""),
    )


def _instances(variant: Mapping[str, Any], types: Mapping[str, str | None]) -> str:
    serverless = variant.get("CurrentServerlessConfig")
    if serverless:
        return f"{SERVERLESS}, {serverless['MemorySizeInMB']} MB"
    return f"{variant.get('CurrentInstanceCount', 0)} x {types.get(variant['VariantName'])}"


def _usd(
    variants: Sequence[Mapping[str, Any]], types: Mapping[str, str | None], prices: Prices
) -> float | None:
    total = 0.0
    for variant in variants:
        if variant.get("CurrentServerlessConfig"):
            continue
        price = prices.of("hosting", str(types.get(variant["VariantName"])))
        if price is None:
            return None
        total += price * variant.get("CurrentInstanceCount", 0) * HOURS_A_MONTH
    return round(total, 2)


def calls_by_period(
    cloudwatch: Any, name: str, variants: Sequence[str], since: datetime, until: datetime
) -> dict[datetime, int]:
    """Calls of an endpoint by the hour, where there were any."""
    hours: dict[datetime, int] = {}
    for variant in variants:
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[
                {"Name": "EndpointName", "Value": name},
                {"Name": "VariantName", "Value": variant},
            ],
            StartTime=since,
            EndTime=until,
            Period=HOUR,
            Statistics=["Sum"],
        )
        for point in answer["Datapoints"]:
            if point["Sum"]:
                at = point["Timestamp"].astimezone(UTC)
                hours[at] = hours.get(at, 0) + int(point["Sum"])
    return hours


def render(found: Sequence[Endpoint]) -> str:
    """What `fmrec endpoints` prints."""
    if not found:
        return "No endpoint of this deployment runs."
    rows = [
        (
            each.name,
            each.status,
            f"{each.since:%Y-%m-%d %H:%M}",
            each.instances,
            f"{each.calls:,}",
            f"{each.last_call:%Y-%m-%d %H:%M}" if each.last_call else "none",
            each.cost,
        )
        for each in found
    ]
    heads = (
        "endpoint",
        "status",
        "since (UTC)",
        "instances",
        f"calls in {DAYS} d",
        "last call",
        "USD a month",
    )
    return "\n".join(columns(heads, rows))
