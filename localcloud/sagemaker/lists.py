"""The List operations' filters, order and pages, which are the same for every kind of resource."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.records import Record


def list_records(
    records: list[Record],
    parameters: dict[str, Any],
    *,
    answer: str,
    name_key: str,
    status_key: str | None,
    summarise: Callable[[Record], Record],
    default_order: str = "Descending",
    default_page: int = 10,
    filter_after_paging: bool = False,
    sort_keys: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """One page of summaries.

    Parameters
    ----------
    answer
        Key of the list in the answer, e.g. ``TrainingJobSummaries``.
    filter_after_paging
        Cut the page before the status is looked at, as ListTrainingJobs does with ``StatusEquals`` and
        ``MaxResults``: pages may come back empty with a ``NextToken``.
    sort_keys
        Keys of the records for further values of ``SortBy``.

    Raises
    ------
    ServiceFault
        ``ValidationException`` for a token that no earlier answer gave.
    """
    found = [record for record in records if _matches(record, parameters, name_key)]
    sort_by = parameters.get("SortBy", "CreationTime")
    key = {"Name": name_key, "Status": status_key, **sort_keys}.get(sort_by, "CreationTime")
    found.sort(
        key=lambda record: (record.get(key or "CreationTime"), record[name_key]),
        reverse=parameters.get("SortOrder", default_order) == "Descending",
    )
    wanted = parameters.get("StatusEquals")

    def has_status(record: Record) -> bool:
        return wanted is None or status_key is None or record[status_key] == wanted

    if not filter_after_paging:
        found = list(filter(has_status, found))
    start = _decode(parameters.get("NextToken"))
    end = start + parameters.get("MaxResults", default_page)
    page: dict[str, Any] = {answer: [summarise(record) for record in found[start:end] if has_status(record)]}
    if end < len(found):
        page["NextToken"] = base64.b64encode(str(end).encode()).decode()
    return page


def pick(*keys: str) -> Callable[[Record], Record]:
    """A summary of these keys, as far as they are set."""
    return lambda record: {key: record[key] for key in keys if record.get(key) is not None}


def _matches(record: Record, parameters: dict[str, Any], name_key: str) -> bool:
    if parameters.get("NameContains", "").lower() not in record[name_key].lower():
        return False
    for stem in ("CreationTime", "LastModifiedTime"):
        moment = record.get(stem, record["CreationTime"])
        after, before = parameters.get(f"{stem}After"), parameters.get(f"{stem}Before")
        if (after is not None and moment <= after) or (before is not None and moment >= before):
            return False
    return True


def _decode(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except ValueError:
        raise ServiceFault("ValidationException", "Invalid pagination token.") from None
