"""Alarms on what a person has to act on, each with what to do.

The workflow tells why a run failed; an alarm tells even when it can't.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from stacks.settings import Settings
from stacks.workflow.guardrails import alarm_names
from stacks.workflow.names import VARIANT

PERIOD, MINUTE = Duration.minutes(5), Duration.minutes(1)


def alarm(
    scope: Construct,
    construct_id: str,
    metric: cloudwatch.IMetric,
    runbook: str,
    topic: sns.ITopic,
    *,
    name: str | None = None,
    threshold: float = 1,
) -> cloudwatch.Alarm:
    """An alarm at the first one that a metric counts; ``runbook`` is what it means and what to do."""
    made = cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_name=name,
        alarm_description=runbook,
        metric=metric,
        threshold=threshold,
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
    """Two alarms per endpoint: on errors of its own and on latency. Either rolls an update back."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, topic: sns.ITopic) -> None:
        super().__init__(scope, construct_id)
        self.alarms = [
            made for name in settings.watched_endpoints for made in self._of(name, settings, topic)
        ]

    def _of(self, endpoint: str, settings: Settings, topic: sns.ITopic) -> list[cloudwatch.Alarm]:
        title = endpoint.replace("-", "").capitalize()
        errors, latency = alarm_names(settings, endpoint)
        milliseconds = settings.serving.update.maximum_latency_ms
        return [
            alarm(
                self,
                title,
                of_endpoint("Invocation5XXErrors", endpoint, "Sum", MINUTE),
                f"The endpoint {endpoint} has answered with errors (5xx): see its log group "
                f"/aws/sagemaker/Endpoints/{endpoint}; `fmrec rollback` brings back the model before, and the next "
                "run makes the endpoint again after `fmrec endpoints --stop`. An update that was under way is "
                "rolled back (docs/operations.md).",
                topic,
                name=errors,
            ),
            alarm(
                self,
                f"{title}Latency",
                of_endpoint("ModelLatency", endpoint, "Average", MINUTE),
                f"The endpoint {endpoint} takes longer than {milliseconds:g} ms on average: larger or more "
                "instances (instances.policy), or a higher limit (serving.update.maximum_latency_ms). An update "
                "that was under way is rolled back (docs/operations.md).",
                topic,
                name=latency,
                threshold=milliseconds * 1000,
            ),
        ]


def of_instances(metric: str, endpoint: str, period: Duration, label: str) -> cloudwatch.Metric:
    """How far the instances of an endpoint are used: the highest percentage of a period."""
    return of_endpoint(metric, endpoint, "Maximum", period, label, namespace="/aws/sagemaker/Endpoints")


def of_endpoint(
    metric: str,
    endpoint: str,
    statistic: str,
    period: Duration,
    label: str | None = None,
    *,
    namespace: str = "AWS/SageMaker",
) -> cloudwatch.Metric:
    """A metric that SageMaker keeps of an endpoint."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=metric,
        dimensions_map={"EndpointName": endpoint, "VariantName": VARIANT},
        statistic=statistic,
        period=period,
        label=label,
    )
