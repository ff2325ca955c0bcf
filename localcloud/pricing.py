"""The Pricing API's GetProducts for SageMaker instances, from a dated table of us-east-1.

The table (``tables/sagemaker_prices.csv``: on-demand USD per hour) and the documents' form follow
the Price List offer file of us-east-1 of 2026-09-27. Other regions have no products here, as nobody checked
their rates. The transform rates are inferred from the hosting ones; SKUs are made up, except two that were
seen.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import json
import pathlib
from typing import Any

from localcloud.faults import Faults, ServiceFault

_TABLE = pathlib.Path(__file__).with_name("tables") / "sagemaker_prices.csv"
_SERVICE = "AmazonSageMaker"
_REGION, _LOCATION = "us-east-1", "US East (N. Virginia)"
_READ = "2026-09-27"
_COMPONENTS = {
    "Training": ("training_usd_per_hour", "Train"),
    "Hosting": ("hosting_usd_per_hour", "Host"),
    "BatchTransform": ("transform_usd_per_hour", "Tsform"),
    "Processing": ("training_usd_per_hour", "Processing"),
}
_SEEN_SKUS = {"USE1-Train:ml.m5.large": "JMCWJEAPVJNFJ5P4", "USE1-Host:ml.m5.xlarge": "JDZQJFUVUR8SUWHS"}
_ON_DEMAND, _PER_UNIT = "JRTCKXETXF", "6YS6EN2CT7"
_SERVERLESS_USD_PER_GIB_SECOND = 0.00002
_LARGEST_SERVERLESS_GIB = 6


class Pricing:
    """The Price List of SageMaker."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One operation, as boto3 answers it.

        Raises
        ------
        ServiceFault
            The refusal, with the service's error code; also when the faults document throttles or denies.
        """
        if operation != "GetProducts":
            raise ServiceFault("UnknownOperationException", f"The local cloud's Pricing lacks {operation}.")
        if self._faults.denies("pricing"):
            raise ServiceFault(
                "AccessDeniedException", "The caller is not authorized to perform: pricing:GetProducts"
            )
        if self._faults.throttling:
            raise ServiceFault("ThrottlingException", "Rate exceeded")
        if parameters["ServiceCode"] != _SERVICE:
            raise ServiceFault("NotFoundException", f"The local cloud has prices of {_SERVICE} only.")
        filters = parameters.get("Filters", [])
        found = [
            text for attributes, text in _products() if all(_passes(attributes, rule) for rule in filters)
        ]
        try:
            start = int(base64.b64decode(parameters.get("NextToken", "MA=="), validate=True))
        except ValueError:
            raise ServiceFault("InvalidNextTokenException", "The next token is not valid.") from None
        end = start + parameters.get("MaxResults", 100)
        answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": found[start:end]}
        if end < len(found):
            answer["NextToken"] = base64.b64encode(str(end).encode()).decode()
        return answer


def _passes(attributes: dict[str, str], rule: dict[str, str]) -> bool:
    value = attributes.get(rule["Field"], "")
    match rule["Type"]:
        case "CONTAINS":
            return rule["Value"] in value
        case "ANY_OF":
            return value in rule["Value"].split(",")
        case "NONE_OF":
            return value not in rule["Value"].split(",")
        case _:  # TERM_MATCH and EQUALS
            return value.lower() == rule["Value"].lower()


@functools.cache
def _products() -> tuple[tuple[dict[str, str], str], ...]:
    """Attributes to filter by (product family included) and document of every product."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    products = []
    for row in rows:
        for component, (column, usage) in _COMPONENTS.items():
            if row[column]:
                products.append(
                    _instance(row, component, f"USE1-{usage}:{row['instance_type']}", float(row[column]))
                )
    return (*products, *(_serverless(gibibytes) for gibibytes in range(1, _LARGEST_SERVERLESS_GIB + 1)))


def _instance(
    row: dict[str, str], component: str, usage_type: str, rate: float
) -> tuple[dict[str, str], str]:
    name = row["instance_type"]
    attributes = {
        "instanceName": name,
        "instanceType": f"{name}-{component}",
        "component": component,
        "platoinstancetype": component,
        "platoinstancename": name.split(".")[1],
        "vCpu": row["vcpu"],
        "memory": f"{row['memory_gib']} GiB",
    }
    return _product("ML Instance", usage_type, attributes, rate, "Hrs")


def _serverless(gibibytes: int) -> tuple[dict[str, str], str]:
    rate = _SERVERLESS_USD_PER_GIB_SECOND * gibibytes
    return _product(
        "ML Serverless",
        f"USE1-ServerlessInf:Mem-{gibibytes}GB",
        {"memorygb": str(gibibytes)},
        rate,
        "seconds",
    )


def _product(
    family: str, usage_type: str, own: dict[str, str], rate: float, unit: str
) -> tuple[dict[str, str], str]:
    sku = _SEEN_SKUS.get(usage_type) or _made_up_sku(usage_type)
    attributes = {
        "servicecode": _SERVICE,
        "servicename": "Amazon SageMaker",
        "regionCode": _REGION,
        "location": _LOCATION,
        "locationType": "AWS Region",
        "operation": "RunInstance",
        "usagetype": usage_type,
    } | own
    term, dimension = f"{sku}.{_ON_DEMAND}", f"{sku}.{_ON_DEMAND}.{_PER_UNIT}"
    document = {
        "product": {"productFamily": family, "attributes": attributes, "sku": sku},
        "serviceCode": _SERVICE,
        "terms": {
            "OnDemand": {
                term: {
                    "sku": sku,
                    "effectiveDate": f"{_READ}T00:00:00Z",
                    "offerTermCode": _ON_DEMAND,
                    "termAttributes": {},
                    "priceDimensions": {
                        dimension: {
                            "rateCode": dimension,
                            "unit": unit,
                            "beginRange": "0",
                            "endRange": "Inf",
                            "description": f"${rate:.10g} per {unit} for {usage_type}",
                            "appliesTo": [],
                            "pricePerUnit": {"USD": f"{rate:.10f}"},
                        }
                    },
                }
            }
        },
        "version": _READ.replace("-", "") + "000000",
        "publicationDate": f"{_READ}T00:00:00Z",
    }
    return attributes | {"productFamily": family}, json.dumps(document)


def _made_up_sku(usage_type: str) -> str:
    return base64.b32encode(hashlib.sha256(usage_type.encode()).digest()).decode()[:16]
