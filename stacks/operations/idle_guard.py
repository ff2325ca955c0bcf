"""The idle guard: every hour a function deletes endpoints that nobody has called for some hours."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from stacks.access import Permission, grant, sagemaker_names, without_resource
from stacks.endpoint_access import stop_scaling
from stacks.functions import Functions, FunctionSettings
from stacks.monitoring import alarm
from stacks.operations.schedules import Schedules
from stacks.settings import Settings


class IdleGuard(Construct):
    """The function, its schedule, and alarms for when one of them fails."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        functions: Functions,
        state_machine: stepfunctions.StateMachine,
        hours: int,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function, role = functions.add(
            self,
            "delete_idle_endpoints",
            FunctionSettings(
                "Deletes endpoints that nobody has called for some hours",
                timeout_seconds=300,
                environment={
                    "PREFIX": settings.prefix,
                    "STATE_MACHINE": state_machine.state_machine_arn,
                    "IDLE_HOURS": str(hours),
                },
            ),
        )
        grant(
            role,
            without_resource(
                "sagemaker:ListEndpoints",
                "cloudwatch:GetMetricStatistics",
                why="Lists and metrics have no resource-level permissions.",
            ),
            sagemaker_names(
                self,
                settings.prefix,
                ("endpoint",),
                ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"],
            ),
            *stop_scaling(self, settings.prefix),
            Permission(["states:ListExecutions"], [state_machine.state_machine_arn]),
        )
        hourly = Schedules(
            self,
            self.function,
            missed="The hourly schedule could not reach the function that deletes idle endpoints: look at the message "
            "in the queue for the reason, then delete it (docs/operations.md).",
            topic=topic,
        )
        hourly.add(
            "EveryHour",
            "rate(1 hour)",
            description="Deletes endpoints that nobody has called for some hours",
            payload="{}",
        )
        self.alarms = [
            alarm(
                self,
                "Failed",
                self.function.metric_errors(period=Duration.minutes(5), statistic="Sum"),
                "The function that deletes idle endpoints has failed, so one may go on costing: see its log group, "
                "and `fmrec endpoints` for what runs (docs/operations.md).",
                topic,
            ),
            hourly.alarm,
        ]
