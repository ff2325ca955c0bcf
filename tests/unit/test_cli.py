from pathlib import Path

import pytest

from fmrec.cli import COMMANDS, main
from fmrec.commands.run import read_input
from fmrec.errors import InputError


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"fmrec {command}" in capsys.readouterr().out


def test_bad_input_is_a_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--input", "nowhere.json"]) == 2
    assert "neither a JSON object nor a file" in capsys.readouterr().err


def test_execution_input_comes_as_text_or_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"serving": {"endpoint": false}}')
    assert read_input(str(file)) == read_input('{"serving": {"endpoint": false}}')


@pytest.mark.parametrize(("text", "sentence"), [("{", "not JSON"), ("{}]", "not JSON")])
def test_execution_input_that_is_not_an_object_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_input(text)
