"""What a state machine's role needs for each kind of task."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.permissions import denied_error, of_task

PREFIX = "arn:aws:states:::"


@pytest.mark.parametrize(
    ("resource", "request_", "needed"),
    [
        (
            "lambda:invoke",
            {"FunctionName": "f", "Payload": {}},
            {("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:f")},
        ),
        (
            "glue:startJobRun.sync",
            {"JobName": "j"},
            {(f"glue:{action}", "arn:aws:glue:us-east-1:000000000000:job/j") for action in ("StartJobRun", "GetJobRun", "BatchStopJobRun")},
        ),
        (
            "sagemaker:createEndpointConfig",
            {"EndpointConfigName": "Config"},
            {("sagemaker:CreateEndpointConfig", "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/config")},
        ),
        (
            "sagemaker:createTrainingJob.sync",
            {"TrainingJobName": "t", "RoleArn": "arn:role"},
            {
                ("sagemaker:CreateTrainingJob", "arn:aws:sagemaker:us-east-1:000000000000:training-job/t"),
                ("sagemaker:DescribeTrainingJob", "arn:aws:sagemaker:us-east-1:000000000000:training-job/t"),
                ("sagemaker:StopTrainingJob", "arn:aws:sagemaker:us-east-1:000000000000:training-job/t"),
                ("iam:PassRole", "arn:role"),
                *((f"events:{action}", "arn:aws:events:us-east-1:000000000000:rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule")
                  for action in ("PutTargets", "PutRule", "DescribeRule")),
            },
        ),
        (
            "aws-sdk:sagemaker:updateEndpoint",
            {"EndpointName": "E", "DeploymentConfig": {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}},
            {
                ("sagemaker:UpdateEndpoint", "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e"),
                ("cloudwatch:DescribeAlarms", "arn:aws:cloudwatch:us-east-1:000000000000:alarm:a"),
            },
        ),
        ("sns:publish", {"TopicArn": "arn:topic", "Message": "m"}, {("sns:Publish", "arn:topic")}),
        (
            "aws-sdk:sagemakerruntime:invokeEndpoint",
            {"EndpointName": "E"},
            {("sagemaker:InvokeEndpoint", "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e")},
        ),
        ("aws-sdk:servicequotas:listServiceQuotas", {}, {("servicequotas:ListServiceQuotas", None)}),
        ("aws-sdk:s3:putObject", {"Bucket": "b"}, set()),  # S3 itself checks the call
    ],
)  # fmt: skip
def test_a_task_needs_its_own_action_and_those_that_watch_and_stop_the_job(
    resource: str, request_: dict[str, Any], needed: set[tuple[str, str | None]]
) -> None:
    assert set(of_task(PREFIX + resource, request_, "us-east-1")) == needed


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        (PREFIX + "sagemaker:createModel", "SageMaker.AmazonSageMakerException"),
        (PREFIX + "glue:startJobRun.sync", "Glue.AWSGlueException"),
        (PREFIX + "aws-sdk:sagemaker:describeEndpoint", "SageMaker.SageMakerException"),
        ("arn:aws:lambda:us-east-1:000000000000:function:f", "Lambda.AWSLambdaException"),
    ],
)
def test_a_refusal_has_the_name_of_the_services_base_class(resource: str, error: str) -> None:
    assert denied_error(resource) == error


def test_deleting_an_endpoint_that_scales_needs_deregistering_too() -> None:
    delete = PREFIX + "aws-sdk:sagemaker:deleteEndpoint"
    alone = of_task(delete, {"EndpointName": "E"}, "us-east-1", lambda _name: False)
    scaled = of_task(delete, {"EndpointName": "E"}, "us-east-1", lambda name: name == "E")
    assert [each.action for each in alone] == ["sagemaker:DeleteEndpoint"]
    assert [each.action for each in scaled] == [
        "sagemaker:DeleteEndpoint",
        "application-autoscaling:DeregisterScalableTarget",
    ]
