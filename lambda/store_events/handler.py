"""Store the events that are posted to the HTTP API."""

import json
import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.events.event_files import EventFiles
from fmrec.events.event_table import EventTable
from fmrec.live.api import event_routes
from fmrec.live.api.application import answer
from fmrec.live.api.callers import Callers
from fmrec.recommendations.table import dynamodb_client

logger = Logger(service="store_events")
app = event_routes.build(
    EventTable(os.environ["EVENTS"], os.environ["DATASET"], client=dynamodb_client()),
    EventFiles.of(json.loads(os.environ["EVENT_FILES"])),
    int(os.environ["KEEP_DAYS"]),
    Callers.of_environment(),
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway, payload format 2.0."""
    return answer(app, event, context)
