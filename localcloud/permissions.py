"""What a state machine's role must be allowed so that a task may run.

Source: AWS Step Functions developer guide, "IAM policies for integrated services": the actions of
the integration itself, and for ``.sync`` those with which it watches and stops the job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from localcloud.home import ACCOUNT
from localcloud.sagemaker.arns import operation_arn

# Optimised integrations: service → namespace in IAM, error name for a call that is refused.
_ERRORS = {
    "lambda": "Lambda.AWSLambdaException",
    "sns": "SNS.AmazonSNSException",
    "sqs": "SQS.AmazonSQSException",
    "dynamodb": "DynamoDB.AmazonDynamoDBException",
    "glue": "Glue.AWSGlueException",
    "sagemaker": "SageMaker.AmazonSageMakerException",
    "events": "EventBridge.AmazonEventBridgeException",
    "states": "StepFunctions.AWSStepFunctionsException",
}
_SDK_PREFIXES = {
    "sagemaker": "SageMaker",
    "sagemakerruntime": "SageMakerRuntime",
    "servicequotas": "ServiceQuotas",
    "dynamodb": "DynamoDb",
    "s3": "S3",
    "sfn": "Sfn",
    "cloudwatch": "CloudWatch",
    "cloudwatchlogs": "CloudWatchLogs",
    "eventbridge": "EventBridge",
    "applicationautoscaling": "ApplicationAutoScaling",
}
_SDK_NAMESPACES = {
    "sagemakerruntime": "sagemaker",
    "sfn": "states",
    "eventbridge": "events",
    "cloudwatchlogs": "logs",
    "applicationautoscaling": "application-autoscaling",
}
_JOBS = {
    "TrainingJob": ("training-job", "TrainingJobs"),
    "TransformJob": ("transform-job", "TransformJobs"),
    "ProcessingJob": ("processing-job", "ProcessingJobs"),
    "HyperParameterTuningJob": ("hyper-parameter-tuning-job", "TuningJobs"),
}


class Permission(NamedTuple):
    """An action on a resource; None stands for any resource, where the request doesn't say which."""

    action: str
    resource: str | None


def of_task(
    resource: str, request: dict[str, Any], region: str, scales: Callable[[str], bool] = lambda _name: False
) -> list[Permission]:
    """The permissions that a Task's ``Resource`` and arguments need.

    ``scales`` says whether an endpoint is a scalable target, which deleting it deregisters in the caller's
    name. ``lambda:invoke`` may name a function with its alias; a function's own policy is not looked at.
    """
    if ":lambda:" in resource and ":function:" in resource:
        return [Permission("lambda:InvokeFunction", resource)]
    _, _, integration = resource.partition(":states:::")
    service, _, rest = integration.partition(":")
    action, _, pattern = rest.partition(".")
    if service == "aws-sdk":
        needed = _of_sdk_call(rest, request, region)
        if rest.lower() == "sagemaker:deleteendpoint" and scales(str(request.get("EndpointName"))):
            needed.append(Permission("application-autoscaling:DeregisterScalableTarget", None))
        return needed
    operation = action[:1].upper() + action[1:]
    if service == "sagemaker":
        return _of_sagemaker(operation, request, region, pattern == "sync")
    if service == "glue":
        job = f"arn:aws:glue:{region}:{ACCOUNT}:job/{request.get('JobName')}"
        watching = ["glue:GetJobRun", "glue:BatchStopJobRun"] if pattern == "sync" else []
        return [Permission(action, job) for action in (f"glue:{operation}", *watching)]
    single = {
        "lambda": Permission("lambda:InvokeFunction", _function_arn(request.get("FunctionName"), region)),
        "sns": Permission("sns:Publish", request.get("TopicArn")),
        "dynamodb": Permission(
            f"dynamodb:{operation}", f"arn:aws:dynamodb:{region}:{ACCOUNT}:table/{request.get('TableName')}"
        ),
        "sqs": Permission("sqs:SendMessage", None),
        "events": Permission("events:PutEvents", None),
        "states": Permission(f"states:{operation}", request.get("StateMachineArn")),
    }
    return [single[service]] if service in single else []


def denied_error(resource: str) -> str:
    """The error name under which Step Functions reports a refused call."""
    _, _, integration = resource.partition(":states:::")
    service, _, rest = integration.partition(":")
    if service == "aws-sdk":
        name = rest.partition(":")[0].lower()
        prefix = _SDK_PREFIXES.get(name, name.capitalize())
        return f"{prefix}.{prefix}Exception"
    return _ERRORS.get(service or "lambda", "States.TaskFailed")


def _of_sdk_call(rest: str, request: dict[str, Any], region: str) -> list[Permission]:
    service, _, action = rest.partition(":")
    service = service.lower()
    operation = action[:1].upper() + action[1:]
    if service == "s3":
        return []  # the call goes through S3 with the role's credentials, which checks more than the role
    namespace = _SDK_NAMESPACES.get(service, service)
    if namespace == "sagemaker":
        return _of_sagemaker(operation, request, region, False)
    return [Permission(f"{namespace}:{operation}", None)]


def _of_sagemaker(
    operation: str, request: dict[str, Any], region: str, synchronous: bool
) -> list[Permission]:
    arn = operation_arn(operation, request, region, ACCOUNT)
    needed = [Permission(f"sagemaker:{operation}", arn)]
    role = request.get("RoleArn") or request.get("ExecutionRoleArn")
    if operation.startswith("Create") and isinstance(role, str):
        needed.append(Permission("iam:PassRole", role))
    rollback = (request.get("DeploymentConfig") or {}).get("AutoRollbackConfiguration") or {}
    needed += [
        Permission(
            "cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{region}:{ACCOUNT}:alarm:{alarm['AlarmName']}"
        )
        for alarm in rollback.get("Alarms", [])
    ]
    job = operation.removeprefix("Create")
    if synchronous and job in _JOBS:
        needed += [Permission(f"sagemaker:Describe{job}", arn), Permission(f"sagemaker:Stop{job}", arn)]
        rule = f"arn:aws:events:{region}:{ACCOUNT}:rule/StepFunctionsGetEventsForSageMaker{_JOBS[job][1]}Rule"
        needed += [
            Permission(f"events:{action}", rule) for action in ("PutTargets", "PutRule", "DescribeRule")
        ]
    return needed


def _function_arn(name: Any, region: str) -> str | None:
    if not isinstance(name, str):
        return None
    return name if name.startswith("arn:") else f"arn:aws:lambda:{region}:{ACCOUNT}:function:{name}"
