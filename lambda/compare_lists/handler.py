"""Compare what a run has published with what the champion published."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import CompareListsEvent
from fmrec.operation.list_changes import compare_lists

logger = Logger(service="compare_lists")


@logger.inject_lambda_context
def handler(event: CompareListsEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer how many lists stayed the same, how much of them, and what they cover; and a sentence."""
    changes = compare_lists(
        lists_uri=event["lists_uri"],
        manifest_uri=event["manifest_uri"],
        champion_uri=event["champion_uri"],
    )
    logger.info(changes.sentence)
    return changes.to_document()
