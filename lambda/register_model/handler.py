"""Register a judged model in SageMaker Model Registry, and keep what serving it later needs."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import RegisterModelEvent
from fmrec.registry import model_registry
from fmrec.registry.registration import register

logger = Logger(service="register_model")
registry = model_registry.ModelRegistry(model_registry.connect())


@logger.inject_lambda_context
def handler(event: RegisterModelEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer the version: group, version, arn, status, and where its record is."""
    answer = register(registry, **event)
    logger.info("registered the model", extra=answer)
    return answer
