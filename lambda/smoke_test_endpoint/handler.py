"""Smoke-test the k-NN endpoint: compare its answer for one user with what is published."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import SmokeTestEndpointEvent
from fmrec.recommendations.filters import check_remote
from fmrec.recommendations.knn_smoke_test import smoke_test

logger = Logger(service="smoke_test_endpoint")


@logger.inject_lambda_context
def handler(event: SmokeTestEndpointEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer whether endpoint and table agree, in a sentence, and both lists."""
    answer = smoke_test(
        endpoint_name=event["endpoint_name"],
        manifest_uri=event["manifest_uri"],
        embeddings_uri=event["embeddings_uri"],
        table=event["table"],
        exclude_seen=event["exclude_seen"],
        filters=check_remote(event["filters"]),
    )
    logger.info(answer.sentence)
    return answer.to_document()
