from pathlib import Path
from typing import Any

import pytest

from fmrec.artifacts.embedded_run import open_run
from fmrec.errors import SettingsError
from fmrec.recommendations.filters import read_rules


@pytest.fixture
def rules(small_run: Any) -> Any:
    run = open_run(small_run.manifest_uri, small_run.embeddings_uri)

    def read(document: Any) -> Any:
        return read_rules(document, run.manifest, run.feature_index)

    return read


def excluded_names(small_run: Any, rules: Any) -> Any:
    return {small_run.item_ids[i] for i in rules.excluded.nonzero()[0]}


def test_denied_items_are_out_unknown_ones_are_ignored(small_run: Any, rules: Any) -> None:
    denied = small_run.item_ids[2:5]
    assert excluded_names(small_run, rules({"deny": [*denied, "no such film"]})) == set(denied)


def test_only_allowed_items_are_in(small_run: Any, rules: Any, tmp_path: Path) -> None:
    (tmp_path / "allow.txt").write_text("\n".join([small_run.item_ids[1], "", f" {small_run.item_ids[7]} "]))
    read = rules({"allow": str(tmp_path / "allow.txt"), "deny": [small_run.item_ids[7]]})
    assert excluded_names(small_run, read) == set(small_run.item_ids) - {small_run.item_ids[1]}


def test_items_in_too_few_interactions_are_out(small_run: Any, rules: Any) -> None:
    few = {small_run.item_ids[i] for i in range(12) if 1 + (23 + i) % 5 < 3}
    assert excluded_names(small_run, rules({"minimum_popularity": 3})) == few


def test_categories_are_read_by_item(small_run: Any, rules: Any, tmp_path: Path) -> None:
    first, second = small_run.item_ids[:2]
    lines = ["item_id,category", f"{first},Drama", f"{second},War", f"{first},War", "nobody,Drama"]
    (tmp_path / "categories.csv").write_text("\n".join(lines))
    read = rules({"maximum_per_category": 2, "categories": str(tmp_path / "categories.csv")})
    assert read.maximum_per_category == 2
    assert [read.categories.of(i).tolist() for i in range(3)] == [[0, 1], [1], []]
    assert not read.excluded.any()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"block": []}, "the rule 'block', expected one of allow, deny"),
        ({"deny": [1]}, r"filters.deny is \[1\], expected a list of item ids"),
        ({"minimum_popularity": 0}, "filters.minimum_popularity is 0"),
        ({"minimum_popularity": True}, "expected an integer from 1"),
        ({"minimum_popularity": 99}, "leave none of the 12 items"),
        ({"allow": []}, "leave none of the 12 items"),
        ({"maximum_per_category": 2}, "together"),
        ({"categories": "x.csv"}, "together"),
        ({"maximum_per_category": 2, "categories": []}, "expected the URI of a CSV file"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: Any, document: Any, words: Any) -> None:
    with pytest.raises(SettingsError, match=words):
        rules(document)


def test_categories_need_their_header(rules: Any, tmp_path: Path) -> None:
    (tmp_path / "categories.csv").write_text("film,genre\n")
    with pytest.raises(SettingsError, match="expected item_id,category"):
        rules({"maximum_per_category": 2, "categories": str(tmp_path / "categories.csv")})
