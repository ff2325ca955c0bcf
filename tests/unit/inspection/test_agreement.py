"""--check: a document that fits is agreed with, one that doesn't gets a sentence for every contradiction."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmrec.cli import main
from fmrec.dataset import Dataset
from fmrec.inspection.agreement import disagreements
from fmrec.inspection.inspection import inspect
from fmrec.inspection.listing import list_files
from tests.unit.inspection.layouts import media, movielens
from tests.unit.inspection.layouts.every import LAYOUTS
from tests.unit.inspection.layouts.layout import Layout

BY_NAME = {layout.name: layout for layout in LAYOUTS}


def written(layout: Layout, folder: Path) -> dict[str, Any]:
    layout.write(folder)
    document = inspect(str(folder if layout.inspect == "." else folder / layout.inspect)).document
    assert document is not None
    return document


def sentences(document: dict[str, Any], folder: Path) -> list[str]:
    return disagreements(Dataset.from_document(document), list_files(str(folder)))


@pytest.mark.parametrize(
    "layout", [layout for layout in LAYOUTS if layout.read], ids=lambda layout: layout.name
)
def test_the_suggested_document_agrees_with_the_files(layout: Layout, tmp_path: Path) -> None:
    document = written(layout, tmp_path)
    assert sentences(document, tmp_path) == []
    assert sentences(Dataset.from_document(document).to_document(), tmp_path) == []


def at(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of one setting; None removes it."""

    def change(document: dict[str, Any]) -> None:
        section: Any = document
        for key in keys[:-1]:
            section = section[key]
        if value is None:
            del section[keys[-1]]
        else:
            section[keys[-1]] = value

    return change


WRONG: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("MovieLens 20M, 25M, 32M, latest", at("interactions", "path", value="rating.csv"), "interactions.path is 'rating.csv': there is no such file; there are genome-scores.csv, genome-tags.csv, links.csv"),
    ("MovieLens 20M, 25M, 32M, latest", at("interactions", "columns", "user", value="user_id"), "interactions uses the field 'user_id': ratings.csv has userId, movieId, rating, timestamp"),
    ("MovieLens 20M, 25M, 32M, latest", at("interactions", "delimiter", value=";"), "interactions.delimiter is ';': the fields of ratings.csv are separated by ','"),
    ("MovieLens 20M, 25M, 32M, latest", at("interactions", "timestamp_format", value="milliseconds"), "interactions.timestamp_format is 'milliseconds': timestamp has values such as '14"),
    ("MovieLens 20M, 25M, 32M, latest", at("items", "id", value="tmdbId"), "items uses the field 'tmdbId'"),
    ("Amazon 2023, ratings only", at("interactions", "timestamp_format", value="seconds"), "it looks like milliseconds"),
    ("MovieLens 1M", at("items", "encoding", value=None), "items.encoding is 'utf-8': movies.dat looks like latin-1"),
    ("MovieLens 100k", at("interactions", "header", value=True), "interactions.header is true: the first line of u.data has values"),
    ("MovieLens 100k", at("interactions", "fields", value=["user_id", "item_id", "rating", "timestamp", "x"]), "interactions.fields has 5 names: u.data has 4 fields"),
    ("Book-Crossing", at("items", "escape", value=None), "items.escape is '': BX-Books.csv has \\ before quotes"),
    ("RetailRocket", at("label", "event_weights", value={"View": 1, "AddToCart": 3}), "label.event_weights names View, AddToCart, which event never is: there are view, "),
    ("MIND", at("interactions", "item_separator", value=None), "interactions.item_separator is missing: history holds several items"),
    ("Online Retail", at("quarantine", value={"max_share": 0.05}), "quarantine.max_share is 0.05: 10.0% of the sampled rows of online_retail.csv can't be used (40 missing user in CustomerID)"),
    ("Online Retail", at("interactions", "timestamp_format", value="dd.MM.yyyy"), "it looks like M/d/yyyy H:mm"),
    ("A German spreadsheet's export", at("interactions", "decimal", value=None), "interactions.decimal is '.': rating has decimal commas"),
    ("Yelp", at("interactions", "columns", "value", value="text"), "interactions.columns.value is 'text': it holds texts"),
    ("Yelp", at("interactions", "format", value="csv"), "interactions.format is 'csv': yelp_academic_dataset_review.json is jsonl"),
    ("H&M", at("users", "id", value="postal_code"), "users.id is 'postal_code': only 1 of the 30 users of the interactions is there"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "sentence"), WRONG, ids=[entry[2][:50] for entry in WRONG])
def test_every_contradiction_gets_a_sentence(
    name: str, change: Callable[[dict[str, Any]], None], sentence: str, tmp_path: Path
) -> None:
    document = copy.deepcopy(written(BY_NAME[name], tmp_path))
    change(document)
    found = sentences(document, tmp_path)
    assert any(sentence in said for said in found), found


def test_the_command_writes_checks_and_exits_with_2_where_they_disagree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, document = tmp_path / "raw", tmp_path / "document.json"
    raw.mkdir()
    movielens.write_1m(raw)
    assert main(["inspect", str(raw), "--output", str(document)]) == 0
    said = capsys.readouterr().out
    assert "ratings.dat: the interactions, 400 rows" in said
    assert f"fmrec encode --input {raw} --dataset {document}" in said
    assert main(["inspect", str(raw), "--check", str(document)]) == 0
    assert "agrees" in capsys.readouterr().out
    wrong = json.loads(document.read_text())
    wrong["interactions"]["delimiter"] = ","
    document.write_text(json.dumps(wrong))
    assert main(["inspect", str(raw), "--check", str(document)]) == 2
    assert "separated by '::'" in capsys.readouterr().out
    assert main(["inspect", str(raw), "--check", str(document), "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)["disagreements"]) == 1


def test_the_command_prints_json_and_writes_nothing_where_no_document_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    media.write_jester(tmp_path)
    target = tmp_path / "document.json"
    assert main(["inspect", str(tmp_path), "--json", "--output", str(target)]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["document"], found["recipe"]["name"]) == (None, "wide-matrix")
    assert "nothing written" in captured.err
    assert not target.exists()


def test_what_is_not_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert "holds no data files" in capsys.readouterr().err
