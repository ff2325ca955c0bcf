"""The API's routes over `fmrec.live.answers`, and its errors as problem documents (RFC 9457)."""

# Without `from __future__ import annotations`: the event handler reads the types of local functions.

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from fmrec.errors import FmrecError, FormatError, InputError, NotFoundError, ServiceError
from fmrec.live import answers
from fmrec.live.answers import MAXIMUM_ITEMS, Request
from fmrec.live.api.schemas import Interaction, ItemList, Problem, RankRequest, SessionRequest
from fmrec.live.served_model import Champion, ServedModel
from fmrec.live.user_history import Event, UserHistory

MAXIMUM_BODY = 1 << 20
PROBLEM = "application/problem+json"
TITLE, VERSION = "Recommendations", "1"

Count = Annotated[int, Query(ge=1, le=MAXIMUM_ITEMS, description="Length of the list")]
Ids = Annotated[str | None, Query(description="Item ids, separated by commas")]
Diversity = Annotated[float, Query(ge=0, le=1, description="From 0, best first, to 1, unlike each other")]
Flag = Annotated[bool, Query()]
Reasons = Annotated[int, Query(ge=0, le=100, description="Items of the history that explain each item")]
UserId = Annotated[str, Path(min_length=1, max_length=1024)]
ItemId = Annotated[str, Path(min_length=1, max_length=1024)]

logger = Logger(service="answer_requests")


def problem(status: int, detail: str) -> Response[str]:
    """An error's answer."""
    title = HTTPStatus(status).phrase
    body = Problem(type="about:blank", title=title, status=status, detail=detail)
    return Response(status, PROBLEM, body.model_dump_json())


def build(champion: Champion) -> APIGatewayHttpResolver:
    """The application that answers API Gateway's events (payload format 2.0)."""
    app = APIGatewayHttpResolver(enable_validation=True)
    _add_errors(app)
    failures: dict[int, Any] = {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"model": Problem}}}
        for status in (422, 503)
    }
    missing: dict[int, Any] = failures | {
        404: {"description": "Not Found", "content": {PROBLEM: {"model": Problem}}}
    }

    @app.get(
        "/users/<user_id>/recommendations", summary="Items for a user, known or not", responses=_ok(failures)
    )
    def recommend(
        user_id: UserId,
        n: Count = 10,
        allow: Ids = None,
        deny: Ids = None,
        diversity: Diversity = 0.0,
        include_seen: Flag = False,
        because: Reasons = 0,
        segment: Annotated[str | None, Query()] = None,
    ) -> ItemList:
        model = champion.model()
        request = Request(
            n,
            allow=None if allow is None else _ids(allow),
            deny=_ids(deny),
            diversity=diversity,
            include_seen=include_seen,
            because=because,
        )
        published = champion.published(user_id)
        if published is not None and request.plain and len(published.items) >= n:
            # The list answers it: the user's interactions need not be read.
            history = model.session([])
            return ItemList.of(answers.recommend(model.live, history, request, published=published))
        history = model.history(user_id)
        return _recommended(champion, model, history, request, segment)

    @app.post("/recommendations", summary="Items for a history in the body", responses=_ok(failures))
    def recommend_for_session(body: SessionRequest) -> ItemList:
        model = champion.model()
        history = model.session(_events(body.history))
        return _recommended(champion, model, history, body.request(), body.segment)

    @app.get("/items/<item_id>/similar", summary="Items like this one", responses=_ok(missing))
    def similar(item_id: ItemId, n: Count = 10, allow: Ids = None, deny: Ids = None) -> ItemList:
        request = Request(n, allow=None if allow is None else _ids(allow), deny=_ids(deny))
        return ItemList.of(answers.similar(champion.model().live, item_id, request))

    @app.post("/rank", summary="Order the given items for a user or a history", responses=_ok(failures))
    def rank(body: RankRequest) -> ItemList:
        if (body.user_id is None) == (body.history is None):
            raise InputError("expected either 'user_id' or 'history', and one of them only")
        model = champion.model()
        history = (
            model.session(_events(body.history or []))
            if body.user_id is None
            else model.history(body.user_id)
        )
        return ItemList.of(answers.rank(model.live, history, body.item_ids))

    @app.get("/popular", summary="What most users have interacted with", responses=_ok(failures))
    def popular(n: Count = 10, allow: Ids = None, deny: Ids = None) -> ItemList:
        request = Request(n, allow=None if allow is None else _ids(allow), deny=_ids(deny))
        return ItemList.of(answers.popular(champion.model().live, request))

    return app


def answer(app: APIGatewayHttpResolver, event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request; a body that is too large is not parsed."""
    if len(event.get("body") or "") > MAXIMUM_BODY:
        detail = f"the body has more than {MAXIMUM_BODY} characters: send it in parts"
        large = problem(413, detail)
        return {"statusCode": 413, "headers": {"Content-Type": PROBLEM}, "body": large.body}
    return app.resolve(event, context)


def openapi_document() -> str:
    """The API's OpenAPI document, as committed in docs/openapi.json."""
    app = build(Champion("", ""))
    text = app.get_openapi_json_schema(title=TITLE, version=VERSION, openapi_version="3.1.0")
    return json.dumps(json.loads(text), indent=2) + "\n"


def _recommended(
    champion: Champion, model: ServedModel, history: UserHistory, request: Request, segment: str | None
) -> ItemList:
    popular = None if len(history.ordinals) else champion.popular(segment)
    found = answers.recommend(model.live, history, request, popular_list=popular)
    return ItemList.of(found, explained=request.because > 0)


def _events(history: Iterable[Interaction]) -> list[Event]:
    return [
        Event(str(number), "", each.item_id, float(number), each.event, each.value)
        for number, each in enumerate(history)
    ]


def _ids(text: str | None) -> frozenset[str]:
    return frozenset(part for part in (text or "").split(",") if part)


def _ok(failures: dict[int, Any]) -> dict[int, Any]:
    return {200: {"description": "OK", "content": {"application/json": {"model": ItemList}}}} | failures


def _add_errors(app: APIGatewayHttpResolver) -> None:
    def invalid(error: RequestValidationError) -> Response[str]:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "json_invalid":
            return problem(400, f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}")
        return problem(422, f"{where}: {first['msg']}")

    def not_found(error: NotFoundError) -> Response[str]:
        return problem(404, str(error))

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
    app.exception_handler(FormatError)(unreadable)
    app.exception_handler(InputError)(refused)
    app.exception_handler(ServiceError)(unavailable)
    app.exception_handler(FmrecError)(failed)
    app.not_found(no_route)
