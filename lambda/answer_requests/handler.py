"""Answer the HTTP API's requests for lists."""

import json
import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.events.event_table import EventTable
from fmrec.live.api import routes
from fmrec.live.api.application import answer
from fmrec.live.api.callers import Callers
from fmrec.live.endpoint_ranking import EndpointRanking, runtime_client
from fmrec.live.item_names import StoredNames
from fmrec.live.served_model import Champion
from fmrec.recommendations.table import dynamodb_client

logger = Logger(service="answer_requests")
client = dynamodb_client()
dataset = os.environ["DATASET"]
events = EventTable(os.environ["EVENTS"], dataset, client=client) if os.environ.get("EVENTS") else None
endpoint = (
    EndpointRanking(os.environ["ENDPOINT"], int(os.environ["ENDPOINT_FROM_ITEMS"]), runtime_client())
    if os.environ.get("ENDPOINT")
    else None
)
names = StoredNames(os.environ.get("ITEM_NAMES"), json.loads(os.environ.get("ITEM_NAMES_COLUMNS", "[]")))
app = routes.build(
    Champion(
        os.environ["DATA_URI"],
        os.environ["TABLE"],
        dataset,
        events=events,
        endpoint=endpoint,
        names=names,
        client=client,
    ),
    Callers.of_environment(),
)
"""Lives as long as the function's process, and with it the model that it has loaded."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway, payload format 2.0."""
    return answer(app, event, context)
