"""Erase a user for the HTTP API."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.events.erasure import Eraser, kept
from fmrec.events.event_table import EventTable
from fmrec.live.api import erasure_routes
from fmrec.live.api.application import answer
from fmrec.live.api.callers import Callers
from fmrec.recommendations.table import dynamodb_client

logger = Logger(service="erase_user")
app = erasure_routes.build(
    Eraser(
        os.environ["DATA_URI"],
        os.environ["TABLE"],
        EventTable(os.environ["EVENTS"], os.environ["DATASET"], client=dynamodb_client()),
        os.environ["DATASET"],
    ),
    kept(int(os.environ["INTERMEDIATE_DAYS"]), int(os.environ["NONCURRENT_DAYS"])),
    Callers.of_environment(),
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway, payload format 2.0."""
    return answer(app, event, context)
