"""Recipes of docs/recipes.md, run as they are printed: what they write is described and complete."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from fmrec.dataset import Dataset
from fmrec.encoding.job import encode
from fmrec.inspection.inspection import inspect
from fmrec.inspection.recipes import PAGE, TITLES, Recipe
from tests.unit.inspection.layouts import media, shops
from tests.unit.inspection.layouts.layout import lines, ratings
from tests.unit.inspection.layouts.reference import decoded, positives

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


def test_joined_orders_are_split_by_their_numbers(spark: SparkSession, tmp_path: Path) -> None:
    """Instacart has no times, but numbers every user's orders, as the recipe says."""
    shops.write_instacart(tmp_path)
    run("join", tmp_path)
    document = inspect(str(tmp_path / "interactions.csv")).document
    assert document is not None
    document["interactions"]["columns"]["timestamp"] = "order_number"
    document["split"] = {"method": "leave-last-n", "n": 1}
    document["label"] |= {"negatives_per_positive": 4, "copies": 1}
    encode(spark, Dataset.from_document(document), str(tmp_path), str(tmp_path / "out"), "test")
    joined = pd.read_csv(tmp_path / "interactions.csv", dtype=str)
    numbers = joined.order_number.astype(int)
    last = joined[numbers == numbers.groupby(joined.user_id).transform("max")]
    held_out = positives(decoded(tmp_path / "out", "test"))
    assert sorted(user for user, _ in held_out) == sorted(set(joined.user_id))
    assert set(held_out) <= set(zip(last.user_id, last.product_id, strict=True))
    train = positives(decoded(tmp_path / "out", "train"))
    assert train + held_out == Counter(zip(joined.user_id, joined.product_id, strict=True))


@pytest.mark.slow
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
    assert recommended(tmp_path) == "nested-lists"
    run("nested-lists", tmp_path)
    found = inspect(str(tmp_path / "interactions.jsonl"))
    assert found.document is not None
    assert found.document["interactions"]["columns"] == {
        "user": "user_id", "item": "item_id", "value": "playtime_forever",
    }  # fmt: skip
    rows = (tmp_path / "interactions.jsonl").read_text().splitlines()
    assert len(rows) == sum(len(user["items"]) for user in users)  # type: ignore[arg-type,misc]


def test_a_row_of_items_per_user_becomes_pairs(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 5 7 9\n1 5\n2 7 8 11 12 5\n\n3\n")
    assert recommended(tmp_path) == "rows-of-items"
    run("rows-of-items", tmp_path)
    written = (tmp_path / "interactions.csv").read_text().split()
    assert written == ["user_id,item_id", *["0,5", "0,7", "0,9", "1,5", "2,7", "2,8", "2,11", "2,12", "2,5"]]
    found = inspect(str(tmp_path / "interactions.csv"))
    assert found.document is not None
    assert found.document["interactions"] == {
        "path": "interactions.csv",
        "columns": {"user": "user_id", "item": "item_id"},
    }


@pytest.mark.parametrize(
    "text", ["1 2 3\n1 4 5 6\n2 3\n", "it was a dark night\nand\nnobody there\n", "12\n13 4\n14\n"]
)
def test_other_uneven_lines_are_not_taken_for_rows_of_items(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.txt").write_text(text)
    assert recommended(tmp_path) is None
