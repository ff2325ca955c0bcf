"""An account's quotas from a file: a plain JSON object, or what the AWS CLI prints.

Read are ``aws service-quotas list-service-quotas --service-code sagemaker``, its pages one after the other or
in a list, ``list-aws-default-service-quotas`` and ``get-service-quota``. An entry's ARN tells the Region, the
partition, and, since it names no account there, AWS's defaults from applied values:
``arn:aws:servicequotas:us-east-1::sagemaker/L-611FA074``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fmrec.errors import FormatError, InputError
from fmrec.instances.catalogue import catalogue
from fmrec.instances.quotas import (
    MAXIMUM_QUOTA,
    QUOTA_KINDS,
    SERVICE_CODE,
    Account,
    account_quota,
    job_quota,
    known_codes,
    type_quota,
)

COMMAND = f"aws service-quotas list-service-quotas --service-code {SERVICE_CODE} --output json"
_UNKNOWN_SHOWN = 5
_NEAREST = 2
_CLOSE = 0.6
_PAIR = 2


@dataclass
class _Found:
    """What the documents of a file say; ``plain`` are names that a person or a program chose."""

    applied: dict[str, float] = field(default_factory=dict)
    defaults: dict[str, float] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    regions: set[str] = field(default_factory=set)
    partitions: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    plain: list[str] = field(default_factory=list)
    cut_off: bool = False


def read_quotas_file(content: bytes, region: str | None = None) -> Account:
    """Read a quotas file: quota name → value, or the AWS CLI's output.

    Names that no step looks at are left out; those of a plain file are named in the notes, with the nearest
    names that are known.

    Raises
    ------
    FormatError
        Not JSON, another document, or a value that is no number.
    InputError
        Not one quota in it is of SageMaker's instances, or it is of another Region.
    """
    found = _Found()
    documents = list(_documents(content))
    for document in documents:
        _take(document, found)
    if not found.applied and not found.defaults and documents != [{}]:
        raise FormatError(f"the quotas file holds no quota: write it with `{COMMAND}`")
    if found.services and SERVICE_CODE not in found.services:
        raise InputError(
            f"the quotas file has quotas of {', '.join(sorted(found.services))}, not of SageMaker: write it with "
            f"`{COMMAND}`"
        )
    named = found.applied | found.defaults
    unknown = [name for name in found.plain if name not in known_names()]
    if named and not named.keys() & known_names():
        raise InputError(
            f"the quotas file holds no quota that a step looks at: {_unknown(unknown or list(named))}; "
            f"write it with `{COMMAND}`"
        )
    notes = [f"the quotas file has names that no step looks at: {_unknown(unknown)}"] if unknown else []
    if found.cut_off:
        notes.append(
            "the quotas file is one page of several (its last page has a NextToken): quotas that are missing in it "
            "are taken for unknown; let the AWS CLI read all pages, without --no-paginate and --max-items"
        )
    if found.defaults and not found.applied:
        notes.append(
            f"the quotas file has AWS's defaults, not what applies to an account: they are shown, but nothing is "
            f"refused by them; `{COMMAND}` has the applied values"
        )
    return Account(
        quotas=_known(found.applied),
        defaults=_known(found.defaults),
        codes=found.codes,
        region=_region(found, region),
        partition=min(found.partitions, default="aws"),
        notes=tuple(notes),
    )


@cache
def known_names() -> frozenset[str]:
    """Return the names of all quotas that a step may look at."""
    names = set(known_codes())
    for call, spot in QUOTA_KINDS:
        names |= {type_quota(call, instance.name, spot) for instance in catalogue()}
        names |= {account_quota(call, spot), job_quota(call, spot) or account_quota(call, spot)}
    return frozenset(names)


def _known(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name in known_names()}


def _documents(content: bytes) -> Iterator[Any]:
    """Yield a file's JSON documents, in any of Unicode's encodings: PowerShell writes UTF-16."""
    try:
        text = content.decode(json.detect_encoding(content)).removeprefix("\ufeff")
        decoder, at = json.JSONDecoder(), 0
        while text[at:].strip():
            at += len(text[at:]) - len(text[at:].lstrip())
            document, at = decoder.raw_decode(text, at)
            yield document
        if not text.strip():
            raise ValueError("it is empty")
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"the quotas file is not JSON ({error}): expected an object of quota name to value, or the output "
            f"of `{COMMAND}`"
        ) from error


def _take(document: Any, found: _Found) -> None:
    match document:
        case {"Quotas": list(entries), **rest}:
            found.cut_off = "NextToken" in rest or "nextToken" in rest
            for entry in entries:
                _take_entry(entry, found)
        case {"Quota": dict(entry)}:
            _take_entry(entry, found)
        case {"QuotaName": _}:
            _take_entry(document, found)
        case {"RequestedQuotas": _}:
            raise FormatError(
                f"the quotas file has requests for quotas, not their values: write it with `{COMMAND}`"
            )
        case [str(name), value] if not isinstance(value, list | dict):
            found.applied[name] = _number(name, value)
        case list():
            for entry in document:
                _take(entry, found)
        case dict():
            for name, value in document.items():
                found.applied[name] = _number(name, value)
                found.plain.append(name)
        case _:
            raise FormatError(
                f"the quotas file holds {json.dumps(document)[:40]}, expected an object: quota name to value"
            )


def _take_entry(entry: Any, found: _Found) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get("QuotaName"), str):
        raise FormatError(
            f"the quotas file has {json.dumps(entry)[:80]} among its Quotas, expected an object with QuotaName "
            "and Value"
        )
    name = entry["QuotaName"]
    if "Value" not in entry and "ErrorReason" in entry:
        return  # what Service Quotas couldn't find out is unknown
    value = _number(name, entry.get("Value"))
    _, partition, _, region, account, *_ = [*str(entry.get("QuotaArn", "")).split(":"), *[""] * 5]
    is_default = bool(region) and not account
    (found.defaults if is_default else found.applied)[name] = value
    found.regions |= {region} - {""}
    found.partitions |= {partition} - {""}
    if "ServiceCode" in entry:
        found.services.add(str(entry["ServiceCode"]))
    if "QuotaCode" in entry:
        found.codes[name] = str(entry["QuotaCode"])


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAXIMUM_QUOTA:
        raise FormatError(f"the quotas file says {value!r} for {name!r}, expected a number of at least 0")
    return value


def _region(found: _Found, region: str | None) -> str | None:
    if len(found.regions) > 1:
        raise InputError(
            f"the quotas file has quotas of {', '.join(sorted(found.regions))}: quotas belong to a Region, "
            "so give a file of one"
        )
    stated = next(iter(found.regions), region)
    if region and stated != region:
        raise InputError(f"the quotas file is of {stated}, but --region is {region}: leave one of them out")
    return stated


def _unknown(names: list[str]) -> str:
    shown = [f"{name!r}{_nearest(name)}" for name in names[:_UNKNOWN_SHOWN]]
    more = [f"and {len(names) - _UNKNOWN_SHOWN} more"] if len(names) > _UNKNOWN_SHOWN else []
    return "; ".join([*shown, *more])


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, sorted(known_names()), _NEAREST, _CLOSE)
    return f" (known: {', '.join(map(repr, near))})" if near else ""
