"""The table of types against the service models that are installed."""

from __future__ import annotations

import boto3
import pytest

from fmrec.instances.catalogue import CALLS, ENUM_NAMES, TABLE_REGION, Call, catalogue, table_prices
from fmrec.instances.policy import FAMILIES
from fmrec.instances.pricing import endpoint_region

MODEL = boto3.Session(region_name="us-east-1").client("sagemaker").meta.service_model


@pytest.mark.parametrize("call", CALLS)
def test_a_type_is_marked_for_exactly_the_calls_whose_enum_has_it(call: Call) -> None:
    enum = set(MODEL.shape_for(ENUM_NAMES[call]).enum)
    assert {t.name for t in catalogue() if call in t.accepted_by} == {t.name for t in catalogue()} & enum


@pytest.mark.parametrize("family", FAMILIES)
def test_the_default_families_are_whole_and_priced(family: str) -> None:
    enum = {name for call in CALLS for name in MODEL.shape_for(ENUM_NAMES[call]).enum}
    in_enum = {name for name in enum if name.split(".")[1] == family}
    assert {t.name for t in catalogue() if t.family == family} == in_enum
    prices = table_prices()
    for instance in catalogue():
        if instance.family == family:
            assert all((prices.of(call, instance.name) or 0) > 0 for call in instance.accepted_by)


def test_memory_grows_with_price_within_a_family() -> None:
    prices = table_prices()
    for family in FAMILIES:
        sizes = sorted(
            (prices.of("hosting", t.name) or 0, t.memory_gib)
            for t in catalogue()
            if t.family == family and "hosting" in t.accepted_by
        )
        assert [memory for _, memory in sizes] == sorted(memory for _, memory in sizes)


def test_a_blank_price_is_unknown() -> None:
    assert table_prices().of("training", "ml.c5n.xlarge") is None


def test_the_table_says_that_it_is_another_regions() -> None:
    assert not any("may differ" in note for note in table_prices(TABLE_REGION).notes)
    assert any("eu-west-1 may differ" in note for note in table_prices("eu-west-1").notes)


@pytest.mark.parametrize(
    ("partition", "region", "expected"),
    [
        ("aws", "us-west-2", "us-east-1"),
        ("aws", "eu-west-3", "eu-central-1"),
        ("aws", "sa-east-1", "us-east-1"),
        ("aws-cn", "cn-north-1", "cn-northwest-1"),
        ("aws-us-gov", "us-gov-west-1", None),
    ],
)
def test_pricing_is_asked_where_there_is_an_endpoint(
    partition: str, region: str, expected: str | None
) -> None:
    assert endpoint_region(partition, region) == expected
    if expected:
        assert expected in boto3.Session().get_available_regions("pricing", partition)
