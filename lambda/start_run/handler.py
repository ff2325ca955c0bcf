"""Start a run if a schedule, new data or the end of another run asks for it, and one is due."""

import json
import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.operation.start_step import Deployment, connect, start_if_due
from fmrec.operation.starting import RUN_ENDED, Patience

logger = Logger(service="start_run")
settings = json.loads(os.environ["STARTER"])
deployment = Deployment(
    state_machine_arn=os.environ["STATE_MACHINE"],
    table=os.environ["LOCK_TABLE"],
    bucket=os.environ["DATA_BUCKET"],
    prefixes=settings["prefixes"],
    dataset=settings["dataset"],
    patience=Patience(**settings["patience"]),
)
clients = connect()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer whether a run was started, and why or why not.

    The event is ``{"source": …}`` from EventBridge Scheduler, or EventBridge's own when an execution ended.
    """
    source, ended = str(event.get("source")), None
    if source == "aws.states":
        source, ended = RUN_ENDED, (event["detail"]["executionArn"], event["detail"]["status"])
    decision = start_if_due(source, deployment, clients, ended=ended)
    logger.info(decision.sentence, extra={"started": decision.start, "asked_by": source})
    return {
        "started": decision.start,
        "sentence": decision.sentence,
        "execution_arn": decision.memory.execution_arn,
    }
