"""Remove lists of users who are no longer in the data."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import RemoveDepartedUsersEvent
from fmrec.recommendations.departed import remove_departed

logger = Logger(service="remove_departed_users")


@logger.inject_lambda_context
def handler(event: RemoveDepartedUsersEvent, context: LambdaContext) -> dict[str, int]:
    """Answer how many lists were removed."""
    removed = remove_departed(
        table=event["table"], dataset=event["dataset"], model_version=event["model_version"]
    )
    logger.info("removed", extra=removed)
    return removed
