"""On-demand prices out of the Pricing API's product lists (``GetProducts``, AmazonSageMaker).

A type occurs once for each component (training, hosting, notebook, …), so the component is always
filtered on; ``instanceName`` is the bare type, while ``instanceType`` carries a suffix.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from fmrec.instances.catalogue import Call, Prices, catalogue

SERVICE_CODE = "AmazonSageMaker"

COMPONENTS: dict[Call, str] = {
    "training": "Training",
    "hosting": "Hosting",
    "transform": "BatchTransform",
    "processing": "Processing",
}

_ENDPOINT_REGIONS = {
    "aws": ("us-east-1", "eu-central-1", "ap-south-1"),
    "aws-cn": ("cn-northwest-1",),
    "aws-eusc": ("eusc-de-east-1",),
}
"""Partition → the Regions that have a Pricing endpoint (botocore's endpoint data)."""


def endpoint_region(partition: str, region: str) -> str | None:
    """Return the Pricing endpoint's Region that is nearest by name; None where there is none."""
    regions = _ENDPOINT_REGIONS.get(partition)
    if regions is None:
        return None
    continent = region.partition("-")[0]
    return next((r for r in regions if r.partition("-")[0] == continent), regions[0])


def filters(region: str, component: str) -> list[dict[str, str]]:
    """Return ``Filters`` of GetProducts for one component in one Region."""
    wanted = {"productFamily": "ML Instance", "regionCode": region, "platoinstancetype": component}
    return [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]


def prices(products: Callable[[str], Iterable[str]], region: str, read_at: datetime, table: Prices) -> Prices:
    """Build prices from product lists.

    Where no transform rate is listed, the hosting rate stands in for it; where a component has no
    product at all, the table does. A single type without a product stays unknown, because it is
    probably not sold in that Region.

    Parameters
    ----------
    products
        Component → product documents as JSON text.
    """
    per_hour: dict[tuple[Call, str], float] = {}
    currencies: set[str] = set()
    notes: list[str] = []
    empty: list[Call] = []
    types = {t.name for t in catalogue()}
    for call, component in COMPONENTS.items():
        found = False
        for text in products(component):
            listed = _listed(json.loads(text))
            if listed is None or listed[0] not in types:
                continue
            instance_type, currency, amount = listed
            currencies.add(currency)
            # Of several rates for one type the highest is the safe one to plan with.
            per_hour[call, instance_type] = max(amount, per_hour.get((call, instance_type), 0.0))
            found = True
        if not found:
            empty.append(call)
    if not per_hour:
        raise ValueError(f"the Pricing API lists no SageMaker instance in {region}")
    if len(currencies) > 1:
        raise ValueError(f"the Pricing API answers in several currencies: {', '.join(sorted(currencies))}")
    (currency,) = currencies
    for call in empty:
        stand_in: dict[tuple[Call, str], float]
        if call == "transform" and "hosting" not in empty:
            stand_in = {("transform", t): p for (c, t), p in per_hour.items() if c == "hosting"}
            notes.append("no batch transform rate is listed, so hosting rates stand in")
        elif currency == table.currency:
            stand_in = {key: price for key, price in table.per_hour.items() if key[0] == call}
            notes.append(f"no {call} rate is listed, so those are from the {table.source}")
        else:
            continue
        per_hour |= stand_in
    source = f"Pricing API, {region}, on demand, read {read_at:%Y-%m-%d %H:%M} UTC"
    return Prices(per_hour, currency, source, tuple(notes))


def _listed(document: dict[str, Any]) -> tuple[str, str, float] | None:
    instance_type = document["product"]["attributes"].get("instanceName")
    if not instance_type:
        return None
    for term in document.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            if dimension.get("unit", "Hrs").lower() not in {"hrs", "hours", "hour"}:
                continue
            rates = dimension.get("pricePerUnit", {})
            currency = "USD" if "USD" in rates else next(iter(rates), None)
            # Free-tier products cost nothing and say nothing about the rate.
            if currency is not None and float(rates[currency]) > 0:
                return instance_type, currency, float(rates[currency])
    return None
