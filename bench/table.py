"""Every measured target in one table: its ratio, reached or MISSED, under the machine and versions.

    python -m bench.table [--rows 1,4,16] [--users 100000] [--runs 3] [--only encoding,codec,...] [--resume]

Each benchmark runs in a process of its own, one after the other, and is shown as it runs. Those that don't
pair runs themselves are run three times, and the median counts. A benchmark that takes longer than its limit
is ended, and its row says so. All of them take about two hours on two idle cores; smaller ``--rows`` and
``--users`` are quicker, and their rows say so. What a run has measured is kept in ``build/bench-table.json``:
``--resume`` leaves out what is there. What was measured while other work ran is only good for the order of
magnitude.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from bench.targets import ROOT, print_machine

VERDICT = re.compile(r"^(?P<what>.*): (?P<value>[0-9.]+), target (?P<sign>[≤≥]) (?P<target>[0-9.]+): \w+$")
DEMO, DEMO_SECONDS = ("make", "demo"), 70
KEPT = ROOT / "build" / "bench-table.json"


@dataclass(frozen=True)
class Benchmark:
    """A command, how often it runs, and how many seconds each run may take."""

    command: tuple[str, ...]
    runs: int
    seconds: float

    @classmethod
    def of(cls, module: str, *options: str, runs: int, minutes: float) -> Benchmark:
        return cls((sys.executable, "-m", f"bench.{module}", *options), runs, 60 * minutes)

    @property
    def name(self) -> str:
        return " ".join(self.command).replace(sys.executable, "python")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    values: tuple[float, ...]
    sign: str
    target: float

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def state(self) -> str:
        reached = self.value <= self.target if self.sign == "≤" else self.value >= self.target
        return "reached" if reached else "MISSED"

    def __str__(self) -> str:
        of = f" ({', '.join(f'{value:g}' for value in self.values)})" if len(self.values) > 1 else ""
        return f"| {self.what} | {self.value:g}{of} | {self.sign} {self.target:g} | {self.state} |"


def benchmarks(rows: str, users: int, runs: int) -> dict[str, Benchmark]:
    """Return the benchmarks by name, in the order in which they run."""
    pairs = ("--pairs", str(runs))
    largest = rows.rsplit(",", maxsplit=1)[-1]
    own = ("--synthetic-rows", "0", "--peers")  # the stand-in alone, and the peers named after it
    return {
        "encoding": Benchmark.of("encoding", "--rows", rows, runs=runs, minutes=20),
        "side-features": Benchmark.of(
            "encoding", "--rows", largest, "--side-features", runs=runs, minutes=20
        ),
        "codec": Benchmark.of("codec", runs=runs, minutes=15),
        "ranking": Benchmark.of("ranking", *pairs, runs=1, minutes=20),
        "training": Benchmark.of("training", *own, "--baseline", runs=1, minutes=15),
        "xlearn": Benchmark.of("training", *own, "xlearn", runs=1, minutes=20),
        "publishing": Benchmark.of("publishing", "--users", str(users), *pairs, runs=1, minutes=20),
        "demo": Benchmark(DEMO, runs, 300),
    }


def measure(benchmark: Benchmark) -> list[str]:
    """Run a benchmark as often as it says; return the table's lines."""
    found: dict[str, Row] = {}
    for _ in range(benchmark.runs):
        print(benchmark.name, flush=True)
        rows, ended = run(benchmark)
        if not rows or ended != "with 0":
            missing = f"| {benchmark.name} ended {ended} | nothing more | | MISSED |"
            return [*map(str, [*found.values(), *rows]), missing]
        for row in rows:
            earlier = found[row.what].values if row.what in found else ()
            found[row.what] = Row(row.what, (*earlier, *row.values), row.sign, row.target)
    return [str(row) for row in found.values()]


def run(benchmark: Benchmark) -> tuple[list[Row], str]:
    """Run a command once, showing what it prints; return what it measured, and how it ended."""
    started, late, found = time.perf_counter(), threading.Event(), []
    with subprocess.Popen(
        benchmark.command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:

        def end() -> None:
            late.set()
            os.killpg(child.pid, signal.SIGTERM)

        timer = threading.Timer(benchmark.seconds, end)
        timer.start()
        try:
            for line in child.stdout or ():
                print(f"  {line}", end="", flush=True)
                if match := VERDICT.match(line.strip()):
                    value, target = float(match["value"]), float(match["target"])
                    found.append(Row(match["what"].replace("|", "/"), (value,), match["sign"], target))
            code = child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGTERM)
            raise
        finally:
            timer.cancel()
    seconds = time.perf_counter() - started
    if benchmark.command == DEMO and not code:
        found.append(Row("make demo after installation, s", (round(seconds, 1),), "≤", DEMO_SECONDS))
    return found, f"after its limit of {benchmark.seconds:g} s" if late.is_set() else f"with {code}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="1,4,16", help="millions of rows to encode, ascending")
    parser.add_argument("--users", type=int, default=100_000, help="users to publish lists of")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; medians count")
    parser.add_argument("--only", help="some of the benchmarks, separated by commas")
    parser.add_argument("--resume", action="store_true", help="keep what an earlier call has measured")
    arguments = parser.parse_args()
    chosen = benchmarks(arguments.rows, arguments.users, arguments.runs)
    names = arguments.only.split(",") if arguments.only else list(chosen)
    unknown = [name for name in names if name not in chosen]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(chosen)}")
    kept = json.loads(KEPT.read_text()) if arguments.resume and KEPT.exists() else {}
    for benchmark in (chosen[name] for name in names):
        if benchmark.name not in kept:
            kept[benchmark.name] = measure(benchmark)
            KEPT.parent.mkdir(exist_ok=True)
            KEPT.write_text(json.dumps(kept, indent=1))
    lines = [line for name in names for line in kept[chosen[name].name]]
    print()
    print_machine("numpy", "numba", "pyspark", "pyarrow", "boto3")
    print("\n".join(["| what | measured | target | |", "| --- | --- | --- | --- |", *lines]))
    return int(any("MISSED" in line for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
