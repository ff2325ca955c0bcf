"""Routing to the services that the emulator lacks, IAM on them, and what counts as secure transport."""

from __future__ import annotations

import functools
import json
import types
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from localcloud import gateway, wire
from localcloud.hooks.binding import find, replace
from localcloud.sagemaker.arns import operation_arn

if TYPE_CHECKING:
    from localcloud.cloud import Cloud


def install(cloud: Cloud) -> None:
    """Route, authorise and secure."""
    handlers = find("ministack.app", "SERVICE_HANDLERS", dict)
    patterns = find("ministack.core.router", "SERVICE_PATTERNS", dict)
    namespaces = find("ministack.core.iam_actions", "SERVICE_TO_IAM_NAMESPACE", dict)
    models = find("ministack.core.iam_actions", "_BOTOCORE_SERVICE_MAP", dict)
    for scope, targets, handler in (
        ("sagemaker", ["SageMaker."], gateway.sagemaker(cloud.sagemaker)),
        (
            "servicequotas",
            ["ServiceQuotasV20190624."],
            gateway.json_service("service-quotas", cloud.service_quotas),
        ),
        ("pricing", ["AWSPriceListService."], gateway.json_service("pricing", cloud.pricing)),
        (
            "application-autoscaling",
            ["AnyScaleFrontendService."],
            gateway.json_service("application-autoscaling", cloud.sagemaker.scaling),
        ),
    ):
        handlers[scope] = handler
        patterns[scope] = {"target_prefixes": targets}
        namespaces[scope] = scope
    # InvokeEndpoint has no target header; its IAM action is found by its path.
    models["sagemaker"] = ["sagemaker-runtime"]
    replace(
        "ministack.core.iam_actions",
        "extract_resource_arn",
        ("service", "method", "path", "headers", "body", "query_params", "region", "account_id"),
        _with_sagemaker_resources,
    )
    replace("ministack.app", "pin_request_origin", ("source_ip", "secure_transport"), _always_secure)
    _share_service_models()


def _share_service_models() -> None:
    """Let the emulator, which looks content types up in them, read service models with the one loader."""
    responses = find("ministack.core", "responses", types.ModuleType)
    names = find(responses.__name__, "_BOTOCORE_NAME", dict)
    find(responses.__name__, "_service_model", object)

    @functools.cache
    def service_model(service: str) -> Any:
        from botocore.exceptions import UnknownServiceError  # the server starts faster without it

        try:
            return wire.service_model(names.get(service, service))
        except UnknownServiceError:
            return None

    responses._service_model = service_model


def _with_sagemaker_resources(original: Callable[..., str]) -> Callable[..., str]:
    def extract_resource_arn(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, list[str]],
        region: str,
        account_id: str,
    ) -> str:
        if service == "application-autoscaling":
            return f"arn:aws:application-autoscaling:{region}:{account_id}:scalable-target/local"
        if service != "sagemaker":
            return original(service, method, path, headers, body, query_params, region, account_id)
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if not operation:
            parts = path.split("/")
            name = urllib.parse.unquote(parts[2]) if len(parts) > 2 else ""
            return operation_arn("InvokeEndpoint", {"EndpointName": name}, region, account_id)
        try:
            document = json.loads(body or b"{}")
        except ValueError:
            return "*"  # refused later, as what it is
        return operation_arn(operation, document if isinstance(document, dict) else {}, region, account_id)

    return extract_resource_arn


def _always_secure(original: Callable[..., None]) -> Callable[..., None]:
    """Let plain HTTP on this machine pass bucket policies that ask for ``aws:SecureTransport``."""

    def pin_request_origin(source_ip: str, secure_transport: bool) -> None:
        original(source_ip, True)

    return pin_request_origin
