"""A verification that is interrupted while it removes what it made."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest

from fmrec.errors import ServiceError
from fmrec.verification import acceptance, removal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are as POSIX has them")


def test_ctrl_c_in_the_middle_of_a_line_of_output_does_not_end_the_removal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    removed: list[str] = []
    output = threading.Lock()

    def tell(line: str) -> None:
        # As a buffered file, which a handler finds in the middle of a line and must not enter again.
        assert output.acquire(timeout=10)
        if line == "removing everything":
            signal.raise_signal(signal.SIGINT)
        said.append(line)
        output.release()

    def deploy(*_: object) -> None:
        raise ServiceError("the deployment failed")

    class Session:
        region_name = "us-east-1"

    monkeypatch.setattr(acceptance, "cdk", deploy)
    monkeypatch.setattr(removal, "remove", lambda *_: removed.append("all"))
    monkeypatch.setattr(removal, "left_behind", lambda _: [])
    monkeypatch.setattr(acceptance, "judge", lambda _: ())
    others = set(threading.enumerate())
    outcome = acceptance.verify(Session(), tmp_path, tmp_path / "ratings.csv", tell)
    for thread in set(threading.enumerate()) - others:
        thread.join(10)

    assert removed == ["all", "all"]
    assert outcome.failure == "the deployment failed"
    assert said[-2:] == [
        "removing everything",
        "still removing: what is left would cost money; wait for the end",
    ]
