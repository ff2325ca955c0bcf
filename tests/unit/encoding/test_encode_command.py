import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fmrec.dataset import Dataset
from fmrec.encoding.encode_command import add_arguments, to_document
from fmrec.errors import InputError, SettingsError


def document(*arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    found = to_document(parser.parse_args([*arguments, "--output", "out"]))
    Dataset.from_document(found)
    return found


def test_without_options_the_defaults_are_described(tmp_path: Path) -> None:
    found = document("--input", str(tmp_path))
    assert found == {"interactions": {"path": str(tmp_path)}, "label": {}}


def test_options_become_settings(tmp_path: Path) -> None:
    found = document(
        "--input", str(tmp_path), "--delimiter", r"\t", "--columns", "u,i,r,t", "--label", "regression",
        "--split", "leave-last-n:3", "--seed", "4", "--parts", "2",
    )  # fmt: skip
    assert found == {
        "interactions": {
            "path": str(tmp_path), "delimiter": "\t", "columns": {"user": "u", "item": "i", "value": "r", "timestamp": "t"},
        },
        "label": {"mode": "regression"},
        "split": {"method": "leave-last-n", "n": 3},
        "seed": 4,
        "parts": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "columns", "expected"),
    [
        # Roles in the file's order, since the header has other names.
        ("movieId,userId,rating,timestamp", "item,user,rating,timestamp",
         {"fields": ["item", "user", "rating", "timestamp"],
          "columns": {"item": "item", "user": "user", "value": "rating", "timestamp": "timestamp"}}),
        # The header's own names, in the order of the roles.
        ("rating,user,item", "user,item,rating", {"columns": {"user": "user", "item": "item", "value": "rating"}}),
        ("a,b,c", "b,c", {"columns": {"user": "b", "item": "c"}}),
    ],
)  # fmt: skip
def test_columns_are_names_of_the_header_or_roles(
    header: str, columns: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(header + "\n")
    found = document("--input", str(tmp_path / "rows.csv"), "--columns", columns, "--label", "implicit")
    assert {key: found["interactions"][key] for key in expected} == expected
    assert ("fields" in found["interactions"]) == ("fields" in expected)


def test_without_a_header_columns_say_what_each_column_holds(tmp_path: Path) -> None:
    found = document("--input", str(tmp_path), "--no-header", "--columns", "day,item,user,value")
    assert found["interactions"]["fields"] == ["day#0", "item", "user", "value"]
    assert found["interactions"]["columns"] == {"item": "item", "user": "user", "value": "value"}
    found = document("--input", str(tmp_path), "--no-header")
    assert found["interactions"]["fields"] == ["user_id", "item_id", "rating", "timestamp"]


def test_options_change_single_settings_of_a_document(tmp_path: Path) -> None:
    written = {"interactions": {"path": "ratings.csv"}, "label": {"threshold": 3}, "seed": 9}
    (tmp_path / "document.json").write_text(json.dumps(written))
    found = document(
        "--input",
        str(tmp_path),
        "--dataset",
        str(tmp_path / "document.json"),
        "--threshold",
        "2",
        "--split",
        "none",
    )
    assert found == written | {"label": {"threshold": 2.0}, "split": {"method": "none"}}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--split", "random:much"], "--split is 'random:much': expected a float after the colon"),
        (["--split", "none:1"], "--split is 'none:1': none takes no value"),
        (["--no-header", "--columns", "user,item,item"], "expected each role once"),
        (["--no-header", "--columns", "user,rating"], "expected user and item among"),
        (["--split", "weekly"], "split.method is 'weekly': expected one of leave-first-n"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        document("--input", "nowhere", *arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "holds a list: expected a JSON object"),
        ("[" * 100_000, "is not JSON"),
        ("{", "is not JSON"),
        ('{"interactions": "ratings.csv"}', "interactions is 'ratings.csv': expected a JSON object"),
        ('{"interactions": [1]}', "interactions is [1]: expected a JSON object"),
        ('{"label": "binary"}', "label is 'binary': expected a JSON object"),
    ],
)
def test_a_document_of_another_form_is_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(words)):
        document("--input", str(tmp_path), "--dataset", str(path), "--label", "binary")
