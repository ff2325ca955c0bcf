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


def test_an_unexpected_error_is_a_sentence_that_names_the_file_with_its_details(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(arguments: object) -> int:
        raise ZeroDivisionError("division by\nzero")

    monkeypatch.setattr("fmrec.commands.run.run", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert main(["run"]) == 1

    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert (
        "fmrec run: it failed unexpectedly (ZeroDivisionError: division by); the details were written to"
        in told
    )
    assert "ZeroDivisionError" in Path(told.split()[-1]).read_text()


@pytest.mark.parametrize(
    "sizes",
    [
        ("--rows", "9" * 400, "--users", "1", "--items", "1"),
        ("--rows", "5", "--users", "1", "--items", "1", "--nonzeros", "inf"),
        ("--rows", "5", "--users", "1", "--items", "1", "--nonzeros", "nan"),
        ("--rows", "5", "--users", "1", "--items", "1", "--features", "9" * 400),
        ("--rows", "5", "--users", "1", "--items", "1", "--epochs", "9" * 400),
    ],
)
def test_numbers_beyond_all_data_are_refused(
    sizes: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *sizes]) == 2
    assert "fmrec plan: " in capsys.readouterr().err


def test_deeply_nested_documents_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("{" + '"a":{' * 100_000)
    for command in (
        ["run", "--input", deep.read_text()],
        ["plan", "--settings", str(deep), "--rows", "5", "--users", "1", "--items", "1"],
        ["plan", "--manifest", str(deep)],
        ["plan", "--quotas", str(deep), "--rows", "5", "--users", "1", "--items", "1"],
    ):
        assert main(command) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nope", "[1]", "", "a" * 5000, "a\0b", "s3://bucket/key", "\ud800"])
def test_an_input_that_is_neither_an_object_nor_a_file_is_a_sentence(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--input", text]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_of_input_that_is_not_text_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "input.json"
    path.write_bytes(b"\xff\xfe")
    assert main(["run", "--input", str(path)]) == 2
    assert "is not UTF-8 text: byte 0 is 0xff" in capsys.readouterr().err
