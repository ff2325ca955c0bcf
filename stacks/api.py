"""The HTTP API over the champion: signed requests or tokens, a role per function, throttled and logged.

An HTTP API and not a REST API: it has IAM authorization, access logs and throttling at a third of the price.
Requests, which it doesn't validate, are validated by the function.
"""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from fmrec.artifacts import layout
from stacks.access import Permission, grant, read_objects, use_key
from stacks.api_settings import ALLOWED_HEADERS, ERASURE_ROUTES, EVENT_ROUTES, ROUTES, Api
from stacks.event_intake import EventIntake, add_eraser
from stacks.functions import FunctionSettings, add_function, dependency_layer
from stacks.log_groups import log_group
from stacks.operations.api_watch import ApiWatch
from stacks.page import PageHosting
from stacks.settings import Settings
from stacks.storage import StorageStack

FUNCTION = "answer_requests"
PREFLIGHT_SECONDS = 3600
LOGGED = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "caller": "$context.identity.caller",
    "route": "$context.routeKey",
    "status": "$context.status",
    "latency": "$context.responseLatency",
    "length": "$context.responseLength",
    "error": "$context.error.message",
    "authorizer": "$context.authorizer.error",
}
"""One JSON line for each request; bodies, queries and ids of users are not in it."""


class ApiStack(Stack):
    """Everything of the API; nothing in it has a state, events are in the storage."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        api: Api,
        storage: StorageStack,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        own = FunctionSettings(
            "Answers the HTTP API's requests for lists",
            memory_mb=api.memory_mb,
            timeout_seconds=29,
            environment={
                "DATA_URI": f"s3://{storage.data.bucket_name}",
                "TABLE": storage.table.table_name,
                "DATASET": settings.dataset_name,
                **({"EVENTS": storage.events.table_name} if storage.events else {}),
                **api.callers,
                **_ranking(settings, api),
                **_names(storage, api),
            },
        )
        layer = dependency_layer(self)
        function, role = add_function(self, FUNCTION, own, settings=settings, key=storage.key, layer=layer)
        grant(
            role,
            *read_objects(
                storage, layout.ENCODED, layout.EMBEDDINGS, layout.CHAMPION, layout.RULES, layout.RUNS
            ),
            use_key(storage.key),
            Permission(["dynamodb:GetItem"], [storage.table.table_arn]),
        )
        if api.item_names is not None:
            grant(role, Permission(["s3:GetObject"], [f"{storage.objects_arn}/{api.item_names.key}"]))
        if api.endpoint_from_items is not None:
            endpoint = self.format_arn(
                service="sagemaker", resource="endpoint", resource_name=settings.endpoint_name
            )
            grant(role, Permission(["sagemaker:InvokeEndpoint"], [endpoint]))
        http = apigateway.HttpApi(
            self,
            "Http",
            api_name=f"{settings.prefix}-recommendations",
            description="Recommendations, see docs/live.md",
            create_default_stage=False,
            default_authorizer=_authorizer(api),
            cors_preflight=_cors(api),
        )
        _route(http, "Answer", function, api, *ROUTES)
        late = []
        if api.events is not None and storage.events is not None:
            grant(role, Permission(["dynamodb:Query", "dynamodb:BatchGetItem"], [storage.events.table_arn]))
            intake = EventIntake(
                self,
                "Events",
                settings=settings,
                api=api,
                events=api.events,
                table=storage.events,
                storage=storage,
                layer=layer,
            )
            late.append(intake.alarm)
            _route(http, "Store", intake.store, api, *EVENT_ROUTES)
            erase = add_eraser(self, settings, api, storage.events, storage, layer)
            _route(http, "Erase", erase, api, *ERASURE_ROUTES)
        log = log_group(
            self,
            "AccessLog",
            settings,
            storage.key,
            name=f"/aws/vendedlogs/apis/{self.stack_name}-access",
        )
        stage = apigateway.CfnStage(
            self,
            "Stage",
            api_id=http.api_id,
            stage_name="$default",
            auto_deploy=True,
            access_log_settings=apigateway.CfnStage.AccessLogSettingsProperty(
                destination_arn=log.log_group_arn, format=json.dumps(LOGGED)
            ),
            default_route_settings=apigateway.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=api.requests_per_second,
                throttling_burst_limit=api.burst,
                detailed_metrics_enabled=True,
            ),
        )
        stage.node.add_dependency(role)
        ApiWatch(
            self,
            "Watch",
            http=http,
            function=function,
            topic=storage.topic,
            others=late,
            dashboard=settings.watch.dashboard,
        )
        if api.page is not None and api.jwt is not None:
            PageHosting(
                self,
                "Page",
                settings=settings,
                page=api.page,
                jwt=api.jwt,
                api_url=http.api_endpoint,
                storage=storage,
                layer=layer,
            )
        asked = (
            "requests are signed for the service execute-api" if api.jwt is None else "requests bring a token"
        )
        outputs = [
            ("ApiId", http.api_id, f"The HTTP API; {asked}."),
            ("ApiUrl", http.api_endpoint, "Where it answers."),
        ]
        if api.jwt is None:
            arn = self.format_arn(service="execute-api", resource=http.api_id, resource_name="*")
            outputs.append(("ApiCallArn", arn, "What a caller needs execute-api:Invoke on."))
        for name, value, description in outputs:
            CfnOutput(self, name, value=value, description=description)


def _ranking(settings: Settings, api: Api) -> dict[str, str]:
    """What ranks large catalogues, in the function's environment."""
    if api.endpoint_from_items is None:
        return {}
    return {"ENDPOINT": settings.endpoint_name, "ENDPOINT_FROM_ITEMS": str(api.endpoint_from_items)}


def _names(storage: StorageStack, api: Api) -> dict[str, str]:
    """Where names of items are, in the function's environment."""
    if api.item_names is None:
        return {}
    return {
        "ITEM_NAMES": f"s3://{storage.data.bucket_name}/{api.item_names.key}",
        "ITEM_NAMES_COLUMNS": json.dumps(api.item_names.columns),
    }


def _authorizer(api: Api) -> apigateway.IHttpRouteAuthorizer:
    if api.jwt is None:
        return authorizers.HttpIamAuthorizer()
    return authorizers.HttpJwtAuthorizer("Jwt", api.jwt.issuer, jwt_audience=api.jwt.audience)


def _cors(api: Api) -> apigateway.CorsPreflightOptions | None:
    """What browsers are told; no cookies: who asks is in the header Authorization."""
    if not api.origins:
        return None
    seconds = PREFLIGHT_SECONDS if api.cors is None else api.cors.max_age_seconds
    methods = sorted({route.partition(" ")[0] for route in api.routes})
    return apigateway.CorsPreflightOptions(
        allow_origins=api.origins,
        allow_methods=[apigateway.CorsHttpMethod(method) for method in methods],
        allow_headers=list(ALLOWED_HEADERS),
        max_age=Duration.seconds(seconds),
    )


def _route(http: apigateway.HttpApi, name: str, function: lambda_.IFunction, api: Api, *routes: str) -> None:
    """Send these routes' requests to a function."""
    integration = integrations.HttpLambdaIntegration(name, function)
    for route in routes:
        method, path = route.split(" ")
        http.add_routes(
            path=path,
            methods=[apigateway.HttpMethod(method)],
            integration=integration,
            authorization_scopes=(api.jwt.scopes_of(route) or None) if api.jwt is not None else None,
        )
