"""Refusals are read, and what to ask for is said exactly."""

from __future__ import annotations

import shlex
import subprocess

import boto3
import pytest
from botocore.validate import validate_parameters

from fmrec.instances.quota_increases import increase_for, increase_from_refusal, parse_refusal

REFUSAL = (
    "The account-level service limit '{quota}' is {limit} {unit}, with current utilization of {used} {unit} "
    "and a request delta of {delta} {unit}. Please use AWS Service Quotas to request an increase for this quota."
)


@pytest.mark.parametrize(
    ("quota", "limit", "used", "delta", "waiting", "instance_type"),
    [
        ("ml.m5.2xlarge for endpoint usage", "0", "0", "1", False, "ml.m5.2xlarge"),
        ("ml.m5.large for spot training job usage", "4", "4", "1", True, "ml.m5.large"),
        ("ml.m5.large for training job usage", "1", "1", "1", True, "ml.m5.large"),
        ("Number of instances across all training jobs", "20", "19", "4", True, None),
        ("Number of instances across all transform jobs", "1", "0", "4", False, None),
        ("ml.m5.large for transform job usage", "1,000.0", "999.0", "2.0", True, "ml.m5.large"),
    ],
)
def test_a_quota_refusal_is_read(
    quota: str, limit: str, used: str, delta: str, waiting: bool, instance_type: str | None
) -> None:
    text = REFUSAL.format(quota=quota, limit=limit, used=used, delta=delta, unit="Instances")
    refusal = parse_refusal(f"An error occurred (ResourceLimitExceeded): {text}")
    assert refusal is not None
    assert (refusal.quota, refusal.waiting_can_help, refusal.instance_type) == (quota, waiting, instance_type)
    assert refusal.limit == float(limit.replace(",", ""))
    assert refusal.unit == "Instances"


def test_the_serverless_refusal_is_in_megabytes() -> None:
    quota = "Memory size in MB per serverless endpoint"
    refusal = parse_refusal(REFUSAL.format(quota=quota, limit=3072, used=0, delta=4096, unit="MBs"))
    assert refusal is not None
    assert (refusal.unit, refusal.limit, refusal.delta) == ("MBs", 3072, 4096)


@pytest.mark.parametrize(
    "text",
    [
        "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different type.",
        "ClientError: Unable to parse csv",
        "",
    ],
)
def test_another_failure_is_no_quota_refusal(text: str) -> None:
    assert parse_refusal(text) is None


def test_the_command_is_one_that_the_service_accepts() -> None:
    refusal = parse_refusal(
        REFUSAL.format(quota="ml.m5.large for endpoint usage", limit=2, used=2, delta=1, unit="Instances")
    )
    assert refusal is not None
    increase = increase_from_refusal(refusal, region="eu-west-1")
    words = shlex.split(increase.command)
    assert words[:3] == ["aws", "service-quotas", "request-service-quota-increase"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--service-code": "sagemaker",
        "--quota-code": "L-614B09FD",
        "--desired-value": "3",
        "--region": "eu-west-1",
    }
    client = boto3.Session(region_name="eu-west-1").client("service-quotas")
    shape = client.meta.service_model.operation_model("RequestServiceQuotaIncrease").input_shape
    parameters = {"ServiceCode": "sagemaker", "QuotaCode": options["--quota-code"], "DesiredValue": 3.0}
    validate_parameters(parameters, shape)


def test_a_code_that_is_unknown_is_looked_up_by_name() -> None:
    increase = increase_for("ml.r7i.48xlarge for endpoint usage", limit=0, used=None, wanted=1)
    assert increase.code is None
    # A stand-in for the AWS CLI: the code lies on the second page of three.
    aws = 'aws() { case "$2" in list-*) echo; echo L-00000042; echo;; *) printf "%s\\n" "$@";; esac; }'
    shell = subprocess.run(
        ["bash", "-c", f"{aws}; {increase.command}"], capture_output=True, text=True, check=True
    )
    assert shell.stdout.split() == [
        *("service-quotas", "request-service-quota-increase", "--service-code", "sagemaker"),
        *("--quota-code", "L-00000042", "--desired-value", "1"),
    ]
    assert "[?QuotaName=='ml.r7i.48xlarge for endpoint usage']" in increase.command
    assert increase.sentence.startswith(
        "Quota 'ml.r7i.48xlarge for endpoint usage' is 0 with unknown use; 1 would do."
    )


def test_the_accounts_own_code_wins() -> None:
    quota = "ml.m5.large for endpoint usage"
    assert increase_for(quota, limit=0, used=0, wanted=1, codes={quota: "L-0000ABCD"}).code == "L-0000ABCD"


@pytest.mark.parametrize(
    ("partition", "start"),
    [
        ("aws", "https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas/L-614B09FD?"),
        ("aws-cn", "https://console.amazonaws.cn/servicequotas/"),
        ("aws-us-gov", "https://console.amazonaws-us-gov.com/servicequotas/"),
        ("aws-iso", None),
    ],
)
def test_the_console_link_knows_the_partition(partition: str, start: str | None) -> None:
    increase = increase_for(
        "ml.m5.large for endpoint usage", limit=0, used=0, wanted=1, region="r-1", partition=partition
    )
    if start is None:
        assert increase.console_url is None
    else:
        assert increase.console_url is not None
        assert increase.console_url.startswith(start)
        assert increase.console_url.endswith("?region=r-1")
