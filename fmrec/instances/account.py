"""What the account may use, uses now and pays: the only module here that calls AWS.

Every call may be denied, throttled, slow or unreachable; then what it would have said is unknown,
a note says so, and nothing fails. Quotas and prices are cached with their age, use is counted
afresh, since a refused call is the only exact gate anyway. ``permissions`` lists the IAM actions.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fmrec.errors import InputError
from fmrec.instances import pricing
from fmrec.instances import quotas as names
from fmrec.instances.cache import Cache
from fmrec.instances.catalogue import Call, Prices, catalogue, table_prices
from fmrec.instances.quota_increases import Increase
from fmrec.instances.quotas import Account, Fleet

__all__ = ["Account", "Asked", "Clients", "connect", "observe", "request_increase"]

BUDGET_SECONDS = 25.0
QUOTA_AGE_SECONDS = 15 * 60
PRICE_AGE_SECONDS = 7 * 24 * 3600

_RUNNING = ("InProgress", "Stopping")
_ENDPOINT_STATUSES = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "InService"})
_OPEN_REQUESTS = frozenset({"PENDING", "CASE_OPENED"})
_ERRORS = (BotoCoreError, ClientError)


@dataclass(frozen=True)
class Clients:
    """boto3 clients; ``pricing`` is None where the partition has no Pricing endpoint."""

    service_quotas: Any
    sagemaker: Any
    pricing: Any | None


def connect(profile: str | None = None, region: str | None = None) -> Clients:
    """Make clients that give up soon: an unreachable service must not hold up a run.

    Raises
    ------
    InputError
        There is no such profile, or no Region is named anywhere.
    """
    import boto3
    from botocore.config import Config

    patient = Config(
        connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4}
    )
    hasty = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        sagemaker = session.client("sagemaker", config=patient)
        where = pricing.endpoint_region(sagemaker.meta.partition, sagemaker.meta.region_name)
        return Clients(
            service_quotas=session.client("service-quotas", config=patient),
            sagemaker=sagemaker,
            pricing=session.client("pricing", region_name=where, config=hasty) if where else None,
        )
    except BotoCoreError as error:
        raise InputError(f"the account can't be read: {error}") from error


def observe(
    clients: Clients,
    *,
    cache_uri: str | None = None,
    budget_seconds: float = BUDGET_SECONDS,
    with_defaults: bool = False,
) -> tuple[Account, Prices]:
    """Read quotas, use and prices at the same time; never raises for what AWS answers.

    Parameters
    ----------
    cache_uri
        Where quotas and prices are kept between runs: ``s3://…`` or a path; None keeps nothing.
    budget_seconds
        After this time no further page is asked for, and what is missing is unknown.
    with_defaults
        Also read AWS's list defaults of quotas that have no applied value, as marked guesses.
    """
    region, partition = clients.sagemaker.meta.region_name, clients.sagemaker.meta.partition
    cache = Cache.read(cache_uri, region)
    deadline = Deadline(budget_seconds)
    with ThreadPoolExecutor(max_workers=3) as pool:
        quotas = pool.submit(_quotas, clients.service_quotas, cache, deadline, with_defaults)
        usage = pool.submit(_usage, clients.sagemaker, deadline)
        prices = pool.submit(_prices, clients.pricing, cache, deadline, region)
        read, (used, fleets, usage_notes) = quotas.result(), usage.result()
        price, price_note = prices.result()
    cache_note = cache.write(cache_uri)
    notes = (*cache.notes, *read.notes, *usage_notes, *price_note, *cache_note)
    return replace(read, usage=used, fleets=fleets, region=region, partition=partition, notes=notes), price


class Deadline:
    """A point in time after which no more calls are made."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def check(self) -> None:
        """Raise TimeoutError when the time is up."""
        if self._clock() > self._end:
            raise TimeoutError("the time allowed for it was over")


def _pages(client: Any, operation: str, deadline: Deadline, **arguments: Any) -> Iterator[dict[str, Any]]:
    # A filtered list of training jobs is cut into pages first and filtered after, so that pages in
    # the middle may be empty: only a missing token ends it.
    deadline.check()
    paginator = client.get_paginator(operation)
    for page in paginator.paginate(**arguments, PaginationConfig={"PageSize": 100}):
        yield page
        if page.get("NextToken"):
            deadline.check()


