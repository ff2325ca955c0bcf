"""Write the page's files into its bucket when the API's stack is deployed, and delete them with it."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.explore.published_page import answer_cloudformation
from fmrec.storage.s3_client import s3_client

logger = Logger(service="write_page")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Answer a custom resource's request."""
    answer_cloudformation(event, s3_client(), where=context.log_stream_name)
