import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from bench.oracles.environments import MXNET_HAS_WHEELS, ROOT, Oracle, mxnet_python, sdk_v2_python
from localcloud.home import Home, client_environment


@pytest.fixture(scope="session")
def sdk_v2() -> Iterator[Oracle]:
    """SageMaker Python SDK v2 in an environment of its own."""
    oracle = Oracle(sdk_v2_python(), "bench.oracles.sdk_v2_worker")
    yield oracle
    oracle.close()


@pytest.fixture(scope="session")
def mxnet() -> Iterator[Oracle]:
    """MXNet 1.9.1 in an environment of its own."""
    if not MXNET_HAS_WHEELS:
        pytest.skip("MXNet 1.9.1 has wheels for Linux on x86_64 only")
    oracle = Oracle(mxnet_python(), "bench.oracles.mxnet_worker")
    yield oracle
    oracle.close()


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that points a client at a local cloud, which runs for all tests of this folder."""
    state = tmp_path_factory.mktemp("localcloud") / "state"
    command = [sys.executable, "-m", "localcloud"]
    subprocess.run([*command, "start", "--state", state, "--owner", str(os.getpid())], cwd=ROOT, check=True)
    record = Home.at(state).read()
    assert record is not None
    yield {"PATH": os.environ["PATH"], "HOME": str(state), **client_environment(record)}
    subprocess.run([*command, "stop", "--state", state], cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def client(local_cloud: dict[str, str]) -> Callable[[str], Any]:
    """boto3 clients of the local cloud."""

    def make(service: str) -> Any:
        return boto3.session.Session().client(
            service,
            endpoint_url=local_cloud["AWS_ENDPOINT_URL"],
            region_name=local_cloud["AWS_DEFAULT_REGION"],
            aws_access_key_id=local_cloud["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=local_cloud["AWS_SECRET_ACCESS_KEY"],
        )

    return make


@pytest.fixture(scope="session")
def role(client: Callable[[str], Any]) -> str:
    """A role that SageMaker may assume, as the console makes it: SageMaker and the S3 buckets."""
    iam = client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    allow = {"Effect": "Allow", "Action": ["sagemaker:*", "s3:*"], "Resource": "*"}
    name = "AmazonSageMaker-ExecutionRole"
    found = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName=name, PolicyName="access", PolicyDocument=policy)
    return str(found["Role"]["Arn"])
