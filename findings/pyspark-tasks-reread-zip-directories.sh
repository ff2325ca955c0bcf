#!/usr/bin/env bash
# PySpark: at the start of every task the worker reads the directories of all zip files on its import path again.
#
# Versions: pyspark 4.1.1 on CPython 3.11 and 3.12. Needs Java 17 and one of these interpreters.
# Behaviour: before each task a worker, reused or not, calls importlib.invalidate_caches(). Up to CPython 3.12
# zipimporter.invalidate_caches() reads the archive's directory at once, in Python. On a worker's import path are
# Spark's core JAR, which has thousands of entries and no Python module, pyspark.zip and py4j's zip; pyspark.zip is
# read once per package of it that was imported. Seen: 16 directories, 26,000 entries, 0.16 s a task.
# Consequence: a fixed cost of processor time for each task, which can be most of what small tasks take. From
# CPython 3.13 on, the directory is read when a module is next looked up there.
# Exits with 1 if a reused worker no longer reads a directory between two tasks.
set -euo pipefail
python=""
for name in python3.11 python3.12 python3; do
  "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && python=$name && break
done
[ -n "$python" ] || { echo "needs CPython 3.11 or 3.12" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyspark==4.1.1
cat > "$folder/program.py" <<'PROGRAM'
import importlib, platform, sys, time
from collections import Counter
import pyspark
from pyspark.sql import SparkSession

def task(rows):
    import os, zipimport
    list(rows)
    first = not hasattr(zipimport, "directories_read")
    if first:
        read = zipimport._read_directory
        zipimport.directories_read = []
        def counted(archive):
            found = read(archive)
            zipimport.directories_read.append((os.path.basename(archive), len(found)))
            return found
        zipimport._read_directory = counted
    since = list(zipimport.directories_read)
    start = time.process_time()
    importlib.invalidate_caches()
    milliseconds = (time.process_time() - start) * 1000
    zipimport.directories_read.clear()
    yield os.getpid(), first, since, milliseconds

spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
         .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
found = spark.sparkContext.parallelize(range(4), 4).mapPartitions(task).collect()
spark.stop()
print(f"pyspark {pyspark.__version__}, CPython {platform.python_version()}")
reused = [entry for entry in found if not entry[1]]
for pid, _, since, milliseconds in reused:
    archives = ", ".join(f"{name} ({entries:,} entries) {n} times" for (name, entries), n in Counter(since).items())
    print(f"worker {pid}, reused: read before this task: {archives or 'nothing'}; reading takes {milliseconds:.0f} ms of processor time")
sys.exit(0 if reused and all(since for _, _, since, _ in reused) else 1)
PROGRAM
PYSPARK_PYTHON="$folder/venv/bin/python" "$folder/venv/bin/python" "$folder/program.py" 2>"$folder/log" || { tail -5 "$folder/log" >&2; echo "behaviour changed" >&2; exit 1; }
