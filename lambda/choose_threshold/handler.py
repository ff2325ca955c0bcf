"""Choose where scores of held-out pairs mean yes, and write the pairs down with what they mean."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import ChooseThresholdEvent
from fmrec.predictions.threshold_step import decide

logger = Logger(service="choose_threshold")


@logger.inject_lambda_context
def handler(event: ChooseThresholdEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer what decision.json says, and where it is."""
    decision = decide(
        manifest_uri=event["manifest_uri"],
        scores_uri=event["scores_uri"],
        output_uri=event["output_uri"],
        model_version=event["model_version"],
    )
    logger.info(decision["sentence"])
    return decision
