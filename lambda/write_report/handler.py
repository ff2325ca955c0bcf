"""Write the run's report, and say in a few lines what it says."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec import run_report

logger = Logger(service="write_report")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """Answer the report's ``uri``, and a ``subject`` and ``message`` for people."""
    written = run_report.write(event["report"], event["report_uri"])
    logger.info(written["subject"])
    return written
