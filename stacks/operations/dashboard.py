"""The dashboard: runs and what they brought, drift, functions, endpoints, table.

Quality, cost and drift over runs are read from the lines that *Write the run report* logs, when somebody
looks: custom metrics would cost more than the dashboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from fmrec.execution.run_report import LOGGED
from stacks.monitoring import of_endpoint, of_instances
from stacks.operations.widgets import HALF, HOUR, WHOLE, graph

DAY = Duration.days(1)


class Dashboard(Construct):
    """One dashboard of the deployment."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        state_machine: stepfunctions.StateMachine,
        functions: Mapping[str, lambda_.Function],
        table: dynamodb.ITable,
        endpoints: Sequence[str],
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = functions["write_report"].log_group.log_group_name

        def of_runs(
            title: str, view: cloudwatch.LogQueryVisualizationType, *lines: str
        ) -> cloudwatch.LogQueryWidget:
            return cloudwatch.LogQueryWidget(
                title=title,
                log_group_names=[log_group],
                view=view,
                width=HALF,
                query_lines=[f"filter message = '{LOGGED}'", *lines],
            )

        line, rows = cloudwatch.LogQueryVisualizationType.LINE, cloudwatch.LogQueryVisualizationType.TABLE
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            widgets=[
                [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=WHOLE)],
                [
                    graph(
                        "Runs",
                        state_machine.metric_started(period=DAY, statistic="Sum"),
                        state_machine.metric_succeeded(period=DAY, statistic="Sum"),
                        state_machine.metric_failed(period=DAY, statistic="Sum"),
                    ),
                    graph("Time of a run", state_machine.metric_time(period=DAY, statistic="Maximum")),
                ],
                [
                    of_runs(
                        "Quality of runs (NDCG)",
                        line,
                        "stats max(quality) as model, max(popularity) as popular by bin(1d)",
                    ),
                    of_runs("Cost of runs (USD, SageMaker jobs)", line, "stats sum(usd) as usd by bin(1d)"),
                ],
                [
                    of_runs(
                        "Last runs",
                        rows,
                        "fields @timestamp, run, started_by, task, quality, users, usd, findings, unchanged",
                        "sort @timestamp desc",
                        "limit 20",
                    ),
                    of_runs(
                        "Drift of the data",
                        rows,
                        "fields @timestamp, run, drift",
                        "filter findings > 0",
                        "sort @timestamp desc",
                        "limit 20",
                    ),
                ],
                [
                    of_runs(
                        "Lists next to the champion's (shares)",
                        line,
                        "stats max(overlap) as kept, max(unchanged) as same, max(coverage) as catalogue by bin(1d)",
                    ),
                    graph(
                        "Use of the endpoints (%)",
                        *(
                            of_instances(f"{kind}Utilization", name, DAY, f"{name}: {kind}")
                            for name in endpoints
                            for kind in ("CPU", "Memory")
                        ),
                    ),
                ],
                [
                    graph(
                        "Errors of the functions",
                        *(
                            function.metric_errors(period=HOUR, statistic="Sum", label=name)
                            for name, function in functions.items()
                        ),
                    ),
                    graph(
                        "Calls of the endpoints",
                        *(of_endpoint("Invocations", name, "Sum", HOUR, name) for name in endpoints),
                        *(
                            of_endpoint("Invocation5XXErrors", name, "Sum", HOUR, f"{name}: errors (5xx)")
                            for name in endpoints
                        ),
                    ),
                ],
                [
                    graph(
                        "Latency of the endpoints (p99, microseconds)",
                        *(of_endpoint("ModelLatency", name, "p99", HOUR, name) for name in endpoints),
                    ),
                    graph(
                        "Table of recommendations",
                        table.metric_consumed_read_capacity_units(period=HOUR),
                        table.metric_consumed_write_capacity_units(period=HOUR),
                        table.metric_throttled_requests_for_operations(
                            operations=[dynamodb.Operation.GET_ITEM, dynamodb.Operation.BATCH_WRITE_ITEM],
                            period=HOUR,
                        ),
                    ),
                ],
            ],
        )
