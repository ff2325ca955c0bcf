"""The real CDK CLI against the local cloud: bootstrap, deploy with an asset, destroy."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

REPOSITORY = Path(__file__).resolve().parents[3]


def assembly(folder: Path) -> Path:
    """A cloud assembly as CDK's synthesis writes it: a TLS-only bucket and a function with its code as an
    asset.
    """
    folder.mkdir()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("index.py", "def handler(event, context):\n    return {'deployed': event}\n")
    code = hashlib.sha256(archive.getvalue()).hexdigest()
    (folder / f"asset.{code}.zip").write_bytes(archive.getvalue())
    assets = {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    insecure = {
        "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": {"Fn::GetAtt": ["Bucket", "Arn"]},
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }  # fmt: skip
    template = {
        "Parameters": {"BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/hnb659fds/version"}},
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "deployed-by-cdk"}},
            "Policy": {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [insecure]}}},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}}},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": "deployed-by-cdk", "Runtime": "python3.13", "Handler": "index.handler",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": {"S3Bucket": assets, "S3Key": f"{code}.zip"},
                },
            },
        },
    }  # fmt: skip
    text = json.dumps(template)
    (folder / "Small.template.json").write_text(text)
    of_template = hashlib.sha256(text.encode()).hexdigest()
    place = {
        "bucketName": "cdk-hnb659fds-assets-000000000000-us-east-1",
        "region": "us-east-1",
        "assumeRoleArn": "arn:${AWS::Partition}:iam::000000000000:role/cdk-hnb659fds-file-publishing-role-000000000000-us-east-1",
    }
    files = {
        code: {"source": {"path": f"asset.{code}.zip", "packaging": "file"}, "destinations": {"here": place | {"objectKey": f"{code}.zip"}}},
        of_template: {"source": {"path": "Small.template.json", "packaging": "file"}, "destinations": {"here": place | {"objectKey": f"{of_template}.json"}}},
    }  # fmt: skip
    (folder / "Small.assets.json").write_text(
        json.dumps({"version": "48.0.0", "files": files, "dockerImages": {}})
    )
    artifacts = {
        "Small.assets": {"type": "cdk:asset-manifest", "properties": {"file": "Small.assets.json", "requiresBootstrapStackVersion": 6}},
        "Small": {
            "type": "aws:cloudformation:stack", "environment": "aws://000000000000/us-east-1", "dependencies": ["Small.assets"],
            "properties": {
                "templateFile": "Small.template.json",
                "stackTemplateAssetObjectUrl": f"s3://{place['bucketName']}/{of_template}.json",
                "assumeRoleArn": "arn:${AWS::Partition}:iam::000000000000:role/cdk-hnb659fds-deploy-role-000000000000-us-east-1",
                "cloudFormationExecutionRoleArn": "arn:${AWS::Partition}:iam::000000000000:role/cdk-hnb659fds-cfn-exec-role-000000000000-us-east-1",
            },
        },
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({"version": "48.0.0", "artifacts": artifacts}))
    return folder


def test_bootstrap_deploy_and_destroy(cloud: Any, command: Any, tmp_path: Path) -> None:
    exports = command("env", "--state", cloud.state).stdout
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    environment = kept | dict(line.removeprefix("export ").split("=", 1) for line in exports.splitlines())

    def cdk(*arguments: str) -> None:
        done = subprocess.run(
            [REPOSITORY / "node_modules/.bin/cdk", *arguments, "--ci", "--no-color", "--no-notices"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    app = ["--app", str(assembly(tmp_path / "cdk.out"))]
    cdk("bootstrap", "aws://000000000000/us-east-1")
    cdk("deploy", "--require-approval", "never", "--method", "direct", *app)
    answer = cloud.client("lambda").invoke(FunctionName="deployed-by-cdk", Payload=b'{"n": 1}')
    assert json.loads(answer["Payload"].read()) == {"deployed": {"n": 1}}
    cloud.client("s3").put_object(Bucket="deployed-by-cdk", Key="a", Body=b"1")
    cloud.client("s3").delete_object(Bucket="deployed-by-cdk", Key="a")
    cdk("destroy", "--force", *app)
    with pytest.raises(ClientError):
        cloud.client("s3").head_bucket(Bucket="deployed-by-cdk")
