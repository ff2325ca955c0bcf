"""Requests and answers in the form that AWS's own service models give them.

The models are botocore's: a request that boto3 would refuse to send, or that names a member the API
does not have, is refused here; an answer carries only members that the API has.
"""

from __future__ import annotations

import base64
import datetime
import functools
from collections.abc import Callable
from typing import Any

from localcloud.faults import ServiceFault

Timestamp = Callable[[datetime.datetime], Any]


@functools.cache
def service_model(service: str) -> Any:
    """The model of a service in botocore, e.g. ``sagemaker`` or ``service-quotas``."""
    from botocore.model import ServiceModel

    return ServiceModel(_loader().load_service_model(service, "service-2"), service)


@functools.cache
def _loader() -> Any:
    """One for all services: each looks which there are."""
    from botocore.loaders import Loader

    return Loader()


def operation_model(service: str, operation: str) -> Any:
    """The model of one operation.

    Raises
    ------
    ServiceFault
        ``UnknownOperationException`` if the service has no such operation.
    """
    model = service_model(service)
    if operation not in model.operation_names:
        raise ServiceFault("UnknownOperationException", f"{service} has no operation {operation!r}", 404)
    return model.operation_model(operation)


def request(service: str, operation: str, document: Any) -> dict[str, Any]:
    """Turn a JSON document into the parameters of an operation, checked against its model.

    Types, required members and unknown members are checked here; patterns, lengths and enums are
    the service's own concern.

    Raises
    ------
    ServiceFault
        ``UnknownOperationException``, ``SerializationException`` or ``ValidationException``.
    """
    from botocore.validate import ParamValidator

    shape = operation_model(service, operation).input_shape
    if not isinstance(document, dict):
        raise ServiceFault("SerializationException", "the request must be a JSON object")
    parameters: dict[str, Any] = parsed(shape, document) if shape is not None else document
    if shape is not None:
        report = ParamValidator().validate(parameters, shape)
        if report.has_errors():
            raise ServiceFault("ValidationException", report.generate_report())
    return parameters


def answer(
    service: str,
    operation: str,
    result: dict[str, Any],
    timestamp: Timestamp,
    rename: Callable[[str], str],
    blobs: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    """Turn an operation's result into a JSON document of the model's output members.

    Parameters
    ----------
    timestamp
        How a point in time is written, e.g. ``epoch_seconds``.
    rename
        How a member's name is written.
    blobs
        How bytes are written; base64 by default.
    """
    shape = operation_model(service, operation).output_shape
    return {} if shape is None else written(shape, result, timestamp, rename, blobs or base64_text)


def epoch_seconds(moment: datetime.datetime) -> float:
    """Timestamps of the JSON protocols."""
    return round(moment.timestamp(), 3)


def epoch_millis(moment: datetime.datetime) -> int:
    """Timestamps in the output of Step Functions' optimised integrations."""
    return round(moment.timestamp() * 1000)


def iso_8601(moment: datetime.datetime) -> str:
    """Timestamps in the output of Step Functions' AWS SDK integrations."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def as_is(name: str) -> str:
    """Member names as the API has them."""
    return name


def base64_text(value: bytes) -> str:
    """Bytes in the JSON protocols."""
    return base64.b64encode(value).decode("ascii")


def text(value: bytes | str) -> str:
    """Bytes in Step Functions' AWS SDK integrations: the text that they are."""
    return value.decode("utf-8") if isinstance(value, bytes) else value


def parsed(shape: Any, value: Any) -> Any:
    """JSON to Python; what does not fit the shape stays as it is, for the validation to report."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        names = {member.serialization.get("name", name): name for name, member in shape.members.items()}
        return {
            names.get(key, key): parsed(shape.members[names[key]], entry) if key in names else entry
            for key, entry in value.items()
            if entry is not None
        }
    if kind == "list" and isinstance(value, list):
        return [parsed(shape.member, entry) for entry in value]
    if kind == "map" and isinstance(value, dict):
        return {key: parsed(shape.value, entry) for key, entry in value.items()}
    return _parsed_scalar(kind, value)


def _parsed_scalar(kind: str, value: Any) -> Any:
    if kind == "timestamp" and isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.datetime.fromtimestamp(value, datetime.UTC)
    if kind == "blob" and isinstance(value, str):
        return base64.b64decode(value)
    if kind in ("integer", "long") and isinstance(value, float) and value.is_integer():
        return int(value)  # JSONata has one kind of number
    return value


def written(
    shape: Any,
    value: Any,
    timestamp: Timestamp,
    rename: Callable[[str], str],
    blobs: Callable[[Any], Any] = base64_text,
) -> Any:
    """Python to JSON; members that the shape does not have are left out."""

    def write(shape: Any, value: Any) -> Any:
        kind = shape.type_name
        if kind == "structure":
            return {
                rename(name): write(member, value[name])
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        if kind == "list":
            return [write(shape.member, entry) for entry in value]
        if kind == "map":
            return {key: write(shape.value, entry) for key, entry in value.items()}
        if kind == "timestamp":
            return timestamp(value) if isinstance(value, datetime.datetime) else value
        return blobs(value) if kind == "blob" else value

    return write(shape, value)
