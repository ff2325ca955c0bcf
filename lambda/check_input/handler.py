"""Check an execution's name and input, and fill in the deployed defaults."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution import execution_input
from fmrec.execution.data_bucket import DataBucket
from fmrec.execution.function_contracts import CheckInputEvent
from fmrec.registry import model_registry, promotion

logger = Logger(service="check_input")


@logger.inject_lambda_context
def handler(event: CheckInputEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer run, dataset, encoded, hyperparameters, serving and promotion as resolved."""
    bucket = DataBucket(os.environ["DATA_URI"])
    run, given, defaults = event["run"], event["input"], event["defaults"]
    if promotion.is_wanted(given):
        resolved = promotion.resolve(
            run,
            given,
            defaults,
            bucket=bucket,
            groups=os.environ["MODEL_GROUPS_ARN"],
            registry=model_registry.ModelRegistry(model_registry.connect()),
        )
    else:
        resolved = execution_input.resolve(run, given, defaults, bucket)
    logger.info("checked the input", extra=resolved)
    return resolved
