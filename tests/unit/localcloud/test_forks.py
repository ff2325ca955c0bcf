"""Programs that are forks of a process that has imported for them: they run as the interpreter runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.forks import Fork, Forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no program is forked")


@pytest.fixture
def forks() -> Iterator[Forks]:
    found = Forks(["decimal"])
    yield found
    found.close()


def start(forks: Forks, folder: Path, code: str, *arguments: str, **environment: str) -> Fork:
    program = folder / "program.py"
    program.write_text(textwrap.dedent(code))
    command = [sys.executable, str(program), *arguments]
    with (folder / "output").open("wb") as output, Path(os.devnull).open("rb") as nothing:
        return forks.start(command, environment, folder, (nothing.fileno(), output.fileno(), output.fileno()))


def test_a_program_has_its_own_arguments_environment_folder_and_group_and_what_was_imported(
    forks: Forks, tmp_path: Path
) -> None:
    code = """
        import os, sys
        print("decimal" in sys.modules, __name__, sys.argv[1:], dict(os.environ), os.getcwd(), os.getpgrp())
        sys.exit(7)
    """
    fork = start(forks, tmp_path, code, "a", "b c", KEY="value")
    assert (fork.wait(30), fork.poll()) == (7, 7)
    expected = ("True __main__ ['a', 'b c'] {'KEY': 'value'}", str(tmp_path), str(fork.pid))
    assert (tmp_path / "output").read_text() == " ".join(expected) + "\n"


def test_what_the_interpreter_does_at_the_end_is_done(forks: Forks, tmp_path: Path) -> None:
    code = """
        import atexit, threading, time
        file = open("kept", "w")
        file.write("in memory")
        print("printed", end="")
        atexit.register(lambda: print(" at the end", end=""))
        threading.Thread(target=lambda: time.sleep(0.2) or print(" by a thread", end="")).start()
        raise SystemExit("and why")
    """
    assert start(forks, tmp_path, code).wait(30) == 1
    assert (tmp_path / "kept").read_text() == "in memory"
    printed = (tmp_path / "output").read_text()
    assert "and why\n" in printed
    assert printed.replace("and why\n", "") == "printed by a thread at the end"


def test_an_error_is_printed_and_ends_it_with_1(forks: Forks, tmp_path: Path) -> None:
    assert start(forks, tmp_path, "raise ValueError('of the program')").wait(30) == 1
    assert (tmp_path / "output").read_text().endswith("ValueError: of the program\n")


def test_clients_of_services_that_were_named_read_no_descriptions_of_them(tmp_path: Path) -> None:
    forks = Forks(["boto3.session"], services=["dynamodb"])
    code = """
        import json
        import boto3
        read = []
        parse = json.loads
        json.loads = lambda text, **options: read.append(len(text)) or parse(text, **options)
        for service in ("dynamodb", "s3"):
            given = {"region_name": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
            client = boto3.session.Session().client(service, **given)
            print(service, client.meta.region_name, client.meta.endpoint_url, bool(read))
    """
    try:
        assert start(forks, tmp_path, code).wait(60) == 0
    finally:
        forks.close()
    assert (tmp_path / "output").read_text().splitlines() == [
        "dynamodb eu-west-1 https://dynamodb.eu-west-1.amazonaws.com False",
        "s3 eu-west-1 https://s3.eu-west-1.amazonaws.com True",
    ]


def test_a_program_that_runs_is_waited_for_and_signalled(forks: Forks, tmp_path: Path) -> None:
    fork, other = (start(forks, tmp_path, "import time; time.sleep(60)") for _ in range(2))
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.01)
    fork.terminate()
    assert fork.wait(30) == -signal.SIGTERM
    assert other.poll() is None


def test_programs_end_with_the_process_they_are_forked_from_and_the_next_has_a_new_one(
    forks: Forks, tmp_path: Path
) -> None:
    for _ in range(20):  # the next one is started while the process ends
        fork = start(forks, tmp_path, "import os, time; print(os.getppid()); time.sleep(60)")
        while not (parent := (tmp_path / "output").read_text().strip()):
            assert fork.poll() is None
        os.kill(int(parent), signal.SIGKILL)
        assert fork.wait(30) == -signal.SIGKILL
    assert start(forks, tmp_path, "raise SystemExit(3)").wait(30) == 3
    forks.close()
    with pytest.raises(OSError, match="no more"):
        start(forks, tmp_path, "")


def test_what_libraries_read_at_import_must_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    command = [sys.executable, "-m", "program"]
    assert Forks.possible(command, {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": "/x"})
    assert not Forks.possible(command, {"OPENBLAS_NUM_THREADS": "2"})
    assert not Forks.possible(command, {"OMP_NUM_THREADS": "2"})
    assert not Forks.possible(["/bin/sh", "-m", "program"], {})
    assert not Forks.possible([sys.executable, "-c", "pass"], {})
