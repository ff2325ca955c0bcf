"""Delete the deployment's endpoints that nobody has called for some hours."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.operation.idle import connect, delete_idle

logger = Logger(service="delete_idle_endpoints")
clients = connect()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer which endpoints were deleted, and why each was or wasn't.

    The event is ``{}`` from EventBridge Scheduler; who asks by hand may give other ``idle_hours``.
    """
    hours = float(event.get("idle_hours") or os.environ["IDLE_HOURS"])
    verdicts = delete_idle(clients, os.environ["PREFIX"], os.environ["STATE_MACHINE"], hours)
    for verdict in verdicts:
        logger.info(verdict.sentence, extra={"endpoint": verdict.name, "deleted": verdict.deleted})
    return {
        "deleted": [verdict.name for verdict in verdicts if verdict.deleted],
        "sentences": [verdict.sentence for verdict in verdicts],
    }
