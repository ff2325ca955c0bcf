"""Remove lists that the last publication left behind: of users who are gone, and of segments that are no
more.

Publishing writes every list of a data set with its model's version, so a list of the data set with another
version is of somebody whom the model that serves now doesn't know. The table is scanned once, in segments at
a time, at a cost that follows the table: one read unit per 8 KiB. Reads are consistent and deletions
conditional, so that a list that is written meanwhile stays.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fmrec.dataset.names import DEFAULT
from fmrec.recommendations.table import WRITERS, dynamodb_client, naming_table

SEGMENTS = WRITERS


def remove_departed(*, table: str, dataset: str, model_version: str, dynamodb: Any = None) -> dict[str, int]:
    """Delete a data set's lists of other model versions; once more deletes nothing.

    Parameters
    ----------
    table
        DynamoDB table of recommendations.
    model_version
        What has been published.
    dynamodb
        A botocore client; by default one made from the environment.

    Returns
    -------
    dict
        ``{"removed": number of lists}``.

    Raises
    ------
    ServiceError
        DynamoDB refused or failed.
    """
    client = dynamodb or dynamodb_client()
    with ThreadPoolExecutor(SEGMENTS, thread_name_prefix="dynamodb") as pool:
        removed = pool.map(
            lambda segment: _remove_from(client, table, dataset, model_version, segment), range(SEGMENTS)
        )
        return {"removed": sum(removed)}


def _remove_from(client: Any, table: str, dataset: str, model_version: str, segment: int) -> int:
    of_dataset, values = _keys_of(dataset)
    current = {":current": {"S": model_version}}
    removed = 0
    with naming_table(table):
        pages = client.get_paginator("scan").paginate(
            TableName=table,
            Segment=segment,
            TotalSegments=SEGMENTS,
            ConsistentRead=True,
            ProjectionExpression="user_id",
            FilterExpression=f"model_version <> :current AND attribute_exists(recommendations) AND ({of_dataset})",
            ExpressionAttributeValues=current | values,
        )
        for page in pages:
            for item in page["Items"]:
                removed += _remove(client, table, item["user_id"], current)
    return removed


def _keys_of(dataset: str) -> tuple[str, dict[str, Any]]:
    """A condition that only a data set's keys fulfil (`fmrec.recommendations.table_keys`)."""
    own = {":own": {"S": f"/{dataset}/"}}
    if dataset == DEFAULT:
        return "NOT begins_with(user_id, :named) OR begins_with(user_id, :own)", own | {":named": {"S": "/"}}
    return "begins_with(user_id, :own) OR begins_with(user_id, :popular)", own | {
        ":popular": {"S": f"/{dataset}*"}
    }


def _remove(client: Any, table: str, key: dict[str, str], current: dict[str, Any]) -> int:
    try:
        client.delete_item(
            TableName=table,
            Key={"user_id": key},
            ConditionExpression="attribute_exists(user_id) AND model_version <> :current",
            ExpressionAttributeValues=current,
        )
    except client.exceptions.ConditionalCheckFailedException:
        return 0
    return 1
