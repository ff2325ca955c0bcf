"""Ask the scoring endpoint for a held-out pair's score."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.predictions.scoring_smoke_test import ask

logger = Logger(service="ask_for_score")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer whether the endpoint scores as the batch transform did, in a sentence."""
    answer = ask(
        endpoint_name=event["endpoint_name"],
        manifest_uri=event["manifest_uri"],
        scores_uri=event["scores_uri"],
    )
    logger.info(answer.sentence)
    return answer.to_document()
