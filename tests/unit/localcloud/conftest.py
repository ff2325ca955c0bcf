"""One local cloud for all tests of this folder, and what most of them send to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

REPOSITORY = Path(__file__).resolve().parents[3]


class LocalCloud:
    """A running local cloud as a test sees it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.record = json.loads((state / "localcloud.json").read_text())
        self._clients: dict[str, Any] = {}

    def client(self, service: str, **credentials: str) -> Any:
        if credentials:
            return self._new_client(service, **credentials)
        if service not in self._clients:
            root = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            self._clients[service] = self._new_client(service, **root)
        return self._clients[service]

    def _new_client(self, service: str, **credentials: str) -> Any:
        return boto3.session.Session().client(
            service,
            endpoint_url=self.record["endpoint_url"],
            region_name=self.record["region"],
            config=Config(
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
            **credentials,
        )

    def control(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        """Status and document (or text) of the control API's answer."""
        request = urllib.request.Request(
            f"{self.record['endpoint_url']}/_localcloud/{path}",
            method=method,
            data=None if document is None else json.dumps(document).encode(),
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as response:
                body = response.read().decode()
                return response.status, json.loads(body) if "json" in response.headers[
                    "content-type"
                ] else body
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def processes(self, kind: str) -> dict[str, int]:
        """Name → process id."""
        listed = self.control("GET", "processes")[1]
        return {process["name"]: process["pid"] for process in listed if process["kind"] == kind}

    def role(self, name: str, service: str, *actions: str, resource: str = "*") -> str:
        """The ARN of a role that a service may assume and that allows the actions."""
        iam = self.client("iam")
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        document = {"Version": "2012-10-17", "Statement": [trust]}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
        if actions:
            allow = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
            policy = {"Version": "2012-10-17", "Statement": [allow]}
            iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=json.dumps(policy))
        return str(arn)

    def machine(self, name: str, role: str, states: dict[str, Any], **fields: Any) -> str:
        """The ARN of a JSONata state machine that starts with its first state."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **fields}
        arn = self.client("stepfunctions").create_state_machine(
            name=name, roleArn=role, definition=json.dumps(definition)
        )["stateMachineArn"]
        return str(arn)

    def start(self, machine: str, document: Any = None) -> str:
        execution = self.client("stepfunctions").start_execution(
            stateMachineArn=machine, input=json.dumps(document or {})
        )
        return str(execution["executionArn"])

    def ended(self, execution: str, seconds: float = 60) -> dict[str, Any]:
        """Describe an execution once it has ended; its output is parsed."""
        sfn = self.client("stepfunctions")
        description = until(
            lambda: (
                (found := sfn.describe_execution(executionArn=execution))["status"] != "RUNNING" and found
            ),
            seconds,
        )
        description["output"] = json.loads(description.get("output") or "null")
        return dict(description)

    def run(self, machine: str, document: Any = None) -> dict[str, Any]:
        return self.ended(self.start(machine, document))


def until(question: Any, seconds: float = 30) -> Any:
    """The first true answer of ``question``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"did not come true within {seconds} s")


def localcloud(*arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localcloud", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="session")
def command() -> Any:
    """``python -m localcloud`` with arguments."""
    return localcloud


@pytest.fixture(scope="session")
def wait_until() -> Any:
    return until


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    state = tmp_path_factory.mktemp("localcloud") / "state"
    started = localcloud("start", "--state", state, "--owner", str(os.getpid()), "--wait-scale", "0.05")
    assert started.returncode == 0, started.stderr
    yield LocalCloud(state)
    stopped = localcloud("stop", "--state", state)
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="session")
def open_cloud() -> type[LocalCloud]:
    """Reach a local cloud that a test started itself."""
    return LocalCloud
