"""The route that erases a user, with a receipt of what is gone and what is left."""

# Without `from __future__ import annotations`: the event handler reads the types of local functions.

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from fmrec.errors import InputError
from fmrec.events.erasure import Eraser, Kept
from fmrec.events.event_files import MAXIMUM_ID_BYTES
from fmrec.live.api.application import PathId, add_errors, succeeds
from fmrec.live.api.callers import Callers
from fmrec.live.api.schemas import ErasureReceipt, Pending, Removed


def build(eraser: Eraser, kept: Sequence[Kept], callers: Callers | None = None) -> APIGatewayHttpResolver:
    """The application that answers API Gateway's requests to erase a user (payload format 2.0)."""
    app = APIGatewayHttpResolver(enable_validation=True)
    add_errors(app)
    add_routes(app, eraser, kept, callers or Callers())
    return app


def add_routes(app: APIGatewayHttpResolver, eraser: Eraser, kept: Sequence[Kept], callers: Callers) -> None:
    """Add the route that erases."""

    @app.delete(
        "/users/<user_id>",
        summary="Erase a user, known or not",
        responses=succeeds(ErasureReceipt, 403, 422, 503),
    )
    def erase(user_id: PathId) -> ErasureReceipt:
        callers.check(app.current_event, [user_id])
        if len(user_id.encode(errors="replace")) > MAXIMUM_ID_BYTES:
            raise InputError(
                f"the user's id has more than {MAXIMUM_ID_BYTES} bytes: nobody is stored under it"
            )
        erased = eraser.erase(user_id)
        return ErasureReceipt(
            user_id=user_id,
            erased_at=datetime.fromtimestamp(erased.at, UTC),
            removed=Removed(lists=erased.lists, events=erased.events),
            pending=[Pending(**asdict(each)) for each in kept],
        )
