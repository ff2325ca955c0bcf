"""The account's quotas: the values that are enforced, and the Service Quotas API that lists them.

A quotas file is JSON, quota name → applied value; a name that is missing is unknown, which never refuses.
Presets lie in ``localcloud/presets/``:

``new-account``
    What a brand-new account is like (as public reports have it, nearly all zero), with just enough
    for the demo. Training: one ml.m5.large or ml.m5.xlarge, two instances in all. Batch transform:
    ml.m5.large is 0 and ml.m5.xlarge 1, so that the step falls back. Endpoints: ml.m5.large 4 (as seen in
    London in 2026), ml.m5.xlarge 1, and ml.m5.2xlarge, which the k-NN page suggests, 0. Serverless:
    concurrency 10, 3072 MB.
``small``
    A little-used account: ml.m5 up to 4xlarge, a few c5, r5 and spot instances.
``large``
    An established account's values of about 2023 (§1.1 and §1.2), and guesses for the newer m6i and r6i.
"""

from __future__ import annotations

import base64
import csv
import datetime
import functools
import hashlib
import json
import pathlib
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.faults import Faults, ServiceFault

_PRESETS = pathlib.Path(__file__).with_name("presets")
_CODES = pathlib.Path(__file__).with_name("tables") / "quota_codes.csv"
_SERVICE = "sagemaker"
_OPEN = ("PENDING", "CASE_OPENED")
_MOST_OPEN_REQUESTS = 20
_FIXED_PREFIXES = (
    "Maximum number of instances per training",
    "Maximum number of instances per spot",
    "Maximum number of instances per processing",
    "Longest",
    "Size of EBS",
)


class Quotas:
    """Thread-safe quota values by name."""

    def __init__(self, values: dict[str, float]) -> None:
        self._lock = threading.Lock()
        self._values = _checked(values)

    @classmethod
    def from_source(cls, source: str | pathlib.Path) -> Quotas:
        """Read a preset (``new-account``, ``small``, ``large``) or a quotas file.

        Raises
        ------
        FileNotFoundError
            There is neither a preset nor a file of that name.
        ValueError
            The file isn't a JSON object of numbers at or above 0.
        """
        preset = _PRESETS / f"{source}.json"
        path = preset if preset.is_file() else pathlib.Path(source)
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in _PRESETS.glob("*.json")))
            raise FileNotFoundError(f"{source} is neither a quotas file nor one of the presets {known}")
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, ServiceFault) as error:
            raise ValueError(f"{path} is not a quotas file (JSON, quota name to value): {error}") from error

    def value(self, name: str) -> float | None:
        """The applied value, or None when it is unknown."""
        with self._lock:
            return self._values.get(name)

    def as_dict(self) -> dict[str, float]:
        """All values by name."""
        with self._lock:
            return dict(self._values)

    def put(self, values: Any) -> dict[str, float]:
        """Replace all values, and return them.

        Raises
        ------
        ServiceFault
            ``ValidationException``: not an object of numbers at or above 0.
        """
        checked = _checked(values)
        with self._lock:
            self._values = checked
        return dict(checked)


