"""Prices of the region, and what is kept of quotas and prices, for how long."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fmrec.instances.account import observe


def test_prices_are_the_regions_and_a_missing_transform_rate_is_hostings(
    aws: Any, product: Callable[..., str]
) -> None:
    aws.quotas_are()
    aws.nothing_is_running()
    wanted = [
        {"Type": "TERM_MATCH", "Field": "productFamily", "Value": "ML Instance"},
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"},
        {"Type": "TERM_MATCH", "Field": "platoinstancetype", "Value": "Training"},
    ]
    aws.pricing.add_response(
        "get_products",
        {
            "PriceList": [
                product("ml.m5.large", "Training", "0.128"),
                product("ml.m5.large", "Training", "0.10"),
                product("ml.m5.xlarge", "Training", "0.0000"),
                product("ml.g5.xlarge", "Training", "1.40"),
            ]
        },
        {"ServiceCode": "AmazonSageMaker", "Filters": wanted, "FormatVersion": "aws_v1", "MaxResults": 100},
    )
    aws.pricing.add_response("get_products", {"PriceList": [product("ml.m5.xlarge", "Hosting", "0.257")]})
    for _component in ("BatchTransform", "Processing"):
        aws.pricing.add_response("get_products", {"PriceList": []})

    prices = observe(aws.clients)[1]

    assert prices.of("training", "ml.m5.large") == 0.128
    assert prices.of("training", "ml.m5.xlarge") is None
    assert prices.of("training", "ml.g5.xlarge") is None
    assert prices.of("hosting", "ml.m5.xlarge") == 0.257
    assert prices.of("transform", "ml.m5.xlarge") == 0.257
    assert "hosting rates stand in" in prices.notes[0]
    assert prices.source.startswith("Pricing API, eu-west-1")


def test_prices_keep_the_currency_that_they_are_listed_in(aws: Any, product: Callable[..., str]) -> None:
    aws.quotas_are()
    aws.nothing_is_running()
    aws.prices_are(Hosting=[product("ml.m5.large", "Hosting", "1.02", "CNY")])
    prices = observe(aws.clients)[1]
    assert prices.currency == "CNY"
    assert prices.of("hosting", "ml.m5.large") == 1.02
    assert prices.of("training", "ml.m5.large") is None


def test_quotas_and_prices_come_from_the_cache_until_they_are_too_old(
    aws: Any, product: Callable[..., str], tmp_path: Path
) -> None:
    uri = str(tmp_path / "account.json")
    aws.quotas_are(**{"ml.m5.large for endpoint usage": 4})
    aws.prices_are(Hosting=[product("ml.m5.large", "Hosting", "0.2")])
    aws.nothing_is_running()
    first, first_prices = observe(aws.clients, cache_uri=uri)

    aws.nothing_is_running()
    second, second_prices = observe(aws.clients, cache_uri=uri)
    assert second.quotas == first.quotas
    assert second.codes == first.codes
    assert second_prices == first_prices
    assert second.notes[0].startswith("quotas were read at ")

    document = json.loads(Path(uri).read_text())
    for part, days in (("quotas", 1), ("prices", 8)):
        document[part]["read_at"] = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    Path(uri).write_text(json.dumps(document))
    aws.quotas_are(**{"ml.m5.large for endpoint usage": 7})
    aws.prices_are(Hosting=[product("ml.m5.large", "Hosting", "0.3")])
    aws.nothing_is_running()
    third, third_prices = observe(aws.clients, cache_uri=uri)
    assert third.quotas == {"ml.m5.large for endpoint usage": 7}
    assert third_prices.of("hosting", "ml.m5.large") == 0.3


def test_quotas_that_broke_off_are_known_as_far_as_they_came_and_not_kept(aws: Any, tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    row = {"QuotaName": "ml.m5.large for endpoint usage", "QuotaCode": "L-00000001", "Value": 4}
    aws.quotas.add_response("list_service_quotas", {"Quotas": [row], "NextToken": "x"})
    aws.quotas.add_client_error("list_service_quotas", "TooManyRequestsException")
    aws.nothing_is_running()
    aws.prices_are()
    account, _ = observe(aws.clients, cache_uri=str(path))
    assert account.quotas == {"ml.m5.large for endpoint usage": 4}
    assert "TooManyRequestsException" in account.notes[0]
    assert not path.exists()


FOREIGN = {
    "version": 1,
    "region": "us-east-1",
    "quotas": {
        "read_at": datetime.now(UTC).isoformat(),
        "values": {"ml.m5.large for endpoint usage": 99},
        "codes": {},
    },
}


@pytest.mark.parametrize(
    "content", ["{", "[]", json.dumps(FOREIGN), json.dumps(FOREIGN | {"version": 0, "region": "eu-west-1"})]
)
def test_a_cache_that_is_broken_or_another_regions_is_read_over(
    aws: Any, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "account.json"
    path.write_text(content)
    aws.quotas_are(**{"ml.m5.large for endpoint usage": 4})
    aws.prices_are()
    aws.nothing_is_running()
    account, _ = observe(aws.clients, cache_uri=str(path))
    assert account.quotas == {"ml.m5.large for endpoint usage": 4}
    assert json.loads(path.read_text())["region"] == "eu-west-1"
