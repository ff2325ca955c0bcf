"""What watches a deployment: tags on everything, alarms with what to do, a dashboard, a budget."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from fmrec.execution.run_report import logged
from stacks.settings import Settings


def test_everything_that_can_be_tagged_carries_the_deployment(synthesis: Any, throw_away: Any) -> None:
    for found, stack, prefix in (
        (synthesis, "FmRecStorage", "fmrec"),
        (synthesis, "FmRecPipeline", "fmrec"),
        (throw_away, "TrialPipeline", "trial"),
    ):
        tagged = set()
        for resource in found.template(stack)["Resources"].values():
            tags = resource.get("Properties", {}).get("Tags")
            pairs = tags.items() if isinstance(tags, dict) else [(t["Key"], t["Value"]) for t in tags or ()]
            if ("fmrec:deployment", prefix) in pairs:
                tagged.add(resource["Type"])
        expected = (
            {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::SNS::Topic"}
            if stack.endswith("Storage")
            else {
                "AWS::Lambda::Function",
                "AWS::Glue::Job",
                "AWS::StepFunctions::StateMachine",
                "AWS::IAM::Role",
            }
        )
        assert expected <= tagged


def test_jobs_models_and_endpoints_carry_deployment_data_set_and_run(run: Any) -> None:
    started, _ = run({"name": "books"})
    tags = {name: arguments["Tags"] for name, arguments in started.calls if "Tags" in arguments}
    assert {"Train the factorization machine", "Build the k-NN index", "Create the endpoint"} <= set(tags)
    for found in tags.values():
        assert {tag["Key"]: tag["Value"] for tag in found} == {
            "fmrec:deployment": "fmrec", "fmrec:dataset": "books", "fmrec:run": "run-1",
        }  # fmt: skip


def test_dashboard_and_budget_are_settings(synthesis: Any, throw_away: Any) -> None:
    for kind in ("AWS::CloudWatch::Dashboard", "AWS::Budgets::Budget"):
        assert synthesis.resources("FmRecPipeline", kind) == {}
    (budget,) = throw_away.resources("TrialPipeline", "AWS::Budgets::Budget").values()
    document = budget["Properties"]["Budget"]
    assert document["BudgetLimit"] == {"Amount": 50, "Unit": "USD"}
    assert document["CostFilters"] == {"TagKeyValue": ["user:fmrec:deployment$trial"]}
    kinds = [
        n["Notification"]["NotificationType"] for n in budget["Properties"]["NotificationsWithSubscribers"]
    ]
    assert kinds == ["ACTUAL", "FORECASTED"]
    (policy,) = throw_away.resources("TrialStorage", "AWS::SNS::TopicPolicy").values()
    assert "budgets.amazonaws.com" in json.dumps(policy)
    (key,) = throw_away.resources("TrialStorage", "AWS::KMS::Key").values()
    assert "budgets.amazonaws.com" in json.dumps(key)
    (key,) = synthesis.resources("FmRecStorage", "AWS::KMS::Key").values()
    assert "budgets.amazonaws.com" not in json.dumps(key)


def test_the_dashboard_asks_for_what_runs_log_and_what_the_services_measure(throw_away: Any) -> None:
    (dashboard,) = throw_away.resources("TrialPipeline", "AWS::CloudWatch::Dashboard").values()
    text = json.dumps(dashboard["Properties"]["DashboardBody"])
    for name in (
        *("ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionTime", "Errors"),
        *("Invocations", "ModelLatency", "trial-knn", "trial-fm", "ConsumedReadCapacityUnits"),
    ):
        assert name in text, name
    report = {"run": "r", "published": {"users": 1}, "chosen": {}, "jobs": {}}
    fields = set(logged(report))
    asked = set(re.findall(r"(?:max|sum)\((\w+)\)", text))
    (listed,) = re.findall(r"fields @timestamp, (run, started_by[\w, ]+)", text)
    assert asked | set(listed.split(", ")) <= fields
    assert asked == {"quality", "popularity", "usd", "overlap", "unchanged", "coverage"}
    assert "CPUUtilization" in text


def test_every_alarm_says_what_to_do_and_reaches_the_topic(throw_away: Any) -> None:
    alarms = throw_away.resources("TrialPipeline", "AWS::CloudWatch::Alarm").values()
    metrics = sorted(alarm["Properties"]["MetricName"] for alarm in alarms)
    assert metrics == [
        "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesVisible", "Errors", "Errors",
        "ExecutionsFailed", "ExecutionsTimedOut",
        "Invocation5XXErrors", "Invocation5XXErrors", "ModelLatency", "ModelLatency",
    ]  # fmt: skip
    for alarm in alarms:
        assert "docs/operations.md" in alarm["Properties"]["AlarmDescription"]
        assert len(alarm["Properties"]["AlarmActions"]) == 1


@pytest.mark.parametrize("usd", [0, -5, "much"])
def test_a_budget_is_an_amount(usd: Any) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"watch": {"monthly_budget_usd": usd}})
