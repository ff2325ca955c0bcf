"""Recipes of docs/recipes.md, run as they are printed: what they write is described and complete."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fmrec.inspection.inspection import inspect
from fmrec.inspection.recipes import PAGE, TITLES, Recipe
from tests.unit.inspection.layouts import media, reviews, shops
from tests.unit.inspection.layouts.layout import lines, ratings

ROOT = Path(__file__).parents[3]


def program(name: str) -> str:
    """Return the program in a recipe's section."""
    section = (ROOT / PAGE).read_text().split(f"\n## {TITLES[name]}\n")[1].split("\n## ")[0]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def run(name: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", program(name)], cwd=folder, check=True)


def recommended(path: Path) -> str | None:
    recipe = inspect(str(path)).recipe
    return recipe.name if recipe else None


def test_every_recipe_has_a_section_and_every_section_a_name() -> None:
    titles = re.findall(r"^## (.*)$", (ROOT / PAGE).read_text(), re.MULTILINE)
    assert titles == list(TITLES.values())
    assert Recipe("join", "x").anchor == "docs/recipes.md#two-files-to-join"


def test_ids_of_header_lines_come_into_every_row(tmp_path: Path) -> None:
    media.write_netflix(tmp_path)
    assert recommended(tmp_path) == "header-lines"
    run("header-lines", tmp_path)
    found = inspect(str(tmp_path / "ratings.csv"))
    assert found.document is not None
    assert found.document["interactions"] == {
        "path": "ratings.csv",
        "columns": {"user": "customer_id", "item": "movie_id", "value": "rating", "timestamp": "date"},
        "timestamp_format": "iso8601",
    }
    written = pd.read_csv(tmp_path / "ratings.csv").sort_values(["movie_id", "customer_id"])
    frame = ratings("netflix", rows=600).sort_values(["item", "user"])
    assert written.movie_id.tolist() == (frame.item + 1).tolist()
    assert written.customer_id.tolist() == (frame.user + 1488844).tolist()
    assert written.rating.tolist() == frame.value.tolist()


def test_a_matrix_becomes_a_row_per_rating(tmp_path: Path) -> None:
    media.write_jester(tmp_path)
    assert recommended(tmp_path) == "wide-matrix"
    run("wide-matrix", tmp_path)
    found = inspect(str(tmp_path / "ratings.csv"))
    assert found.document is not None
    assert found.document["interactions"]["columns"] == {
        "user": "user_id",
        "item": "joke_id",
        "value": "rating",
    }
    matrix = pd.read_csv(tmp_path / "jester-data-1.csv", header=None)
    written = pd.read_csv(tmp_path / "ratings.csv")
    assert written.groupby("user_id").size().tolist() == matrix[0].tolist()
    for row in written.sample(50, random_state=1).itertuples():
        assert row.rating == matrix.iloc[row.user_id - 1, row.joke_id]


def test_two_files_are_joined(tmp_path: Path) -> None:
    shops.write_instacart(tmp_path)
    assert recommended(tmp_path) == "join"
    run("join", tmp_path)
    found = inspect(str(tmp_path / "interactions.csv"))
    assert found.document is not None
    assert found.document["interactions"]["columns"] == {"user": "user_id", "item": "product_id"}
    orders = pd.read_csv(tmp_path / "orders.csv")
    bought = pd.read_csv(tmp_path / "order_products__prior.csv").merge(orders, on="order_id")
    columns = ["user_id", "product_id", "order_number"]
    written = pd.read_csv(tmp_path / "interactions.csv")[columns].sort_values(columns)
    assert written.to_numpy().tolist() == bought[columns].sort_values(columns).to_numpy().tolist()


def test_python_dicts_become_json(tmp_path: Path) -> None:
    reviews.write_amazon_meta(tmp_path)
    assert recommended(tmp_path) == "python-dicts"
    run("python-dicts", tmp_path)
    (tmp_path / "meta_Sports.json").unlink()
    rows = [json.loads(line) for line in (tmp_path / "meta_Sports.jsonl").read_text().splitlines()]
    assert len(rows) == 40
    assert rows[3]["title"] == 'Girls\' "Tutu"'
    (table,) = inspect(str(tmp_path)).tables
    assert (table.table.format, "categories" in table.table.fields) == ("jsonl", True)


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_becomes_lines(indent: int | None, tmp_path: Path) -> None:
    events = [
        {"user_id": f"u{row.user}", "item_id": f"i{row.item}", "rating": row.value}
        for row in ratings("array").itertuples()
    ]
    (tmp_path / "events.json").write_text(json.dumps(events, indent=indent))
    assert recommended(tmp_path) == "json-array"
    run("json-array", tmp_path)
    found = inspect(str(tmp_path / "events.jsonl"))
    assert found.document is not None
    assert found.document["interactions"]["columns"] == {
        "user": "user_id",
        "item": "item_id",
        "value": "rating",
    }
    assert [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()] == events


@pytest.mark.parametrize("write", [repr, json.dumps])
def test_lists_of_objects_become_a_row_each(write: Callable[[object], str], tmp_path: Path) -> None:
    users = [
        {
            "user_id": f"7656{at}",
            "items_count": 2,
            "items": [
                {"item_id": str(10 * item), "item_name": "Counter-Strike", "playtime_forever": at + item}
                for item in range(1 + at % 3)
            ],
        }
        for at in range(60)
    ]
    lines(tmp_path, "australian_users_items.json", [write(user) for user in users])
    assert recommended(tmp_path) == ("python-dicts" if write is repr else "nested-lists")
    run("nested-lists", tmp_path)
    found = inspect(str(tmp_path / "interactions.jsonl"))
    assert found.document is not None
    assert found.document["interactions"]["columns"] == {
        "user": "user_id", "item": "item_id", "value": "playtime_forever",
    }  # fmt: skip
    rows = (tmp_path / "interactions.jsonl").read_text().splitlines()
    assert len(rows) == sum(len(user["items"]) for user in users)  # type: ignore[arg-type,misc]
