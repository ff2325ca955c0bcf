"""start, stop, status, env: one folder, free ports, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def marked(state: Path) -> list[int]:
    """Process ids of everything that carries the folder in its environment."""
    mark = f"LOCALCLOUD_HOME={state}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                entries = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in entries:
                found.append(int(folder.name))
    return found


def sleeping_job(cloud: Any, wait_until: Any) -> int:
    """A Glue run that sleeps, with a child of its own; returns the driver's process id."""
    cloud.client("s3").create_bucket(Bucket="sleeps")
    script = "import subprocess, time\nsubprocess.Popen(['sleep', '300'])\ntime.sleep(300)"
    cloud.client("s3").put_object(Bucket="sleeps", Key="job.py", Body=script.encode())
    command = {"Name": "glueetl", "ScriptLocation": "s3://sleeps/job.py"}
    cloud.client("glue").create_job(Name="sleeps", Role=cloud.role("sleeps", "glue", "s3:*"), Command=command)
    cloud.client("glue").start_job_run(JobName="sleeps")
    pid = wait_until(lambda: next(iter(cloud.processes("glue").values()), None))
    wait_until(lambda: len(marked(cloud.state)) >= 4)  # server, guard, driver, its child
    return int(pid)


@pytest.fixture
def state(tmp_path: Path, command: Any) -> Iterator[Path]:
    folder = tmp_path / "a state"
    yield folder
    command("stop", "--state", folder)


def test_a_second_instance_runs_beside_the_first_stops_with_all_it_runs_and_keeps_its_state(
    cloud: Any, state: Path, command: Any, open_cloud: Any, wait_until: Any
) -> None:
    started = command("start", "--state", state)
    assert started.returncode == 0, started.stderr
    second = open_cloud(state)
    assert second.record["port"] != cloud.record["port"]
    assert f"at {second.record['endpoint_url']}" in started.stdout
    again = command("start", "--state", state)
    assert again.returncode == 1
    assert "runs in" in again.stderr

    second.client("s3").create_bucket(Bucket="only-here")
    second.client("s3").put_object(Bucket="only-here", Key="a", Body=b"1")
    assert "only-here" not in [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]]
    status = json.loads(command("status", "--state", state, "--json").stdout)
    assert status["running"] is True
    assert status["endpoint_url"] == second.record["endpoint_url"]
    exports = command("env", "--state", state).stdout
    assert f"export AWS_ENDPOINT_URL={second.record['endpoint_url']}\n" in exports
    asked = subprocess.run(
        ["bash", "-c", f"{exports}\n{sys.executable} -c \"import boto3; print(boto3.client('s3').list_buckets()['Buckets'][0]['Name'])\""],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout == "only-here\n"

    sleeping_job(second, wait_until)
    assert command("stop", "--state", state).returncode == 0
    assert marked(state) == []
    assert list((state / "glue").iterdir()) == []
    assert not (state / "localcloud.json").exists()
    assert command("status", "--state", state).returncode == 3
    assert command("start", "--state", state).returncode == 0
    body = open_cloud(state).client("s3").get_object(Bucket="only-here", Key="a")["Body"].read()
    assert body == b"1"


def test_nothing_survives_a_server_that_is_killed(
    state: Path, command: Any, open_cloud: Any, wait_until: Any
) -> None:
    started = command("start", "--state", state)
    assert started.returncode == 0, started.stderr
    second = open_cloud(state)
    sleeping_job(second, wait_until)
    os.kill(second.record["pid"], signal.SIGKILL)
    wait_until(lambda: marked(state) == [])
    wait_until(lambda: not (state / "localcloud.json").exists())


def test_it_ends_with_the_process_that_owns_it(state: Path, command: Any, wait_until: Any) -> None:
    with subprocess.Popen(["sleep", "60"]) as owner:
        try:
            started = command("start", "--state", state, "--owner", owner.pid)
            assert started.returncode == 0, started.stderr
            assert marked(state)
        finally:
            owner.kill()
    wait_until(lambda: marked(state) == [])
    assert not (state / "localcloud.json").exists()


def test_a_start_that_fails_says_why_and_leaves_nothing(cloud: Any, tmp_path: Path, command: Any) -> None:
    taken = command("start", "--state", tmp_path / "a", "--port", cloud.record["port"])
    assert taken.returncode == 1
    assert f"port {cloud.record['port']} on 127.0.0.1 can't be used" in taken.stderr
    unknown = command("start", "--state", tmp_path / "b", "--quotas", "enormous")
    assert unknown.returncode == 1
    assert "enormous is neither a quotas file nor one of the presets" in unknown.stderr
    assert marked(tmp_path / "a") == marked(tmp_path / "b") == []


@pytest.mark.parametrize("name", ["start", "serve", "stop", "status", "env"])
def test_every_command_explains_itself(command: Any, name: str) -> None:
    helped = command(name, "--help")
    assert helped.returncode == 0
    assert "--state DIR" in helped.stdout
