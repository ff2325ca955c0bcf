"""The whole encoding job against Spark reading the same CSV and writing it as Parquet.

Same rows, same cores, same Spark session; then the growth from size to size, and the peak memory of
the JVM and of its Python workers. Rows are shaped like MovieLens 20M: 138 thousand users and 27
thousand items at 20 million rows, activity and popularity skewed.

With ``--side-features`` each user and item also has attributes, five features in all, which the other does
not read.

    python -m bench.encoding [--rows 1,4,16] [--cores 2] [--dataset document.json] [--side-features]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from bench.targets import print_machine, verdict

ROOT = Path(__file__).resolve().parent.parent
MILLION = 1_000_000
CHUNK = 1_000_000
TARGETS = {MILLION: 2.5}
TARGET = 1.2
"""Times reading CSV and writing Parquet; with few rows the start of the job's own stages weighs more."""
SIDE_FEATURES_TARGET = 2.0
GROWTH_TARGET = 4.1
"""For four times the rows."""
MEMORY_TARGET = 1.2
SCHEMA = "user_id string, item_id string, rating string, timestamp string"


def write_rows(path: Path, rows: int, seed: int = 0) -> None:
    """Write synthetic ratings as CSV, users in order as MovieLens has them."""
    random = np.random.default_rng(seed)
    users, items = population(rows).values()
    with path.open("wb") as file:
        file.write(b"user_id,item_id,rating,timestamp\n")
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            share = (start + np.sort(random.random(count) * count)) / rows
            table = pa.table(
                {
                    "user_id": (users * share**1.5).astype(np.int64) + 1,
                    "item_id": (items * random.random(count) ** 3).astype(np.int64) + 1,
                    "rating": random.integers(1, 11, count) / 2,
                    "timestamp": random.integers(800_000_000, 1_400_000_000, count),
                }
            )
            pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=False))


def write_attributes(folder: Path, rows: int) -> dict[str, Any]:
    """Write attributes of all users and items; return what a data set document says of them."""
    random = np.random.default_rng(1)
    columns = {"users": ("user_id", ("age", "group", "city")), "items": ("item_id", ("genre", "year"))}
    entities: dict[str, Any] = {}
    features = []
    for side, (key, names) in columns.items():
        count = population(rows)[side] + 1
        table = {key: np.arange(1, count + 1)}
        for number, name in enumerate(names):
            table[name] = random.integers(0, 10 ** (number + 1), count)
            features.append({"name": name, "of": side.removesuffix("s")})
        pyarrow.csv.write_csv(pa.table(table), folder / f"{side}.csv")
        entities[side] = {"path": str(folder / f"{side}.csv"), "id": key}
    return entities | {"features": features}


