"""How Spark is started for Glue runs: short of CPU seconds, of which a small job spends most on starting.

Measured on encoding MovieLens 100k with two cores: 53 CPU seconds with the JVM's defaults, 34 without
its optimising compiler, 28 with Spark's classes in a shared archive besides (``prepare``).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from localcloud import kept
from localcloud.home import LocalCloudError

# A short job on few cores is over before C2 or a parallel collector pay.
SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -XX:ReservedCodeCacheSize=240m"
"""Without C2, the JVM keeps 48 MiB of compiled code, which a few runs fill: the rest is compiled again."""

# Touches what jobs use: text and Parquet, joins, windows, sorts, caches, Python functions over rows and
# Arrow.
_EXERCISE = """
import json, sys
from pyspark import SparkContext, StorageLevel
from pyspark.sql import Observation, SparkSession, Window, functions as F

folder, settings = sys.argv[1], json.loads(sys.argv[2])
spark = SparkSession.builder.config(map=settings).getOrCreate()
spark.range(1000).select(F.concat_ws(",", "id", F.col("id") % 7).alias("value")).write.text(folder + "/text")
lines = spark.read.text(folder + "/text").select("value", "_metadata.file_path")
rows = lines.select(F.from_csv("value", "id LONG, kind INT").alias("row"), "file_path").select("row.*", "file_path")
counts = rows.groupBy("kind").agg(F.count("*").alias("n"), F.countDistinct("file_path"), F.avg("id"))
ranked = rows.withColumn("rank", F.row_number().over(Window.partitionBy("kind").orderBy("id")))
joined = ranked.join(F.broadcast(counts), "kind").repartition(2, "kind").sortWithinPartitions("rank")
joined = joined.withColumn("text", F.udf(str)("id")).withColumn("even", F.expr("id % 2 = 0"))
joined.mapInArrow(lambda batches: batches, joined.schema).write.parquet(folder + "/parquet")
read = spark.read.parquet(folder + "/parquet").cache()
read.join(counts, "kind", "left_anti").unionByName(read).orderBy("id").limit(5).toPandas()
lists = read.groupBy("kind").agg(F.collect_list("text").alias("texts"), F.collect_list("id").alias("ids"))
pairs = lists.select("kind", F.posexplode(F.arrays_zip("texts", "ids")).alias("at", "pair"))
kept = pairs.select("kind", "at", "pair.*").mapInArrow(lambda batches: batches, "kind int, at int, texts string, ids long")
kept = kept.persist(StorageLevel.DISK_ONLY)
kept.groupBy("kind", "texts").agg(F.sum("ids").alias("n")).join(kept, ["kind", "texts"]).count()
seen = Observation()
placed = kept.unionAll(kept).coalesce(1).sortWithinPartitions("kind", F.col("texts").try_cast("decimal(38,0)"))
placed.withColumn("place", F.monotonically_increasing_id()).observe(seen, F.max("place")).write.parquet(folder + "/placed")
seen.get
process = SparkContext._gateway.proc
spark.stop()
if process is not None:
    process.stdin.close()
    process.wait()
"""


def archive_file() -> Path:
    """Where the archive of this version of Spark lies."""
    return kept.FOLDER / f"spark-{importlib.metadata.version('pyspark')}.jsa"


def java_options(scratch: Path) -> str:
    """Options for the driver's JVM.

    Parameters
    ----------
    scratch
        The JVM's temporary folder.
    """
    options = f'"-Djava.io.tmpdir={scratch}" {SHORT_LIVED}'
    if archive_file().exists():
        # The JVM leaves out an archive that is not its own or Spark's; it need not say so.
        options += f' "-XX:SharedArchiveFile={archive_file()}" -Xlog:disable'
    return options


def prepare() -> Path:
    """Write the archive, which takes half a minute, unless it is there; returns the file.

    Raises
    ------
    LocalCloudError
        Spark can't be started, or its JVM writes no archive.
    """
    archive = archive_file()
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        part = Path(folder) / archive.name
        options = f'{SHORT_LIVED} "-XX:ArchiveClassesAtExit={part}" -Xlog:disable'
        settings = Path(folder) / "spark.conf"
        settings.write_text(f"spark.driver.extraJavaOptions {options}\n", encoding="utf-8")
        done = exercise(Path(folder), {"PYSPARK_SUBMIT_ARGS": submit_arguments(settings)})
        if done.returncode or not part.exists():
            raise LocalCloudError(
                f"Spark's classes can't be archived; Glue runs work without, and start slower: "
                f"{(done.stderr or done.stdout).strip().splitlines()[-1:]}"
            )
        part.replace(archive)
    return archive


def exercise(folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run some small Spark jobs of all kinds, whose files go to ``folder``."""
    settings = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": str(folder / "scratch"),
    }
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))
    }
    return subprocess.run(
        [sys.executable, "-c", _EXERCISE, str(folder), json.dumps(settings)],
        cwd=folder,
        env={**inherited, "PYSPARK_PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def submit_arguments(settings: Path) -> str:
    """``PYSPARK_SUBMIT_ARGS`` for a file of settings.

    Not a configuration folder: it would be on the JVM's class path, which must be that of the archive.
    """
    return f"--properties-file '{settings}' pyspark-shell"
