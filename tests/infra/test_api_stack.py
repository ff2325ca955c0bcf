"""What the API's stack provisions: signed, throttled, logged, and a role that only reads."""

import json
import re
from pathlib import Path
from typing import Any

from stacks.api_settings import ERASURE_ROUTES, EVENT_ROUTES, ROUTES
from tests.infra.conftest import JWT, ORIGIN, PAGE

ALL_ROUTES = {*ROUTES, *EVENT_ROUTES, *ERASURE_ROUTES}

STACK = "TrialApi"


def test_there_is_no_api_unless_a_setting_says_so(synthesis: Any) -> None:
    assert not (synthesis.folder / "FmRecApi.template.json").exists()


def routes_of(synthesis: Any, stack: str) -> dict[str, Any]:
    """The properties of each route by its key."""
    routes = synthesis.resources(stack, "AWS::ApiGatewayV2::Route").values()
    return {route["Properties"]["RouteKey"]: route["Properties"] for route in routes}


def test_every_route_is_signed_and_in_the_openapi_document(with_api: Any) -> None:
    routes = routes_of(with_api, "FmRecApi")
    assert routes.keys() == ALL_ROUTES
    assert {route["AuthorizationType"] for route in routes.values()} == {"AWS_IAM"}
    assert "ApiCallArn" in with_api.template("FmRecApi")["Outputs"]
    assert "CorsConfiguration" not in properties_of(with_api, "FmRecApi", "Api")
    document = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text())
    documented = {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    }
    assert documented == ALL_ROUTES
    assert document["security"] == [{"iam": []}, {"jwt": []}]
    assert document["components"]["securitySchemes"].keys() == {"iam", "jwt"}


def properties_of(synthesis: Any, stack: str, kind: str) -> Any:
    (found,) = synthesis.resources(stack, f"AWS::ApiGatewayV2::{kind}").values()
    return found["Properties"]


def test_a_setting_has_every_route_ask_for_a_token_with_its_scopes(throw_away: Any) -> None:
    routes = routes_of(throw_away, STACK)
    assert routes.keys() == ALL_ROUTES
    assert {route["AuthorizationType"] for route in routes.values()} == {"JWT"}
    scopes = {key: route["AuthorizationScopes"] for key, route in routes.items()}
    assert scopes.pop("POST /events") == ["events/write"]
    assert set(map(tuple, scopes.values())) == {("lists/read",)}
    authorizer = properties_of(throw_away, STACK, "Authorizer")
    assert (authorizer["AuthorizerType"], authorizer["IdentitySource"]) == (
        "JWT",
        ["$request.header.Authorization"],
    )
    assert authorizer["JwtConfiguration"] == {"Audience": JWT["audience"], "Issuer": JWT["issuer"]}
    assert "ApiCallArn" not in throw_away.template(STACK)["Outputs"]


def test_functions_that_answer_for_a_user_know_whom_a_token_may_ask_for(
    throw_away: Any, with_api: Any
) -> None:
    def callers(synthesis: Any, stack: str) -> dict[str, Any]:
        functions = synthesis.resources(stack, "AWS::Lambda::Function")
        variables = {name: f["Properties"].get("Environment", {}) for name, f in functions.items()}
        return {
            re.sub("[0-9A-F]{8}$", "", name): (found.get("USER_CLAIM"), found.get("ANY_USER_SCOPE"))
            for name, each in variables.items()
            if (found := each.get("Variables", {})).get("USER_CLAIM")
        }

    mine = ("sub", "lists/any-user")
    assert callers(throw_away, STACK) == {
        "AnswerRequests": mine,
        "EventsStoreEvents": mine,
        "EraseUser": mine,
    }
    assert callers(with_api, "FmRecApi") == {}


def test_the_function_may_ask_the_one_endpoint_that_ranks_and_no_other(
    throw_away: Any, with_api: Any
) -> None:
    def asked(synthesis: Any, stack: str) -> list[Any]:
        policies = synthesis.resources(stack, "AWS::IAM::Policy").values()
        statements = [s for p in policies for s in p["Properties"]["PolicyDocument"]["Statement"]]
        return [s["Resource"] for s in statements if s["Action"] == "sagemaker:InvokeEndpoint"]

    (resource,) = asked(throw_away, STACK)
    assert json.dumps(resource).endswith(':endpoint/trial-knn"]]}')
    functions = throw_away.resources(STACK, "AWS::Lambda::Function").values()
    ranking = [
        (found["ENDPOINT"], found["ENDPOINT_FROM_ITEMS"])
        for each in functions
        if "ENDPOINT" in (found := each["Properties"].get("Environment", {}).get("Variables", {}))
    ]
    assert ranking == [("trial-knn", "2000000")]
    assert asked(with_api, "FmRecApi") == []


def test_names_of_items_are_of_one_file_that_the_function_may_read(throw_away: Any, with_api: Any) -> None:
    def found(synthesis: Any, stack: str) -> tuple[dict[str, Any], list[str]]:
        functions = synthesis.resources(stack, "AWS::Lambda::Function")
        (answering,) = (each for name, each in functions.items() if name.startswith("AnswerRequests"))
        policies = synthesis.resources(stack, "AWS::IAM::Policy")
        (policy,) = (each for name, each in policies.items() if name.startswith("AnswerRequests"))
        statements = policy["Properties"]["PolicyDocument"]["Statement"]
        read = [json.dumps(s["Resource"]) for s in statements if s["Action"] == "s3:GetObject"]
        keys = [key for text in read for key in re.findall(r'"/([^"]*)"', text)]
        return answering["Properties"]["Environment"]["Variables"], keys

    variables, keys = found(throw_away, STACK)
    assert json.dumps(variables["ITEM_NAMES"]).endswith('/raw/items/films.csv"]]}')
    assert json.loads(variables["ITEM_NAMES_COLUMNS"]) == ["item_id", "title", "year"]
    assert "raw/items/films.csv" in keys
    variables, without = found(with_api, "FmRecApi")
    assert "ITEM_NAMES" not in variables
    assert set(keys) - set(without) == {"raw/items/films.csv"}
    assert set(without) == {f"{place}/*" for place in ("encoded", "embeddings", "champion", "rules", "runs")}


