"""What fails on a schedule: the target's role, and dead-letter queues whose metric alarms see.

Stock invokes a schedule's target in nobody's name and drops what it can't deliver. A target that is missing
or may not be called is given up at once here, without retries, which could not help. Sources: EventBridge
Scheduler user guide, "Setting up the execution role" and "Configuring a dead-letter queue" (attributes of the
message); SQS developer guide, metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from localcloud import roles
from localcloud.hooks.binding import FUNCTION, find, replace

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

logger = logging.getLogger("localcloud.schedules")

_EVENTS, _LAMBDA, _CLOUDWATCH = (
    f"ministack.services.{name}" for name in ("eventbridge", "lambda_svc", "cloudwatch")
)
_SOURCE, _SESSION = "aws.scheduler", "scheduler"
_ACTIONS = {"lambda": "lambda:InvokeFunction", "states": "states:StartExecution", "sqs": "sqs:SendMessage"}


def install(cloud: Cloud) -> None:
    """Put the patch in place."""
    replace(_EVENTS, "_invoke_target", ("target", "event", "rule", "view"), _delivering(cloud))


def _delivering(cloud: Cloud) -> Callable[[Callable[..., None]], Callable[..., None]]:
    region = cloud.record.region

    def make(original: Callable[..., None]) -> Callable[..., None]:
        def invoke_target(target: dict[str, Any], event: dict[str, Any], rule: Any, view: Any = None) -> None:
            refusal = _refusal(target, region) if event.get("Source") == _SOURCE else None
            if refusal is None:
                original(target, event, rule, view)
                return
            queue = (target.get("DeadLetterConfig") or {}).get("Arn")
            logger.warning("%s is not delivered: %s", rule.get("Arn"), refusal[1])
            if queue:
                _bury(cloud, target, rule, queue, *refusal)

        return invoke_target

    return make


def _refusal(target: dict[str, Any], region: str) -> tuple[str, str] | None:
    """Error code and message with which the target can't be invoked, or None."""
    arn, role = target["Arn"], target.get("RoleArn", "")
    service = arn.split(":")[2]
    if service in _ACTIONS and (denial := roles.denial(role, _SESSION, _ACTIONS[service], arn, region)):
        return "AccessDeniedException", denial
    if service == "lambda":
        function, _, name = find(_LAMBDA, "_get_func_record_for_ref", FUNCTION)(arn)
        if function is None:
            return "ResourceNotFoundException", f"Function not found: {name}"
    return None


def _bury(
    cloud: Cloud, target: dict[str, Any], schedule: dict[str, Any], queue: str, code: str, message: str
) -> None:
    """Send what could not be delivered to the dead-letter queue, in the role's name."""
    import botocore.exceptions

    sqs = roles.client("sqs", roles.credentials(target.get("RoleArn", ""), _SESSION), cloud.record)
    name = queue.rpartition(":")[2]
    attributes = {
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message,
        "SCHEDULE_ARN": schedule.get("Arn", ""),
        "TARGET_ARN": target["Arn"],
    }
    try:
        url = f"{cloud.record.endpoint_url}/{cloud.record.account}/{name}"
        sqs.send_message(
            QueueUrl=url,
            MessageBody=target.get("Input") or "{}",
            MessageAttributes={
                key: {"DataType": "String", "StringValue": value}
                for key, value in attributes.items()
                if value
            },
        )
    except botocore.exceptions.ClientError:
        logger.exception("the dead-letter queue %s takes nothing", queue)
        return
    record = find(_CLOUDWATCH, "record_metric", FUNCTION)
    record("AWS/SQS", "ApproximateNumberOfMessagesVisible", 1, "Count", {"QueueName": name})
    find(_CLOUDWATCH, "_evaluate_all_alarms", FUNCTION)()
