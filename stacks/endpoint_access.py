"""What the workflow's role may do around endpoints: look at their alarms, and scale them."""

from __future__ import annotations

from aws_cdk import ArnFormat, Aws, Stack
from constructs import Construct

from stacks.access import Permission, sagemaker_names
from stacks.settings import Settings
from stacks.workflow.guardrails import alarm_names

SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


def see_alarms(scope: Construct, settings: Settings) -> list[Permission]:
    """SageMaker looks at the alarms of an update in the caller's name."""
    arns = [
        _alarm(scope, name)
        for endpoint in settings.watched_endpoints
        for name in alarm_names(settings, endpoint)
    ]
    return [Permission(["cloudwatch:DescribeAlarms"], arns)] if arns else []


def stop_scaling(scope: Construct, prefix: str) -> list[Permission]:
    """Deregister endpoints, with the alarms of their scaling policies.

    SageMaker does so in the caller's name when an endpoint is deleted.
    """
    return [
        _on_targets(scope, "DeregisterScalableTarget"),
        _on_alarms(scope, prefix, "DeleteAlarms", "DescribeAlarms"),
    ]


def scale(scope: Construct, settings: Settings) -> list[Permission]:
    """Register endpoints and set their policies, and the alarms that these make."""
    if settings.serving.scaling is None:
        return []
    return [
        _on_targets(scope, "RegisterScalableTarget", "PutScalingPolicy"),
        _on_alarms(scope, settings.prefix, "PutMetricAlarm"),
        sagemaker_names(
            scope, settings.prefix, ("endpoint",), ["sagemaker:UpdateEndpointWeightsAndCapacities"]
        ),
        sagemaker_names(scope, settings.prefix, ("endpoint-config",), ["sagemaker:DescribeEndpointConfig"]),
        Permission(
            ["iam:CreateServiceLinkedRole"],
            [f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/aws-service-role/{SERVICE}/{ROLE}"],
            conditions={"StringEquals": {"iam:AWSServiceName": SERVICE}},
        ),
    ]


def _alarm(scope: Construct, name: str) -> str:
    return Stack.of(scope).format_arn(
        service="cloudwatch",
        resource="alarm",
        resource_name=name,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def _on_targets(scope: Construct, *calls: str) -> Permission:
    return Permission(
        [f"application-autoscaling:{call}" for call in calls],
        [
            Stack.of(scope).format_arn(
                service="application-autoscaling", resource="scalable-target", resource_name="*"
            )
        ],
        wildcards={
            "arn:<AWS::Partition>:application-autoscaling:<AWS::Region>:<AWS::AccountId>:scalable-target/*": (
                "Application Auto Scaling names targets itself when they are registered."
            )
        },
    )


def _on_alarms(scope: Construct, prefix: str, *calls: str) -> Permission:
    names = f"TargetTracking-endpoint/{prefix}-*"
    return Permission(
        [f"cloudwatch:{call}" for call in calls],
        [_alarm(scope, names)],
        wildcards={
            f"arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:{names}": (
                "Application Auto Scaling names the alarms of its policies after the endpoint."
            )
        },
    )
