"""Propose the next trials of hyperparameters by what earlier ones have reached, and say which is the best."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import ProposeTrialsEvent
from fmrec.execution.trial_rounds import propose

logger = Logger(service="propose_trials")


@logger.inject_lambda_context
def handler(event: ProposeTrialsEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer the next round's trials, none where the search has ended, and the best one so far."""
    answer = propose(event)
    logger.info("proposed trials", extra=answer)
    return answer
