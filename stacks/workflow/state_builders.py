"""States of the Amazon States Language as plain data, with the same care for each of them.

A state is a dictionary, as the language's JSON has it, so the whole machine can be read, tested and
validated without a stack. Expressions are JSONata; ``${Name}`` stands for a deployed resource and is
filled in by CloudFormation (``DefinitionSubstitutions``). Every task retries what may pass by itself
and hands everything else to the state `EXPLAIN`, with what a person needs to look into it.

CDK's own task classes are not used: they take no expression for an instance type, an image from a
mapping or an S3 URI, and grant more than is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

State = dict[str, Any]
States = dict[str, State]

EXPLAIN = "Explain the failure"

INTEGRATIONS = {
    "InvokeFunction": "lambda:invoke",
    "RunGlueJob": "glue:startJobRun.sync",
    "RunTrainingJob": "sagemaker:createTrainingJob.sync",
    "RunTuningJob": "sagemaker:createHyperParameterTuningJob.sync",
    "RunTransformJob": "sagemaker:createTransformJob.sync",
    "CreateModel": "sagemaker:createModel",
    "CreateEndpointConfig": "sagemaker:createEndpointConfig",
    "CreateEndpoint": "sagemaker:createEndpoint",
    "UpdateEndpoint": "sagemaker:updateEndpoint",
    # The optimized integration refuses fields that it doesn't know, and may not know ServerlessConfig nor
    # AutoRollbackConfiguration.
    "UpdateGuardedEndpoint": "aws-sdk:sagemaker:updateEndpoint",
    "CreateServerlessConfig": "aws-sdk:sagemaker:createEndpointConfig",
    "DescribeEndpoint": "aws-sdk:sagemaker:describeEndpoint",
    "DeleteEndpoint": "aws-sdk:sagemaker:deleteEndpoint",
    "RegisterScalableTarget": "aws-sdk:applicationautoscaling:registerScalableTarget",
    "PutScalingPolicy": "aws-sdk:applicationautoscaling:putScalingPolicy",
    "DeregisterScalableTarget": "aws-sdk:applicationautoscaling:deregisterScalableTarget",
    "UpdateModelPackage": "aws-sdk:sagemaker:updateModelPackage",
    "PublishMessage": "sns:publish",
}
"""What a task may call: the name that stands for its ARN, which differs by partition, and the
integration's own name."""

LAMBDA_ERRORS = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "ThrottledError",
)
"""Lambda's own, and `fmrec.errors.ThrottledError`, by which a function says that a call of its was throttled.
"""
SAGEMAKER_ERRORS = ("SageMaker.AmazonSageMakerException",)
"""The base class of the optimized integration: throttling, and what has no class of its own."""
SAGEMAKER_SDK_ERRORS = ("SageMaker.SageMakerException", "SageMaker.ThrottlingException")
"""The same for calls through the AWS SDK integration."""
SCALING_ERRORS = (
    "ApplicationAutoScaling.ApplicationAutoScalingException",
    "ApplicationAutoScaling.ConcurrentUpdateException",
    "ApplicationAutoScaling.InternalServiceException",
)
SNS_ERRORS = ("SNS.AmazonSNSException", "SNS.ThrottledException", "SNS.InternalErrorException")


def jsonata(text: str) -> str:
    """Mark a text as an expression."""
    return f"{{% {' '.join(text.split())} %}}"


def retry(*errors: str, first_seconds: int = 2, attempts: int = 12, longest_seconds: int = 30) -> State:
    """Repeat with doubling, fully jittered pauses; the defaults outlast a minute of throttling.

    A fully jittered pause is anything from nothing to its length: the twelve take 135 seconds on average,
    and under a minute in one of several hundred cases. Eight took 75, and under a minute in one of five.
    """
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": first_seconds,
        "MaxAttempts": attempts,
        "BackoffRate": 2,
        "MaxDelaySeconds": longest_seconds,
        "JitterStrategy": "FULL",
    }


