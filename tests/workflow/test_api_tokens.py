"""The HTTP API as deployed with tokens of a user pool, for pages of another origin."""

from __future__ import annotations

import http.client
import shutil
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from demo import cloud as local
from demo.cloud import REGION
from fmrec.client import Client, Event
from fmrec.errors import ForbiddenError
from fmrec.execution.step_functions import stack_outputs
from tests.fixtures.assemblies import AUDIENCE, ISSUER, ORIGIN


@pytest.fixture(scope="module")
def pool(pipeline: Any) -> tuple[str, str]:
    """A pool of users with an app: issuer and client id."""
    cognito = pipeline.cloud.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="shop")["UserPool"]["Id"]
    app = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="app", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )
    return (
        f"https://cognito-idp.{REGION}.amazonaws.com/{pool}",
        app["UserPoolClient"]["ClientId"],
    )


@pytest.fixture(scope="module")
def url(
    pipeline: Any, pool: tuple[str, str], assemblies: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The API's address after it was deployed with tokens, whether it was there before or not."""
    assembly = shutil.copytree(assemblies / "tokens", tmp_path_factory.mktemp("tokens") / "templates")
    template = assembly / "FmRecApi.template.json"
    content = template.read_text(encoding="utf-8")
    for stand_in, of_the_pool in zip((ISSUER, AUDIENCE), pool, strict=True):
        assert stand_in in content
        content = content.replace(stand_in, of_the_pool)
    template.write_text(content, encoding="utf-8")
    stacks = ("FmRecStorage", "FmRecApi", "--exclusively")
    local.cdk(
        pipeline.cloud,
        *("deploy", *stacks, "--require-approval", "never", "--app", str(assembly)),
        on_line=lambda _line: None,
    )
    found = stack_outputs(pipeline.cloud.client("cloudformation"), "FmRecApi")
    assert "ApiCallArn" not in found
    return f"{pipeline.cloud.endpoint_url}/_aws/execute-api/{found['ApiId']}"


def token(pipeline: Any, pool: tuple[str, str], user: str) -> str:
    """An access token of a user who signs in."""
    cognito, (issuer, app) = pipeline.cloud.client("cognito-idp"), pool
    name, password = {"UserPoolId": issuer.rpartition("/")[2], "Username": user}, "Not-a-secret-1"
    cognito.admin_create_user(**name, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(**name, Password=password, Permanent=True)
    answer = cognito.initiate_auth(
        ClientId=app,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": user, "PASSWORD": password},
    )
    return str(answer["AuthenticationResult"]["AccessToken"])


def test_who_signs_in_gets_and_changes_what_is_their_own_and_nothing_else(
    pipeline: Any, encoded_run: str, url: str, pool: tuple[str, str]
) -> None:
    assert encoded_run
    mine = Client(url, token=token(pipeline, pool, "somebody"))
    assert mine.recommendations("somebody", n=5).source == "cold-start"
    assert mine.recommend(["2", "4"], n=5).source == "live"
    assert mine.erase("somebody").user_id == "somebody"
    for ask in (
        lambda: mine.recommendations("7"),
        lambda: mine.store([Event("token-1", "7", "2", value=5)]),
        lambda: mine.erase("7"),
        lambda: mine.audience("2"),
        lambda: Client(url, token="of.no.one").popular(),
    ):
        with pytest.raises(ForbiddenError):
            ask()
    bucket = pipeline.outputs["DataBucket"]
    s3 = pipeline.cloud.client("s3")
    for note in s3.list_objects_v2(Bucket=bucket, Prefix="raw/erasures/default/")["Contents"]:
        s3.delete_object(Bucket=bucket, Key=note["Key"])


def test_the_gateway_answers_preflights_of_the_pages_that_may_ask(url: str) -> None:
    parts = urllib.parse.urlsplit(url)

    def preflight(origin: str) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        connection.request("OPTIONS", f"{parts.path}/recommendations", headers=headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}

    status, headers = preflight(ORIGIN)
    assert status in (200, 204)
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-allow-methods"] == "DELETE,GET,POST"
    assert "authorization" in headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in preflight("https://other.example")[1]