def population(rows: int) -> dict[str, int]:
    """How many users and items so many rows have."""
    return {
        "users": max(1000, 138_493 * rows // 20_000_000),
        "items": max(500, 26_744 * rows // 20_000_000),
    }


def measure(
    rows: int, cores: str, memory: str, document: dict[str, Any], folder: Path, side_features: bool
) -> dict[str, float]:
    """Time both on one file, in this process; a small file goes first, to warm up the JVM for both."""
    from fmrec.dataset import Dataset
    from fmrec.encoding.job import encode
    from fmrec.encoding.local_spark import local_session

    write_rows(folder / "small.csv", 200_000)
    write_rows(folder / "rows.csv", rows)
    if side_features:
        document = document | write_attributes(folder, max(rows, 200_000))
    spark = local_session(cores, memory, str(folder / "scratch"))

    def to_parquet(path: Path) -> None:
        frame = spark.read.schema(SCHEMA).option("header", True).csv(str(path))
        frame.write.mode("overwrite").parquet(str(folder / "parquet"))

    def to_records(path: Path) -> None:
        dataset = Dataset.from_document(document | {"interactions": {"path": str(path)}})
        manifest = encode(spark, dataset, str(folder), str(folder / "encoded"), "bench")
        assert manifest.rows.read == (rows if path.stem == "rows" else 200_000)

    found: dict[str, float] = {"rows": rows}
    try:
        for path in (folder / "small.csv", folder / "rows.csv"):
            for name, run in (("parquet", to_parquet), ("encode", to_records)):
                started = time.perf_counter()
                run(path)
                found[name] = time.perf_counter() - started
    finally:
        spark.stop()
    return found


class PeakMemory(threading.Thread):
    """Samples the resident memory of a process's descendants: the JVM, and the largest Python worker."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process
        self.jvm = self.worker = 0

    def run(self) -> None:
        while Path(f"/proc/{self._process}").exists():
            family = {self._process}
            for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda entry: int(entry.name)):
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    name = (entry / "comm").read_text().strip()
                except OSError:
                    continue
                if int(fields[1]) in family:
                    family.add(int(entry.name))
                    resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
                    if name == "java":
                        self.jvm = max(self.jvm, resident)
                    elif name.startswith(
                        "python"
                    ):  # a process that the JVM is about to start looks as large as it
                        self.worker = max(self.worker, resident)
            time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="1,4,16", help="millions of rows, ascending")
    parser.add_argument("--cores", default="2")
    parser.add_argument(
        "--memory", default="640m", help="Java heap: all that is given is used in the end, needed or not"
    )
    parser.add_argument("--dataset", type=Path, help="a data set document, but for its interactions")
    parser.add_argument("--side-features", action="store_true", help="five attributes of users and items")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    document = json.loads(args.dataset.read_text()) if args.dataset else {}
    if args.one:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(args.one, args.cores, args.memory, document, Path(folder), args.side_features)
            print(json.dumps(found))
        return

    what = "encoding job" + (" with five side features" if args.side_features else "")
    print(
        f"{'rows':>12} {'CSV→Parquet':>12} {'encode':>9} {'ratio':>6} {'growth':>7} {'JVM':>9} {'worker':>9}"
    )
    print_machine("pyspark", "pyarrow", "numpy")
    earlier: dict[str, float] | None = None
    peaks: list[int] = []
    for millions in args.rows.split(","):
        rows = int(float(millions) * MILLION)
        options = ["--one", str(rows), "--cores", args.cores, "--memory", args.memory]
        options += ["--dataset", str(args.dataset)] if args.dataset else []
        options += ["--side-features"] if args.side_features else []
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.encoding", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        memory = PeakMemory(child.pid)
        memory.start()
        output, _ = child.communicate()
        if child.returncode:
            raise SystemExit(
                f"encoding {rows} rows failed; run python -m bench.encoding {' '.join(options)} to see why"
            )
        found = json.loads(output.splitlines()[-1])
        growth = f"{found['encode'] / earlier['encode']:.2f}" if earlier else "–"
        print(
            f"{rows:>12,} {found['parquet']:>10.1f} s {found['encode']:>7.1f} s "
            f"{found['encode'] / found['parquet']:>6.2f} {growth:>7} "
            f"{memory.jvm / 2**20:>5.0f} MiB {memory.worker / 2**20:>5.0f} MiB",
            flush=True,
        )
        ratio, peaks = found["encode"] / found["parquet"], [*peaks, memory.jvm + memory.worker]
        target = SIDE_FEATURES_TARGET if args.side_features else TARGETS.get(rows, TARGET)
        verdict(f"{what}, {rows:,} rows / Spark CSV to Parquet", ratio, target, at_most=True)
        if earlier:
            growth_target = GROWTH_TARGET * rows / earlier["rows"] / 4
            growth_of = f"{what}, time from {earlier['rows']:,.0f} to {rows:,} rows"
            verdict(growth_of, found["encode"] / earlier["encode"], growth_target, at_most=True)
            verdict(
                f"{what}, memory from {earlier['rows']:,.0f} to {rows:,} rows",
                peaks[-1] / peaks[-2],
                MEMORY_TARGET,
                at_most=True,
            )
        earlier = found


if __name__ == "__main__":
    main()
