"""Glue runs: the deployed script really runs, in states and with errors as on AWS."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.home import Home

BUCKET = "glue-runs"

SPARK_SCRIPT = """
import sys
from awsglue.utils import getResolvedOptions
from pyspark.sql import SparkSession, functions as F
import boto3
import library

options = getResolvedOptions(sys.argv, ["input", "output", "JOB_NAME"])
spark = SparkSession.builder.getOrCreate()
rows = spark.read.csv(options["input"], header=True, inferSchema=True)
shout = F.udf(library.shout)
totals = rows.groupBy("name").agg(F.sum("value").alias("total")).withColumn("loud", shout("name"))
totals.coalesce(1).write.mode("overwrite").parquet(options["output"] + "totals/")
read_again = spark.read.parquet(options["output"] + "totals/").orderBy("name")
s3 = boto3.client("s3")
bucket = options["output"].split("/")[2]
report = {
    "totals": [row.asDict() for row in read_again.collect()],
    "file": rows.select(F.input_file_name()).first()[0],
    "written": [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="out/totals/")["Contents"]],
    "who": boto3.client("sts").get_caller_identity()["Arn"],
    "jvm": spark.sparkContext._jvm.java.lang.System.getProperty("java.io.tmpdir"),
    "spark": spark.version,
    "ansi": spark.conf.get("spark.sql.ansi.enabled"),
    "job": options["JOB_NAME"],
    "bookmark": options["job_bookmark_option"],
}
import json
s3.put_object(Bucket=bucket, Key="out/report.json", Body=json.dumps(report).encode())
"""


class Jobs:
    """Jobs of one role and bucket."""

    def __init__(self, cloud: Any, role: str) -> None:
        self.cloud = cloud
        self.role = role
        self.glue = cloud.client("glue")
        self.s3 = cloud.client("s3")

    def create(self, name: str, script: str, **settings: Any) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=f"scripts/{name}.py", Body=script.encode())
        command = {
            "Name": "glueetl",
            "PythonVersion": "3",
            "ScriptLocation": f"s3://{BUCKET}/scripts/{name}.py",
        }
        self.glue.create_job(Name=name, Role=self.role, Command=command, GlueVersion="6.0", **settings)
        return name

    def run(self, name: str, script: str, seconds: float = 60, **settings: Any) -> dict[str, Any]:
        self.create(name, script, **settings)
        return self.ended(name, self.glue.start_job_run(JobName=name)["JobRunId"], seconds)

    def described(self, name: str, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.glue.get_job_run(JobName=name, RunId=run)["JobRun"]
        return found

    def ended(self, name: str, run: str, seconds: float = 60) -> dict[str, Any]:
        from_now = self.cloud.wait_until
        ended: dict[str, Any] = from_now(
            lambda: (
                (found := self.described(name, run))["JobRunState"] not in ("STARTING", "RUNNING", "STOPPING")
                and found
            ),
            seconds,
        )
        return ended


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, command: Any, open_cloud: Any) -> Iterator[Any]:
    """A local cloud that warms Spark up, which makes the first run here as quick as later ones."""
    state = tmp_path_factory.mktemp("warm") / "state"
    started = command("start", "--state", state, "--owner", os.getpid(), "--warm-up")
    assert started.returncode == 0, started.stderr
    yield open_cloud(state)
    stopped = command("stop", "--state", state)
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="module")
def jobs(cloud: Any, wait_until: Any) -> Jobs:
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    role = cloud.role("glue-runs", "glue", "s3:*")
    cloud.wait_until = wait_until
    return Jobs(cloud, role)


def test_spark_that_was_warmed_up_reads_and_writes_s3_with_the_library_and_role_of_the_job(
    jobs: Jobs,
) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as library:
        library.writestr("library.py", "def shout(text):\n    return text.upper()\n")
    jobs.s3.put_object(Bucket=BUCKET, Key="lib/library.zip", Body=archive.getvalue())
    jobs.s3.put_object(Bucket=BUCKET, Key="in/a.csv", Body=b"name,value\nx,1\ny,2\n")
    jobs.s3.put_object(Bucket=BUCKET, Key="in/b.csv", Body=b"name,value\nx,5\n")
    jobs.s3.put_object(Bucket=BUCKET, Key="out/totals/stale.parquet", Body=b"of an earlier run")
    arguments = {
        "--extra-py-files": f"s3://{BUCKET}/lib/library.zip",
        "--additional-python-modules": "numpy==2.3.0",
        "--input": f"s3://{BUCKET}/in/",
        "--output": f"s3://{BUCKET}/out/",
    }
    run = jobs.run("spark", SPARK_SCRIPT, 120, DefaultArguments=arguments)
    log = jobs.cloud.control("GET", f"logs/glue/{run['Id']}")[1]
    assert run["JobRunState"] == "SUCCEEDED", log
    report = json.loads(jobs.s3.get_object(Bucket=BUCKET, Key="out/report.json")["Body"].read())
    assert report["totals"] == [
        {"name": "x", "total": 6, "loud": "X"},
        {"name": "y", "total": 2, "loud": "Y"},
    ]
    assert report["file"].startswith(f"s3://{BUCKET}/in/")
    assert [Path(key).suffix for key in report["written"]] == [
        "",
        ".parquet",
    ]  # _SUCCESS, one part, nothing stale
    assert report["who"] == "arn:aws:sts::000000000000:assumed-role/glue-runs/GlueJobRunnerSession"
    assert (report["spark"], report["ansi"]) == ("4.1.1", "true")
    assert (report["job"], report["bookmark"]) == ("spark", "job-bookmark-disable")
    assert "--additional-python-modules numpy==2.3.0 is not installed" in log
    # The first run waits for the JVM that is being warmed up, and has it.
    assert Path(report["jvm"]).parts[-2:] == ("jvm-0", "tmp")
    assert "not warmed up" not in Home.at(jobs.cloud.state).log_file.read_text()


def test_run_arguments_override_the_jobs_but_not_those_that_cannot_be_overridden(jobs: Jobs) -> None:
    script = f"""
