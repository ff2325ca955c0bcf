"""The table of measured targets: what it takes from a benchmark's output, and how it ends one."""

from __future__ import annotations

import sys

import pytest

from bench.table import Benchmark, benchmarks, measure

VERDICTS = (
    "print('bytes / copy: {}, target ≤ 1.2: reached'); print('speed: times its: 3.00, target ≥ 4: MISSED')"
)


def python(code: str, runs: int = 1, seconds: float = 60) -> Benchmark:
    return Benchmark((sys.executable, "-c", code), runs, seconds)


def test_rows_are_medians_of_runs_against_the_target(tmp_path: object) -> None:
    counted = f"import pathlib; p = pathlib.Path({str(tmp_path)!r}) / 'n'; n = len(p.read_text()) if p.exists() else 0"
    printed = "p.write_text('x' * (n + 1)); v = (1.00, 9.00, 1.10)[n]"
    code = f"{counted}; {printed}; print(f'bytes / copy: {{v:.2f}}, target ≤ 1.2: whatever')"
    assert measure(python(code, runs=3)) == ["| bytes / copy | 1.1 (1, 9, 1.1) | ≤ 1.2 | reached |"]


def test_a_name_may_hold_colons_and_targets_may_be_at_least() -> None:
    assert measure(python(VERDICTS.format("1.25"))) == [
        "| bytes / copy | 1.25 | ≤ 1.2 | MISSED |",
        "| speed: times its | 3 | ≥ 4 | MISSED |",
    ]


@pytest.mark.slow
def test_a_benchmark_that_fails_or_takes_too_long_has_a_row_that_says_so() -> None:
    slow = f"{VERDICTS.format('1.00')}; import sys, time; sys.stdout.flush(); time.sleep(60)"
    *measured, late = measure(python(slow, seconds=3))
    assert measured[0] == "| bytes / copy | 1 | ≤ 1.2 | reached |"
    assert late.endswith("ended after its limit of 3 s | nothing more | | MISSED |")
    (failed,) = measure(python("raise SystemExit(3)"))
    assert failed.endswith("ended with 3 | nothing more | | MISSED |")


def test_every_target_has_a_benchmark() -> None:
    names = ["encoding", "side-features", "codec", "ranking", "training", "xlearn", "publishing", "demo"]
    assert list(benchmarks("1,4,16", 100_000, 3)) == names
