"""Every measured target in one table: its ratio, reached or MISSED, under the machine and versions.

    python -m bench.table [--rows 1,4,16] [--users 100000] [--pairs 3] [--only encoding,codec,...]

Each benchmark runs in a process of its own, one after the other, and is shown as it runs. All of them take
about an hour on two idle cores; smaller ``--rows`` and ``--users`` are quicker, and their rows say so. What
was measured while other work ran is only good for the order of magnitude.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time

from bench.targets import ROOT, print_machine

VERDICT = re.compile(r": [0-9.]+, target [≤≥] [0-9.]+: (reached|MISSED)$")
DEMO_SECONDS = 70


def benchmarks(arguments: argparse.Namespace) -> dict[str, list[list[str]]]:
    """Commands by name, in the order in which they run."""
    pairs = ["--pairs", str(arguments.pairs)]
    largest = arguments.rows.split(",")[-1]
    return {
        "encoding": [
            ["bench.encoding", "--rows", arguments.rows],
            ["bench.encoding", "--rows", largest, "--side-features"],
        ],
        "codec": [["bench.codec"]],
        "ranking": [["bench.ranking", *pairs]],
        "training": [["bench.training", "--peers", "xlearn", "--baseline", "--synthetic-rows", "0"]],
        "publishing": [["bench.publishing", "--users", str(arguments.users), *pairs]],
        "demo": [["demo"]],
    }


def run(command: list[str]) -> list[str]:
    """Run a benchmark, showing what it prints; return its verdicts."""
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = []
    for line in child.stdout or ():
        print(f"  {line}", end="", flush=True)
        if VERDICT.search(line):
            found.append(line.strip())
    code = child.wait()
    seconds = time.perf_counter() - started
    name = "python -m " + " ".join(command)
    if command == ["demo"] and not code:
        state = "reached" if seconds <= DEMO_SECONDS else "MISSED"
        found.append(f"make demo after installation, s: {seconds:.0f}, target ≤ {DEMO_SECONDS}: {state}")
    if not found:
        found.append(f"{name}: nothing was measured (it ended with {code}): MISSED")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="1,4,16", help="millions of rows to encode, ascending")
    parser.add_argument("--users", type=int, default=100_000, help="users to publish lists of")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each where runs are paired")
    parser.add_argument("--only", help="some of the benchmarks, separated by commas")
    arguments = parser.parse_args()
    chosen = benchmarks(arguments)
    if arguments.only:
        names = arguments.only.split(",")
        unknown = [name for name in names if name not in chosen]
        if unknown:
            parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(chosen)}")
        chosen = {name: chosen[name] for name in names}
    found: list[str] = []
    for name, commands in chosen.items():
        for command in commands:
            print(f"{name}: python -m {' '.join(command)}", flush=True)
            found += run(command)
    print()
    print_machine("numpy", "numba", "pyspark", "pyarrow", "boto3")
    print(table(found))
    return int(any("MISSED" in line for line in found))


def table(verdicts: list[str]) -> str:
    """Lines of verdicts as a table in Markdown."""
    rows = ["| what | measured | target | |", "| --- | --- | --- | --- |"]
    for line in verdicts:
        rest, _, state = line.rpartition(": ")
        measured, _, target = rest.partition(", target ")
        what, _, value = measured.rpartition(": ") if target else (measured, "", "nothing")
        rows.append(f"| {what} | {value} | {target} | {state} |")
    return "\n".join(rows)


if __name__ == "__main__":
    raise SystemExit(main())
