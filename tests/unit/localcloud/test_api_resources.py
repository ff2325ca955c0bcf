"""What an HTTP API and its surroundings are in the local cloud: what is enforced, kept and delivered."""

from __future__ import annotations

import base64
import datetime
import gzip
import http.client
import json
import subprocess
import time
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ORIGIN = "https://shop.example"
CODE = """
import json

def handler(event, context):
    if event["rawPath"] == "/open/fails":
        raise ValueError("secret of the function")
    if event["rawPath"] == "/open/answers":
        return {"statusCode": 502, "body": "of the function"}
    return {"statusCode": 201, "headers": {"x-made": "here"}, "body": json.dumps(event)}
"""


def allow(*actions: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
    }


def template() -> dict[str, Any]:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": ["lambda.amazonaws.com", "firehose.amazonaws.com"]},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    api, target = {"Ref": "Api"}, {"Fn::Sub": "integrations/${Integration}"}
    cors = {
        "AllowOrigins": [ORIGIN],
        "AllowMethods": ["GET"],
        "AllowHeaders": ["authorization"],
        "MaxAge": 300,
    }
    jwt = {"Audience": ["readers"], "Issuer": "https://issuer.example/"}
    firehose = {
        "BucketARN": {"Fn::GetAtt": ["Bucket", "Arn"]},
        "RoleARN": {"Fn::GetAtt": ["Role", "Arn"]},
        "Prefix": "raw/!{timestamp:yyyy}/",
        "CompressionFormat": "GZIP",
        "ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord"}]},
    }
    table = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    budget = {
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": 10, "Unit": "USD"},
    }
    recorded = (
        "ApplicationAutoScaling::ScalableTarget ApplicationAutoScaling::ScalingPolicy CloudWatch::CompositeAlarm "
        "CloudWatch::AnomalyDetector Events::Archive Logs::QueryDefinition StepFunctions::StateMachineAlias"
    )
    resources: dict[str, tuple[str, dict[str, Any]]] = {
        "Role": ("IAM::Role", {"AssumeRolePolicyDocument": trust, "Policies": [{"PolicyName": "p", "PolicyDocument": allow("s3:*", "logs:*")}]}),
        "Function": ("Lambda::Function", {"Runtime": "python3.13", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": {"ZipFile": CODE}}),
        "Api": ("ApiGatewayV2::Api", {"Name": "api", "ProtocolType": "HTTP", "CorsConfiguration": cors}),
        "Integration": ("ApiGatewayV2::Integration", {"ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": {"Fn::GetAtt": ["Function", "Arn"]}, "PayloadFormatVersion": "2.0"}),
        "Authorizer": ("ApiGatewayV2::Authorizer", {"ApiId": api, "Name": "jwt", "AuthorizerType": "JWT", "IdentitySource": ["$request.header.Authorization"], "JwtConfiguration": jwt}),
        "Signed": ("ApiGatewayV2::Route", {"ApiId": api, "RouteKey": "ANY /users/{id}", "AuthorizationType": "AWS_IAM", "Target": target}),
        "Token": ("ApiGatewayV2::Route", {"ApiId": api, "RouteKey": "GET /token", "AuthorizationType": "JWT", "AuthorizerId": {"Ref": "Authorizer"}, "Target": target}),
        "Open": ("ApiGatewayV2::Route", {"ApiId": api, "RouteKey": "ANY /open/{proxy+}", "AuthorizationType": "NONE", "Target": target}),
        "Stage": ("ApiGatewayV2::Stage", {"ApiId": api, "StageName": "$default", "AutoDeploy": True, "DefaultRouteSettings": {"ThrottlingBurstLimit": 1, "ThrottlingRateLimit": 1}}),
        "Invoke": ("Lambda::Permission", {"FunctionName": {"Ref": "Function"}, "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com"}),
        "Bucket": ("S3::Bucket", {}),
        "Stream": ("KinesisFirehose::DeliveryStream", {"DeliveryStreamType": "DirectPut", "ExtendedS3DestinationConfiguration": firehose}),
        "Table": ("DynamoDB::Table", table),
        "Budget": ("Budgets::Budget", {"Budget": budget}),
        **{f"Recorded{number}": (kind, {}) for number, kind in enumerate(recorded.split())},
    }  # fmt: skip
    return {
        "Resources": {
            name: {"Type": f"AWS::{kind}", "Properties": props} for name, (kind, props) in resources.items()
        },
        "Outputs": {
            name: {"Value": {"Ref": name}} for name in ("Api", "Bucket", "Stream", "Table", "Budget")
        },
    }


def deploy(cloud: Any, wait_until: Any, operation: str, document: dict[str, Any]) -> dict[str, str]:
    cloudformation = cloud.client("cloudformation")
    getattr(cloudformation, operation)(
        StackName="api-resources", TemplateBody=json.dumps(document), Capabilities=["CAPABILITY_IAM"]
    )

    def ended() -> Any:
        stack = cloudformation.describe_stacks(StackName="api-resources")["Stacks"][0]
        return not stack["StackStatus"].endswith("IN_PROGRESS") and stack

    stack = wait_until(ended, 60)
    events = cloudformation.describe_stack_events(StackName="api-resources")["StackEvents"]
    assert stack["StackStatus"].endswith("E_COMPLETE"), [e.get("ResourceStatusReason") for e in events]
    assert "ROLLBACK" not in stack["StackStatus"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@pytest.fixture(scope="module")
def deployed(cloud: Any, wait_until: Any) -> dict[str, str]:
    return deploy(cloud, wait_until, "create_stack", template())


def ask(
    cloud: Any,
    api: str,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.record["port"], timeout=60)
    connection.request(method, f"/_aws/execute-api/{api}/$default{path}", body, headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    names = {name.lower(): value for name, value in response.getheaders()}
    return response.status, names, json.loads(content) if content.startswith(b"{") else content


def signature(cloud: Any, api: str, path: str, key: str, secret: str) -> dict[str, str]:
    host = f"127.0.0.1:{cloud.record['port']}"
    request = AWSRequest(
        "GET", f"http://{host}/_aws/execute-api/{api}/$default{path}", headers={"Host": host}
    )
    SigV4Auth(Credentials(key, secret), "execute-api", "us-east-1").add_auth(request)
    return dict(request.headers)


def test_an_iam_route_takes_signed_requests_of_those_whom_policies_allow(
    cloud: Any, deployed: dict[str, str]
) -> None:
    api = deployed["Api"]
    assert ask(cloud, api, "GET", "/users/7")[0] == 403
    iam = cloud.client("iam")
    iam.create_user(UserName="caller")
    key = iam.create_access_key(UserName="caller")["AccessKey"]
    secret = key["SecretAccessKey"]
    headers = signature(cloud, api, "/users/7", key["AccessKeyId"], secret)
    assert ask(cloud, api, "GET", "/users/7", headers)[0] == 403
    iam.put_user_policy(
        UserName="caller", PolicyName="p", PolicyDocument=json.dumps(allow("execute-api:Invoke"))
    )
    headers = signature(cloud, api, "/users/7", key["AccessKeyId"], secret)
    status, answered, event = ask(cloud, api, "GET", "/users/7", headers)
    assert (status, answered["x-made"]) == (201, "here")
    assert event["version"] == "2.0"
    assert (event["routeKey"], event["pathParameters"]) == ("ANY /users/{id}", {"id": "7"})
    wrong = signature(cloud, api, "/users/7", key["AccessKeyId"], "x" * 40)
    assert ask(cloud, api, "GET", "/users/7", wrong)[0] == 403
    now = datetime.datetime.now(datetime.UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: now - datetime.timedelta(minutes=20))
        expired = signature(cloud, api, "/users/7", key["AccessKeyId"], secret)
    status, _, answer = ask(cloud, api, "GET", "/users/7", expired)
    assert status == 403
    assert "Signature expired" in answer["message"]


def test_curl_signs_for_an_api_whose_address_has_no_stage(cloud: Any, deployed: dict[str, str]) -> None:
    """As on AWS, the stage ``$default`` needs no part of the path; curl would sign its ``$`` differently."""
    iam = cloud.client("iam")
    iam.create_user(UserName="curl")
    policy = json.dumps(allow("execute-api:Invoke"))
    iam.put_user_policy(UserName="curl", PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName="curl")["AccessKey"]
    url = f"http://127.0.0.1:{cloud.record['port']}/_aws/execute-api/{deployed['Api']}"

    def curl(*rest: str, secret: str = key["SecretAccessKey"]) -> tuple[int, str]:
        signed = ["--aws-sigv4", "aws:amz:us-east-1:execute-api", "--user", f"{key['AccessKeyId']}:{secret}"]
        command = ["curl", "-s", "--noproxy", "*", "-w", "\n%{http_code}", *signed, *rest]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    status, body = curl(f"{url}/users/7?n=5")
    assert (status, json.loads(body)["queryStringParameters"]) == (201, {"n": "5"})
    body_of_json = ("-H", "Content-Type: application/json", "-d", '{"history": []}')
    status, body = curl(*body_of_json, f"{url}/users/7")
    assert (status, json.loads(body)["body"]) == (201, '{"history": []}')
    assert curl(f"{url}/users/7", secret="x" * 40)[0] == 403


def test_a_jwt_route_refuses_what_no_issuer_has_signed(cloud: Any, deployed: dict[str, str]) -> None:
    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    claims = {"iss": "https://issuer.example/", "aud": "readers", "exp": int(time.time()) + 600}
    for token in ("", "nonsense", f"{part({'alg': 'none'})}.{part(claims)}.", f"{part({'alg': 'RS256', 'kid': 'k'})}.{part(claims)}.c2ln"):  # fmt: skip
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert ask(cloud, deployed["Api"], "GET", "/token", headers)[0] == 401


def test_callers_see_nothing_of_a_function_that_fails(cloud: Any, deployed: dict[str, str]) -> None:
    status, _, answer = ask(cloud, deployed["Api"], "GET", "/open/fails")
    assert (status, answer) == (500, {"message": "Internal Server Error"})
    assert ask(cloud, deployed["Api"], "GET", "/open/answers")[::2] == (502, b"of the function")


def test_a_request_of_more_than_10_mb_is_refused(cloud: Any, deployed: dict[str, str]) -> None:
    status, _, answer = ask(cloud, deployed["Api"], "POST", "/open/x", body=bytes(10 * 1024 * 1024 + 1))
    assert (status, answer) == (413, {"message": "Request Entity Too Large"})


def test_cors_of_the_template_answers_preflights(cloud: Any, deployed: dict[str, str]) -> None:
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    status, headers, _ = ask(cloud, deployed["Api"], "OPTIONS", "/users/7", preflight)
    assert status in (200, 204)
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-max-age"] == "300"
    other = preflight | {"Origin": "https://other.example"}
    assert "access-control-allow-origin" not in ask(cloud, deployed["Api"], "OPTIONS", "/users/7", other)[1]


def test_firehose_delivers_records_together_with_the_delimiter_and_compressed(
    cloud: Any, deployed: dict[str, str], wait_until: Any
) -> None:
    records = [{"Data": b'{"a": 1}'}, {"Data": b'{"a": 2}'}]
    answer = cloud.client("firehose").put_record_batch(DeliveryStreamName=deployed["Stream"], Records=records)
    assert answer["FailedPutCount"] == 0
    s3, bucket = cloud.client("s3"), deployed["Bucket"]
    keys = wait_until(lambda: [e["Key"] for e in s3.list_objects_v2(Bucket=bucket).get("Contents", [])])
    assert len(keys) == 1
    assert keys[0].startswith(f"raw/{time.gmtime().tm_year}/")
    assert keys[0].endswith(".gz")
    body = s3.get_object(Bucket=bucket, Key=keys[0])["Body"].read()
    assert gzip.decompress(body) == b'{"a": 1}\n{"a": 2}\n'


def test_the_tables_and_the_budgets_settings_are_kept_and_updated(
    cloud: Any, deployed: dict[str, str], wait_until: Any
) -> None:
    dynamodb, name = cloud.client("dynamodb"), {"TableName": deployed["Table"]}

    def settings() -> tuple[str, str]:
        ttl = dynamodb.describe_time_to_live(**name)["TimeToLiveDescription"]
        backups = dynamodb.describe_continuous_backups(**name)["ContinuousBackupsDescription"]
        return ttl["TimeToLiveStatus"], backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]

    def limit() -> str:
        budgets = cloud.client("budgets").describe_budgets(AccountId="000000000000")["Budgets"]
        return str(next(b for b in budgets if b["BudgetName"] == deployed["Budget"])["BudgetLimit"]["Amount"])

    assert settings() == ("ENABLED", "ENABLED")
    assert float(limit()) == 10
    changed = template()
    changed["Resources"]["Table"]["Properties"]["TimeToLiveSpecification"]["Enabled"] = False
    del changed["Resources"]["Table"]["Properties"]["PointInTimeRecoverySpecification"]
    changed["Resources"]["Budget"]["Properties"]["Budget"]["BudgetLimit"]["Amount"] = 20
    deploy(cloud, wait_until, "update_stack", changed)
    assert settings() == ("DISABLED", "DISABLED")
    assert float(limit()) == 20
