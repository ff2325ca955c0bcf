"""The route that takes events: checked as a whole, then stored; the function that serves it only writes."""

# Without `from __future__ import annotations`: the event handler reads the types of local functions.

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from fmrec.errors import InputError
from fmrec.events.event import Event
from fmrec.events.event_files import EventFiles
from fmrec.events.event_table import EventTable
from fmrec.live.api.application import add_errors, succeeds
from fmrec.live.api.callers import Callers
from fmrec.live.api.schemas import EventsReceipt, EventsRequest, PostedEvent

CLOCK_DIFFERENCE = 300.0
"""Seconds that a caller's clock may be ahead."""


def build(
    table: EventTable, files: EventFiles, keep_days: int, callers: Callers | None = None
) -> APIGatewayHttpResolver:
    """The application that answers API Gateway's requests to store events (payload format 2.0)."""
    app = APIGatewayHttpResolver(enable_validation=True)
    add_errors(app)
    add_routes(app, table, files, keep_days, callers or Callers())
    return app


def add_routes(
    app: APIGatewayHttpResolver, table: EventTable, files: EventFiles, keep_days: int, callers: Callers
) -> None:
    """Add the route that stores events."""

    @app.post("/events", summary="Store interactions", responses=succeeds(EventsReceipt, 403, 422, 503))
    def store(body: EventsRequest) -> EventsReceipt:
        callers.check(app.current_event, {posted.user_id for posted in body.events})
        now = table.clock()
        events = [_event(posted, now) for posted in body.events]
        for at, event in enumerate(events):
            problem = files.problem(event)
            if event.at > now + CLOCK_DIFFERENCE:
                problem = "at", "is in the future: expected a time when it has happened"
            if problem is not None:
                field, sentence = problem
                raise InputError(f"body.events.{at}.{field} {sentence}; no event of this request was stored")
        new = sum(table.put(events, keep_days))
        return EventsReceipt(stored=new, duplicates=len(events) - new)


def _event(posted: PostedEvent, now: float) -> Event:
    at = now if posted.at is None else posted.at.timestamp()
    return Event(posted.event_id, posted.user_id, posted.item_id, at, posted.event, posted.value)
