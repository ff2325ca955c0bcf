"""The API's routes over `fmrec.live.answers`, and its errors as problem documents (RFC 9457)."""

# Without `from __future__ import annotations`: the event handler reads the types of local functions.

import json
from collections.abc import Iterable
from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.models import (
    APIKey,
    APIKeyIn,
    HTTPBearer,
    SecurityScheme,
)
from aws_lambda_powertools.event_handler.openapi.params import Query

from fmrec.dataset.names import DEFAULT
from fmrec.errors import InputError
from fmrec.events.erasure import Eraser
from fmrec.events.event import Event
from fmrec.events.event_files import EventFiles
from fmrec.events.event_table import EventTable
from fmrec.live import answers
from fmrec.live.answers import Request
from fmrec.live.api import catalogue_routes, erasure_routes, event_routes
from fmrec.live.api.application import PathId, add_errors, succeeds
from fmrec.live.api.callers import Callers
from fmrec.live.api.query import Count, Diversity, Ids, Maxima, Pairs, filters
from fmrec.live.api.schemas import Audience, Interaction, ItemList, LikelyUser, RankRequest, SessionRequest
from fmrec.live.audience import likely_users
from fmrec.live.served_model import Champion, ServedModel
from fmrec.live.user_history import UserHistory

TITLE, VERSION = "Recommendations", "1"

Flag = Annotated[bool, Query()]
Reasons = Annotated[int, Query(ge=0, le=100, description="Items of the history that explain each item")]


def build(champion: Champion, callers: Callers | None = None) -> APIGatewayHttpResolver:
    """The application that answers API Gateway's requests for lists (payload format 2.0)."""
    app = APIGatewayHttpResolver(enable_validation=True)
    add_errors(app)
    add_routes(app, champion, callers or Callers())
    catalogue_routes.add_routes(app, champion, callers or Callers())
    return app


