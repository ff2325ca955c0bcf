"""Answer the HTTP API's requests for lists."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.live.api import routes
from fmrec.live.served_model import Champion

logger = Logger(service="answer_requests")
app = routes.build(Champion(os.environ["DATA_URI"], os.environ["TABLE"], os.environ["DATASET"]))
"""Lives as long as the function's process, and with it the model that it has loaded."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway, payload format 2.0."""
    return routes.answer(app, event, context)
