"""What watches the HTTP API, in its own stack: alarms on its errors and on events that wait, and, by setting,
a dashboard.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.monitoring import PERIOD, alarm
from stacks.operations.widgets import HOUR, WHOLE, graph


class ApiWatch(Construct):
    """The alarm on errors, and the dashboard if it is wanted, which shows `others` too."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        http: apigateway.HttpApi,
        function: lambda_.Function,
        topic: sns.ITopic,
        others: Sequence[cloudwatch.Alarm],
        dashboard: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        failing = alarm(
            self,
            "ServerErrors",
            http.metric_server_error(period=PERIOD, statistic="Sum"),
            "The API has answered with errors of its own (5xx): see the log group of its function for the sentence "
            "and the access log for which requests; lists in the table can be read without it "
            "(docs/operations.md).",
            topic,
        )
        if not dashboard:
            return

        cloudwatch.Dashboard(
            self,
            "Dashboard",
            widgets=[
                [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=[failing, *others], width=WHOLE)],
                [
                    graph("Requests", http.metric_count(period=HOUR, statistic="Sum")),
                    graph(
                        "Errors",
                        http.metric_client_error(period=HOUR, statistic="Sum", label="the caller's (4xx)"),
                        http.metric_server_error(period=HOUR, statistic="Sum", label="the API's (5xx)"),
                    ),
                ],
                [
                    graph(
                        "Latency (milliseconds)",
                        *(
                            http.metric_latency(period=HOUR, statistic=kind, label=kind)
                            for kind in ("p50", "p99")
                        ),
                        http.metric_integration_latency(
                            period=HOUR, statistic="p99", label="p99 of the function"
                        ),
                    ),
                    graph(
                        "The function",
                        function.metric_errors(period=HOUR, statistic="Sum"),
                        function.metric_throttles(period=HOUR, statistic="Sum"),
                        function.metric(
                            "ConcurrentExecutions", period=HOUR, statistic="Maximum", label="at the same time"
                        ),
                    ),
                ],
            ],
        )
