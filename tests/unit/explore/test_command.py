"""`fmrec explore` as a program: what it prints, and what it refuses."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fmrec.cli import main
from fmrec.errors import InputError
from fmrec.explore.command import _token


@pytest.mark.slow
def test_it_prints_the_address_serves_until_terminated_and_ends_well(tmp_path: Path) -> None:
    names = tmp_path / "names.csv"
    names.write_text("id,title\n1,Fargo\n")
    environment = os.environ | {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    environment |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"}
    command = [sys.executable, "-m", "fmrec", "explore", "--names", str(names), "--url", "http://127.0.0.1:9"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#[\w-]{32}", process.stdout.readline().strip())
        finally:
            process.terminate()  # Ctrl-C is ignored in what a shell starts in the background
        assert process.wait(30) == 0


def test_columns_without_a_file_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "--names-columns", "id,title"]) == 2
    assert "name the file with --names" in capsys.readouterr().err


def test_a_token_is_read_for_each_request_and_must_be_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("abc.def.ghi\n")
    read = _token(path)
    path.write_text("jkl")
    assert read() == "jkl"
    path.write_text("two\nlines")
    with pytest.raises(InputError, match="holds no token"):
        read()
    with pytest.raises(InputError, match="can't be read"):
        _token(tmp_path / "none")
