"""Decide whether a model is good enough to publish: thresholds and, for lists, popularity and the
champion.
"""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution import quality_gate
from fmrec.execution.function_contracts import CheckQualityEvent

logger = Logger(service="check_quality")


@logger.inject_lambda_context
def handler(event: CheckQualityEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer the verdict: passed, a sentence, the metrics and each check."""
    evaluation = event["evaluation"]
    if evaluation is None:
        verdict = quality_gate.check(event["metrics"], event["thresholds"])
    else:
        verdict = quality_gate.judge(evaluation, event["thresholds"])
    logger.info(verdict.sentence)
    return verdict.to_document()
