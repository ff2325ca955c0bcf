"""What several tests of `fmrec` need: buckets of an S3 that answers like S3, and one Spark session."""

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from fmrec.storage import s3_client

ROOT = Path(__file__).parents[2]
SMALL_QUERIES = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.lightweightPlanChangeValidation": "false",
    "spark.sql.adaptive.enabled": "false",
}
"""For thousands of small queries: to compile a plan, to check it after each rule that changes it, or to plan
anew after each shuffle takes longer than to run it. The plans of Glue runs, in the local cloud's tests, are
compiled, checked and adapted.
"""


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
def bucket(emulator_url: str, aws_environment: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an empty bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_url)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    client.close()
    return name


@pytest.fixture(scope="session")
def short_lived_jvms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start JVMs and Python workers, of tests' own programs too, as the local cloud does for small jobs.

    A task that fails costs its worker: the next one is forked from a daemon that has imported what it needs.
    Each JVM has several daemons, which are forks of one process.
    """
    from localcloud.forks import Forks
    from localcloud.glue.driver import IMPORTED
    from localcloud.glue.spark import java_options, submit_arguments

    folder = tmp_path_factory.mktemp("jvm")
    forks = Forks(IMPORTED, [str(ROOT)], door=folder / "forks")
    settings = {
        "spark.driver.extraJavaOptions": java_options(folder),
        "spark.python.daemon.module": "glue_workers",
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "localcloud/glue/runtime"))),
    }
    file = folder / "spark.conf"
    file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", submit_arguments(file))
        if sys.platform == "linux":
            patch.setenv("LOCALCLOUD_FORKS", str(forks.door))
            forks.begin()
        yield
    forks.close()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, short_lived_jvms: None) -> Iterator[Any]:
    """One session for all tests, with the data source registered."""
    from fmrec.encoding.local_spark import local_session
    from fmrec.spark_source import RecordIOProtobuf

    session = local_session("2", scratch=str(tmp_path_factory.mktemp("spark")))
    for name, value in SMALL_QUERIES.items():
        session.conf.set(name, value)
    session.dataSource.register(RecordIOProtobuf)
    yield session
    session.stop()