def add_routes(app: APIGatewayHttpResolver, champion: Champion, callers: Callers) -> None:
    """Add the routes that read."""
    lists = succeeds(ItemList, 422, 503)
    lists_of_a_user = succeeds(ItemList, 403, 422, 503)
    lists_of_an_item = succeeds(ItemList, 404, 422, 503)

    @app.get(
        "/users/<user_id>/recommendations",
        summary="Items for a user, known or not",
        responses=lists_of_a_user,
    )
    def recommend(
        user_id: PathId,
        n: Count = 10,
        allow: Ids = None,
        deny: Ids = None,
        where: Pairs = None,
        where_not: Pairs = None,
        maximum_per: Maxima = None,
        diversity: Diversity = 0.0,
        include_seen: Flag = False,
        because: Reasons = 0,
        segment: Annotated[str | None, Query()] = None,
    ) -> ItemList:
        callers.check(app.current_event, [user_id])
        model = champion.model()
        request = Request(
            n,
            **filters(allow, deny, where, where_not, maximum_per),
            diversity=diversity,
            include_seen=include_seen,
            because=because,
        )
        stored = champion.stored(user_id)
        published = None if model.forgets(stored.erased_at) else champion.published(user_id)
        listed = published is not None and published.suffices(request)
        # Without events the list answers it: the user's interactions need not be read.
        history = model.session([]) if listed and not stored.events else model.history(user_id, stored)
        if listed and history.adds_nothing:
            return ItemList.of(answers.recommend(model.live, history, request, published=published))
        whose = None if model.forgets(stored.erased_at) else user_id
        return _recommended(champion, model, history, request, segment, whose)

    @app.post("/recommendations", summary="Items for a history in the body", responses=lists)
    def recommend_for_session(body: SessionRequest) -> ItemList:
        model = champion.model()
        history = model.session(_events(body.history))
        return _recommended(champion, model, history, body.request(), body.segment)

    @app.get("/items/<item_id>/similar", summary="Items like this one", responses=lists_of_an_item)
    def similar(
        item_id: PathId,
        n: Count = 10,
        allow: Ids = None,
        deny: Ids = None,
        where: Pairs = None,
        where_not: Pairs = None,
        maximum_per: Maxima = None,
        diversity: Diversity = 0.0,
    ) -> ItemList:
        chosen = filters(allow, deny, where, where_not, maximum_per)
        request = Request(n, **chosen, diversity=diversity)
        return ItemList.of(answers.similar(champion.model().live, item_id, request))

    @app.get(
        "/items/<item_id>/audience",
        summary="Users who are likely to want this item",
        responses=succeeds(Audience, 403, 404, 422, 503),
    )
    def item_audience(item_id: PathId, n: Count = 10) -> Audience:
        callers.check_all(app.current_event)
        model = champion.model()
        erased = partial(champion.erased, model)
        found = likely_users(model.live, model.encoded, item_id, n, model.users.names, erased)
        users = [
            LikelyUser(user_id=user, score=score, rank=rank) for rank, (user, score) in enumerate(found, 1)
        ]
        return Audience(
            item_id=item_id, users=users, model_version=model.live.model_version, run=model.live.run
        )

    @app.post("/rank", summary="Order the given items for a user or a history", responses=lists_of_a_user)
    def rank(body: RankRequest) -> ItemList:
        if (body.user_id is None) == (body.history is None):
            raise InputError("expected either 'user_id' or 'history', and one of them only")
        if body.user_id is not None:
            callers.check(app.current_event, [body.user_id])
        model = champion.model()
        history = (
            model.session(_events(body.history or []))
            if body.user_id is None
            else model.history(body.user_id, champion.stored(body.user_id))
        )
        return ItemList.of(answers.rank(model.live, history, body.item_ids))

    @app.get("/popular", summary="What most users have interacted with", responses=lists)
    def popular(
        n: Count = 10,
        allow: Ids = None,
        deny: Ids = None,
        where: Pairs = None,
        where_not: Pairs = None,
        maximum_per: Maxima = None,
        diversity: Diversity = 0.0,
    ) -> ItemList:
        chosen = filters(allow, deny, where, where_not, maximum_per)
        request = Request(n, **chosen, diversity=diversity)
        return ItemList.of(answers.popular(champion.model().live, request))


def openapi_document() -> str:
    """The API's OpenAPI document, as committed in docs/openapi.json."""
    app = build(Champion("", "", client=None))
    events = EventTable("", client=None)
    event_routes.add_routes(app, events, EventFiles.of({}), 1, Callers())
    erasure_routes.add_routes(app, Eraser("", "", events, DEFAULT), [], Callers())
    schemes: dict[str, SecurityScheme] = {
        "iam": APIKey.model_validate(
            {
                "name": "Authorization",
                "in": APIKeyIn.header,
                "description": "AWS Signature Version 4 for the service execute-api, with its other headers: "
                "the default",
            }
        ),
        "jwt": HTTPBearer(bearerFormat="JWT", description="With the setting api.jwt, instead of a signature"),
    }
    text = app.get_openapi_json_schema(
        title=TITLE,
        version=VERSION,
        openapi_version="3.1.0",
        security_schemes=schemes,
        security=[{name: []} for name in schemes],
    )
    return json.dumps(json.loads(text), indent=2) + "\n"


def _recommended(
    champion: Champion,
    model: ServedModel,
    history: UserHistory,
    request: Request,
    segment: str | None,
    user_id: str | None = None,
) -> ItemList:
    query = model.query(history)
    known = len(history.ordinals) > 0 or query is not None
    popular = None if known else champion.popular(segment, user_id)
    found = answers.recommend(model.live, history, request, popular_list=popular, query=query)
    return ItemList.of(found, explained=request.because > 0)


def _events(history: Iterable[Interaction]) -> list[Event]:
    return [
        Event(str(number), "", each.item_id, float(number), each.event, each.value)
        for number, each in enumerate(history)
    ]
