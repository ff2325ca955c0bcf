"""What is kept when the server is killed, and what the next start says about it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from localcloud.home import Home, Record
from localcloud.hooks.persistence import what_was_lost

EPOCH = "1970-01-01T00:00:00+00:00"


@pytest.fixture
def state(tmp_path: Path, command: Any) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    command("stop", "--state", folder)


def test_state_survives_a_server_that_is_killed_and_the_next_start_says_what_may_be_lost(
    state: Path, command: Any, open_cloud: Any, wait_until: Any
) -> None:
    assert command("start", "--state", state, "--wait-scale", 1).returncode == 0
    killed = open_cloud(state)
    table = {"TableName": "kept", "BillingMode": "PAY_PER_REQUEST"}
    keys = {
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    dynamodb = killed.client("dynamodb")
    dynamodb.create_table(**table, **keys)
    dynamodb.put_item(TableName="kept", Item={"id": {"S": "a"}})
    role = killed.role("kept", "states", "s3:GetObject")
    machine = killed.machine("kept", role, {"Pass": {"Type": "Pass", "Output": {"kept": True}, "End": True}})
    waiting = killed.machine("waits", role, {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}})
    ended = killed.start(machine)
    assert killed.ended(ended)["status"] == "SUCCEEDED"
    running = killed.start(waiting)
    queue = killed.client("sqs").create_queue(QueueName="kept")["QueueUrl"]
    made = datetime.now(UTC)
    marker = Home.at(state).unsaved_marker
    wait_until(lambda: datetime.fromisoformat(marker.read_text() or EPOCH) > made)
    os.kill(killed.record["pid"], signal.SIGKILL)
    wait_until(lambda: not (state / "localcloud.json").exists())

    started = command("start", "--state", state)
    assert started.returncode == 0, started.stderr
    assert (
        "was killed and not stopped: what services other than S3 and SageMaker changed after 20"
        in started.stdout
    )
    cloud = open_cloud(state)
    assert cloud.client("dynamodb").get_item(TableName="kept", Key={"id": {"S": "a"}})["Item"] == {
        "id": {"S": "a"}
    }
    policy = cloud.client("iam").get_role_policy(RoleName="kept", PolicyName="policy")["PolicyDocument"]
    assert policy["Statement"][0]["Action"] == ["s3:GetObject"]
    sfn = cloud.client("stepfunctions")
    assert {m["name"] for m in sfn.list_state_machines()["stateMachines"]} == {"kept", "waits"}
    assert json.loads(sfn.describe_execution(executionArn=ended)["output"]) == {"kept": True}
    lost = sfn.describe_execution(executionArn=running)
    assert (lost["status"], lost["error"]) == ("FAILED", "States.ServiceRestart")
    assert cloud.client("sqs").list_queues()["QueueUrls"] == [
        queue.replace(killed.record["endpoint_url"], cloud.record["endpoint_url"])
    ]

    assert command("stop", "--state", state).returncode == 0
    again = command("start", "--state", state)
    assert (again.returncode, "killed" in again.stdout) == (0, False), again.stdout


def test_the_guard_waits_for_a_server_whose_pipe_has_closed_and_that_is_still_ending(tmp_path: Path) -> None:
    """A killed process closes its files first: who looked then found it alive, and kept its record."""
    home = Home.at(tmp_path)
    home.create()
    with subprocess.Popen(["sleep", "1.5"]) as server:
        home.write(Record("http://127.0.0.1:1", server.pid, 1, "eu-central-1"))
        guard = [sys.executable, "-m", "localcloud", "guard"]
        command = [*guard, "--state", str(tmp_path), "--server", str(server.pid)]
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=30, check=True)
        assert not home.record_file.exists()
        assert server.poll() == 0


def test_nothing_is_said_of_a_folder_that_is_new(tmp_path: Path) -> None:
    assert what_was_lost(Home.at(tmp_path).unsaved_marker) is None


def test_the_state_is_written_while_an_execution_runs_without_a_request(
    state: Path, command: Any, open_cloud: Any, wait_until: Any
) -> None:
    """The last state of an execution is on disk although nobody asks for it."""
    assert command("start", "--state", state, "--wait-scale", 1).returncode == 0
    cloud = open_cloud(state)
    role = cloud.role("waits", "states")
    states = {"Wait": {"Type": "Wait", "Seconds": 8, "Next": "Done"}, "Done": {"Type": "Pass", "End": True}}
    cloud.start(cloud.machine("waits", role, states))
    file = state / "services" / "stepfunctions.json"
    wait_until(lambda: '"status": "RUNNING"' in file.read_text(), 7)
    wait_until(lambda: '"status": "SUCCEEDED"' in file.read_text())


def test_a_cloud_that_ends_with_its_owner_writes_its_state_when_it_stops(
    state: Path, command: Any, open_cloud: Any
) -> None:
    assert command("start", "--state", state, "--owner", os.getpid()).returncode == 0
    cloud = open_cloud(state)
    cloud.client("sqs").create_queue(QueueName="kept")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as layer:
        layer.writestr("python/dependency.bin", os.urandom(1 << 20))
    for name in ("one", "two"):
        cloud.client("lambda").publish_layer_version(LayerName=name, Content={"ZipFile": archive.getvalue()})
    file = state / "services" / "sqs.json"
    assert not file.exists()
    assert command("stop", "--state", state).returncode == 0
    assert "kept" in file.read_text()
    # An archive is no text in the state, and a file once, which goes with the last layer that has it.
    assert (state / "services" / "lambda.json").stat().st_size < 1 << 16
    assert [path.read_bytes() for path in (state / "services" / "layers").iterdir()] == [archive.getvalue()]

    assert command("start", "--state", state, "--owner", os.getpid()).returncode == 0
    functions = open_cloud(state).client("lambda")
    functions.delete_layer_version(LayerName="one", VersionNumber=1)
    found = functions.get_layer_version(LayerName="two", VersionNumber=1)
    where = (
        open_cloud(state).record["endpoint_url"] + urllib.parse.urlsplit(found["Content"]["Location"]).path
    )
    with urllib.request.urlopen(where, timeout=10) as answer:
        assert answer.read() == archive.getvalue()
    functions.delete_layer_version(LayerName="two", VersionNumber=1)
    assert command("stop", "--state", state).returncode == 0
    assert list((state / "services" / "layers").iterdir()) == []
