"""Processor seconds of a process and what descends from it."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from bench.processor_time import ProcessorTime, processor_seconds
from fmrec.execution.state_machine import Execution, StateRun

BURN = "import time\nwhile time.process_time() < {seconds}: pass\nprint(flush=True)\ninput()"


def test_children_count_while_they_run_and_when_they_have_ended() -> None:
    before = processor_seconds(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", BURN.format(seconds=0.5)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running = processor_seconds(os.getpid()) - before
        child.communicate(b"\n")
    ended = processor_seconds(os.getpid()) - before

    assert running >= 0.45
    assert ended >= running - 0.02


def test_an_execution_s_seconds_are_split_between_some_states_and_its_other_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = datetime.now(UTC)
    # One processor second for each second of the clock, from the start on.
    monkeypatch.setattr(
        "bench.processor_time.processor_seconds", lambda process: time.time() - start.timestamp()
    )
    with ProcessorTime(1) as processor:
        time.sleep(0.6)
    moments = [start + timedelta(seconds=share) for share in (0.2, 0.3, 0.4, 0.5)]
    states = [
        StateRun("Train", "Task", moments[1], moments[2]),
        StateRun("Other", "Task", moments[0], moments[1]),
    ]
    execution = Execution("", "one", "SUCCEEDED", moments[0], moments[3], states, [], None, None, None)

    assert processor.of(execution, ["Train"]) == pytest.approx((0.1, 0.2), abs=0.01)
    with pytest.raises(ValueError, match="execution one has been through none of Sleep"):
        processor.of(execution, ["Sleep"])
