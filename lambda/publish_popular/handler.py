"""Publish popular items, for users whom the model doesn't know."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import PublishPopularEvent
from fmrec.recommendations.cold_start import publish_popular
from fmrec.recommendations.filters import check_remote
from fmrec.recommendations.rule_document import check_segments

logger = Logger(service="publish_popular")


@logger.inject_lambda_context
def handler(event: PublishPopularEvent, context: LambdaContext) -> dict[str, int]:
    """Answer how many lists were written."""
    check_segments(event["segments_uri"])
    written = publish_popular(
        manifest_uri=event["manifest_uri"],
        table=event["table"],
        per_user=event["per_user"],
        model_version=event["model_version"],
        filters=check_remote(event["filters"]),
        segments_uri=event["segments_uri"],
    )
    logger.info("published", extra=written)
    return written
