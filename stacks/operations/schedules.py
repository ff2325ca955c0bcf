"""Calls of a function by EventBridge Scheduler, and the queue and alarm for those that were not delivered."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Duration, Validations, aws_lambda
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.access import Permission, grant
from stacks.monitoring import alarm

RETRIES = 3
LATEST_SECONDS = 3600
"""A call that could not be made for an hour is given up, and the next one comes."""


class Schedules:
    """The schedules of one function: their role, their dead-letter queue, and its alarm.

    Parameters
    ----------
    missed
        What the alarm says of calls that were not delivered, and what to do.
    """

    def __init__(
        self, scope: Construct, function: aws_lambda.IFunction, *, missed: str, topic: sns.ITopic
    ) -> None:
        self._scope, self._function = scope, function
        self._undelivered = sqs.Queue(
            scope,
            "Undelivered",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        Validations.of(self._undelivered).acknowledge(
            Acknowledgment(id="AwsSolutions-SQS3", reason="It is a dead-letter queue itself.")
        )
        self._role = iam.Role(
            scope, "ScheduleRole", assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com")
        )
        grant(
            self._role,
            Permission(["lambda:InvokeFunction"], [function.function_arn]),
            Permission(["sqs:SendMessage"], [self._undelivered.queue_arn]),
        )
        self.alarm = alarm(
            scope,
            "Missed",
            self._undelivered.metric_approximate_number_of_messages_visible(
                period=Duration.minutes(5), statistic="Maximum"
            ),
            missed,
            topic,
        )

    def add(
        self,
        construct_id: str,
        expression: str,
        *,
        description: str,
        payload: str,
        time_zone: str | None = None,
    ) -> None:
        """Call the function with a JSON text at the times of an expression."""
        schedule = scheduler.CfnSchedule(
            self._scope,
            construct_id,
            description=description,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            schedule_expression=expression,
            schedule_expression_timezone=time_zone,
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self._function.function_arn,
                role_arn=self._role.role_arn,
                input=payload,
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                    arn=self._undelivered.queue_arn
                ),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=LATEST_SECONDS, maximum_retry_attempts=RETRIES
                ),
            ),
        )
        schedule.node.add_dependency(self._role)
