"""Ask for the right to change what a data set serves."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import AcquirePublishingLockEvent
from fmrec.registry.publishing_lock import acquire

logger = Logger(service="acquire_publishing_lock")


@logger.inject_lambda_context
def handler(event: AcquirePublishingLockEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer whether the lock is acquired, who holds it, and whether the champion has changed."""
    attempt = acquire(
        table=os.environ["LOCK_TABLE"],
        dataset=event["dataset"],
        execution_arn=event["execution_arn"],
        champion_uri=event["champion_uri"],
        judged_against=event["judged_against"],
    )
    logger.info("asked for the lock", extra=attempt.to_document())
    return attempt.to_document()
