"""Quotas files as the AWS CLI prints them and as people write them."""

import json
import re
from typing import Any

import pytest

from fmrec.errors import InputError
from fmrec.instances.quotas_file import read_quotas_file

ENDPOINT, TRAINING = "ml.m5.large for endpoint usage", "ml.m5.large for training job usage"
APPLIED = {ENDPOINT: 2.0, TRAINING: 0.0}


def entry(name: str, value: float | None, account: str = "000000000000", **more: Any) -> dict[str, Any]:
    """One of ``list-service-quotas``'s entries, with the fields that it has in 2026."""
    found = {
        "ServiceCode": "sagemaker",
        "ServiceName": "Amazon SageMaker",
        "QuotaArn": f"arn:aws:servicequotas:eu-west-1:{account}:sagemaker/L-614B09FD",
        "QuotaCode": "L-614B09FD",
        "QuotaName": name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "QuotaAppliedAtLevel": "ACCOUNT",
    } | more
    return {key: value for key, value in found.items() if value is not None}


def pages(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"Quotas": [one]} for one in entries]


NOTEBOOK = entry("ml.t3.medium for notebook instance usage", 4)
BOTH = [entry(name, value) for name, value in APPLIED.items()]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"Quotas": [*BOTH, NOTEBOOK]}),
        json.dumps({"Quotas": BOTH}, indent=4),
        "\n".join(json.dumps(page) for page in pages(*BOTH, NOTEBOOK)),
        "".join(json.dumps(page, indent=4) for page in pages(*BOTH)),
        json.dumps(pages(*BOTH)),
        json.dumps(BOTH),
        "\n".join(json.dumps({"Quota": one}) for one in BOTH),
        json.dumps(list(APPLIED.items())),
        json.dumps(APPLIED),
        json.dumps({"Quotas": [*BOTH, entry("ml.m5.xlarge for endpoint usage", None, ErrorReason={})]}),
        json.dumps({"Quotas": [entry(ENDPOINT, 0, account=""), *BOTH]}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_of_the_same_quotas_is_read(content: str, encoding: str) -> None:
    account = read_quotas_file(content.encode(encoding))

    assert account.quotas == APPLIED
    assert account.notes == ()
    assert account.region == ("eu-west-1" if "QuotaArn" in content else None)


def test_codes_and_partition_come_from_the_entries_too() -> None:
    arn = "arn:aws-cn:servicequotas:cn-north-1:000000000000:sagemaker/L-1"
    content = json.dumps({"Quotas": [entry(ENDPOINT, 1, QuotaArn=arn, QuotaCode="L-1")]}).encode()
    account = read_quotas_file(content, "cn-north-1")

    assert (account.region, account.partition, account.codes) == ("cn-north-1", "aws-cn", {ENDPOINT: "L-1"})
    with pytest.raises(InputError, match="the quotas file is of cn-north-1, but --region is eu-west-1"):
        read_quotas_file(content, "eu-west-1")


def test_the_defaults_of_aws_are_no_applied_values() -> None:
    """``list-aws-default-service-quotas``: its ARNs name no account."""
    account = read_quotas_file(json.dumps({"Quotas": [entry(ENDPOINT, 0, account="")]}).encode())

    assert (account.quotas, account.defaults) == ({}, {ENDPOINT: 0})
    assert "AWS's defaults, not what applies to an account" in account.notes[0]


def test_a_single_page_of_several_is_said() -> None:
    account = read_quotas_file(json.dumps({"Quotas": BOTH, "NextToken": "x"}).encode())

    assert account.quotas == APPLIED
    assert "is one page of several" in account.notes[0]
    whole = json.dumps({"Quotas": BOTH[:1], "NextToken": "x"}) + json.dumps({"Quotas": BOTH[1:]})
    assert read_quotas_file(whole.encode()).notes == ()


def test_names_that_are_not_known_come_with_the_nearest_that_are() -> None:
    names = {ENDPOINT: 1, "ml.m5.large for endpont usage": 1, "Number of instances across all trainings": 2}
    account = read_quotas_file(json.dumps(names).encode())

    assert account.quotas == {ENDPOINT: 1}
    (note,) = account.notes
    assert "'ml.m5.large for endpont usage' (known: 'ml.m5.large for endpoint usage'" in note
    assert "trainings' (known: 'Number of instances across all training jobs'" in note
    many = {f"quota {at}": 1 for at in range(8)} | names
    assert "; and 5 more" in read_quotas_file(json.dumps(many).encode()).notes[0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the quotas file is not JSON (it is empty)"),
        ("QUOTAS\tTrue\tFalse\tL-1\n", "expected an object of quota name to value, or the output of `aws service-quotas"),
        ("[]", "the quotas file holds no quota: write it with `aws service-quotas list-service-quotas"),
        ('{"Quotas": []}', "the quotas file holds no quota"),
        ('{"Quotas": [7]}', "the quotas file has 7 among its Quotas, expected an object with QuotaName and Value"),
        ('{"Quotas": [{"QuotaName": "x"}]}', "the quotas file says None for 'x', expected a number"),
        ('{"RequestedQuotas": []}', "has requests for quotas, not their values"),
        ('{"ml.m5.large for endpoint use": 1}', "holds no quota that a step looks at: 'ml.m5.large for endpoint use' (known: 'ml.m5.large for endpoint usage'"),
        (json.dumps({"Quotas": [entry("Running On-Demand F instances", 1, ServiceCode="ec2")]}), "has quotas of ec2, not of SageMaker"),
        (json.dumps({"Quotas": [NOTEBOOK]}), "holds no quota that a step looks at: 'ml.t3.medium for notebook instance usage'"),
        (json.dumps({"Quotas": [*BOTH, entry(ENDPOINT, 1, QuotaArn="arn:aws:servicequotas:us-east-1:1:x")]}), "has quotas of eu-west-1, us-east-1: quotas belong to a Region"),
        ('"text"', 'the quotas file holds "text", expected an object'),
    ],
)  # fmt: skip
def test_other_files_are_refused_with_what_to_do(content: str, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_quotas_file(content.encode())
