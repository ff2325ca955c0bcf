"""What AWS checks in a request beyond its types: patterns, enums, lengths and ranges of the API model.

botocore's own validation stops at types, required members and minima; the service refuses the rest with
one ValidationException that lists every member at fault. Texts follow the service's.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from localcloud import wire
from localcloud.faults import ServiceFault


def check_request(operation: str, parameters: dict[str, Any]) -> None:
    """Refuse parameters that break the API model's constraints.

    Raises
    ------
    ServiceFault
        ``ValidationException`` with every violation, in the service's words.
    """
    faults: list[str] = []
    _check(wire.operation_model("sagemaker", operation).input_shape, parameters, "", faults)
    if faults:
        plural = "s" if len(faults) > 1 else ""
        raise ServiceFault(
            "ValidationException",
            f"{len(faults)} validation error{plural} detected: " + "; ".join(faults),
        )


def _check(shape: Any, value: Any, path: str, faults: list[str]) -> None:
    if shape is None or value is None:
        return
    kind = shape.type_name
    if kind == "structure":
        for name, member in shape.members.items():
            if name in value:
                _check(member, value[name], _join(path, name), faults)
    elif kind == "list":
        _check_size(shape, len(value), path, value, faults, of="length")
        for index, entry in enumerate(value, start=1):
            _check(shape.member, entry, f"{path}.{index}.member", faults)
    elif kind == "map":
        _check_size(shape, len(value), path, value, faults, of="length")
        for key, entry in value.items():
            _check(shape.key, key, f"{path}.key", faults)
            _check(shape.value, entry, f"{path}.{key}.member", faults)
    elif kind == "string":
        _check_string(shape, value, path, faults)
    elif kind in ("integer", "long", "float", "double"):
        _check_size(shape, value, path, value, faults, of="value")


def _check_string(shape: Any, value: str, path: str, faults: list[str]) -> None:
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        _add(faults, value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
        return
    _check_size(shape, len(value), path, value, faults, of="length")
    pattern = _compiled(shape.metadata.get("pattern"))
    if pattern is not None and not pattern.fullmatch(value):
        _add(faults, value, path, f"Member must satisfy regular expression pattern: {pattern.pattern}")


def _check_size(shape: Any, size: float, path: str, value: Any, faults: list[str], *, of: str) -> None:
    largest, smallest = shape.metadata.get("max"), shape.metadata.get("min")
    if largest is not None and size > largest:
        _add(faults, value, path, f"Member must have {of} less than or equal to {largest}")
    if smallest is not None and size < smallest:
        _add(faults, value, path, f"Member must have {of} greater than or equal to {smallest}")


def _add(faults: list[str], value: Any, path: str, constraint: str) -> None:
    faults.append(f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}")


def _join(path: str, name: str) -> str:
    own = name[0].lower() + name[1:]
    return f"{path}.{own}" if path else own


@functools.cache
def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    """The pattern, or None if there is none or it uses Java syntax that Python lacks."""
    if pattern is None:
        return None
    try:
        return re.compile(pattern)
    except re.error:
        return None
