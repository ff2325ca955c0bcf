"""Processor seconds of a process and what descends from it."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from bench.processor_time import ProcessorTime, processor_seconds
from fmrec.execution.step_functions import Execution

FORK = """
import os, time
program = "a.program"
while time.process_time() < 0.4: pass
if not (pid := os.fork()):
    start = time.process_time()
    while time.process_time() < start + 0.2: pass
    print(flush=True)
    input()
    os._exit(0)
os.waitpid(pid, 0)
print(flush=True)
input()
"""


@pytest.mark.slow
def test_forks_of_a_program_count_while_they_run_and_when_they_have_ended() -> None:
    total, forks = processor_seconds(os.getpid(), "a.program")
    assert forks == 0
    with subprocess.Popen(
        [sys.executable, "-c", FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        running = processor_seconds(os.getpid(), "a.program")
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        ended = processor_seconds(os.getpid(), "a.program")
        child.communicate(b"\n")

    assert running[0] - total >= 0.55
    for of_forks in (running[1], ended[1]):
        assert 0.15 <= of_forks <= 0.3


def test_an_execution_s_seconds_are_a_program_s_and_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    start = datetime.now(UTC)

    def seconds(process: int, program: str) -> tuple[float, float]:
        """One processor second for each second of the clock, a quarter of them the program's."""
        passed = time.time() - start.timestamp()
        return passed, passed / 4

    monkeypatch.setattr("bench.processor_time.processor_seconds", seconds)
    with ProcessorTime(1, "a.program") as processor:
        time.sleep(0.6)
    begun, stopped = (start + timedelta(seconds=share) for share in (0.1, 0.5))
    execution = Execution("", "one", "SUCCEEDED", begun, stopped, [], [], None, None, None)

    assert processor.of(execution) == pytest.approx((0.1, 0.3), abs=0.01)
    running = Execution("", "one", "RUNNING", begun, None, [], [], None, None, None)
    with pytest.raises(ValueError, match="execution one has not ended"):
        processor.of(running)
