"""The number of an endpoint's instances follows its calls: Application Auto Scaling.

Nothing scales while an endpoint is updated, and an update may not change the instance type of a scalable
target. So a run deregisters it before the update, starts the new model on as many instances as serve then,
and registers it when the endpoint is in service again, with the new model or, rolled back, with the old one.
"""

from __future__ import annotations

import json
from typing import Any

from stacks.serving_settings import EndpointScaling
from stacks.workflow.state_builders import SCALING_ERRORS, State, States, decide, jsonata, merge, retry, task

DEREGISTER = "Deregister the endpoint from scaling"
IN_SERVICE = "Is the endpoint in service?"
REGISTER = "Register the endpoint for scaling"
POLICY = "Set the endpoint's scaling policy"

METRIC = "SageMakerVariantInvocationsPerInstance"
NOT_REGISTERED = "ApplicationAutoScaling.ObjectNotFoundException"
POLICY_NAME = "calls-per-instance"


def target(variant: str) -> dict[str, Any]:
    """What Application Auto Scaling calls the endpoint's variant."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": jsonata(f"'endpoint/' & $endpoint.name & '/variant/{variant}'"),
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def policy(scaling: EndpointScaling) -> dict[str, Any]:
    """Target tracking of the calls that one instance gets in a minute."""
    return {
        "PolicyName": POLICY_NAME,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": scaling.invocations_per_instance,
            "PredefinedMetricSpecification": {"PredefinedMetricType": METRIC},
        },
    }


def reported(scaling: EndpointScaling | None, variant: str) -> str:
    """What the report has of it, for who brings the endpoint back: the end of a list of objects to merge."""
    if scaling is None:
        return ""
    fixed = json.dumps(
        {"variant": variant, "minimum_instances": scaling.minimum_instances, "policy": policy(scaling)}
    )
    return (
        f", $candidate.instance_type = 'serverless' ? {{}} : "
        f"{{'scaling': $merge([{fixed}, {{'maximum_instances': $candidate.maximum_instances}}])}}"
    )


def instances(scaling: EndpointScaling | None) -> str:
    """An expression for how many instances the candidate starts with: those that run now, where it may."""
    if scaling is None:
        return "$candidate.instance_count"
    return (
        "$candidate.fewer_than_before ? $candidate.instance_count : "
        "$max([$candidate.instance_count, $min([$found_instances, $candidate.maximum_instances])])"
    )


def deregister(variant: str, name: str, *, next_state: str) -> States:
    """Before an update; an endpoint that isn't registered is as good."""
    return task(
        DEREGISTER,
        "DeregisterScalableTarget",
        target(variant),
        retries=[retry(*SCALING_ERRORS)],
        timeout_seconds=120,
        catches=({"ErrorEquals": [NOT_REGISTERED], "Next": next_state},),
        log="endpoint",
        log_name=name,
        next_state=next_state,
    )


def register(scaling: EndpointScaling, variant: str, name: str, *, next_state: str) -> States:
    """After an update, whatever came of it, as long as something on instances serves."""

    def call(state: str, integration: str, arguments: State, following: str) -> States:
        return task(
            state,
            integration,
            {**target(variant), **arguments},
            retries=[retry(*SCALING_ERRORS)],
            timeout_seconds=120,
            log="endpoint",
            log_name=name,
            next_state=following,
        )

    return merge(
        decide(
            IN_SERVICE,
            (
                "$described.EndpointStatus = 'InService' "
                "and $not($exists($described.ProductionVariants.CurrentServerlessConfig))",
                REGISTER,
            ),
            otherwise=next_state,
        ),
        call(
            REGISTER,
            "RegisterScalableTarget",
            {
                "MinCapacity": scaling.minimum_instances,
                "MaxCapacity": jsonata("$candidate.maximum_instances"),
            },
            POLICY,
        ),
        call(
            POLICY,
            "PutScalingPolicy",
            policy(scaling),
            next_state,
        ),
    )
