"""The job on a cluster of two executors that run tasks twice: the bytes of one process with two threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyspark
import pytest

from localcloud.glue.spark import SHORT_LIVED
from tests.unit.encoding.run_files import stored

ROOT = Path(__file__).parents[3]
JOB = """
import json, sys
from pyspark.sql import SparkSession
from fmrec.dataset import Dataset
from fmrec.encoding import job
base, master = sys.argv[1:]
builder = SparkSession.builder.master(master).appName("cluster")
for name, value in json.loads(sys.stdin.read()).items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("OFF")
document = {"interactions": {"path": "rows.csv"}, "parts": 4, "split": {"method": "leave-last-n", "n": 2}}
run = "cluster" if "cluster" in master else "threads"
ways = {"stages": False, "one-task": True} if run == "cluster" else {"one-task": True}
for way, fits in ways.items():
    job.fits_one_task = lambda *_: fits
    job.encode(spark, Dataset.from_document(document), base, f"{base}/{run}-{way}", run)
executors = spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
print(run, executors)
"""
COMMON = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
    "spark.driver.memory": "1g",
    "spark.executor.extraJavaOptions": SHORT_LIVED,
}
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "10ms",
    "spark.speculation.multiplier": "1",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.minTaskRuntime": "1ms",
    "spark.speculation.efficiency.enabled": "false",
}
"""As eager as Spark allows: whatever is slower than the first tenth of its stage is run a second time."""


def encode(folder: Path, master: str, settings: dict[str, str]) -> str:
    # Workers of a local cluster start their executors from SPARK_HOME, which is the package's own folder.
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(folder), master],
        input=json.dumps(COMMON | settings), env=environment, cwd=folder,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.mark.spark
def test_two_executors_with_speculation_write_the_bytes_of_two_threads(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = np.column_stack([random.integers(1, 400, 30_000), random.integers(1, 99, 30_000)])
    lines = [f"{user},{item},{item % 5 + 1},{at}" for at, (user, item) in enumerate(rows.tolist())]
    (tmp_path / "rows.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *lines]))
    assert encode(tmp_path, "local[2]", {}).startswith("threads 0")
    assert encode(tmp_path, "local-cluster[2,1,1024]", SPECULATION) == "cluster 2"
    threads = stored(tmp_path / "threads-one-task")
    assert len(threads) >= 6
    assert stored(tmp_path / "cluster-stages") == threads
    assert stored(tmp_path / "cluster-one-task") == threads
    assert not list(tmp_path.rglob("_temporary"))
