"""Application Auto Scaling of endpoints' variants, and capacities that updates keep."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.faults import ServiceFault
from localcloud.sagemaker.capacities import changed, check_scaled, retained

RESOURCE = "endpoint/endpoint/variant/AllTraffic"
OF = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": RESOURCE,
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
OWN = "ml.m5.large for endpoint usage"

POLICY = {
    "PolicyName": "calls",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 2.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    },
}


def variant(name: str = "AllTraffic", kind: str = "ml.m5.large", count: int = 1, weight: float = 1.0) -> Any:
    return {
        "VariantName": name,
        "InstanceType": kind,
        "InitialInstanceCount": count,
        "InitialVariantWeight": weight,
    }


def test_an_update_keeps_counts_and_weights_of_variants_of_the_same_name_when_asked() -> None:
    old, new = [variant(count=4, weight=0.5)], [variant(), variant("other")]
    assert retained(old, new, {}) == new
    kept = retained(old, new, {"RetainAllVariantProperties": True})
    assert kept == [variant(count=4, weight=0.5), variant("other")]
    without = {"VariantPropertyType": "DesiredInstanceCount"}
    asked = {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": [without]}
    assert retained(old, new, asked) == [variant(weight=0.5), variant("other")]


def test_a_scaled_variant_keeps_its_name_and_instance_type() -> None:
    check_scaled([variant()], [variant(count=3)], ["AllTraffic"])
    check_scaled([variant()], [variant(kind="ml.c5.large")], [])
    for new in ([variant(kind="ml.c5.large")], [variant("other")]):
        with pytest.raises(ServiceFault, match=r'variant\(s\) "AllTraffic" must be deregistered as scalable'):
            check_scaled([variant()], new, ["AllTraffic"])


def test_capacities_are_those_of_variants_that_there_are() -> None:
    assert changed([variant()], [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]) == [
        variant(count=2)
    ]
    with pytest.raises(ServiceFault, match='Could not find variant "x"'):
        changed([variant()], [{"VariantName": "x", "DesiredInstanceCount": 2}])
    serverless = [{"VariantName": "AllTraffic", "ServerlessConfig": {}}]
    with pytest.raises(ServiceFault, match="is serverless"):
        changed(serverless, [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}])


def test_a_variant_scales_within_limits_quota_and_update_until_its_endpoint_goes(
    make_cloud: Any, call: Any
) -> None:
    cloud = make_cloud({OWN: 6})

    def scaling(operation: str, **parameters: Any) -> Any:
        return call("application-autoscaling", cloud.service.scaling, operation, OF | parameters)

    def targets() -> Any:
        described = call(
            "application-autoscaling",
            cloud.service.scaling,
            "DescribeScalableTargets",
            {"ServiceNamespace": "sagemaker"},
        )
        return described["ScalableTargets"]

    def refused(words: str, operation: str, **parameters: Any) -> str:
        with pytest.raises(ServiceFault, match=words) as refusal:
            scaling(operation, **parameters)
        return refusal.value.code

    def instances() -> tuple[int, int]:
        [found] = cloud("DescribeEndpoint", EndpointName="endpoint")["ProductionVariants"]
        return found["DesiredInstanceCount"], found["CurrentInstanceCount"]

    limits = {"MinCapacity": 2, "MaxCapacity": 3}
    with pytest.raises(ServiceFault, match="Could not find endpoint"):
        scaling("RegisterScalableTarget", **limits)
    cloud.model()
    cloud.config()
    cloud.config("other-type", InstanceType="ml.c5.large", InitialInstanceCount=2)
    cloud.config("next", InitialInstanceCount=1)
    cloud.endpoint()

    # What AWS refuses.
    refused("No variant x of endpoint endpoint", "RegisterScalableTarget", ResourceId=f"{RESOURCE[:-10]}x", **limits)  # fmt: skip
    refused("needs both", "RegisterScalableTarget", MinCapacity=1)
    refused("not greater than MaxCapacity", "RegisterScalableTarget", MinCapacity=3, MaxCapacity=2)
    assert refused("No scalable target registered", "PutScalingPolicy", **POLICY) == "ObjectNotFoundException"
    assert refused("No scalable target found", "DeregisterScalableTarget") == "ObjectNotFoundException"

    # Registered: at least the minimum, more with more calls, never more than the maximum.
    scaling("RegisterScalableTarget", **limits)
    assert instances() == (2, 2)
    assert cloud.service.scales("endpoint")
    scaling("PutScalingPolicy", **POLICY)
    for _ in range(4):
        cloud.service.invoke_endpoint("endpoint", b"x", None, None)
    assert instances() == (2, 2)
    for _ in range(8):
        cloud.service.invoke_endpoint("endpoint", b"x", None, None)
    assert instances() == (3, 3)
    [target] = targets()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 3)

    # An update keeps the instances if asked, and may not change their type.
    with pytest.raises(ServiceFault, match="must be deregistered as scalable targets"):
        cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="other-type")
    cloud(
        "UpdateEndpoint",
        EndpointName="endpoint",
        EndpointConfigName="next",
        RetainAllVariantProperties=True,
    )
    assert cloud.settled()["EndpointConfigName"] == "next"
    assert instances() == (3, 3)
    with pytest.raises(ServiceFault, match=f"limit '{OWN}' is 6 Instances"):
        cloud(
            "UpdateEndpointWeightsAndCapacities",
            EndpointName="endpoint",
            DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 7}],
        )
    assert instances() == (3, 3)

    # Deleting the endpoint deregisters it.
    cloud("DeleteEndpoint", EndpointName="endpoint")
    assert targets() == []
    assert scaling("DescribeScalingPolicies")["ScalingPolicies"] == []


def test_a_scaled_endpoint_answers_during_an_update_and_scales_after_it(cloud: Any, call: Any) -> None:
    def instances() -> int:
        [found] = cloud("DescribeEndpoint", EndpointName="endpoint")["ProductionVariants"]
        return int(found["DesiredInstanceCount"])

    cloud.model()
    cloud.config()
    cloud.config("next")
    cloud.endpoint()
    for operation, parameters in (
        ("RegisterScalableTarget", {"MinCapacity": 1, "MaxCapacity": 2}),
        ("PutScalingPolicy", POLICY),
    ):
        call("application-autoscaling", cloud.service.scaling, operation, OF | parameters)
    shift = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
            "TerminationWaitInSeconds": 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }
    cloud.metrics.alarms["errors"] = False
    cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="next", DeploymentConfig=shift)
    for _ in range(4):
        cloud.service.invoke_endpoint("endpoint", b"x", None, None)
    assert cloud("DescribeEndpoint", EndpointName="endpoint")["EndpointStatus"] == "Updating"
    assert instances() == 1

    cloud.metrics.alarms["errors"] = True  # ends the update
    assert cloud.settled()["EndpointStatus"] == "InService"
    cloud.service.invoke_endpoint("endpoint", b"x", None, None)
    assert instances() == 2
