"""What the API's stack provisions: signed, throttled, logged, and a role that only reads."""

import json
from pathlib import Path
from typing import Any

from stacks.api import ROUTES

STACK = "TrialApi"


def test_there_is_no_api_unless_a_setting_says_so(synthesis: Any) -> None:
    assert not (synthesis.folder / "FmRecApi.template.json").exists()


def test_every_route_is_signed_and_in_the_openapi_document(throw_away: Any) -> None:
    routes = [r["Properties"] for r in throw_away.resources(STACK, "AWS::ApiGatewayV2::Route").values()]
    assert {route["RouteKey"] for route in routes} == set(ROUTES)
    assert {route["AuthorizationType"] for route in routes} == {"AWS_IAM"}
    document = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text())
    documented = {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    }
    assert documented == set(ROUTES)


def test_the_stage_is_throttled_and_logged_with_the_key(throw_away: Any) -> None:
    (stage,) = throw_away.resources(STACK, "AWS::ApiGatewayV2::Stage").values()
    limits = stage["Properties"]["DefaultRouteSettings"]
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (100, 200)
    logged = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
    assert {"requestId", "caller", "route", "status"} <= logged.keys()
    assert "path" not in json.dumps(logged).lower()
    groups = throw_away.resources(STACK, "AWS::Logs::LogGroup").values()
    assert len(groups) == 2
    assert all("KmsKeyId" in group["Properties"] for group in groups)


def test_latency_and_errors_are_watched(throw_away: Any) -> None:
    (alarm,) = throw_away.resources(STACK, "AWS::CloudWatch::Alarm").values()
    properties = alarm["Properties"]
    assert (properties["Namespace"], properties["MetricName"]) == ("AWS/ApiGateway", "5xx")
    assert "docs/operations.md" in properties["AlarmDescription"]
    assert len(properties["AlarmActions"]) == 1
    (dashboard,) = throw_away.resources(STACK, "AWS::CloudWatch::Dashboard").values()
    text = json.dumps(dashboard["Properties"]["DashboardBody"])
    for name in ("Latency", "IntegrationLatency", "4xx", "5xx", "Count", "Throttles"):
        assert f'\\"{name}\\"' in text, name


def test_the_function_only_reads(throw_away: Any) -> None:
    actions = set()
    for policy in throw_away.resources(STACK, "AWS::IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            named = statement["Action"]
            actions |= {named} if isinstance(named, str) else set(named)
    assert actions == {
        *("logs:CreateLogStream", "logs:PutLogEvents"),
        *("s3:GetObject", "s3:ListBucket"),
        "kms:Decrypt",
        "dynamodb:GetItem",
    }