import boto3, json, sys
boto3.client("s3").put_object(Bucket="{BUCKET}", Key="argv.json", Body=json.dumps(sys.argv).encode())
"""
    name = jobs.create(
        "arguments",
        script,
        DefaultArguments={
            "--kept": "default",
            "--changed": "default",
            "--fixed": "default",
            "--conf": "spark.x=1",
        },
        NonOverridableArguments={"--fixed": "always"},
    )
    run = jobs.glue.start_job_run(JobName=name, Arguments={"--changed": "by run", "--fixed": "by run"})[
        "JobRunId"
    ]
    assert jobs.ended(name, run)["JobRunState"] == "SUCCEEDED"
    argv = json.loads(jobs.s3.get_object(Bucket=BUCKET, Key="argv.json")["Body"].read())
    pairs = dict(itertools.pairwise(argv[1:]))
    assert argv[0].endswith("arguments.py")
    assert pairs["--JOB_NAME"] == name
    assert pairs["--JOB_RUN_ID"] == run
    assert {key: pairs[key] for key in ("--kept", "--changed", "--fixed")} == {
        "--kept": "default",
        "--changed": "by run",
        "--fixed": "always",
    }
    assert "--conf" not in pairs  # Glue's own


@pytest.mark.parametrize(
    ("name", "script", "message"),
    [
        ("raises", "raise ValueError('column \"rating\" is missing')", 'ValueError: column "rating" is missing'),
        ("exits", "import sys; sys.exit(3)", "SystemExit: 3"),
        ("dies", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
         "Command failed with exit code 137: the driver process was killed by SIGKILL"),
        ("denied", "import boto3; boto3.client('dynamodb').list_tables()", "is not authorized to perform: dynamodb:ListTables"),
    ],
)  # fmt: skip
def test_a_failed_run_says_why(jobs: Jobs, name: str, script: str, message: str) -> None:
    run = jobs.run(name, script)
    assert run["JobRunState"] == "FAILED"
    assert message in run["ErrorMessage"]
    assert run["CompletedOn"] >= run["StartedOn"]


def test_a_script_that_is_not_there_fails_the_run(jobs: Jobs) -> None:
    name = jobs.create("no-script", "pass")
    jobs.s3.delete_object(Bucket=BUCKET, Key=f"scripts/{name}.py")
    run = jobs.ended(name, jobs.glue.start_job_run(JobName=name)["JobRunId"])
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith(
        f"LAUNCH ERROR | script s3://{BUCKET}/scripts/{name}.py can't be read"
    )


def test_output_goes_to_cloudwatch_logs(jobs: Jobs) -> None:
    run = jobs.run("talks", "print('one'); print('two'); raise KeyError('three')")
    logs = jobs.cloud.client("logs")

    def messages(group: str) -> list[str]:
        events = logs.get_log_events(logGroupName=group, logStreamName=run["Id"], startFromHead=True)[
            "events"
        ]
        return [event["message"] for event in events]

    assert messages("/aws-glue/jobs/output")[:2] == ["one", "two"]
    assert messages("/aws-glue/jobs/error") == ["KeyError: 'three'"]


SLEEP = "import time, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\ntime.sleep(300)"


def test_runs_at_the_same_time_are_limited_and_stopping_one_kills_all_it_started(
    jobs: Jobs, wait_until: Any
) -> None:
    name = jobs.create("sleeps", SLEEP, ExecutionProperty={"MaxConcurrentRuns": 2})
    runs = [jobs.glue.start_job_run(JobName=name)["JobRunId"] for _ in range(2)]
    with pytest.raises(ClientError, match="Concurrent runs exceeded for sleeps") as refused:
        jobs.glue.start_job_run(JobName=name)
    assert refused.value.response["Error"]["Code"] == "ConcurrentRunsExceededException"
    wait_until(lambda: set(runs) <= set(jobs.cloud.processes("glue")))
    started = jobs.cloud.processes("glue")
    drivers = {str(started[run]) for run in runs}

    def left() -> list[str]:
        marks = [f"LOCALCLOUD_GLUE_RUN={run}".encode() for run in runs]
        return [
            folder.name
            for folder in Path("/proc").iterdir()
            if folder.name in drivers
            or (folder.name.isdigit() and any(mark in environment(folder) for mark in marks))
        ]

    wait_until(lambda: len(left()) == 4)
    answer = jobs.glue.batch_stop_job_run(JobName=name, JobRunIds=[*runs, "jr_unknown"])
    assert [entry["JobRunId"] for entry in answer["SuccessfulSubmissions"]] == runs
    assert [entry["ErrorDetail"]["ErrorCode"] for entry in answer["Errors"]] == ["EntityNotFoundException"]
    assert [jobs.described(name, run)["JobRunState"] for run in runs] == ["STOPPED", "STOPPED"]
    assert left() == []
    assert not set(runs) & set(jobs.cloud.processes("glue"))
    assert [run["Id"] for run in jobs.glue.get_job_runs(JobName=name)["JobRuns"]] == runs[::-1]


def environment(folder: Path) -> bytes:
    try:
        return (folder / "environ").read_bytes()
    except OSError:
        return b""


def test_killing_the_driver_fails_the_run_with_the_signal(jobs: Jobs, wait_until: Any) -> None:
    name = jobs.create("killed", SLEEP)
    run = jobs.glue.start_job_run(JobName=name)["JobRunId"]
    pid = wait_until(lambda: jobs.cloud.processes("glue").get(run))
    os.kill(pid, signal.SIGTERM)
    ended = jobs.ended(name, run)
    assert ended["JobRunState"] == "FAILED"
    assert ended["ErrorMessage"].endswith("the driver process was killed by SIGTERM")


def test_a_jvm_serves_run_after_run_also_after_one_that_failed_and_none_after_one_that_was_killed(
    jobs: Jobs,
) -> None:
    script = """
