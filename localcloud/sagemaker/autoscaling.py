"""Application Auto Scaling of endpoints' variants: targets, policies, and more instances for more calls.

Sources: the API model of application-autoscaling; Application Auto Scaling user guide, "Amazon SageMaker and
Application Auto Scaling" and "Target tracking"; SageMaker developer guide, "Automatic scaling". Policies
scale out as soon as a minute's calls for each instance exceed the target (on AWS after three minutes) and
never in. Scaling of serverless variants and inference components isn't here. The words of refusals are [U],
apart from those of ObjectNotFoundException.
"""

from __future__ import annotations

import collections
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.capacities import TARGET, resource_id, resource_parts
from localcloud.sagemaker.endpoints import Endpoints
from localcloud.sagemaker.platform import Platform
from localcloud.sagemaker.records import Record, now
from localcloud.sagemaker.watching import Invocation

POLICY = "scaling-policy"
NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
METRIC = "SageMakerVariantInvocationsPerInstance"
_MINUTE = 60.0
_COOLDOWN_SECONDS = 300.0


class AutoScaling:
    """RegisterScalableTarget, PutScalingPolicy, their Describe and Delete operations."""

    def __init__(self, platform: Platform, endpoints: Endpoints) -> None:
        self._platform = platform
        self._endpoints = endpoints
        self._lock = threading.Lock()
        self._calls: dict[str, collections.deque[float]] = {}
        self._scaled: dict[str, float] = {}
        self._operations: dict[str, Callable[[dict[str, Any]], Record]] = {
            "RegisterScalableTarget": self._register,
            "DeregisterScalableTarget": self._deregister,
            "DescribeScalableTargets": self._describe_targets,
            "PutScalingPolicy": self._put_policy,
            "DeleteScalingPolicy": self._delete_policy,
            "DescribeScalingPolicies": self._describe_policies,
        }

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One operation, as boto3 answers it.

        Raises
        ------
        ServiceFault
            The refusal, with the service's error code.
        """
        handler = self._operations.get(operation)
        if handler is None:
            raise ServiceFault(
                "UnknownOperationException", f"The local cloud's Auto Scaling does not have {operation}."
            )
        if parameters["ServiceNamespace"] != NAMESPACE or parameters.get("ScalableDimension", DIMENSION) != (
            DIMENSION
        ):
            raise ServiceFault(
                "ValidationException",
                f"The local cloud scales {NAMESPACE} by {DIMENSION} only, not "
                f"{parameters['ServiceNamespace']} by {parameters.get('ScalableDimension')}.",
            )
        return handler(parameters)

    def count(self, invocation: Invocation) -> None:
        """Note a call, and scale out if a minute's calls are too many for the instances.

        While the endpoint is being updated nothing scales, as on AWS.
        """
        resource = resource_id(invocation.endpoint, invocation.variant)
        policy = next(iter(self._policies(resource)), None)
        if policy is None:
            return
        moment = time.monotonic()
        with self._lock:
            calls = self._calls.setdefault(resource, collections.deque(maxlen=1_000_000))
            calls.append(moment)
            while calls[0] < moment - _MINUTE:
                calls.popleft()
            rested = moment - self._scaled.get(resource, -math.inf)
            if rested < _COOLDOWN_SECONDS * self._platform.wait_scale:
                return
            wanted = math.ceil(len(calls) / policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"])
            target = self._platform.records.get(TARGET, resource)
            if target is None:
                return
            try:
                scaled = self._scale(resource, wanted, target)
            except ServiceFault:  # being updated, or gone meanwhile
                return
            if scaled:
                self._scaled[resource] = moment

    def _register(self, parameters: dict[str, Any]) -> Record:
        resource = parameters["ResourceId"]
        self._desired(resource)
        known = self._platform.records.get(TARGET, resource)
        target = (known or {}) | {
            name: parameters[name] for name in ("MinCapacity", "MaxCapacity") if name in parameters
        }
        if not {"MinCapacity", "MaxCapacity"} <= set(target):
            raise ServiceFault(
                "ValidationException", "A new scalable target needs both MinCapacity and MaxCapacity."
            )
        if not 1 <= target["MinCapacity"] <= target["MaxCapacity"]:
            raise ServiceFault(
                "ValidationException",
                "MinCapacity must be 1 or more and not greater than MaxCapacity; found "
                f"{target['MinCapacity']} and {target['MaxCapacity']}.",
            )
        account = self._platform.account
        arn = (
            f"arn:{account.partition}:application-autoscaling:{account.region}:{account.number}:"
            f"scalable-target/{resource.replace('/', '-')}"
        )
        target |= {
            "ServiceNamespace": NAMESPACE,
            "ScalableDimension": DIMENSION,
            "ResourceId": resource,
            "RoleARN": f"arn:{account.partition}:iam::{account.number}:role/aws-service-role/"
            "sagemaker.application-autoscaling.amazonaws.com/"
            "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
            "CreationTime": (known or {}).get("CreationTime") or now(),
            "ScalableTargetARN": arn,
        }
        self._platform.records.put(TARGET, resource, target)
        self._scale(resource, 0, target)
        return {"ScalableTargetARN": arn}

    def _deregister(self, parameters: dict[str, Any]) -> Record:
        resource = parameters["ResourceId"]
        self._existing(resource, "found")
        self.forget(resource)
        return {}

    def forget(self, resource: str) -> None:
        """Remove a target with its policies, if there is one."""
        for policy in self._policies(resource):
            self._platform.records.delete(POLICY, f"{resource}/{policy['PolicyName']}")
        self._platform.records.delete(TARGET, resource)
        with self._lock:
            self._calls.pop(resource, None)
            self._scaled.pop(resource, None)

    def _describe_targets(self, parameters: dict[str, Any]) -> Record:
        wanted = parameters.get("ResourceIds")
        return {
            "ScalableTargets": [
                target
                for target in self._platform.records.every(TARGET)
                if not wanted or target["ResourceId"] in wanted
            ]
        }

    def _put_policy(self, parameters: dict[str, Any]) -> Record:
        resource, name = parameters["ResourceId"], parameters["PolicyName"]
        self._existing(resource, "registered")
        tracking = parameters.get("TargetTrackingScalingPolicyConfiguration")
        metric = (tracking or {}).get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        if parameters.get("PolicyType") != "TargetTrackingScaling" or metric != METRIC:
            raise ServiceFault(
                "ValidationException", f"The local cloud has TargetTrackingScaling policies on {METRIC} only."
            )
        account = self._platform.account
        arn = (
            f"arn:{account.partition}:autoscaling:{account.region}:{account.number}:scalingPolicy:local:"
            f"resource/sagemaker/{resource}:policyName/{name}"
        )
        self._platform.records.put(
            POLICY,
            f"{resource}/{name}",
            {
                "PolicyARN": arn,
                "PolicyName": name,
                "ServiceNamespace": NAMESPACE,
                "ResourceId": resource,
                "ScalableDimension": DIMENSION,
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": tracking,
                "CreationTime": now(),
            },
        )
        return {"PolicyARN": arn, "Alarms": []}

    def _delete_policy(self, parameters: dict[str, Any]) -> Record:
        resource, name = parameters["ResourceId"], parameters["PolicyName"]
        if self._platform.records.get(POLICY, f"{resource}/{name}") is None:
            raise _not_found(f"No scaling policy found for service namespace: {NAMESPACE}", resource)
        self._platform.records.delete(POLICY, f"{resource}/{name}")
        return {}

    def _describe_policies(self, parameters: dict[str, Any]) -> Record:
        resource = parameters.get("ResourceId")
        return {"ScalingPolicies": self._policies(resource)}

    def _policies(self, resource: str | None) -> list[Record]:
        every = self._platform.records.every(POLICY)
        return [policy for policy in every if resource is None or policy["ResourceId"] == resource]

    def _existing(self, resource: str, state: str) -> Record:
        target = self._platform.records.get(TARGET, resource)
        if target is None:
            raise _not_found(f"No scalable target {state} for service namespace: {NAMESPACE}", resource)
        return target

    def _desired(self, resource: str) -> tuple[str, str, int]:
        """Endpoint, variant, and how many instances the variant has.

        Raises
        ------
        ServiceFault
            ``ValidationException``: no such endpoint, variant or instances, or it isn't in service.
        """
        parts = resource_parts(resource)
        if parts is None:
            raise ServiceFault(
                "ValidationException", f"ResourceId {resource} isn't of the form endpoint/NAME/variant/NAME."
            )
        name, variant = parts
        endpoint = self._endpoints.describe({"EndpointName": name})
        variants = {each["VariantName"]: each for each in endpoint.get("ProductionVariants", [])}
        if endpoint["EndpointStatus"] != "InService" or variant not in variants:
            raise ServiceFault(
                "ValidationException",
                f"No variant {variant} of endpoint {name} is in service: the endpoint is "
                f"{endpoint['EndpointStatus']}.",
            )
        if "DesiredInstanceCount" not in variants[variant]:
            raise ServiceFault(
                "ValidationException", f"The variant {variant} of endpoint {name} is serverless."
            )
        return name, variant, int(variants[variant]["DesiredInstanceCount"])

    def _scale(self, resource: str, wanted: int, target: Record) -> bool:
        """Set the instances to what is wanted, and no fewer than now, within the target's limits; say whether
        that changed them.

        Raises
        ------
        ServiceFault
            ``ValidationException``: no such endpoint, variant or instances, or it isn't in service.
        """
        endpoint, variant, current = self._desired(resource)
        count = min(max(wanted, current, target["MinCapacity"]), target["MaxCapacity"])
        if count == current:
            return False
        capacity = {"VariantName": variant, "DesiredInstanceCount": count}
        try:
            self._endpoints.set_capacities(
                {"EndpointName": endpoint, "DesiredWeightsAndCapacities": [capacity]}
            )
        except ServiceFault:
            return False  # no room in the quota: on AWS a failed scaling activity
        return True


def _not_found(what: str, resource: str) -> ServiceFault:
    return ServiceFault(
        "ObjectNotFoundException", f"{what}, resource ID: {resource}, scalable dimension: {DIMENSION}"
    )
