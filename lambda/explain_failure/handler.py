"""Say in a sentence what failed, where to look and what to do."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec import failures

logger = Logger(service="explain_failure")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """Answer the failure's ``error`` name, its ``sentence`` and a ``subject`` for a message."""
    failure = failures.explain(event["failure"], event["execution_arn"])
    logger.error(failure.sentence)
    return failure.to_document()
