"""How events get in: a function that stores what is posted, and one that lands it in raw/."""

from __future__ import annotations

import json

from aws_cdk import Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from fmrec.artifacts import layout
from fmrec.events.erasure import erasures_uri
from fmrec.events.event_files import PREFIX, EventFiles
from stacks.access import Permission, grant, use_key, without_resource, write_objects
from stacks.api_settings import Api, Events
from stacks.functions import FunctionSettings, add_function
from stacks.monitoring import PERIOD, alarm
from stacks.settings import Settings
from stacks.storage import StorageStack

BATCH_EVENTS = 1000
LATE = Duration.hours(1)


class EventIntake(Construct):
    """``store`` answers POST /events; the table's stream is the queue from it to raw/."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        api: Api,
        events: Events,
        table: dynamodb.Table,
        storage: StorageStack,
        layer: lambda_.ILayerVersion,
    ) -> None:
        super().__init__(scope, construct_id)
        files = EventFiles.of(settings.dataset)
        environment = {"EVENTS": table.table_name, "EVENT_FILES": json.dumps(files.document)}
        self.store, role = add_function(
            self,
            "store_events",
            FunctionSettings(
                "Stores the events that are posted to the HTTP API",
                memory_mb=1024,
                timeout_seconds=29,
                environment=environment
                | {"DATASET": settings.dataset_name, "KEEP_DAYS": str(events.keep_days)}
                | api.callers,
            ),
            settings=settings,
            key=storage.key,
            layer=layer,
        )
        grant(role, Permission(["dynamodb:PutItem"], [table.table_arn]), use_key(storage.key))
        landing, role = add_function(
            self,
            "land_events",
            FunctionSettings(
                f"Writes stored events to {layout.RAW}, in the data set's format",
                memory_mb=1024,
                timeout_seconds=300,
                environment=environment | {"DATA_URI": f"s3://{storage.data.bucket_name}"},
            ),
            settings=settings,
            key=storage.key,
            layer=layer,
        )
        stream = str(table.table_stream_arn)
        written = (f"{layout.RAW}{files.folder}{PREFIX}", layout.EVENT_QUARANTINE)
        grant(
            role,
            write_objects(storage, *written),
            Permission(
                ["s3:ListBucket"],
                [storage.data.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in written]}},
            ),
            Permission(["dynamodb:UpdateItem"], [table.table_arn]),
            Permission(
                ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"], [stream]
            ),
            without_resource(
                "dynamodb:ListStreams", why="Lambda needs it of a stream's reader; it knows no resource."
            ),
            use_key(storage.key, write=True),
        )
        mapping = lambda_.EventSourceMapping(
            self,
            "Stream",
            target=landing,
            event_source_arn=stream,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=BATCH_EVENTS,
            max_batching_window=Duration.seconds(events.land_within_seconds),
            # Until the records are a day old and gone: nothing is given up before, and an alarm says so.
            bisect_batch_on_error=True,
            filters=[lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("INSERT")})],
        )
        mapping.node.add_dependency(role)
        self.alarm = alarm(
            self,
            "Late",
            landing.metric("IteratorAge", statistic="Maximum", period=PERIOD),
            f"Events have waited for {LATE.to_hours():g} hour to land in {layout.RAW}: see the log of {Stack.of(self).stack_name}"
            "'s function land_events. After 24 hours they are in the table of events alone (docs/operations.md).",
            storage.topic,
            threshold=LATE.to_milliseconds(),
        )


def add_eraser(
    scope: Construct,
    settings: Settings,
    api: Api,
    table: dynamodb.Table,
    storage: StorageStack,
    layer: lambda_.ILayerVersion,
) -> lambda_.Function:
    """The function that erases a user: events, published list, and a note for the next encodings."""
    retention = settings.retention
    function, role = add_function(
        scope,
        "erase_user",
        FunctionSettings(
            "Erases a user: events, published list, and a note for the next encodings",
            memory_mb=512,
            timeout_seconds=29,
            environment={
                "DATA_URI": f"s3://{storage.data.bucket_name}",
                "TABLE": storage.table.table_name,
                "EVENTS": table.table_name,
                "DATASET": settings.dataset_name,
                "INTERMEDIATE_DAYS": str(retention.intermediate_days),
                "NONCURRENT_DAYS": str(retention.noncurrent_days),
                **api.callers,
            },
        ),
        settings=settings,
        key=storage.key,
        layer=layer,
    )
    grant(
        role,
        Permission(["dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"], [table.table_arn]),
        Permission(["dynamodb:DeleteItem"], [storage.table.table_arn]),
        write_objects(storage, erasures_uri(layout.RAW, settings.dataset_name)),
        use_key(storage.key, write=True),
    )
    return function
