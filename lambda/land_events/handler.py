"""Write stored events to raw/, in the data set's own format."""

import json
import os
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.events.event_files import EventFiles
from fmrec.events.landing import Landing
from fmrec.recommendations.table import dynamodb_client

logger = Logger(service="land_events")
landing = Landing(
    os.environ["DATA_URI"],
    os.environ["EVENTS"],
    EventFiles.of(json.loads(os.environ["EVENT_FILES"])),
    dynamodb_client(),
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Land a batch of the table's stream; an exception brings the batch again."""
    landed = asdict(landing.land(event["Records"]))
    logger.info("landed", extra={"landed": landed})
    return landed