def failure(state: str, log: str = "", name: str = "") -> State:
    """What `fmrec.execution.failures.explain` wants to know of a state that failed with an error."""
    return {"state": state, "log": log, "name": name, "error": jsonata("$states.errorOutput")}


def own_failure(state: str, error: str, cause: str) -> State:
    """The same of a state that found something wrong itself; ``cause`` is an expression for the sentence."""
    return {"state": state, "log": "", "name": "", "error": {"Error": error, "Cause": jsonata(cause)}}


def resource(integration: str) -> str:
    """Return the placeholder for an integration's ARN."""
    if integration not in INTEGRATIONS:
        raise ValueError(f"there is no integration {integration!r}")
    return f"${{{integration}}}"


def catch_all(state: str, log: str = "", name: str = "") -> State:
    """Hand every error of a state to `EXPLAIN`."""
    return {
        "ErrorEquals": ["States.ALL"],
        "Assign": {"failure": failure(state, log, name)},
        "Next": EXPLAIN,
    }


def task(
    state: str,
    integration: str,
    arguments: Mapping[str, Any],
    *,
    next_state: str,
    retries: list[State],
    timeout_seconds: int,
    assign: Mapping[str, Any] | None = None,
    catches: tuple[State, ...] = (),
    log: str = "",
    log_name: str = "",
) -> States:
    """A call of an AWS service.

    Parameters
    ----------
    integration
        A key of `INTEGRATIONS`.
    catches
        Catchers that come before the one for every error.
    log, log_name
        Where the log of what ran is: a key of `fmrec.execution.failures.LOGS` and the name of the job.
    """
    return {
        state: {
            "Type": "Task",
            "Resource": resource(integration),
            "Arguments": dict(arguments),
            **({"Assign": dict(assign)} if assign else {}),
            "TimeoutSeconds": timeout_seconds,
            "Retry": retries,
            "Catch": [*catches, catch_all(state, log, log_name)],
            "Next": next_state,
        }
    }


def invoke(
    state: str,
    function: str,
    payload: Mapping[str, Any],
    *,
    next_state: str,
    assign: Mapping[str, Any],
    timeout_seconds: int = 900,
) -> States:
    """A call of one of this project's Lambda functions; `assign` reads ``$states.result.Payload``."""
    return task(
        state,
        "InvokeFunction",
        {"FunctionName": function, "Payload": dict(payload)},
        next_state=next_state,
        retries=[retry(*LAMBDA_ERRORS)],
        timeout_seconds=timeout_seconds,
        assign=assign,
        log="function",
        log_name=function,
    )


def remember(state: str, assign: Mapping[str, Any], *, next_state: str) -> States:
    """Set variables."""
    return {state: {"Type": "Pass", "Assign": dict(assign), "Next": next_state}}


def decide(
    state: str,
    *rules: tuple[str, str] | tuple[str, str, Mapping[str, Any]],
    otherwise: str,
    assign: Mapping[str, Any] | None = None,
) -> States:
    """Go on by condition: (condition, next state, variables to set); `assign` goes with `otherwise`."""
    choices = []
    for condition, next_state, *variables in rules:
        choice: State = {"Condition": jsonata(condition), "Next": next_state}
        if variables:
            choice["Assign"] = dict(variables[0])
        choices.append(choice)
    return {
        state: {
            "Type": "Choice",
            "Choices": choices,
            **({"Assign": dict(assign)} if assign else {}),
            "Default": otherwise,
        }
    }


def wait(state: str, seconds: int, *, next_state: str, assign: Mapping[str, Any] | None = None) -> States:
    """Let time pass."""
    return {
        state: {
            "Type": "Wait",
            "Seconds": seconds,
            **({"Assign": dict(assign)} if assign else {}),
            "Next": next_state,
        }
    }


def merge(*groups: States) -> States:
    """Put states together; two of one name would hide each other, so that is an error."""
    merged: States = {}
    for group in groups:
        for name, state in group.items():
            if name in merged:
                raise ValueError(f"two states are named {name!r}")
            merged[name] = state
    return merged
