"""Write the run's report, record what serves now, and say in a few lines what the report says."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution import run_report
from fmrec.execution.function_contracts import WriteReportEvent
from fmrec.predictions import served_model
from fmrec.predictions.served_model import Served
from fmrec.registry import champion
from fmrec.registry.champion import Champion

logger = Logger(service="write_report")


@logger.inject_lambda_context
def handler(event: WriteReportEvent, context: LambdaContext) -> dict[str, str]:
    """Answer the report's ``uri``, and a ``subject`` and ``message`` for people."""
    written = run_report.write(event["report"], event["report_uri"])
    if event["champion"] is not None:
        serves = dict(event["champion"])
        previous = serves.pop("previous", None)
        champion.promote(Champion(**serves), event["champion_uri"], previous=previous)
    if event["served"] is not None:
        served_model.write(Served(**event["served"]), event["served_uri"])
    logger.info(run_report.LOGGED, extra=run_report.logged(event["report"]))
    return written
