"""Alarms on runs that end badly. The workflow says why; an alarm is raised even when it can't."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

PERIOD = Duration.minutes(5)


class RunAlarms(Construct):
    """One alarm for failed executions, one for those that ran out of time."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        state_machine: stepfunctions.StateMachine,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        for name, metric, meaning in (
            ("Failed", state_machine.metric_failed(period=PERIOD), "failed"),
            ("TimedOut", state_machine.metric_timed_out(period=PERIOD), "ran out of time"),
        ):
            alarm = cloudwatch.Alarm(
                self,
                name,
                alarm_description=f"A run {meaning}: see the state machine's executions for the sentence.",
                metric=metric,
                threshold=1,
                evaluation_periods=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            alarm.add_alarm_action(actions.SnsAction(topic))
