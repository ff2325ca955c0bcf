"""Publish the top-N of some query parts to DynamoDB and Parquet."""

from collections import Counter

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import PublishRecommendationsEvent
from fmrec.recommendations.filters import check_remote
from fmrec.recommendations.publish import publish

logger = Logger(service="publish_recommendations")


@logger.inject_lambda_context
def handler(event: PublishRecommendationsEvent, context: LambdaContext) -> dict[str, int]:
    """Answer how many users and recommendations were written for the parts ``[first, end)``."""
    first, end = event["parts"]
    total = Counter[str]()
    for part in range(first, end):
        written = publish(
            manifest_uri=event["manifest_uri"],
            embeddings_uri=event["embeddings_uri"],
            neighbours_uri=event["neighbours_uri"],
            output_uri=event["output_uri"],
            table=event["table"],
            part=part,
            per_user=event["per_user"],
            model_version=event["model_version"],
            exclude_seen=event["exclude_seen"],
            filters=check_remote(event["filters"]),
        )
        total.update(written)
        logger.info("published", extra={"part": part, **written})
    return dict(total)
