"""boto3 clients whose requests and answers are checked against botocore's own service models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from fmrec.instances.account import Clients

_SESSION = boto3.Session(
    aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1"
)  # one session, so that the service models are loaded once


@dataclass
class StubbedAws:
    """Three clients with queues of answers, and what was called, as IAM actions."""

    clients: Clients
    quotas: Stubber
    sagemaker: Stubber
    pricing: Stubber
    called: list[str] = field(default_factory=list)

    def nothing_is_running(self) -> None:
        """Answer the lists of jobs and endpoints with nothing."""
        for _status in ("InProgress", "Stopping"):
            self.sagemaker.add_response("list_training_jobs", {"TrainingJobSummaries": []})
        for _status in ("InProgress", "Stopping"):
            self.sagemaker.add_response("list_transform_jobs", {"TransformJobSummaries": []})
        self.sagemaker.add_response("list_endpoints", {"Endpoints": []})

    def quotas_are(self, **values: float) -> None:
        quotas = [
            {"QuotaName": n, "QuotaCode": f"L-{i:08X}", "Value": v} for i, (n, v) in enumerate(values.items())
        ]
        self.quotas.add_response("list_service_quotas", {"Quotas": quotas})

    def prices_are(self, **by_component: list[str]) -> None:
        for component in ("Training", "Hosting", "BatchTransform", "Processing"):
            self.pricing.add_response("get_products", {"PriceList": by_component.get(component, [])})

    def nothing_is_left(self) -> None:
        for stub in (self.quotas, self.sagemaker, self.pricing):
            stub.assert_no_pending_responses()


def _note_call(called: list[str], model: Any, **_: Any) -> None:
    prefix = model.service_model.service_name.replace("service-quotas", "servicequotas")
    called.append(f"{prefix}:{model.name}")


@pytest.fixture
def aws() -> Iterator[StubbedAws]:
    service_quotas, sagemaker, pricing = (
        _SESSION.client(name) for name in ("service-quotas", "sagemaker", "pricing")
    )
    stubs = [Stubber(client) for client in (service_quotas, sagemaker, pricing)]
    stubbed = StubbedAws(Clients(service_quotas, sagemaker, pricing), *stubs)
    for client, stub in zip((service_quotas, sagemaker, pricing), stubs, strict=True):
        # before-parameter-build comes ahead of the stubber's own hook, which ends the chain.
        client.meta.events.register("before-parameter-build", partial(_note_call, stubbed.called))
        stub.activate()
    yield stubbed
    for stub in stubs:
        stub.deactivate()


@pytest.fixture
def product() -> Callable[..., str]:
    """Make one document of GetProducts' PriceList."""

    def make(
        instance_type: str, component: str, amount: str, currency: str = "USD", **attributes: Any
    ) -> str:
        return json.dumps(
            {
                "product": {
                    "productFamily": "ML Instance",
                    "attributes": {
                        "instanceName": instance_type,
                        "instanceType": f"{instance_type}-{component}",
                        "platoinstancetype": component,
                        **attributes,
                    },
                },
                "terms": {
                    "OnDemand": {
                        "T": {"priceDimensions": {"D": {"unit": "Hrs", "pricePerUnit": {currency: amount}}}}
                    }
                },
            }
        )

    return make
