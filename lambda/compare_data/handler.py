"""Compare the data of a run with what the champion learned from."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import CompareDataEvent
from fmrec.operation.drift_step import compare_with_champion

logger = Logger(service="compare_data")


@logger.inject_lambda_context
def handler(event: CompareDataEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer whether the run should stop, a sentence, what was measured and what was found."""
    comparison = compare_with_champion(event["manifest_uri"], event["champion_uri"], event["limits"])
    logger.info(comparison.sentence)
    return comparison.to_document()
