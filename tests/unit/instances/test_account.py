"""Reading the account: pages, running jobs, prices, and every way in which a call may fail."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config

from fmrec.instances import account as edge
from fmrec.instances.account import observe
from fmrec.instances.catalogue import table_prices
from fmrec.instances.permissions import DEFAULTS_ACTIONS, READ_ACTIONS
from fmrec.instances.quotas import Fleet

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/name-of-a-job"
TRAINING_ACROSS = "Number of instances across all training jobs"
ENDPOINTS_ACROSS = "Number of instances across active endpoints"


def training_summary(name: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "TrainingJobArn": ARN,
        "CreationTime": NOW,
        "TrainingJobStatus": "InProgress",
    }


def training_job(name: str, **resources: Any) -> dict[str, Any]:
    spot = resources.pop("spot", False)
    return {
        "TrainingJobName": name,
        "TrainingJobArn": ARN,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/model.tar.gz"},
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 10, **resources},
        "StoppingCondition": {},
        "CreationTime": NOW,
        "EnableManagedSpotTraining": spot,
    }


def endpoint_summary(name: str, status: str) -> dict[str, Any]:
    return {
        "EndpointName": name,
        "EndpointArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/e",
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        "EndpointStatus": status,
    }


def endpoint(name: str, config: str, status: str, **more: Any) -> dict[str, Any]:
    return {**endpoint_summary(name, status), "EndpointConfigName": config, **more}


def endpoint_config(name: str, *variants: dict[str, Any]) -> dict[str, Any]:
    return {
        "EndpointConfigName": name,
        "EndpointConfigArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/c",
        "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "m", **v} for v in variants],
        "CreationTime": NOW,
    }


def test_running_jobs_are_counted_across_empty_pages_and_spot_apart(aws: Any) -> None:
    listing = aws.sagemaker.add_response
    listing(
        "list_training_jobs",
        {"TrainingJobSummaries": [training_summary("a")], "NextToken": "1"},
        {"StatusEquals": "InProgress", "MaxResults": 100},
    )
    listing("describe_training_job", training_job("a", InstanceType="ml.m5.large", InstanceCount=2))
    listing("list_training_jobs", {"TrainingJobSummaries": [], "NextToken": "2"})
    listing("list_training_jobs", {"TrainingJobSummaries": [training_summary("b"), training_summary("c")]})
    listing(
        "describe_training_job", training_job("b", InstanceType="ml.m5.large", InstanceCount=1, spot=True)
    )
    listing(
        "describe_training_job",
        training_job(
            "c",
            InstanceGroups=[{"InstanceType": "ml.c5.xlarge", "InstanceCount": 3, "InstanceGroupName": "g"}],
        ),
    )
    listing(
        "list_training_jobs", {"TrainingJobSummaries": []}, {"StatusEquals": "Stopping", "MaxResults": 100}
    )
    for _status in range(2):
        listing("list_transform_jobs", {"TransformJobSummaries": []})
    listing("list_endpoints", {"Endpoints": []})
    aws.quotas_are()
    aws.prices_are()

    usage = observe(aws.clients)[0].usage

    assert usage["ml.m5.large for training job usage"] == 2
    assert usage["ml.c5.xlarge for training job usage"] == 3
    assert usage[TRAINING_ACROSS] == 5
    assert usage["ml.m5.large for spot training job usage"] == 1
    assert usage["ml.m5.xlarge for training job usage"] == 0
    assert usage["ml.m5.large for transform job usage"] == 0
    aws.nothing_is_left()


def test_an_endpoint_that_is_updated_counts_with_both_fleets_and_serverless_with_none(aws: Any) -> None:
    listing = aws.sagemaker.add_response
    for _status in range(2):
        listing("list_training_jobs", {"TrainingJobSummaries": []})
    for _status in range(2):
        listing("list_transform_jobs", {"TransformJobSummaries": []})
    listing(
        "list_endpoints",
        {
            "Endpoints": [
                endpoint_summary("updated", "Updating"),
                endpoint_summary("gone", "Failed"),
                endpoint_summary("serverless", "InService"),
                endpoint_summary("new", "Creating"),
            ]
        },
    )
    fleet = [{"VariantName": "AllTraffic", "CurrentInstanceCount": 2, "DesiredInstanceCount": 3}]
    listing(
        "describe_endpoint",
        endpoint(
            "updated",
            "old",
            "Updating",
            ProductionVariants=fleet,
            PendingDeploymentSummary={"EndpointConfigName": "next"},
        ),
    )
    listing("describe_endpoint_config", endpoint_config("old", {"InstanceType": "ml.m5.large"}))
    listing(
        "describe_endpoint_config",
        endpoint_config("next", {"InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 4}),
    )
    listing("describe_endpoint", endpoint("serverless", "sls", "InService"))
    listing(
        "describe_endpoint_config",
        endpoint_config("sls", {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}),
    )
    listing("describe_endpoint", endpoint("new", "first", "Creating"))
    listing(
        "describe_endpoint_config",
        endpoint_config("first", {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}),
    )
    aws.quotas_are()
    aws.prices_are()

    account, _ = observe(aws.clients)

    usage = account.usage
    assert account.fleets == {"updated": Fleet("ml.m5.large", 3), "new": Fleet("ml.m5.large", 1)}
    assert usage["ml.m5.large for endpoint usage"] == 3 + 1
    assert usage["ml.m5.xlarge for endpoint usage"] == 4
    assert usage[ENDPOINTS_ACROSS] == 8


def test_quotas_are_read_page_by_page_and_rows_with_an_error_stay_unknown(aws: Any) -> None:
    def row(name: str, value: float, **more: Any) -> dict[str, Any]:
        return {"QuotaName": name, "QuotaCode": f"L-{abs(hash(name)) % 10**8:08d}", "Value": value, **more}

    aws.quotas.add_response(
        "list_service_quotas",
        {"Quotas": [row("ml.m5.large for endpoint usage", 4)], "NextToken": "x"},
        {"ServiceCode": "sagemaker", "MaxResults": 100},
    )
    error = {"ErrorCode": "SERVICE_QUOTA_NOT_AVAILABLE_ERROR", "ErrorMessage": "none"}
    aws.quotas.add_response(
        "list_service_quotas",
        {
            "Quotas": [
                row("ml.m5.xlarge for endpoint usage", 9, ErrorReason=error),
                row("ml.m5.4xlarge for endpoint usage", 9, QuotaAppliedAtLevel="RESOURCE"),
                row("ml.m5.2xlarge for endpoint usage", 0),
            ]
        },
    )
    aws.nothing_is_running()
    aws.prices_are()

    account, _ = observe(aws.clients)

    assert account.quotas == {"ml.m5.large for endpoint usage": 4, "ml.m5.2xlarge for endpoint usage": 0}
    assert "ml.m5.xlarge for endpoint usage" in account.codes
    assert account.region == "eu-west-1"


def test_defaults_are_guesses_beside_the_quotas_and_never_among_them(aws: Any) -> None:
    aws.quotas_are(**{"ml.m5.large for endpoint usage": 4})
    rows = [
        {"QuotaName": name, "QuotaCode": "L-00000001", "Value": 20}
        for name in ("ml.m5.large for endpoint usage", "ml.r5.large for endpoint usage")
    ]
    aws.quotas.add_response("list_aws_default_service_quotas", {"Quotas": rows})
    aws.nothing_is_running()
    aws.prices_are()

    account, _ = observe(aws.clients, with_defaults=True)

    assert account.quotas == {"ml.m5.large for endpoint usage": 4}
    assert account.defaults == {"ml.r5.large for endpoint usage": 20}
    assert set(DEFAULTS_ACTIONS) < set(aws.called)


def test_denied_calls_leave_everything_unknown_and_say_which(aws: Any) -> None:
    aws.quotas.add_client_error("list_service_quotas", "AccessDeniedException")
    aws.sagemaker.add_client_error("list_training_jobs", "AccessDeniedException")
    for _status in range(2):
        aws.sagemaker.add_response("list_transform_jobs", {"TransformJobSummaries": []})
    aws.sagemaker.add_client_error("list_endpoints", "ThrottlingException")
    aws.pricing.add_client_error("get_products", "AccessDeniedException")

    account, prices = observe(aws.clients)

    assert account.quotas == {}
    assert TRAINING_ACROSS not in account.usage
    assert account.usage["Number of instances across all transform jobs"] == 0
    notes = "\n".join(account.notes)
    assert "quotas couldn't be read and count as unknown: ListServiceQuotas answered AccessDeniedEx" in notes
    assert "use by training jobs couldn't be read" in notes
    assert (
        "use by endpoints couldn't be read and count as unknown: ListEndpoints answered Throttling" in notes
    )
    assert "live prices couldn't be read" in notes
    assert prices.per_hour == table_prices().per_hour
    assert any("eu-west-1 may differ" in note for note in prices.notes)


def test_services_that_can_not_be_reached_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    service_quotas, sagemaker, pricing = (
        session.client(name, endpoint_url="http://127.0.0.1:9", config=config)
        for name in ("service-quotas", "sagemaker", "pricing")
    )
    account, prices = observe(edge.Clients(service_quotas, sagemaker, pricing))
    assert (account.quotas, account.usage) == ({}, {})
    assert prices.source.startswith("built-in table")
    assert len(account.notes) == 5


def test_no_page_is_asked_for_after_the_time_is_up(aws: Any) -> None:
    account, prices = observe(aws.clients, budget_seconds=-1)
    assert aws.called == []
    assert (account.quotas, account.usage) == ({}, {})
    assert prices == table_prices("eu-west-1")
    assert all("time allowed" in note for note in account.notes)


def test_a_slow_service_is_left_after_the_page_that_used_up_the_time(aws: Any) -> None:
    row = {"QuotaName": "ml.m5.large for endpoint usage", "QuotaCode": "L-00000001", "Value": 4}
    aws.quotas.add_response("list_service_quotas", {"Quotas": [row], "NextToken": "x"})
    aws.clients.service_quotas.meta.events.register("before-parameter-build", lambda **_: time.sleep(0.5))
    aws.nothing_is_running()
    aws.prices_are()
    account, _ = observe(aws.clients, budget_seconds=0.4)
    assert account.quotas == {"ml.m5.large for endpoint usage": 4}
    assert (
        account.notes[0] == "quotas couldn't be read and count as unknown: the time allowed for it was over"
    )
    assert aws.called.count("servicequotas:ListServiceQuotas") == 1


def test_what_is_called_is_what_the_permissions_say(aws: Any) -> None:
    listing = aws.sagemaker.add_response
    listing("list_training_jobs", {"TrainingJobSummaries": [training_summary("a")]})
    listing("describe_training_job", training_job("a", InstanceType="ml.m5.large", InstanceCount=1))
    listing("list_training_jobs", {"TrainingJobSummaries": []})
    summary = {
        "TransformJobName": "t",
        "TransformJobArn": ARN,
        "CreationTime": NOW,
        "TransformJobStatus": "InProgress",
    }
    listing("list_transform_jobs", {"TransformJobSummaries": [summary]})
    listing(
        "describe_transform_job",
        {
            **summary,
            "ModelName": "m",
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/p"}}
            },
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 2},
        },
    )
    listing("list_transform_jobs", {"TransformJobSummaries": []})
    listing("list_endpoints", {"Endpoints": [endpoint_summary("e", "InService")]})
    listing("describe_endpoint", endpoint("e", "c", "InService"))
    listing("describe_endpoint_config", endpoint_config("c", {"InstanceType": "ml.m5.large"}))
    aws.quotas_are()
    aws.prices_are()

    account, _ = observe(aws.clients)

    assert set(aws.called) == set(READ_ACTIONS)
    assert account.usage["ml.m5.large for transform job usage"] == 2
    assert account.usage["ml.m5.large for endpoint usage"] == 1
