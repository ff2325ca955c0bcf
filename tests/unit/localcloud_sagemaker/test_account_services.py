"""Service Quotas and Pricing as the local cloud answers them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from localcloud.faults import Faults, ServiceFault
from localcloud.pricing import Pricing
from localcloud.quotas import Quotas, ServiceQuotas, quota_code

TRAINING = "ml.m5.large for training job usage"


class Account:
    def __init__(self, call: Callable[..., dict[str, Any]], values: dict[str, float] | str) -> None:
        self.quotas = Quotas.from_source(values) if isinstance(values, str) else Quotas(values)
        self.faults = Faults()
        self._call = call
        self._service_quotas = ServiceQuotas(self.quotas, self.faults, "us-east-1", "000000000000")
        self._pricing = Pricing(self.faults)

    def service_quotas(self, operation: str, **parameters: Any) -> dict[str, Any]:
        request = {"ServiceCode": "sagemaker"} | parameters
        return self._call("service-quotas", self._service_quotas, operation, request)

    def products(self, **fields: str) -> list[dict[str, Any]]:
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]
        found: list[dict[str, Any]] = []
        request: dict[str, Any] = {"ServiceCode": "AmazonSageMaker", "Filters": filters}
        while True:
            page = self._call("pricing", self._pricing, "GetProducts", request)
            found += [json.loads(text) for text in page["PriceList"]]
            if "NextToken" not in page:
                return found
            request["NextToken"] = page["NextToken"]


@pytest.fixture
def account(call: Callable[..., dict[str, Any]]) -> Callable[..., Account]:
    return lambda values: Account(call, values)


def test_all_applied_values_come_in_pages(account: Callable[..., Account]) -> None:
    made = account("new-account")
    found: dict[str, float] = {}
    pages = 0
    request: dict[str, Any] = {"MaxResults": 100}
    while True:
        page = made.service_quotas("ListServiceQuotas", **request)
        assert len(page["Quotas"]) <= 100
        found |= {quota["QuotaName"]: quota["Value"] for quota in page["Quotas"]}
        pages += 1
        if "NextToken" not in page:
            break
        request["NextToken"] = page["NextToken"]
    assert found == made.quotas.as_dict()
    assert pages > 3


def test_codes_are_awss_where_known_and_marked_where_not(account: Callable[..., Account]) -> None:
    assert quota_code(TRAINING) == "L-611FA074"
    assert quota_code("Number of instances across all training jobs") == "L-00C91CB5"
    assert quota_code("Memory size in MB per serverless endpoint").startswith("L-LOCAL")
    made = account("new-account")
    names = made.quotas.as_dict()
    assert len({quota_code(name) for name in names}) == len(names)
    quota = made.service_quotas("GetServiceQuota", QuotaCode="L-611FA074")["Quota"]
    assert (quota["QuotaName"], quota["Value"], quota["Unit"], quota["Adjustable"]) == (
        TRAINING,
        1.0,
        "None",
        True,
    )


def test_list_defaults_differ_from_what_a_new_account_has(account: Callable[..., Account]) -> None:
    made = account("new-account")
    default = made.service_quotas("GetAWSDefaultServiceQuota", QuotaCode="L-611FA074")["Quota"]
    assert default["Value"] == 30.0
    assert "QuotaAppliedAtLevel" not in default
    assert len(made.service_quotas("ListAWSDefaultServiceQuotas")["Quotas"]) == 100


def test_a_quota_without_an_applied_value_is_no_such_resource(account: Callable[..., Account]) -> None:
    made = account({})
    assert made.service_quotas("ListServiceQuotas")["Quotas"] == []
    with pytest.raises(ServiceFault) as refusal:
        made.service_quotas("GetServiceQuota", QuotaCode="L-611FA074")
    assert refusal.value.code == "NoSuchResourceException"
    assert (
        made.service_quotas("GetAWSDefaultServiceQuota", QuotaCode="L-611FA074")["Quota"]["QuotaName"]
        == TRAINING
    )


def test_one_request_per_quota_is_open_until_the_value_is_reached(account: Callable[..., Account]) -> None:
    made = account({TRAINING: 1})
    ask = {"QuotaCode": "L-611FA074", "DesiredValue": 4.0}
    requested = made.service_quotas("RequestServiceQuotaIncrease", **ask)["RequestedQuota"]
    assert (requested["Status"], requested["DesiredValue"]) == ("PENDING", 4.0)
    with pytest.raises(ServiceFault) as refusal:
        made.service_quotas("RequestServiceQuotaIncrease", **ask)
    assert refusal.value.code == "ResourceAlreadyExistsException"
    history = "ListRequestedServiceQuotaChangeHistoryByQuota"
    [entry] = made.service_quotas(history, QuotaCode="L-611FA074")["RequestedQuotas"]
    assert entry["Id"] == requested["Id"]
    made.quotas.put({TRAINING: 4})
    [entry] = made.service_quotas(history, QuotaCode="L-611FA074", Status="APPROVED")["RequestedQuotas"]
    assert entry["Status"] == "APPROVED"
    assert made.service_quotas(history, QuotaCode="L-611FA074", Status="PENDING")["RequestedQuotas"] == []
    made.service_quotas("RequestServiceQuotaIncrease", **ask | {"DesiredValue": 5.0})


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        ({"QuotaCode": "L-611FA074", "DesiredValue": 1.0}, "IllegalArgumentException"),
        ({"QuotaCode": "L-33A961FD", "DesiredValue": 1e6}, "InvalidResourceStateException"),
        ({"QuotaCode": "L-00000000", "DesiredValue": 1.0}, "NoSuchResourceException"),
        ({"QuotaCode": "L-611FA074", "DesiredValue": 2.0, "ServiceCode": "glue"}, "NoSuchResourceException"),
    ],
)
def test_increases_that_cannot_be_asked_for_are_refused(
    account: Callable[..., Account], ask: dict[str, Any], code: str
) -> None:
    with pytest.raises(ServiceFault) as refusal:
        account({TRAINING: 1}).service_quotas("RequestServiceQuotaIncrease", **ask)
    assert refusal.value.code == code


def test_denied_and_throttled_services_say_so(account: Callable[..., Account]) -> None:
    made = account({TRAINING: 1})
    made.faults.put({"denied": ["service-quotas"]})
    with pytest.raises(ServiceFault) as refusal:
        made.service_quotas("ListServiceQuotas")
    assert refusal.value.code == "AccessDeniedException"
    assert made.products(instanceName="ml.m5.large")
    made.faults.put({"denied": ["pricing"]})
    assert made.service_quotas("ListServiceQuotas")["Quotas"]
    with pytest.raises(ServiceFault) as refusal:
        made.products()
    assert refusal.value.code == "AccessDeniedException"
    made.faults.put({"throttle_until": time.time() + 60})
    with pytest.raises(ServiceFault) as refusal:
        made.service_quotas("ListServiceQuotas")
    assert refusal.value.code == "TooManyRequestsException"
    with pytest.raises(ServiceFault) as refusal:
        made.products()
    assert refusal.value.code == "ThrottlingException"


def test_prices_are_found_by_the_filters_that_aws_samples_use(account: Callable[..., Account]) -> None:
    made = account({})
    fields = {"productFamily": "ML Instance", "regionCode": "us-east-1", "platoinstancetype": "Hosting"}
    [product] = made.products(instanceName="ml.m5.xlarge", **fields)
    [term] = product["terms"]["OnDemand"].values()
    [dimension] = term["priceDimensions"].values()
    assert float(dimension["pricePerUnit"]["USD"]) == 0.23
    assert dimension["unit"] == "Hrs"
    assert product["product"]["sku"] == "JDZQJFUVUR8SUWHS"
    assert product["product"]["attributes"]["usagetype"] == "USE1-Host:ml.m5.xlarge"
    components = {p["product"]["attributes"]["component"] for p in made.products(instanceName="ml.m5.large")}
    assert components == {"Training", "Hosting", "BatchTransform", "Processing"}
    assert made.products(regionCode="eu-west-1") == []
    assert made.products(instanceName="ml.c5n.xlarge") == []  # no confirmed price is not a price of zero
    assert all(
        float(dimension["pricePerUnit"]["USD"]) > 0
        for product in made.products(**fields)
        for term in product["terms"]["OnDemand"].values()
        for dimension in term["priceDimensions"].values()
    )


def test_serverless_memory_has_a_price_per_second(account: Callable[..., Account]) -> None:
    [product] = account({}).products(productFamily="ML Serverless", memorygb="4")
    [term] = product["terms"]["OnDemand"].values()
    [dimension] = term["priceDimensions"].values()
    assert float(dimension["pricePerUnit"]["USD"]) == pytest.approx(0.00008)


def test_the_products_come_in_pages(account: Callable[..., Account]) -> None:
    products = account({}).products()
    assert len(products) > 200
    assert len({product["product"]["sku"] for product in products}) == len(products)
