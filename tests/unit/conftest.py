"""What several tests of `fmrec` need: an S3 that answers like S3, in a process of its own, and one Spark
session.
"""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from fmrec.storage import s3_client


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an emulator that holds nothing yet and ends with the session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    state = tmp_path_factory.mktemp("s3")
    environment = os.environ | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "STATE_DIR": str(state),
        "S3_DATA_DIR": str(state / "s3"),
        "SERVICES": "s3",
    }
    with (state / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((state / "log").read_text()) from None
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials that mean nothing, and a client that is made anew before and after the test."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # The emulator computes CRC64 in Python, at 9 MB/s.
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_REQUIRED")
    s3_client.forget_client()
    yield
    s3_client.forget_client()


@pytest.fixture
def bucket(s3_endpoint: str, aws_environment: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an empty bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    client.close()
    return name


@pytest.fixture(scope="session")
def short_lived_jvms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start JVMs, those of tests' own programs too, as the local cloud does for small jobs."""
    from localcloud.glue.spark import java_options, submit_arguments

    folder = tmp_path_factory.mktemp("jvm")
    settings = folder / "spark.conf"
    settings.write_text(f"spark.driver.extraJavaOptions {java_options(folder)}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", submit_arguments(settings))
        yield


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, short_lived_jvms: None) -> Iterator[Any]:
    """One session for all tests, with the data source registered."""
    from fmrec.encoding.local_spark import local_session
    from fmrec.spark_source import RecordIOProtobuf

    session = local_session("2", scratch=str(tmp_path_factory.mktemp("spark")))
    session.conf.set("spark.sql.shuffle.partitions", "4")
    session.dataSource.register(RecordIOProtobuf)
    yield session
    session.stop()
