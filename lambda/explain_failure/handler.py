"""Say in a sentence what failed, where to look and what to do; ask for a quota if settings allow it."""

import os

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution import failures
from fmrec.execution.function_contracts import ExplainFailureEvent

logger = Logger(service="explain_failure")
may_request = os.environ["REQUEST_QUOTA_INCREASES"] == "true"


@logger.inject_lambda_context
def handler(event: ExplainFailureEvent, context: LambdaContext) -> dict[str, str]:
    """Answer the failure's ``error`` name, its ``sentence`` and a ``subject`` for a message."""
    explanation = failures.explain(event["failure"], event["execution_arn"])
    document = explanation.to_document()
    if explanation.increase is not None and may_request:
        from fmrec.instances import account

        asked = account.request_increase(
            account.connect().service_quotas, explanation.increase, allowed=may_request
        )
        document["sentence"] += f" {asked.sentence}"
    logger.error(document["sentence"])
    return document
