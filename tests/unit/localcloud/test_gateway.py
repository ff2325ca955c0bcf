"""SageMaker, Service Quotas and Pricing over HTTP, and the control API."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/knn:1"


@pytest.fixture(scope="module")
def model(cloud: Any) -> str:
    role = cloud.role("gateway", "sagemaker", "s3:*")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://nowhere/model.tar.gz"}
    cloud.client("sagemaker").create_model(
        ModelName="Gateway-Model", ExecutionRoleArn=role, PrimaryContainer=container
    )
    return "Gateway-Model"


def test_boto3_reads_timestamps_and_names_of_the_service(cloud: Any, model: str) -> None:
    described = cloud.client("sagemaker").describe_model(ModelName=model)
    age = datetime.datetime.now(datetime.UTC) - described["CreationTime"]
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)
    assert described["PrimaryContainer"]["Image"] == IMAGE


def test_boto3_raises_the_services_error_codes(cloud: Any, model: str) -> None:
    sagemaker = cloud.client("sagemaker")
    with pytest.raises(ClientError, match="Could not find") as missing:
        sagemaker.describe_model(ModelName="none")
    assert missing.value.response["Error"]["Code"] == "ValidationException"
    production = {
        "VariantName": "v",
        "ModelName": model,
        "InstanceType": "ml.m5.tiny",
        "InitialInstanceCount": 1,
    }
    with pytest.raises(ClientError, match="Member must satisfy enum value set"):
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[production])
    with pytest.raises(ClientError) as unknown:
        sagemaker.list_domains()
    assert unknown.value.response["Error"]["Code"] == "UnknownOperationException"
    with pytest.raises(ClientError) as endpoint:
        cloud.client("sagemaker-runtime").invoke_endpoint(EndpointName="none", Body=b"{}")
    assert endpoint.value.response["Error"]["Code"] == "ValidationError"


def test_quotas_and_prices_answer(cloud: Any) -> None:
    quotas = (
        cloud.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    )
    applied = {quota["QuotaName"]: quota["Value"] for page in quotas for quota in page["Quotas"]}
    assert applied == cloud.control("GET", "quotas")[1]
    rule = {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"}
    page = cloud.client("pricing").get_products(ServiceCode="AmazonSageMaker", Filters=[rule], MaxResults=1)
    assert len(page["PriceList"]) == 1


def test_sagemaker_is_only_for_those_whom_iam_allows(cloud: Any, model: str) -> None:
    mine = f"arn:aws:sagemaker:us-east-1:000000000000:model/{model.lower()}"
    role = cloud.role(
        "gateway-reader", "lambda", "sagemaker:DescribeModel", "sagemaker:InvokeEndpoint", resource=mine
    )
    found = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    keys = {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }
    assert cloud.client("sagemaker", **keys).describe_model(ModelName=model)["ModelName"] == model
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("sagemaker", "describe_model", {"ModelName": "another"}),
        ("sagemaker", "delete_model", {"ModelName": model}),
        ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "e", "Body": b"{}"}),
        ("service-quotas", "list_service_quotas", {"ServiceCode": "sagemaker"}),
    ]
    for service, operation, arguments in refused:
        with pytest.raises(ClientError, match="is not authorized to perform") as denied:
            getattr(cloud.client(service, **keys), operation)(**arguments)
        assert denied.value.response["Error"]["Code"] == "AccessDeniedException"


def test_faults_are_ordered_and_taken_back(cloud: Any) -> None:
    nothing: dict[str, Any] = {"capacity_missing": [], "throttle_until": 0.0, "memory_limit_gib": {}}
    nothing |= {"denied": [], "s3": []}
    assert cloud.control("GET", "faults") == (200, nothing)
    try:
        ordered = {"denied": ["service-quotas"], "throttle_until": time.time() + 60}
        assert cloud.control("PUT", "faults", ordered) == (200, nothing | ordered)
        with pytest.raises(ClientError) as throttled:
            cloud.client("sagemaker").list_models()
        assert throttled.value.response["Error"]["Code"] == "ThrottlingException"
        with pytest.raises(ClientError):
            cloud.client("service-quotas").list_service_quotas(ServiceCode="sagemaker")
    finally:
        assert cloud.control("PUT", "faults", {}) == (200, nothing)
    cloud.client("sagemaker").list_models()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"capacity": []}, "unknown fault 'capacity'"),
        ({"denied": ["s3"]}, "denied must be a list out of"),
        ({"throttle_until": "tomorrow"}, "throttle_until must be a time"),
        ({"memory_limit_gib": {"ml.m5.large": 0}}, "memory_limit_gib must map"),
        ([], "must be a JSON object"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(cloud: Any, document: Any, words: str) -> None:
    status, answer = cloud.control("PUT", "faults", document)
    assert status == 400
    assert words in answer["message"]


def test_the_control_api_says_what_it_has_not(cloud: Any) -> None:
    for method, path in (
        ("GET", "nothing"),
        ("PUT", "processes"),
        ("GET", "logs/glue/jr_none"),
        ("GET", "logs/../server"),
    ):
        status, answer = cloud.control(method, path)
        assert status == 404, path
        assert answer["error"] == "NotFound"
    about = cloud.control("GET", "")[1]
    assert about["pid"] == cloud.record["pid"]
    assert about["home"] == str(cloud.state)
