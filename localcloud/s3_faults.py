"""Trouble with S3 that a test orders: which requests go wrong, how, and how often.

A rule of the faults document (docs/contracts.md) is

    {"operation": "CompleteMultipartUpload", "bucket": "", "prefix": "encoded/", "fault": "lost-answer",
     "after": 0, "times": 1, "seconds": 0}

Only ``fault`` is required. The rule's first ``after`` requests pass, the next ``times`` go wrong (null: all
further ones), and the rest pass again. ``fired`` counts those that went wrong.
"""

from __future__ import annotations

import threading
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANY = "*"
FAULTS = (
    "slow-down",  # 503 SlowDown; nothing is done
    "server-error",  # 500 InternalError; nothing is done
    "error-in-answer",  # 200 whose body is an InternalError, as CompleteMultipartUpload may give; nothing is done
    "reset",  # the connection is reset; nothing is done
    "lost-answer",  # the request is done, and the connection is reset in place of the answer
    "latency",  # the request is done after "seconds"
    "key-errors",  # DeleteObjects: 200 with an InternalError for each key; nothing is deleted
)
OPERATIONS = frozenset(
    [
        "AbortMultipartUpload",
        "CompleteMultipartUpload",
        "CopyObject",
        "CreateBucket",
        "CreateMultipartUpload",
        "DeleteBucket",
        "DeleteObject",
        "DeleteObjects",
        "GetObject",
        "HeadBucket",
        "HeadObject",
        "ListMultipartUploads",
        "ListObjects",
        "ListObjectsV2",
        "ListParts",
        "PutObject",
        "UploadPart",
        "UploadPartCopy",
    ]
)
_DEFAULTS: dict[str, Any] = {
    "operation": ANY,
    "bucket": "",
    "prefix": "",
    "after": 0,
    "times": 1,
    "seconds": 0,
}


@dataclass(frozen=True)
class S3Request:
    """What a rule looks at; ``operation`` is empty for one that ``OPERATIONS`` doesn't name.

    ``key`` is the prefix of a list, and the first key of DeleteObjects.
    """

    operation: str
    bucket: str
    key: str


@dataclass
class S3Rule:
    """A rule and how often it has been looked at."""

    operation: str
    bucket: str
    prefix: str
    fault: str
    after: int
    times: int | None
    seconds: float
    seen: int = 0
    fired: int = 0

    def applies(self, request: S3Request) -> bool:
        """Whether this request goes wrong; counts it."""
        if self.operation not in (ANY, request.operation) or self.bucket not in ("", request.bucket):
            return False
        if not request.key.startswith(self.prefix):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True

    def as_dict(self) -> dict[str, Any]:
        """The rule as it was given, and ``fired``."""
        return {name: getattr(self, name) for name in (*_DEFAULTS, "fault", "fired")}


class S3Faults:
    """The rules in force; thread-safe."""

    def __init__(self, rules: list[S3Rule] | None = None) -> None:
        self._rules = rules or []
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._rules)

    def fault(self, request: S3Request) -> S3Rule | None:
        """The first rule that makes this request go wrong."""
        with self._lock:
            return next((rule for rule in self._rules if rule.applies(request)), None)

    def as_list(self) -> list[dict[str, Any]]:
        """The rules as documents."""
        with self._lock:
            return [rule.as_dict() for rule in self._rules]


def parse_rules(document: Any) -> S3Faults:
    """Rules of the faults document's ``s3``.

    Raises
    ------
    ValueError
        With a sentence that says what is wrong.
    """
    if not isinstance(document, list):
        raise ValueError("s3 must be a list of rules")
    return S3Faults([_rule(entry, number) for number, entry in enumerate(document)])


