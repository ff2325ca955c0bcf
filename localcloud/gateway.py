"""SageMaker, Service Quotas and Pricing over HTTP, in the protocols that boto3 speaks.

Sources: botocore's service models; the AWS JSON 1.1 and REST-JSON protocols (Smithy 2.0
specification, "AWS protocols").
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from localcloud import wire
from localcloud.faults import ServiceFault

logger = logging.getLogger("localcloud.gateway")

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, list[str]]], Awaitable[Response]]

_JSON = "application/x-amz-json-1.1"
_INVOCATION = re.compile(r"/endpoints/([^/]+)/invocations")

# A call may wait for a starting process or an answering endpoint; the event loop must not.
_threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="localcloud-call")


class Service(Protocol):
    """A service that answers one operation after the other, from any thread."""

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Raises ServiceFault."""


class InferenceService(Service, Protocol):
    """A service whose endpoints answer requests."""

    def invoke_endpoint(
        self,
        name: str,
        body: bytes,
        content_type: str | None,
        accept: str | None,
        custom_attributes: str | None,
    ) -> tuple[bytes, str, str]:
        """Body and content type of the answer, and the variant that served; raises ServiceFault."""


def json_service(name: str, service: Service) -> Handler:
    """Handle the JSON 1.1 protocol for the service that botocore calls ``name``."""

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        return await in_thread(_answer_json, name, service, operation, body)

    return handle


def sagemaker(service: InferenceService) -> Handler:
    """Handle SageMaker and SageMaker Runtime, which share one signing scope: split by path."""
    control_plane = json_service("sagemaker", service)

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        invocation = _INVOCATION.fullmatch(path)
        if invocation and method == "POST":
            return await in_thread(_invoke, service, urllib.parse.unquote(invocation[1]), headers, body)
        return await control_plane(method, path, headers, body, query)

    return handle


async def in_thread(function: Callable[..., Response], *arguments: Any) -> Response:
    """Run a handler's work off the event loop, in the request's own context (account, region)."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(
        _threads, lambda: context.run(function, *arguments)
    )


def fault_response(fault: ServiceFault) -> Response:
    """An error answer that boto3 raises under its code, whatever the JSON protocol."""
    body = {**fault.fields, "__type": fault.code, "message": fault.message, "Message": fault.message}
    return fault.status, {"Content-Type": _JSON, "x-amzn-errortype": fault.code}, json.dumps(body).encode()


def _answer_json(name: str, service: Service, operation: str, body: bytes) -> Response:
    try:
        try:
            document = json.loads(body or b"{}")
        except ValueError as error:
            raise ServiceFault("SerializationException", f"the request is not JSON: {error}") from error
        parameters = wire.request(name, operation, document)
        result = service.call(operation, parameters)
        answer = wire.answer(name, operation, result, wire.epoch_seconds, wire.as_is)
    except ServiceFault as fault:
        return fault_response(fault)
    except Exception as error:
        logger.exception("%s %s failed", name, operation)
        return fault_response(ServiceFault("InternalFailure", f"{type(error).__name__}: {error}", 500))
    return 200, {"Content-Type": _JSON}, json.dumps(answer, allow_nan=False).encode()


def _invoke(service: InferenceService, name: str, headers: dict[str, str], body: bytes) -> Response:
    try:
        answer, content_type, variant = service.invoke_endpoint(
            name,
            body,
            headers.get("content-type"),
            headers.get("accept"),
            headers.get("x-amzn-sagemaker-custom-attributes"),
        )
    except ServiceFault as fault:
        return fault_response(fault)
    except Exception as error:
        logger.exception("InvokeEndpoint %s failed", name)
        return fault_response(ServiceFault("InternalFailure", f"{type(error).__name__}: {error}", 500))
    return 200, {"Content-Type": content_type, "x-Amzn-Invoked-Production-Variant": variant}, answer
