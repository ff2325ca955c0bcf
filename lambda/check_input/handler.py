"""Check an execution's name and input, and fill in the deployed defaults."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec import execution_input

logger = Logger(service="check_input")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer run, dataset, encoded, hyperparameters and serving as resolved."""
    resolved = execution_input.resolve(event["run"], event["input"], event["defaults"])
    logger.info("checked the input", extra=resolved)
    return resolved
