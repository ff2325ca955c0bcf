from pathlib import Path
from typing import Any

import pytest

from fmrec.artifacts.embedded_run import open_run
from fmrec.errors import InputError, SettingsError
from fmrec.recommendations.filters import check_remote, read_rules
from fmrec.recommendations.id_files import read_columns, read_ids


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
    (tmp_path / "allow.txt").write_text("\n".join([small_run.item_ids[1], "", small_run.item_ids[7]]))
    read = rules({"allow": str(tmp_path / "allow.txt"), "deny": [small_run.item_ids[7]]})
    assert excluded_names(small_run, read) == set(small_run.item_ids) - {small_run.item_ids[1]}


def test_lists_are_read_as_the_encoding_reads_ids(small_run: Any, rules: Any, tmp_path: Path) -> None:
    marked, blank, separated = small_run.item_ids[0], " spaced", "one\u2028id"
    (tmp_path / "ids.txt").write_bytes(f"\ufeff{marked}\r\n{blank}\n\n{separated}\r".encode())
    (tmp_path / "pairs.csv").write_bytes(
        f'\ufeffitem_id,category\r\n{marked},x\r\n{blank},y\n"{separated}",z\n'.encode()
    )

    assert excluded_names(small_run, rules({"deny": str(tmp_path / "ids.txt")})) == {marked}
    assert excluded_names(small_run, rules({"allow": str(tmp_path / "ids.txt")})) == {*small_run.item_ids[1:]}
    assert read_ids(str(tmp_path / "ids.txt")).to_pylist() == [marked, blank, separated]
    ids, categories = read_columns(str(tmp_path / "pairs.csv"), ("item_id", "category"))
    assert list(zip(ids.to_pylist(), categories.to_pylist(), strict=True)) == [
        (marked, "x"), (blank, "y"), (separated, "z")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"item_id,category\nsecret,of,three\n", "; row 2 is not"),
        (b"item_id,category\nsecret\xff,1\n", "; row 2 is not"),
        (b"", "can't be read"),
        (b"category\nsecret\n", "with the header item_id,category"),
    ],
)
def test_a_side_file_that_cannot_be_read_is_named_and_not_quoted(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "pairs.csv").write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_columns(str(tmp_path / "pairs.csv"), ("item_id", "category"))
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_functions_read_rules_from_s3_only(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a")
    for rule in ("allow", "deny"):
        with pytest.raises(SettingsError, match="expected the s3:// URI of a file under rules/"):
            check_remote({rule: str(tmp_path / "ids.txt")})
    assert check_remote({"deny": "s3://data/rules/ids.txt"}) == {"deny": "s3://data/rules/ids.txt"}


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
        ({"block": []}, "the rule 'block': expected one of allow, deny"),
        ({"deny": [1]}, r"filters.deny is \[1\]: expected a list of item ids"),
        ({"minimum_popularity": 0}, "filters.minimum_popularity is 0"),
        ({"minimum_popularity": True}, "expected an integer from 1"),
        ({"minimum_popularity": 99}, "leaves none of the 12 items"),
        ({"allow": []}, "leaves none of the 12 items"),
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
    with pytest.raises(InputError, match="with the header item_id,category"):
        rules({"maximum_per_category": 2, "categories": str(tmp_path / "categories.csv")})
