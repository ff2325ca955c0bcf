"""The idle guard: every hour a function deletes endpoints that nobody has called for some hours."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from stacks.access import Permission, grant, sagemaker_names, without_resource
from stacks.endpoint_access import stop_scaling
from stacks.functions import Functions, FunctionSettings
from stacks.monitoring import alarm
from stacks.settings import Settings

RETRIES = 3
LATEST_SECONDS = 3600


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
        undelivered = self._every_hour()
        self.alarms = [
            alarm(
                self,
                "Failed",
                self.function.metric_errors(period=Duration.minutes(5), statistic="Sum"),
                "The function that deletes idle endpoints has failed, so one may go on costing: see its log group, "
                "and `fmrec endpoints` for what runs (docs/operations.md).",
                topic,
            ),
            alarm(
                self,
                "Missed",
                undelivered.metric_approximate_number_of_messages_visible(
                    period=Duration.minutes(5), statistic="Maximum"
                ),
                "The hourly schedule could not reach the function that deletes idle endpoints: look at the message in "
                "the queue for the reason, then delete it (docs/operations.md).",
                topic,
            ),
        ]

    def _every_hour(self) -> sqs.Queue:
        """The schedule; what it can't deliver lies in the queue."""
        undelivered = sqs.Queue(
            self,
            "Undelivered",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        Validations.of(undelivered).acknowledge(
            Acknowledgment(id="AwsSolutions-SQS3", reason="It is a dead-letter queue itself.")
        )
        role = iam.Role(self, "ScheduleRole", assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com"))
        grant(
            role,
            Permission(["lambda:InvokeFunction"], [self.function.function_arn]),
            Permission(["sqs:SendMessage"], [undelivered.queue_arn]),
        )
        schedule = scheduler.CfnSchedule(
            self,
            "EveryHour",
            description="Deletes endpoints that nobody has called for some hours",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            schedule_expression="rate(1 hour)",
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.function.function_arn,
                role_arn=role.role_arn,
                input="{}",
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=undelivered.queue_arn),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=LATEST_SECONDS, maximum_retry_attempts=RETRIES
                ),
            ),
        )
        schedule.node.add_dependency(role)
        return undelivered
