"""How the local cloud's services fail: the error they raise, and the faults a test orders.

A service raises ``ServiceFault`` with the error code of botocore's model; the HTTP layer and the
Step Functions integrations turn it into what boto3 or a Catch sees. ``Faults`` holds the faults
document of the control API (docs/contracts.md): trouble that a test or a demo asks for.
"""

from __future__ import annotations

import copy
import threading
import time
from typing import Any

from localcloud.s3_faults import S3Faults, parse_rules

DENIABLE = ("service-quotas", "pricing")


class ServiceFault(Exception):  # noqa: N818 - AWS calls an error answer a fault
    """An error answer of an AWS service.

    Parameters
    ----------
    code
        The error code as in botocore's model, e.g. ``ResourceLimitExceeded``, ``ValidationException``.
    message
        The service's words.
    status
        The HTTP status of the answer.

    Attributes
    ----------
    fields
        Further members of the error's shape, such as ModelError's ``OriginalStatusCode``.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields: dict[str, str | int] = {}


class Faults:
    """Thread-safe holder of the faults document; empty means that nothing is wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._document: dict[str, Any] = _nothing_wrong()
        self.s3 = S3Faults()
        """What goes wrong with S3; replaced as a whole."""

    def get(self) -> dict[str, Any]:
        """A copy of the document, with every key present."""
        with self._lock:
            return copy.deepcopy(self._document) | {"s3": self.s3.as_list()}

    def put(self, document: dict[str, Any]) -> dict[str, Any]:
        """Replace the document; keys left out go back to "nothing wrong". Returns the new document.

        Raises
        ------
        ServiceFault
            ``ValidationException`` for an unknown key or a value of the wrong form.
        """
        checked = _checked(document)
        try:
            s3 = parse_rules(checked["s3"])
        except ValueError as error:
            raise ServiceFault("ValidationException", str(error)) from error
        with self._lock:
            self._document, self.s3 = checked, s3
        return self.get()

    @property
    def capacity_missing(self) -> frozenset[str]:
        """Instance types of which AWS has none left."""
        with self._lock:
            return frozenset(self._document["capacity_missing"])

    @property
    def memory_limit_gib(self) -> dict[str, float]:
        """Instance type → GiB beyond which a job on it is killed."""
        with self._lock:
            return dict(self._document["memory_limit_gib"])

    @property
    def throttling(self) -> bool:
        """Whether calls are to be answered with ThrottlingException now."""
        with self._lock:
            return time.time() < float(self._document["throttle_until"])

    def denies(self, service: str) -> bool:
        """Whether calls to ``service`` ("service-quotas" or "pricing") are denied."""
        with self._lock:
            return service in self._document["denied"]


def _nothing_wrong() -> dict[str, Any]:
    return {"capacity_missing": [], "throttle_until": 0.0, "memory_limit_gib": {}, "denied": [], "s3": []}


def _checked(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ServiceFault("ValidationException", "the faults document must be a JSON object")
    faults = _nothing_wrong()
    unknown = sorted(set(document) - set(faults))
    if unknown:
        raise ServiceFault(
            "ValidationException", f"unknown fault {unknown[0]!r}; known are {', '.join(sorted(faults))}"
        )
    faults.update(copy.deepcopy(document))
    if not _is_list_of_strings(faults["capacity_missing"]):
        raise ServiceFault("ValidationException", "capacity_missing must be a list of instance types")
    if not _is_number(faults["throttle_until"]):
        raise ServiceFault("ValidationException", "throttle_until must be a time in seconds since 1970")
    limits = faults["memory_limit_gib"]
    if not isinstance(limits, dict) or not all(_is_number(value) and value > 0 for value in limits.values()):
        raise ServiceFault("ValidationException", "memory_limit_gib must map instance types to GiB above 0")
    denied = faults["denied"]
    if not _is_list_of_strings(denied) or not set(denied) <= set(DENIABLE):
        raise ServiceFault(
            "ValidationException", f"denied must be a list out of {', '.join(DENIABLE)}; found {denied!r}"
        )
    return faults


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
