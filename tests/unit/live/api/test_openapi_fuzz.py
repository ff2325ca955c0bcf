"""What the OpenAPI document says holds for requests that schemathesis makes of it, and none fails."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from fmrec.events.erasure import Eraser, kept
from fmrec.events.event_files import EventFiles
from fmrec.events.event_table import EventTable
from fmrec.live.api import erasure_routes, event_routes
from tests.fixtures.api_calls import Api
from tests.fixtures.dynamodb import create_table
from tests.fixtures.small_runs import make_run
from tests.fixtures.wsgi_gateway import Gateway

DOCUMENT = json.loads((Path(__file__).resolve().parents[4] / "docs" / "openapi.json").read_text())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, emulator_url: str) -> Gateway:
    import boto3

    client = boto3.client(
        "dynamodb",
        endpoint_url=emulator_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    create_table(client, "fuzz-lists", "user_id")
    create_table(client, "fuzz-events", "user_id", "entry")
    run = make_run(tmp_path_factory.mktemp("fuzz"), binary=True)
    events = EventTable("fuzz-events", client=client)
    api = Api.over(run, "fuzz-lists", client, events)
    eraser = Eraser(str(run.folder), "fuzz-lists", events, "default")
    return Gateway(
        api.app, event_routes.build(events, EventFiles.of({}), 90), erasure_routes.build(eraser, kept(90, 30))
    )


@pytest.fixture(scope="module")
def schema(gateway: Gateway) -> Any:
    import schemathesis

    return schemathesis.openapi.from_wsgi("/openapi.json", gateway)


@pytest.fixture(scope="module")
def checks() -> list[Any]:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    return [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "method"), [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
)
def test_the_document_holds_for_whatever_requests_are_made_of_it(
    schema: Any, checks: list[Any], path: str, method: str
) -> None:
    operation = schema[path][method]
    seen = set()

    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def check(case: Any) -> None:
        response = case.call()
        seen.add(response.status_code)
        case.validate_response(response, checks=checks)

    check()
    # Events of random texts are rarely those of a data set; test_event_routes.py posts better ones.
    assert path == "/events" or seen & {200, 404}
