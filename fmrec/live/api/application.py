"""What every route of the API has: limits of its requests, and errors as problem documents (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path
from pydantic import BeforeValidator

from fmrec.errors import FmrecError, ForbiddenError, FormatError, InputError, NotFoundError, ServiceError
from fmrec.live.api.schemas import Problem

MAXIMUM_BODY = 1 << 20

PathId = Annotated[str, BeforeValidator(unquote), Path(min_length=1, max_length=1024)]
"""An id of the path, which `answer` has percent-encoded."""

PROBLEM = "application/problem+json"

REASONS = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Reason phrases of RFC 9110 that Python spells otherwise before 3.13."""

logger = Logger(service="api")


def reason(status: int) -> str:
    """A status's reason phrase, the same with every Python."""
    return REASONS.get(status) or HTTPStatus(status).phrase


def problem(status: int, detail: str) -> Response[str]:
    """An error's answer."""
    body = Problem(type="about:blank", title=reason(status), status=status, detail=detail)
    return Response(status, PROBLEM, body.model_dump_json())


def answer(app: APIGatewayHttpResolver, event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request; a body that is too large is not parsed."""
    if len(event.get("body") or "") > MAXIMUM_BODY:
        detail = f"the body has more than {MAXIMUM_BODY} characters: send it in parts"
        large = problem(413, detail)
        return {"statusCode": 413, "headers": {"Content-Type": PROBLEM}, "body": large.body}
    return app.resolve(_with_encoded_ids(event), context)


def _with_encoded_ids(event: dict[str, Any]) -> dict[str, Any]:
    """Put ids back into the path percent-encoded: the event handler's routes know few characters.

    API Gateway decodes paths, all but ``%25``.
    """
    parameters, (_, _, route) = event.get("pathParameters") or {}, event["routeKey"].partition(" ")
    for name, value in parameters.items():
        route = route.replace(f"{{{name}}}", quote(value, safe="%"))
    return {**event, "rawPath": route} if parameters else event


def failures(*statuses: int) -> dict[int, Any]:
    """These statuses in the OpenAPI document."""
    return {
        status: {"description": reason(status), "content": {PROBLEM: {"model": Problem}}}
        for status in statuses
    }


def succeeds(model: type, *statuses: int) -> dict[int, Any]:
    """An answer, and the statuses of failures, in the OpenAPI document."""
    found: dict[int, Any] = {200: {"description": "OK", "content": {"application/json": {"model": model}}}}
    return found | failures(*statuses)


def add_errors(app: APIGatewayHttpResolver) -> None:
    """Answer errors with problem documents."""

    def invalid(error: RequestValidationError) -> Response[str]:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "json_invalid":
            return problem(400, f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}")
        return problem(422, f"{where}: {first['msg']}")

    def not_found(error: NotFoundError) -> Response[str]:
        return problem(404, str(error))

    def forbidden(error: ForbiddenError) -> Response[str]:
        return problem(403, str(error))

    def unreadable(error: FormatError) -> Response[str]:
        logger.error("the model can't be read", exc_info=error)
        return problem(503, "the model can't be read: see the function's log")

    def refused(error: InputError) -> Response[str]:
        return problem(422, str(error))

    def unavailable(error: ServiceError) -> Response[str]:
        return problem(503, str(error))

    def failed(error: FmrecError) -> Response[str]:
        logger.error("failed", exc_info=error)
        return problem(500, "the request failed: see the function's log")

    def no_route(_error: Exception) -> Response[str]:
        return problem(404, "there is no such route: see the OpenAPI document")

    # The closest class of an error counts.
    app.exception_handler(RequestValidationError)(invalid)
    app.exception_handler(NotFoundError)(not_found)
    app.exception_handler(ForbiddenError)(forbidden)
    app.exception_handler(FormatError)(unreadable)
    app.exception_handler(InputError)(refused)
    app.exception_handler(ServiceError)(unavailable)
    app.exception_handler(FmrecError)(failed)
    app.not_found(no_route)
