"""Smoke-test the scoring endpoint with a held-out pair."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import SmokeTestScoringEvent
from fmrec.predictions.scoring_smoke_test import smoke_test

logger = Logger(service="smoke_test_scoring")


@logger.inject_lambda_context
def handler(event: SmokeTestScoringEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer whether the endpoint scores as the batch transform did, in a sentence."""
    answer = smoke_test(
        endpoint_name=event["endpoint_name"],
        manifest_uri=event["manifest_uri"],
        scores_uri=event["scores_uri"],
    )
    logger.info(answer.sentence)
    return answer.to_document()
