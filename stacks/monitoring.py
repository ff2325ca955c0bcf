"""Alarms on what a person has to act on, each with what to do.

The workflow tells why a run failed; an alarm tells even when it can't.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

PERIOD = Duration.minutes(5)
VARIANT = "AllTraffic"
"""The one variant of the endpoints that the workflow makes."""


def alarm(
    scope: Construct, name: str, metric: cloudwatch.IMetric, runbook: str, topic: sns.ITopic
) -> cloudwatch.Alarm:
    """An alarm at the first one that a metric counts; ``runbook`` is what it means and what to do."""
    made = cloudwatch.Alarm(
        scope,
        name,
        alarm_description=runbook,
        metric=metric,
        threshold=1,
        evaluation_periods=1,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    made.add_alarm_action(actions.SnsAction(topic))
    return made


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
        self.alarms = [
            alarm(
                self,
                name,
                metric,
                f"A run {meaning}: see the state machine's executions for the sentence, which says what to do. "
                "What served before goes on serving (docs/operations.md).",
                topic,
            )
            for name, metric, meaning in (
                ("Failed", state_machine.metric_failed(period=PERIOD), "failed"),
                ("TimedOut", state_machine.metric_timed_out(period=PERIOD), "ran out of time"),
            )
        ]


class EndpointAlarms(Construct):
    """One alarm per endpoint that answers with errors of its own."""

    def __init__(
        self, scope: Construct, construct_id: str, *, endpoints: Sequence[str], topic: sns.ITopic
    ) -> None:
        super().__init__(scope, construct_id)
        self.alarms = [
            alarm(
                self,
                name.replace("-", "").capitalize(),
                of_endpoint("Invocation5XXErrors", name, "Sum", PERIOD),
                f"The endpoint {name} has answered with errors (5xx): see its log group "
                f"/aws/sagemaker/Endpoints/{name}; `fmrec rollback` brings back the model before, and the next run "
                "makes the endpoint again after `fmrec endpoints --stop` (docs/operations.md).",
                topic,
            )
            for name in endpoints
        ]


def of_endpoint(
    metric: str, endpoint: str, statistic: str, period: Duration, label: str | None = None
) -> cloudwatch.Metric:
    """A metric that SageMaker keeps of an endpoint."""
    return cloudwatch.Metric(
        namespace="AWS/SageMaker",
        metric_name=metric,
        dimensions_map={"EndpointName": endpoint, "VariantName": VARIANT},
        statistic=statistic,
        period=period,
        label=label,
    )
