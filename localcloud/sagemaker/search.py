"""The Search operation: resources by what their Describe answers say.

Source: SageMaker API reference, "Search" and "SearchExpression": filters on properties by dotted names,
nested filters on the entries of a list, subexpressions, And and Or.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable
from typing import Any

from localcloud import wire
from localcloud.faults import ServiceFault
from localcloud.sagemaker import endpoints, registry, training, tuning
from localcloud.sagemaker.platform import Platform
from localcloud.sagemaker.records import Record, public
from localcloud.sagemaker.tags import Tags

_KINDS = {
    "TrainingJob": (training.KIND, "TrainingJobName", "TrainingJobArn"),
    "HyperParameterTuningJob": (tuning.KIND, "HyperParameterTuningJobName", "HyperParameterTuningJobArn"),
    "Endpoint": (endpoints.KIND, "EndpointName", "EndpointArn"),
    "ModelPackage": (registry.PACKAGE, "ModelPackageArn", "ModelPackageArn"),
    "ModelPackageGroup": (registry.GROUP, "ModelPackageGroupName", "ModelPackageGroupArn"),
}
_DEFAULT_PAGE = 20


class Search:
    """Finds resources of one type at a time."""

    def __init__(self, platform: Platform, tags: Tags) -> None:
        self._platform = platform
        self._tags = tags

    def page(self, parameters: dict[str, Any]) -> Record:
        """One page of the resources that match, and how many there are.

        Raises
        ------
        ServiceFault
            ``ValidationException`` for a type of resource that is not kept here, a token that no earlier
            answer gave, or a filter without the value that its operator needs.
        """
        resource = parameters["Resource"]
        if resource not in _KINDS:
            known = ", ".join(_KINDS)
            raise ServiceFault(
                "ValidationException", f"The local cloud searches {known}; {resource} is none of them."
            )
        kind, name_key, arn_key = _KINDS[resource]
        results = wire.operation_model("sagemaker", "Search").output_shape.members["Results"]
        members = results.member.members[resource].members
        found = []
        for record in self._platform.records.every(kind):
            tags = self._tags.page({"ResourceArn": record[arn_key]})["Tags"]
            document = {
                name: value for name, value in (public(record) | {"Tags": tags}).items() if name in members
            }
            metrics = document.get("FinalMetricDataList", [])
            searched = document | {"Metrics": {entry["MetricName"]: entry["Value"] for entry in metrics}}
            if _expression(parameters.get("SearchExpression", {}), searched):
                found.append((searched, document))
        sort_by = parameters.get("SortBy", "LastModifiedTime")
        found.sort(
            key=lambda pair: _order(_first(_values(pair[0], sort_by)), pair[0][name_key]),
            reverse=parameters.get("SortOrder", "Descending") == "Descending",
        )
        start = _offset(parameters.get("NextToken"))
        end = start + parameters.get("MaxResults", _DEFAULT_PAGE)
        answer: Record = {
            "Results": [{resource: document} for _, document in found[start:end]],
            "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
        }
        if end < len(found):
            answer["NextToken"] = base64.b64encode(str(end).encode()).decode()
        return answer


def _expression(expression: dict[str, Any], document: Record) -> bool:
    answers = [_filter(entry, document) for entry in expression.get("Filters", [])]
    for nested in expression.get("NestedFilters", []):
        property_name = nested["NestedPropertyName"]
        entries = document.get(property_name)
        filters = [
            entry | {"Name": entry["Name"].removeprefix(f"{property_name}.")} for entry in nested["Filters"]
        ]
        answers.append(any(all(_filter(entry, item) for entry in filters) for item in entries or []))
    answers += [_expression(entry, document) for entry in expression.get("SubExpressions", [])]
    either = bool(answers) and expression.get("Operator") == "Or"
    return any(answers) if either else all(answers)


def _filter(entry: dict[str, Any], document: Any) -> bool:
    values = _values(document, entry["Name"])
    operator: str = entry.get("Operator", "Equals")
    if operator in ("Exists", "NotExists"):
        return bool(values) == (operator == "Exists")
    if "Value" not in entry:
        raise ServiceFault(
            "ValidationException", f"The filter on {entry['Name']} has no Value for {operator}."
        )
    wanted: str = entry["Value"]
    if operator == "NotEquals":
        return not any(_compare(value, wanted) == 0 for value in values)
    if operator == "Contains":
        return any(wanted in str(value) for value in values)
    if operator == "In":
        return any(_compare(value, option.strip()) == 0 for value in values for option in wanted.split(","))
    return any(_OPERATORS[operator](_compare(value, wanted)) for value in values)


_OPERATORS: dict[str, Callable[[int | None], bool]] = {
    "Equals": lambda order: order == 0,
    "GreaterThan": lambda order: order == 1,
    "GreaterThanOrEqualTo": lambda order: order in (0, 1),
    "LessThan": lambda order: order == -1,
    "LessThanOrEqualTo": lambda order: order in (0, -1),
}


def _values(document: Any, name: str) -> list[Any]:
    """Everything that a dotted name leads to; a list stands for its entries, and a key may hold dots."""
    if isinstance(document, list):
        return [value for entry in document for value in _values(entry, name)]
    if not isinstance(document, dict):
        return []
    if name in document:
        found = document[name]
        return list(found) if isinstance(found, list) else [found]
    head, _, rest = name.partition(".")
    return _values(document.get(head), rest) if rest else []


def _compare(value: Any, wanted: str) -> int | None:
    """-1, 0 or 1 as the value is less than, equal to or greater than the text; None if they can't be
    compared.
    """
    try:
        if isinstance(value, datetime.datetime):
            other = datetime.datetime.fromisoformat(wanted)
            return _sign(value, other if other.tzinfo else other.replace(tzinfo=datetime.UTC))
        if isinstance(value, bool):
            return _sign(str(value).lower(), wanted.lower())
        return _sign(float(value), float(wanted))
    except (TypeError, ValueError):
        return None if isinstance(value, datetime.datetime) else _sign(str(value), wanted)


def _sign(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def _first(values: list[Any]) -> Any:
    return values[0] if values else None


def _order(value: Any, name: str) -> tuple[int, Any, str]:
    """Resources without the property first, then numbers, times and texts, each among themselves."""
    if value is None:
        return 0, 0, name
    if isinstance(value, int | float):
        return 1, float(value), name
    if isinstance(value, datetime.datetime):
        return 2, value.timestamp(), name
    return 3, str(value), name


def _offset(token: str | None) -> int:
    try:
        return 0 if token is None else int(base64.b64decode(token, validate=True))
    except ValueError:
        raise ServiceFault("ValidationException", "Invalid pagination token.") from None