def _quotas(client: Any, cache: Cache, deadline: Deadline, with_defaults: bool) -> Account:
    kept = cache.quotas(QUOTA_AGE_SECONDS)
    if kept is not None and not with_defaults:
        return kept
    values, codes, note = _listed(client, "list_service_quotas", "quotas", deadline)
    if not note:
        cache.keep_quotas(values, codes)
    if not with_defaults:
        return Account(quotas=values, codes=codes, notes=note)
    defaults, more_codes, more = _listed(
        client, "list_aws_default_service_quotas", "default quotas", deadline
    )
    return Account(
        quotas=values,
        codes=more_codes | codes,
        defaults={name: value for name, value in defaults.items() if name not in values},
        notes=note + more,
    )


def _listed(
    client: Any, operation: str, what: str, deadline: Deadline
) -> tuple[dict[str, float], dict[str, str], tuple[str, ...]]:
    """Return values and codes by quota name, and a note if the list broke off."""
    values: dict[str, float] = {}
    codes: dict[str, str] = {}
    try:
        for page in _pages(client, operation, deadline, ServiceCode=names.SERVICE_CODE):
            for quota in page["Quotas"]:
                codes[quota["QuotaName"]] = quota["QuotaCode"]
                # A row with an ErrorReason has no value to be trusted; RESOURCE rows aren't the account's.
                if "ErrorReason" not in quota and quota.get("QuotaAppliedAtLevel") != "RESOURCE":
                    values[quota["QuotaName"]] = quota["Value"]
    except (*_ERRORS, TimeoutError) as error:
        return values, codes, (_unknown(what, error),)
    return values, codes, ()


def _unknown(what: str, error: Exception) -> str:
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "error")
        return f"{what} couldn't be read and count as unknown: {error.operation_name} answered {code}"
    return f"{what} couldn't be read and count as unknown: {error}"


def _usage(client: Any, deadline: Deadline) -> tuple[dict[str, float], dict[str, Fleet], list[str]]:
    usage: dict[str, float] = {}
    fleets: dict[str, Fleet] = {}
    notes: list[str] = []
    counts: tuple[tuple[str, tuple[tuple[Call, bool], ...], Callable[[Any, Deadline], Counter[str]]], ...] = (
        ("use by training jobs", (("training", False), ("training", True)), _training_in_use),
        ("use by transform jobs", (("transform", False),), _transform_in_use),
        ("use by endpoints", (("hosting", False),), partial(_endpoints_in_use, fleets)),
    )
    for what, kinds, count in counts:
        try:
            found = count(client, deadline)
        except (*_ERRORS, TimeoutError) as error:
            notes.append(_unknown(what, error))
            continue
        # Everything was counted, so what is not listed is not in use.
        for call, spot in kinds:
            usage[names.account_quota(call, spot)] = 0.0
            usage |= {names.type_quota(call, t.name, spot): 0.0 for t in catalogue() if call in t.accepted_by}
        usage |= found
    return usage, fleets, notes


def _add(used: Counter[str], call: Call, spot: bool, instance_type: str | None, count: int) -> None:
    # A serverless variant has no type and counts against other quotas.
    if instance_type is not None:
        used[names.type_quota(call, instance_type, spot)] += count
        used[names.account_quota(call, spot)] += count


def _training_in_use(client: Any, deadline: Deadline) -> Counter[str]:
    used: Counter[str] = Counter()
    for status in _RUNNING:
        for page in _pages(client, "list_training_jobs", deadline, StatusEquals=status):
            for summary in page["TrainingJobSummaries"]:
                deadline.check()
                job = client.describe_training_job(TrainingJobName=summary["TrainingJobName"])
                spot = bool(job.get("EnableManagedSpotTraining"))
                config = job.get("ResourceConfig", {})
                groups = config.get("InstanceGroups") or [config]
                for group in groups:
                    chosen = group.get("SelectedInstanceType") or group.get("InstanceType")
                    count = group.get("SelectedInstanceCount") or group.get("InstanceCount") or 1
                    _add(used, "training", spot, chosen, count)
    return used


def _transform_in_use(client: Any, deadline: Deadline) -> Counter[str]:
    used: Counter[str] = Counter()
    for status in _RUNNING:
        for page in _pages(client, "list_transform_jobs", deadline, StatusEquals=status):
            for summary in page["TransformJobSummaries"]:
                deadline.check()
                job = client.describe_transform_job(TransformJobName=summary["TransformJobName"])
                resources = job["TransformResources"]
                _add(used, "transform", False, resources["InstanceType"], resources["InstanceCount"])
    return used


