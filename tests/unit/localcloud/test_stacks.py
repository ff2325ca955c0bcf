"""S3 and CloudFormation where the emulator alone is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

ALARM = {
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "Metrics": [
        {"Id": "share", "Expression": "failed / all"},
        {"Id": "failed", "ReturnData": False, "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "F"}, "Period": 60, "Stat": "Sum"}},
        {"Id": "all", "ReturnData": False, "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "A"}, "Period": 60, "Stat": "Sum"}},
    ],
}  # fmt: skip


class Stacks:
    def __init__(self, cloud: Any, wait_until: Any) -> None:
        self._cloudformation = cloud.client("cloudformation")
        self._wait_until = wait_until

    def deploy(
        self, name: str, resources: dict[str, Any], outputs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        body = json.dumps({"Resources": resources, "Outputs": outputs or {}})
        self._cloudformation.create_stack(
            StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        return self._ended(name)

    def destroy(self, name: str) -> dict[str, Any]:
        identifier = self._described(name)["StackId"]
        self._cloudformation.delete_stack(StackName=name)
        return self._ended(identifier)

    def reasons(self, name: str) -> str:
        events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return " ".join(event.get("ResourceStatusReason", "") for event in events)

    def _described(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return found

    def _ended(self, name: str) -> dict[str, Any]:
        stack: dict[str, Any] = self._wait_until(
            lambda: not (found := self._described(name))["StackStatus"].endswith("_IN_PROGRESS") and found
        )
        return stack


@pytest.fixture(scope="module")
def stacks(cloud: Any, wait_until: Any) -> Stacks:
    return Stacks(cloud, wait_until)


def test_types_the_emulator_lacks_are_deployed_and_destroyed(cloud: Any, stacks: Stacks) -> None:
    resources: dict[str, Any] = {
        "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": ALARM | {"AlarmName": "share"}},
        "Both": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": "ALARM(share)"}},
        "Query": {"Type": "AWS::Logs::QueryDefinition", "Properties": {"Name": "q", "QueryString": "fields @message"}},
        "Budget": {"Type": "AWS::Budgets::Budget", "Properties": {"Budget": {"BudgetType": "COST", "TimeUnit": "MONTHLY"}}},
        "Security": {
            "Type": "AWS::Glue::SecurityConfiguration",
            "Properties": {"Name": "encrypted", "EncryptionConfiguration": {"S3Encryptions": [{"S3EncryptionMode": "SSE-KMS"}]}},
        },
        "Target": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {"MaxCapacity": 2, "MinCapacity": 1, "ResourceId": "endpoint/e/variant/v",
                           "ScalableDimension": "sagemaker:variant:DesiredInstanceCount", "ServiceNamespace": "sagemaker"},
        },
        "Policy": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {"PolicyName": "p", "PolicyType": "TargetTrackingScaling", "ScalingTargetId": {"Ref": "Target"}},
        },
    }  # fmt: skip
    stack = stacks.deploy("types", resources)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons("types")
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmNames=["share"])["MetricAlarms"]
    assert [alarm["StateValue"] for alarm in alarms] == ["INSUFFICIENT_DATA"]
    glue = cloud.client("glue")
    assert glue.get_security_configuration(Name="encrypted")["SecurityConfiguration"]["Name"] == "encrypted"
    assert stacks.destroy("types")["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError):
        glue.get_security_configuration(Name="encrypted")


def test_a_glue_job_keeps_how_many_runs_it_allows(cloud: Any, stacks: Stacks) -> None:
    job = {
        "Type": "AWS::Glue::Job",
        "Properties": {
            "Name": "from-template",
            "Role": "any",
            "Command": {"Name": "glueetl", "ScriptLocation": "s3://b/k.py"},
            "ExecutionProperty": {"MaxConcurrentRuns": 3},
        },
    }
    stacks.deploy("glue-job", {"Job": job})
    described = cloud.client("glue").get_job(JobName="from-template")["Job"]
    assert described["ExecutionProperty"] == {"MaxConcurrentRuns": 3}


def test_a_sagemaker_resource_is_created_through_the_service_and_deleted_with_the_stack(
    cloud: Any, stacks: Stacks
) -> None:
    cloud.role("stack-model", "sagemaker", "s3:*")
    model = {
        "Type": "AWS::SageMaker::Model",
        "Properties": {
            "ExecutionRoleArn": "arn:aws:iam::000000000000:role/stack-model",
            "PrimaryContainer": {
                "Image": "382416733822.dkr.ecr.us-east-1.amazonaws.com/knn:1",
                "ModelDataUrl": "s3://some-bucket/model.tar.gz",
            },
        },
    }
    group = {
        "Type": "AWS::SageMaker::ModelPackageGroup",
        "Properties": {"ModelPackageGroupName": "stack-group"},
    }
    outputs = {"Name": {"Value": {"Fn::GetAtt": ["Model", "ModelName"]}}}
    stack = stacks.deploy("model", {"Model": model, "Group": group}, outputs)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons("model")
    name = stack["Outputs"][0]["OutputValue"]
    sagemaker = cloud.client("sagemaker")
    assert sagemaker.describe_model(ModelName=name)["ModelArn"].endswith(f":model/{name}")
    groups = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [found["ModelPackageGroupName"] for found in groups] == ["stack-group"]
    assert stacks.destroy("model")["StackStatus"] == "DELETE_COMPLETE", stacks.reasons("model")
    assert sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName=name)


def test_a_bucket_with_objects_is_not_deleted_with_its_stack(cloud: Any, stacks: Stacks) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "kept-bucket"}}
    stacks.deploy("kept", {"Bucket": bucket})
    s3 = cloud.client("s3")
    s3.put_object(Bucket="kept-bucket", Key="a", Body=b"1")
    assert stacks.destroy("kept")["StackStatus"] == "DELETE_FAILED"
    assert "BucketNotEmpty" in stacks.reasons("kept")
    assert s3.get_object(Bucket="kept-bucket", Key="a")["Body"].read() == b"1"
    s3.delete_object(Bucket="kept-bucket", Key="a")
    assert stacks.destroy("kept")["StackStatus"] == "DELETE_COMPLETE"


def test_auto_delete_objects_empties_a_versioned_bucket_of_everything(cloud: Any, stacks: Stacks) -> None:
    bucket = {
        "Type": "AWS::S3::Bucket",
        "Properties": {"BucketName": "emptied-bucket", "VersioningConfiguration": {"Status": "Enabled"}},
    }
    token = "arn:aws:lambda:us-east-1:000000000000:function:cdk-provider"
    empties = {
        "Type": "Custom::S3AutoDeleteObjects",
        "Properties": {"ServiceToken": token, "BucketName": {"Ref": "Bucket"}},
    }
    assert (
        stacks.deploy("emptied", {"Bucket": bucket, "Empties": empties})["StackStatus"] == "CREATE_COMPLETE"
    )
    s3 = cloud.client("s3")
    for body in (b"1", b"2"):
        s3.put_object(Bucket="emptied-bucket", Key="folder/a", Body=body)
    s3.delete_object(Bucket="emptied-bucket", Key="folder/a")
    assert stacks.destroy("emptied")["StackStatus"] == "DELETE_COMPLETE", stacks.reasons("emptied")
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket="emptied-bucket")
    assert not (cloud.state / "s3" / "000000000000" / "emptied-bucket").exists()


def test_a_range_of_an_object_is_that_range(cloud: Any) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="ranges")
    content = bytes(range(256)) * 4096
    s3.put_object(Bucket="ranges", Key="blob", Body=content)

    def part(header: str) -> bytes:
        read: bytes = s3.get_object(Bucket="ranges", Key="blob", Range=header)["Body"].read()
        return read

    assert part("bytes=1000-1999") == content[1000:2000]
    assert part("bytes=-10") == content[-10:]
    assert part(f"bytes={len(content) - 3}-") == content[-3:]
    assert s3.get_object(Bucket="ranges", Key="blob")["Body"].read() == content
    with pytest.raises(ClientError, match="InvalidRange"):
        part(f"bytes={len(content)}-")


def test_a_bucket_that_asks_for_tls_is_reached_and_a_role_without_grants_is_not_let_in(cloud: Any) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="tls-only")
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="tls-only", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    s3.put_object(Bucket="tls-only", Key="a", Body=b"1")

    def assumed(role: str) -> Any:
        found = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        return cloud.client(
            "s3",
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"],
            aws_session_token=found["SessionToken"],
        )

    reader = assumed(cloud.role("tls-reader", "lambda", "s3:GetObject", resource="arn:aws:s3:::tls-only/*"))
    assert reader.get_object(Bucket="tls-only", Key="a")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.put_object(Bucket="tls-only", Key="b", Body=b"2")