class ServiceQuotas:
    """Service Quotas for SageMaker.

    Applied values are those of ``Quotas``; the list defaults are the preset ``large``'s, so that they differ
    from the applied ones in a new account, as on AWS. Codes are AWS's where they are known
    (public ListServiceQuotas dumps), else made up and marked as ``L-LOCAL…``. An increase that is asked
    for stays PENDING until the applied value (``PUT /_localcloud/quotas``) reaches it.
    """

    def __init__(self, quotas: Quotas, faults: Faults, region: str, account: str) -> None:
        self._quotas = quotas
        self._faults = faults
        self._region = region
        self._account = account
        self._lock = threading.Lock()
        self._requests: list[dict[str, Any]] = []
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "ListServiceQuotas": self._list_applied,
            "ListAWSDefaultServiceQuotas": self._list_defaults,
            "GetServiceQuota": self._get_applied,
            "GetAWSDefaultServiceQuota": self._get_default,
            "RequestServiceQuotaIncrease": self._request,
            "ListRequestedServiceQuotaChangeHistoryByQuota": self._history,
        }

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One operation, as boto3 answers it.

        Raises
        ------
        ServiceFault
            The refusal, with the service's error code; also when the faults document throttles or denies.
        """
        handler = self._operations.get(operation)
        if handler is None:
            raise ServiceFault(
                "UnknownOperationException", f"The local cloud's Service Quotas lacks {operation}."
            )
        if self._faults.denies("service-quotas"):
            raise ServiceFault(
                "AccessDeniedException",
                f"User: arn:aws:iam::{self._account}:root is not authorized to perform: servicequotas:{operation}",
            )
        if self._faults.throttling:
            raise ServiceFault("TooManyRequestsException", "Rate exceeded")
        if parameters["ServiceCode"] != _SERVICE:
            raise ServiceFault(
                "NoSuchResourceException",
                f"The local cloud has quotas of {_SERVICE} only, not of {parameters['ServiceCode']}.",
            )
        return handler(parameters)

    def _list_applied(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters.get("QuotaAppliedAtLevel") == "RESOURCE":
            return {"Quotas": []}
        wanted = parameters.get("QuotaCode")
        quotas = [
            self._described(name, value) | {"QuotaAppliedAtLevel": "ACCOUNT"}
            for name, value in sorted(self._quotas.as_dict().items())
            if wanted in (None, quota_code(name))
        ]
        return _page("Quotas", quotas, parameters)

    def _list_defaults(self, parameters: dict[str, Any]) -> dict[str, Any]:
        quotas = [self._described(name, value) for name, value in sorted(_list_default_values().items())]
        return _page("Quotas", quotas, parameters)

    def _get_applied(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"Quota": self._of(self._quotas.as_dict(), parameters) | {"QuotaAppliedAtLevel": "ACCOUNT"}}

    def _get_default(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"Quota": self._of(_list_default_values(), parameters)}

    def _request(self, parameters: dict[str, Any]) -> dict[str, Any]:
        desired = float(parameters["DesiredValue"])
        quota = self._of({**_list_default_values(), **self._quotas.as_dict()}, parameters)
        if not quota["Adjustable"]:
            raise ServiceFault(
                "InvalidResourceStateException", f"The quota {quota['QuotaName']} is not adjustable."
            )
        if desired <= quota["Value"]:
            raise ServiceFault(
                "IllegalArgumentException",
                f"The desired value {desired:g} must be greater than the current quota value {quota['Value']:g}.",
            )
        with self._lock:
            still_open = [
                request for request in map(self._status, self._requests) if request["Status"] in _OPEN
            ]
            if any(request["QuotaCode"] == quota["QuotaCode"] for request in still_open):
                raise ServiceFault(
                    "ResourceAlreadyExistsException",
                    "Only one open service quota increase request is allowed per quota.",
                )
            if len(still_open) >= _MOST_OPEN_REQUESTS:
                raise ServiceFault(
                    "QuotaExceededException",
                    "You have exceeded the number of open service quota increase requests.",
                )
            moment = datetime.datetime.now(datetime.UTC)
            request = {
                "Id": uuid.uuid4().hex,
                "RequestType": "ManualRequest",
                "ServiceCode": _SERVICE,
                "ServiceName": quota["ServiceName"],
                "QuotaCode": quota["QuotaCode"],
                "QuotaName": quota["QuotaName"],
                "DesiredValue": desired,
                "Status": "PENDING",
                "Created": moment,
                "LastUpdated": moment,
                "Requester": json.dumps(
                    {"accountId": self._account, "callerArn": f"arn:aws:iam::{self._account}:root"}
                ),
                "QuotaArn": quota["QuotaArn"],
                "GlobalQuota": False,
                "Unit": quota["Unit"],
                "QuotaRequestedAtLevel": "ACCOUNT",
            }
            self._requests.append(request)
        return {"RequestedQuota": dict(request)}

    def _history(self, parameters: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            requests = [self._status(request) for request in self._requests]
        wanted = parameters.get("Status")
        found = [
            request
            for request in requests
            if request["QuotaCode"] == parameters["QuotaCode"] and wanted in (None, request["Status"])
        ]
        return _page("RequestedQuotas", found, parameters)

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        reached = (self._quotas.value(request["QuotaName"]) or 0.0) >= request["DesiredValue"]
        return request | {"Status": "APPROVED"} if reached else dict(request)

    def _of(self, values: Mapping[str, float], parameters: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if quota_code(name) == parameters["QuotaCode"]:
                return self._described(name, value)
        raise ServiceFault(
            "NoSuchResourceException",
            f"The quota {parameters['QuotaCode']} of {_SERVICE} has no value in this account and region.",
        )

    def _described(self, name: str, value: float) -> dict[str, Any]:
        code = quota_code(name)
        return {
            "ServiceCode": _SERVICE,
            "ServiceName": "Amazon SageMaker",
            "QuotaArn": f"arn:aws:servicequotas:{self._region}:{self._account}:{_SERVICE}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": value,
            "Unit": "None",
            "Adjustable": not name.startswith(_FIXED_PREFIXES),
            "GlobalQuota": False,
        }


def quota_code(name: str) -> str:
    """AWS's code of a quota, or one made up from the name and marked as such."""
    return _codes().get(name) or f"L-LOCAL{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"


@functools.cache
def _codes() -> dict[str, str]:
    with _CODES.open(encoding="utf-8", newline="") as file:
        return {row["quota_name"]: row["quota_code"] for row in csv.DictReader(file)}


@functools.cache
def _list_default_values() -> dict[str, float]:
    return Quotas.from_source("large").as_dict()


def _page(key: str, entries: list[dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        start = int(base64.b64decode(parameters.get("NextToken", "MA=="), validate=True))
    except ValueError:
        raise ServiceFault("InvalidPaginationTokenException", "The pagination token is not valid.") from None
    end = start + parameters.get("MaxResults", 100)
    page: dict[str, Any] = {key: entries[start:end]}
    if end < len(entries):
        page["NextToken"] = base64.b64encode(str(end).encode()).decode()
    return page


def _checked(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        raise ServiceFault("ValidationException", "quotas must be a JSON object, quota name to value")
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not value >= 0:
            raise ServiceFault(
                "ValidationException", f"quota {name!r} must have a value at or above 0, found {value!r}"
            )
    return {str(name): float(value) for name, value in values.items()}
