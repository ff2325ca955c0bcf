"""One execution at a time changes what a data set serves: its lists, its endpoints and its champion.

The lock is an item per data set that names the execution which holds it. It holds as long as that execution
runs: nothing has to be released, and an execution that failed or was stopped holds nothing. The item is only
ever replaced on condition that it is still the one that was read, so two executions never both have it.

Between a model's judgement and the lock another execution may have changed the champion; who gets the lock is
told to evaluate its model again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from fmrec.errors import ServiceError, ThrottledError
from fmrec.registry import champion

RUNNING = ("RUNNING", "PENDING_REDRIVE")
THROTTLED = ("ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded")


@dataclass(frozen=True)
class Attempt:
    """What came of asking for the lock."""

    acquired: bool
    holder: str
    """ARN of the execution that has it."""
    champion_changed: bool
    """Another champion serves now than when the model was judged."""

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def acquire(
    *,
    table: str,
    dataset: str,
    execution_arn: str,
    champion_uri: str,
    judged_against: str | None,
    dynamodb: Any = None,
    stepfunctions: Any = None,
) -> Attempt:
    """Ask for a data set's lock; who has it already gets it again.

    Parameters
    ----------
    table
        DynamoDB table of locks, keyed by ``dataset``.
    execution_arn
        Who asks.
    champion_uri
        Where the data set's champion is recorded.
    judged_against
        ``execution_arn`` of the champion that the model was compared with, empty if there was none; None
        where it doesn't matter what serves.
    dynamodb, stepfunctions
        botocore clients; by default made from the environment.

    Raises
    ------
    ServiceError
        DynamoDB, S3 or Step Functions refused or failed.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    locks = dynamodb or boto3.client("dynamodb")
    try:
        holder = _take(locks, stepfunctions, table, dataset, execution_arn)
    except ClientError as error:
        kind = ThrottledError if error.response["Error"]["Code"] in THROTTLED else ServiceError
        raise kind(f"the lock of the data set {dataset!r} can't be had: {error}") from error
    except BotoCoreError as error:
        raise ServiceError(f"the lock of the data set {dataset!r} can't be had: {error}") from error
    if holder != execution_arn:
        return Attempt(False, holder, False)
    serving = champion.recorded(champion_uri)
    now = serving.execution_arn if serving is not None else ""
    return Attempt(True, holder, judged_against is not None and judged_against not in (now, execution_arn))


def _take(locks: Any, stepfunctions: Any, table: str, dataset: str, execution_arn: str) -> str:
    """Take the lock if it is free; return who has it then."""
    key = {"dataset": {"S": dataset}}
    found = locks.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    holder = found["execution_arn"]["S"] if found else ""
    # The role may see executions of the deployed workflow only; one of another is of a workflow that was
    # replaced.
    same_workflow = holder.rpartition(":")[0] == execution_arn.rpartition(":")[0]
    if holder != execution_arn and same_workflow and _runs(stepfunctions, holder):
        return holder
    try:
        locks.put_item(
            TableName=table,
            Item={
                **key,
                "execution_arn": {"S": execution_arn},
                "since": {"S": datetime.now(UTC).isoformat(timespec="seconds")},
            },
            ConditionExpression="execution_arn = :read" if found else "attribute_not_exists(dataset)",
            **({"ExpressionAttributeValues": {":read": {"S": holder}}} if found else {}),
        )
    except locks.exceptions.ConditionalCheckFailedException:
        return "another execution, which was quicker"
    return execution_arn


def _runs(stepfunctions: Any, execution_arn: str) -> bool:
    """Whether an execution is under way."""
    import boto3

    client = stepfunctions or boto3.client("stepfunctions")
    try:
        status: str = client.describe_execution(executionArn=execution_arn)["status"]
    except client.exceptions.ExecutionDoesNotExist:
        return False
    return status in RUNNING