def _endpoints_in_use(fleets: dict[str, Fleet], client: Any, deadline: Deadline) -> Counter[str]:
    used: Counter[str] = Counter()
    for page in _pages(client, "list_endpoints", deadline):
        for summary in page["Endpoints"]:
            if summary["EndpointStatus"] in _ENDPOINT_STATUSES:
                deadline.check()
                _add_endpoint(used, fleets, client, summary["EndpointName"])
    return used


def _add_endpoint(used: Counter[str], fleets: dict[str, Fleet], client: Any, endpoint_name: str) -> None:
    endpoint = client.describe_endpoint(EndpointName=endpoint_name)
    configs = [(endpoint["EndpointConfigName"], endpoint.get("ProductionVariants"))]
    pending = endpoint.get("PendingDeploymentSummary")
    if pending and pending["EndpointConfigName"] != endpoint["EndpointConfigName"]:
        # While an endpoint is updated, the old fleet serves and the new one is being built.
        configs.append((pending["EndpointConfigName"], pending.get("ProductionVariants")))
    for config_name, variants in configs:
        config = client.describe_endpoint_config(EndpointConfigName=config_name)
        running = {variant["VariantName"]: variant for variant in variants or []}
        for variant in (*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])):
            now = running.get(variant["VariantName"], {})
            count = max(
                now.get("CurrentInstanceCount", 0),
                now.get("DesiredInstanceCount", 0),
                0 if now else variant.get("InitialInstanceCount", 1),
            )
            _add(used, "hosting", False, variant.get("InstanceType"), count)
            if "InstanceType" in variant:
                fleets.setdefault(endpoint_name, Fleet(variant["InstanceType"], count))


def _prices(
    client: Any | None, cache: Cache, deadline: Deadline, region: str
) -> tuple[Prices, tuple[str, ...]]:
    kept = cache.prices(PRICE_AGE_SECONDS)
    if kept is not None:
        return kept, ()
    table = table_prices(region)
    if client is None:
        return table, ("this partition has no Pricing endpoint, so prices are the built-in table's",)

    def products(component: str) -> Iterator[str]:
        filters = pricing.filters(region, component)
        for page in _pages(
            client,
            "get_products",
            deadline,
            ServiceCode=pricing.SERVICE_CODE,
            Filters=filters,
            FormatVersion="aws_v1",
        ):
            yield from page["PriceList"]

    try:
        read = pricing.prices(products, region, datetime.now(UTC), table)
    except (*_ERRORS, TimeoutError, ValueError, KeyError) as error:
        return table, (f"{_unknown('live prices', error)}; the built-in table's are used",)
    cache.keep_prices(read)
    return read, ()


@dataclass(frozen=True)
class Asked:
    """What became of asking for an increase: ``request_id`` is None when nothing was asked."""

    asked: bool
    sentence: str
    request_id: str | None = None
    status: str | None = None


def request_increase(client: Any, increase: Increase, *, allowed: bool) -> Asked:
    """Ask Service Quotas for an increase, only if allowed and none is open for that quota.

    Parameters
    ----------
    client
        boto3's ``service-quotas`` client in the Region that needs the quota.
    allowed
        The setting that lets the workflow ask by itself; off unless a person switched it on.
    """
    if not allowed:
        return Asked(False, f"Nothing was requested: settings don't allow it. {increase.sentence}")
    if increase.code is None:
        return Asked(False, f"Nothing was requested: the quota's code is unknown. {increase.sentence}")
    quota = {"ServiceCode": names.SERVICE_CODE, "QuotaCode": increase.code}
    try:
        for page in client.get_paginator("list_requested_service_quota_change_history_by_quota").paginate(
            **quota
        ):
            for request in page["RequestedQuotas"]:
                if request["Status"] in _OPEN_REQUESTS:
                    return Asked(
                        False,
                        f"An increase of '{increase.quota}' to {request['DesiredValue']:g} is already open "
                        f"(request {request['Id']}, {request['Status']}).",
                        request["Id"],
                        request["Status"],
                    )
        made = client.request_service_quota_increase(**quota, DesiredValue=increase.desired)
    except _ERRORS as error:
        code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
        if code == "ResourceAlreadyExistsException":
            return Asked(False, f"An increase of '{increase.quota}' is already open.")
        reason = f"{error.operation_name} answered {code}" if isinstance(error, ClientError) else str(error)
        return Asked(False, f"The increase couldn't be requested: {reason}. {increase.sentence}")
    found = made["RequestedQuota"]
    return Asked(
        True,
        f"An increase of '{increase.quota}' to {increase.desired:g} was requested (request {found['Id']}, "
        f"{found['Status']}). It is visible some 15 to 30 minutes after approval.",
        found["Id"],
        found["Status"],
    )
