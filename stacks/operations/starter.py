"""What starts runs: a schedule, new data, and the end of a run that another one waits for.

One function decides (`fmrec.operation.starting`). EventBridge Scheduler asks it at the schedule's times and,
for new data, every few minutes: a look at a list is cheaper and surer than an event for each object of an
upload. An event at the end of each execution lets a waiting run start. What Scheduler could not deliver lies
in a queue, and alarms say so.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from fmrec.artifacts import layout
from fmrec.operation.start_step import watched
from fmrec.operation.starting import NEW_DATA, SCHEDULE, Patience
from stacks.access import Permission, grant, use_key
from stacks.functions import Functions, FunctionSettings
from stacks.monitoring import alarm
from stacks.operations.schedules import RETRIES, Schedules
from stacks.settings import Settings
from stacks.state_machine import PipelineStateMachine
from stacks.storage import StorageStack


class Starter(Construct):
    """The starting function, and what the settings let it be asked by."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        functions: Functions,
        workflow: PipelineStateMachine,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        start, state_machine = settings.start, workflow.state_machine
        patience = start.new_data.patience if start.new_data else Patience()
        prefixes = watched(settings.dataset, layout.RAW)
        self.function, role = functions.add(
            self,
            "start_run",
            FunctionSettings(
                "Starts a run when a schedule, new data or the end of another run asks for it",
                timeout_seconds=300,
                environment={
                    "STATE_MACHINE": state_machine.state_machine_arn,
                    "LOCK_TABLE": storage.locks.table_name,
                    "DATA_BUCKET": storage.data.bucket_name,
                    "STARTER": json.dumps(
                        {
                            "dataset": settings.dataset_name,
                            "prefixes": prefixes,
                            "patience": asdict(patience),
                        }
                    ),
                },
            ),
        )
        self._permit(role, storage, state_machine, prefixes)
        workflow.let_see_executions(self, role)
        self.alarms = [
            alarm(
                self,
                "Failed",
                self.function.metric_errors(period=Duration.minutes(5), statistic="Sum"),
                "The function that starts runs has failed, so a scheduled run may be missing: see its log "
                "group for the sentence, then start a run by hand with `fmrec run` (docs/operations.md).",
                topic,
            )
        ]
        if start.schedule or start.new_data:
            self._ask_by_time(settings, topic)
            self._ask_at_the_end_of_runs(state_machine)

    def _ask_by_time(self, settings: Settings, topic: sns.ITopic) -> None:
        start = settings.start
        asked = {}
        if start.schedule:
            asked[SCHEDULE] = start.schedule
        if start.new_data:
            minutes = start.new_data.check_minutes
            asked[NEW_DATA] = f"rate({minutes} minute{'' if minutes == 1 else 's'})"
        schedules = Schedules(
            self,
            self.function,
            missed="A schedule could not reach the function that starts runs: look at the message in the queue "
            "for the reason, then delete it (docs/operations.md).",
            topic=topic,
        )
        for source, expression in asked.items():
            schedules.add(
                f"Ask-{source}",
                expression,
                description=f"Asks whether a run is due: {source}",
                payload=json.dumps({"source": source}),
                time_zone=start.time_zone,
            )
        self.alarms.append(schedules.alarm)

    def _ask_at_the_end_of_runs(self, state_machine: stepfunctions.StateMachine) -> None:
        events.Rule(
            self,
            "RunEnded",
            description="A waiting run starts when another has ended",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [state_machine.state_machine_arn],
                    "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"],
                },
            ),
            targets=[targets.LambdaFunction(self.function, retry_attempts=RETRIES)],
        )

    def _permit(
        self,
        role: iam.Role,
        storage: StorageStack,
        state_machine: stepfunctions.StateMachine,
        prefixes: list[str],
    ) -> None:
        grant(
            role,
            Permission(
                ["s3:ListBucket"],
                [storage.data.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
            ),
            use_key(storage.key),
            Permission(["dynamodb:GetItem", "dynamodb:PutItem"], [storage.locks.table_arn]),
            Permission(["states:StartExecution", "states:ListExecutions"], [state_machine.state_machine_arn]),
        )
