"""The encoding job on a cluster of several executors: time, memory, shuffle bytes and skew of its stages.

    python -m bench.scale [--rows 64] [--executors 2] [--cores 1] [--memory 2048]

A ``local-cluster`` has the executors of a real one, each a JVM with Python workers of its own, that move what
they shuffle over sockets; only the network and S3 are missing. Rows are those of ``bench.encoding``. Bytes
and times of tasks are from Spark's event log. Skew is the longest task of a stage over its median one, of
stages whose longest takes a second or more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

from bench.encoding import MILLION, PeakMemory, write_rows
from bench.targets import ROOT, print_machine
from fmrec.dataset import Dataset
from fmrec.encoding.job import encode
from fmrec.encoding.local_spark import local_session

NOTABLE_SECONDS = 1.0


@dataclass
class Stage:
    """What the event log says of a stage's tasks."""

    seconds: list[float] = field(default_factory=list)
    written: int = 0
    """Bytes that its tasks wrote for later stages to read."""
    spilled: int = 0
    executors: set[str] = field(default_factory=set)

    @property
    def skew(self) -> float:
        return max(self.seconds) / max(statistics.median(self.seconds), 1e-3)


def read_stages(log: Path) -> dict[int, Stage]:
    """Sum up the tasks of each stage in Spark's event logs below a folder."""
    stages: dict[int, Stage] = {}
    for path in sorted(path for path in log.rglob("*") if path.is_file()):
        for line in path.read_text().splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            metrics = event.get("Task Metrics")
            if event.get("Event") != "SparkListenerTaskEnd" or not metrics:
                continue
            stage = stages.setdefault(event["Stage ID"], Stage())
            info = event["Task Info"]
            stage.seconds.append((info["Finish Time"] - info["Launch Time"]) / 1000)
            stage.written += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
            stage.spilled += metrics["Disk Bytes Spilled"]
            stage.executors.add(info["Executor ID"])
    return stages


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=float, default=64, help="millions")
    parser.add_argument("--executors", type=int, default=2)
    parser.add_argument("--cores", type=int, default=1, help="of each executor")
    parser.add_argument("--memory", type=int, default=2048, help="MiB of Java heap of each executor")
    arguments = parser.parse_args()
    print_machine("pyspark", "pyarrow", "numpy")
    rows = int(arguments.rows * MILLION)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "log").mkdir()
        write_rows(folder / "rows.csv", rows)
        report(rows, folder, arguments)


def report(rows: int, folder: Path, arguments: argparse.Namespace) -> None:
    """Encode the rows on a cluster, and print what it took."""
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    os.environ["PYTHONPATH"] = str(ROOT)
    cluster = f"local-cluster[{arguments.executors},{arguments.cores},{arguments.memory}]"
    settings = {
        "spark.master": cluster,
        "spark.executor.memory": f"{arguments.memory}m",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (folder / "log").as_uri(),
        "spark.eventLog.compress": "false",
    }
    options = " ".join(f"--conf {key}={value}" for key, value in settings.items())
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"{options} pyspark-shell"
    memory = PeakMemory(os.getpid())
    memory.start()
    spark = local_session(scratch=str(folder / "scratch"), master=cluster)
    try:
        dataset = Dataset.from_document({"interactions": {"path": str(folder / "rows.csv")}})
        started = time.perf_counter()
        manifest = encode(spark, dataset, str(folder), str(folder / "encoded"), "scale")
        seconds = time.perf_counter() - started
    finally:
        spark.stop()
    if manifest.rows.read != rows:
        raise RuntimeError(f"{manifest.rows.read} rows were read, {rows} were written")
    stages = read_stages(folder / "log")
    shuffled = sum(stage.written for stage in stages.values())
    skewed = [
        f"stage {number}: {stage.skew:.1f} of {len(stage.seconds)} tasks"
        for number, stage in sorted(stages.items())
        if max(stage.seconds) >= NOTABLE_SECONDS and len(stage.seconds) > 1
    ]
    used = set().union(*(stage.executors for stage in stages.values()))
    print(
        f"{rows:,} rows on {cluster}, {len(used)} executors used: {seconds:.1f} s, {rows / seconds:,.0f} rows/s"
    )
    print(f"largest JVM {memory.jvm / 2**20:.0f} MiB, largest Python worker {memory.worker / 2**20:.0f} MiB")
    spilled = sum(stage.spilled for stage in stages.values())
    print(f"shuffled {shuffled:,} bytes, {shuffled / rows:.1f} a row; spilled {spilled:,} bytes")
    print(f"skew, longest task over the median one: {'; '.join(skewed) or 'no stage has a task of a second'}")


if __name__ == "__main__":
    main()