def test_cors_by_setting_allows_what_the_routes_need_and_no_cookies(throw_away: Any) -> None:
    cors = properties_of(throw_away, STACK, "Api")["CorsConfiguration"]
    assert cors.pop("AllowHeaders")[:2] == ["authorization", "content-type"]
    assert cors == {
        "AllowOrigins": [f"https://{PAGE['domain']}", ORIGIN],
        "AllowMethods": ["DELETE", "GET", "POST"],
        "MaxAge": 3600,
    }


def test_the_stage_is_throttled_and_logged_with_the_key(throw_away: Any) -> None:
    (stage,) = throw_away.resources(STACK, "AWS::ApiGatewayV2::Stage").values()
    limits = stage["Properties"]["DefaultRouteSettings"]
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (100, 200)
    logged = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
    assert {"requestId", "caller", "route", "status"} <= logged.keys()
    assert "path" not in json.dumps(logged).lower()
    groups = throw_away.resources(STACK, "AWS::Logs::LogGroup").values()
    assert len(groups) == 6
    assert all("KmsKeyId" in group["Properties"] for group in groups)


def alarms_of(throw_away: Any) -> dict[str, Any]:
    """The properties of each alarm by its metric."""
    alarms = [each["Properties"] for each in throw_away.resources(STACK, "AWS::CloudWatch::Alarm").values()]
    return {alarm["MetricName"]: alarm for alarm in alarms}


def test_latency_and_errors_are_watched(throw_away: Any) -> None:
    alarms = alarms_of(throw_away)
    assert set(alarms) == {"5xx", "IteratorAge"}
    assert alarms["5xx"]["Namespace"] == "AWS/ApiGateway"
    for properties in alarms.values():
        assert "docs/operations.md" in properties["AlarmDescription"]
        assert len(properties["AlarmActions"]) == 1
    (dashboard,) = throw_away.resources(STACK, "AWS::CloudWatch::Dashboard").values()
    text = json.dumps(dashboard["Properties"]["DashboardBody"])
    for name in throw_away.resources(STACK, "AWS::CloudWatch::Alarm"):
        assert name in text
    for name in ("Latency", "IntegrationLatency", "4xx", "5xx", "Count", "Throttles"):
        assert f'\\"{name}\\"' in text, name


def actions_of(throw_away: Any) -> dict[str, set[str]]:
    """What each function may do, by the name of its role's policy."""
    found: dict[str, set[str]] = {}
    for name, policy in throw_away.resources(STACK, "AWS::IAM::Policy").items():
        actions = found.setdefault(name.partition("RoleDefaultPolicy")[0], set())
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            named = statement["Action"]
            actions |= {named} if isinstance(named, str) else set(named)
    return found


def test_each_function_may_do_its_own_and_no_more(throw_away: Any) -> None:
    logs = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert actions_of(throw_away) == {
        "AnswerRequests": logs
        | {"s3:GetObject", "s3:ListBucket", "kms:Decrypt", "dynamodb:GetItem"}
        | {"dynamodb:Query", "dynamodb:BatchGetItem", "sagemaker:InvokeEndpoint"},
        "EraseUser": logs
        | {"dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem", "s3:PutObject"}
        | {"s3:AbortMultipartUpload", "kms:Decrypt", "kms:GenerateDataKey"},
        "PageWritePage": logs
        | {"s3:PutObject", "s3:ListBucketVersions", "s3:DeleteObject", "s3:DeleteObjectVersion"},
        "EventsStoreEvents": logs | {"kms:Decrypt", "dynamodb:PutItem"},
        "EventsLandEvents": logs
        | {"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucket", "kms:Decrypt", "kms:GenerateDataKey"}
        | {"dynamodb:UpdateItem", "dynamodb:ListStreams"}
        | {f"dynamodb:{call}" for call in ("DescribeStream", "GetRecords", "GetShardIterator")},
    }


def test_events_land_next_to_the_interactions_and_nowhere_else(throw_away: Any) -> None:
    (policy,) = (
        found["Properties"]["PolicyDocument"]
        for name, found in throw_away.resources(STACK, "AWS::IAM::Policy").items()
        if name.startswith("EventsLandEvents")
    )
    (written,) = (each["Resource"] for each in policy["Statement"] if "s3:PutObject" in each["Action"])
    found = sorted(json.dumps(arn).partition("/")[2].rstrip('"]}') for arn in written)
    assert found == ["quarantine/events/*", "raw/interactions/events-*"]


def test_the_table_of_events_is_durable_and_its_stream_is_read_from_the_beginning(throw_away: Any) -> None:
    (table,) = (
        found["Properties"]
        for name, found in throw_away.resources("TrialStorage", "AWS::DynamoDB::Table").items()
        if name.startswith("Events")
    )
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    (mapping,) = throw_away.resources(STACK, "AWS::Lambda::EventSourceMapping").values()
    found = mapping["Properties"]
    assert (found["StartingPosition"], found["BatchSize"]) == ("TRIM_HORIZON", 1000)
    assert found["MaximumBatchingWindowInSeconds"] == 60
    # A batch is tried until it has landed: nothing limits attempts or age.
    assert "MaximumRetryAttempts" not in found
    assert "MaximumRecordAgeInSeconds" not in found
    assert alarms_of(throw_away)["IteratorAge"]["Threshold"] == 3_600_000
