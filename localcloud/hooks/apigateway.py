"""HTTP APIs: what a caller sees of a function that fails, the largest request, tokens without an end, and how
many requests run at once.

Lambda starts as many execution environments as there are requests. On one machine a crowd of them would each
take longer to start than a request may take, so a function's requests beyond a few wait for those before.

Sources: API Gateway developer guide, "Working with AWS Lambda proxy integrations for HTTP APIs" (a function
that fails is 500 with a fixed message, which says nothing of the function), "Quotas" (10 MB for a request)
and "Control access to HTTP APIs with JWT authorizers" (``exp`` must be after now).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

from localcloud.hooks.binding import replace

_LARGEST_REQUEST = 10 * 1024 * 1024
AT_A_TIME = max(4, 2 * (os.cpu_count() or 1))
"""Requests that a function answers at once."""
_JSON = {"Content-Type": "application/json"}
_UNAUTHORIZED = (401, _JSON, b'{"message":"Unauthorized"}')
_PARAMETERS = (
    "integration",
    "api_id",
    "stage",
    "path",
    "method",
    "headers",
    "body",
    "query_params",
    "route_key",
    "path_params",
    "authorizer_claims",
    "authorizer_scopes",
    "authorizer_lambda_context",
    "authorizer_iam",
    "owner_account_id",
    "owner_region",
    "raw_query_string",
)


def install() -> None:
    """Put them around the call of a route's function, and around the check of a token."""
    replace("ministack.services.apigateway", "_invoke_lambda_proxy", _PARAMETERS, _as_callers_see_it)
    replace(
        "ministack.services.apigateway",
        "_validate_jwt_authorizer",
        ("route", "authorizer", "headers", "query_params"),
        _with_an_end,
    )


def _as_callers_see_it(original: Callable[..., Any]) -> Callable[..., Any]:
    turns: dict[str, asyncio.Semaphore] = {}

    async def invoke_lambda_proxy(
        integration: dict[str, Any],
        api_id: str,
        stage: str,
        path: str,
        method: str,
        headers: dict[str, str],
        body: bytes,
        *rest: Any,
        **named: Any,
    ) -> Any:
        if len(body or b"") > _LARGEST_REQUEST:
            return 413, dict(_JSON), b'{"message":"Request Entity Too Large"}'
        async with turns.setdefault(str(integration.get("integrationUri")), asyncio.Semaphore(AT_A_TIME)):
            answer = await original(integration, api_id, stage, path, method, headers, body, *rest, **named)
        if answer[0] == 502 and _is_of_the_emulator(answer[2]):
            return 500, dict(_JSON), b'{"message":"Internal Server Error"}'
        return answer

    return invoke_lambda_proxy


def _with_an_end(original: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse a token whose ``exp`` is missing, which the emulator lets pass, or no number; then it fails."""

    async def validate(route: Any, authorizer: Any, headers: Any, query_params: Any) -> Any:
        try:
            claims, scopes, refused = await original(route, authorizer, headers, query_params)
        except (TypeError, ValueError):
            return None, None, _UNAUTHORIZED
        if claims is not None and not isinstance(claims.get("exp"), int | float):
            return None, None, _UNAUTHORIZED
        return claims, scopes, refused

    return validate


def _is_of_the_emulator(body: bytes) -> bool:
    """Whether a 502 stands for a function that failed or isn't there, and is no answer of a
    function itself.
    """
    try:
        document = json.loads(body)
    except ValueError:
        return False
    if not isinstance(document, dict):
        return False
    missing = str(document.get("message", "")).startswith("Lambda function '")
    return missing or {"errorMessage", "errorType"} <= document.keys()
