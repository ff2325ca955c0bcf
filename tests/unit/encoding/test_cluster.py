"""The job on a cluster of two executors that run tasks twice: the bytes of one process with two threads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyspark
import pytest

from fmrec.artifacts.manifest import Manifest
from fmrec.encoding import job
from localcloud.glue.spark import java_options
from tests.unit.conftest import SMALL_QUERIES
from tests.unit.encoding.run_files import stored

ROOT = Path(__file__).parents[3]
JOB = """
import json, sys
from pyspark.sql import SparkSession
from fmrec.dataset import Dataset
from fmrec.encoding import job
base, dataset = sys.argv[1], Dataset.from_document(json.loads(sys.argv[2]))
builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("cluster")
for name, value in json.loads(sys.stdin.read()).items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("OFF")
for way, fits in {"stages": False, "one-task": True}.items():
    job.fits_one_task = lambda *_: fits
    job.encode(spark, dataset, base, f"{base}/{way}", "cluster")
print(spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1, "executors")
"""
DOCUMENT: dict[str, Any] = {
    "interactions": {"path": "rows.csv"},
    "parts": 4,
    "split": {"method": "leave-last-n", "n": 2},
}
SETTINGS = SMALL_QUERIES | {
    "spark.sql.adaptive.enabled": "true",
    "spark.ui.enabled": "false",
    "spark.driver.memory": "1g",
    # As eager as Spark allows: whatever is slower than the first tenth of its stage is run a second time.
    "spark.speculation": "true",
    "spark.speculation.interval": "10ms",
    "spark.speculation.multiplier": "1",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.minTaskRuntime": "1ms",
    "spark.speculation.efficiency.enabled": "false",
}


def encode_on_cluster(folder: Path) -> str:
    # Workers of a local cluster start their executors from SPARK_HOME, which is the package's own folder.
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(folder), json.dumps(DOCUMENT)],
        input=json.dumps(SETTINGS | {"spark.executor.extraJavaOptions": java_options(folder)}), env=environment, cwd=folder,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_two_executors_with_speculation_write_the_bytes_of_two_threads(
    tmp_path: Path, encode_document: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    rows = np.column_stack([random.integers(1, 400, 30_000), random.integers(1, 99, 30_000)])
    lines = [f"{user},{item},{item % 5 + 1},{at}" for at, (user, item) in enumerate(rows.tolist())]
    (tmp_path / "rows.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *lines]))
    assert encode_on_cluster(tmp_path) == "2 executors"
    monkeypatch.setattr(job, "fits_one_task", lambda *_: True)
    encode_document(DOCUMENT, tmp_path, tmp_path / "threads")
    threads = stored(tmp_path / "threads")
    assert len(threads) >= 6
    assert stored(tmp_path / "stages") == threads
    assert stored(tmp_path / "one-task") == threads
    assert not list(tmp_path.rglob("_temporary"))