def _rule(entry: Any, number: int) -> S3Rule:
    where = f"s3 rule {number}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object")
    given = {name: value for name, value in entry.items() if name != "fired"}  # as GET gives it back
    unknown = sorted(set(given) - {*_DEFAULTS, "fault"})
    if unknown:
        raise ValueError(
            f"{where} has the unknown key {unknown[0]!r}; known are fault, {', '.join(_DEFAULTS)}"
        )
    values = {**_DEFAULTS, **given}
    if values.get("fault") not in FAULTS:
        raise ValueError(
            f"{where} has the fault {values.get('fault')!r}, expected one of {', '.join(FAULTS)}"
        )
    if values["operation"] not in OPERATIONS | {ANY}:
        raise ValueError(
            f"{where} has the operation {values['operation']!r}, expected {ANY} or one of "
            f"{', '.join(sorted(OPERATIONS))}"
        )
    if not isinstance(values["bucket"], str) or not isinstance(values["prefix"], str):
        raise ValueError(f"{where} needs text for bucket and prefix")
    if not _is_count(values["after"]) or not (values["times"] is None or _is_count(values["times"])):
        raise ValueError(f"{where} needs integers of at least 0 for after and times; times may be null: all")
    seconds = values["seconds"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 600:
        raise ValueError(f"{where} needs seconds from 0 to 600")
    return S3Rule(**values)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def parse_request(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> S3Request:
    """Name an S3 request; ``path`` is unquoted, the bucket in it or in the host name."""
    parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    host = headers.get("host", "").partition(":")[0]
    virtual, is_virtual, _ = host.partition(".s3.")
    bucket, _, key = (f"{virtual}{path}" if is_virtual else path.lstrip("/")).partition("/")
    operation = _operation(method, bool(key), parameters, "x-amz-copy-source" in headers) if bucket else ""
    if not key:
        key = _first_key(body) if operation == "DeleteObjects" else parameters.get("prefix", "")
    return S3Request(operation, bucket, key)


def _operation(method: str, has_key: bool, parameters: Mapping[str, str], copies: bool) -> str:
    flag = next((name for name in ("uploads", "uploadId", "delete", "list-type") if name in parameters), "")
    if has_key and method == "PUT" and flag in ("", "uploadId"):
        whole, part = ("CopyObject", "UploadPartCopy") if copies else ("PutObject", "UploadPart")
        return part if flag else whole if not _subresource(parameters) else ""
    if not flag and _subresource(parameters):
        return ""
    kinds = {
        (True, "POST", "uploads"): "CreateMultipartUpload",
        (True, "POST", "uploadId"): "CompleteMultipartUpload",
        (True, "DELETE", "uploadId"): "AbortMultipartUpload",
        (True, "GET", "uploadId"): "ListParts",
        (True, "GET", ""): "GetObject",
        (True, "HEAD", ""): "HeadObject",
        (True, "DELETE", ""): "DeleteObject",
        (False, "POST", "delete"): "DeleteObjects",
        (False, "GET", "list-type"): "ListObjectsV2",
        (False, "GET", "uploads"): "ListMultipartUploads",
        (False, "GET", ""): "ListObjects",
        (False, "HEAD", ""): "HeadBucket",
        (False, "PUT", ""): "CreateBucket",
        (False, "DELETE", ""): "DeleteBucket",
    }
    return kinds.get((has_key, method, flag), "")


_SUBRESOURCES = frozenset(
    [
        "accelerate",
        "acl",
        "analytics",
        "attributes",
        "cors",
        "encryption",
        "inventory",
        "legal-hold",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "tagging",
        "torrent",
        "versioning",
        "versions",
        "website",
    ]
)


def _subresource(parameters: Mapping[str, str]) -> bool:
    return not _SUBRESOURCES.isdisjoint(parameters)


def keys_to_delete(body: bytes) -> list[str]:
    """The keys of a DeleteObjects request; none if it is not its XML."""
    try:
        document = ET.fromstring(body)  # noqa: S314 - from a client on this machine, which may do as it likes here
    except ET.ParseError:
        return []
    return [element.text or "" for element in document.iter() if element.tag.rpartition("}")[2] == "Key"]


def _first_key(body: bytes) -> str:
    return next(iter(keys_to_delete(body)), "")