import json, os, signal, sys
import boto3
from pyspark.sql import SparkSession, functions as F

def worker(_):
    return os.environ["LOCALCLOUD_GLUE_RUN"], sys.modules["pyspark"].__file__

number = sys.argv[sys.argv.index("--number") + 1]
spark = SparkSession.builder.getOrCreate()
jvm = spark.sparkContext._jvm
before = spark.read.text("s3://glue-runs/jvm/in/").collect()[0][0]
found = {
    "pid": jvm.java.lang.ProcessHandle.current().pid(),
    "text": before,
    "partitions": spark.conf.get("spark.sql.shuffle.partitions"),
    "leaked": jvm.java.lang.System.getProperty("spark.leaked"),
    "worker": spark.range(1).select(F.udf(worker, "array<string>")("id")).first()[0],
    "pyspark": sys.modules["pyspark"].__file__,
}
jvm.java.lang.System.err.println(f"the JVM says {number}")
boto3.client("s3").put_object(Bucket="glue-runs", Key=f"jvm/{number}.json", Body=json.dumps(found).encode())
if number == "1":
    sys.exit("no more")
if number == "2":
    os.kill(os.getpid(), signal.SIGKILL)
"""
    name = jobs.create("one-jvm", script)
    found, runs = [], []
    for number, conf in enumerate(
        ("spark.leaked=1 --conf spark.sql.shuffle.partitions=7", "a=b", "a=b", "a=b")
    ):
        # The bucket's folder in the run's mirror is another one each time.
        jobs.s3.put_object(Bucket=BUCKET, Key="jvm/in/text.txt", Body=f"line {number}".encode())
        arguments = {"--number": str(number), "--conf": conf}
        run = jobs.glue.start_job_run(JobName=name, Arguments=arguments)["JobRunId"]
        runs.append(jobs.ended(name, run, 120))
        document = jobs.s3.get_object(Bucket=BUCKET, Key=f"jvm/{number}.json")["Body"].read()
        found.append(json.loads(document))
    assert [run["JobRunState"] for run in runs] == ["SUCCEEDED", "FAILED", "FAILED", "SUCCEEDED"]
    pids = [report["pid"] for report in found]
    assert pids[0] == pids[1] == pids[2] != pids[3]
    assert [report["text"] for report in found] == ["line 0", "line 1", "line 2", "line 3"]
    assert [report["partitions"] for report in found] == ["7", "4", "4", "4"]
    assert [report["leaked"] for report in found] == ["1", None, None, None]
    # Workers have the run's environment, and PySpark from where the driver has it.
    assert [report["worker"] for report in found] == [
        [run["Id"], report["pyspark"]] for run, report in zip(runs, found, strict=True)
    ]
    for number, run in enumerate(runs):
        log = jobs.cloud.control("GET", f"logs/glue/{run['Id']}")[1]
        assert [other for other in range(4) if f"the JVM says {other}" in str(log)] == [number]


def test_a_run_whose_spark_is_killed_says_so(jobs: Jobs) -> None:
    script = """
import os, signal
from pyspark import SparkContext
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
os.kill(SparkContext._jvm.java.lang.ProcessHandle.current().pid(), signal.SIGKILL)
spark.range(10).count()
"""
    run = jobs.run("spark-killed", script, 120)
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith("Spark's JVM was killed by SIGKILL; the script saw ")


def test_what_aws_would_refuse_is_refused(jobs: Jobs) -> None:
    with pytest.raises(ClientError) as unknown:
        jobs.glue.start_job_run(JobName="no-such-job")
    assert unknown.value.response["Error"]["Code"] == "EntityNotFoundException"
