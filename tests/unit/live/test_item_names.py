"""Names of items from a file, of this machine or of the data bucket."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fmrec.errors import InputError, ServiceError
from fmrec.live import item_names
from fmrec.live.item_names import ItemNames, Named, StoredNames

FILMS = """id,title,year,genres
1,Toy Story,1995,Animation|Comedy
2,"Fargo, North Dakota",1996,
3,Star Wars,,Action
10,Wars of Stars,1977,Action
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    path.write_text("\ufeff" + FILMS, encoding="utf-8")
    return path


def test_the_first_two_fields_are_id_and_name_and_others_are_details(path: Path) -> None:
    assert ItemNames.read(path).of(["2", "9"]) == {"2": Named("Fargo, North Dakota")}
    names = ItemNames.read(path, ["id", "title", "year", "genres"])
    assert names.of(["1", "2", "3"]) == {
        "1": Named("Toy Story", "1995 · Animation, Comedy"),
        "2": Named("Fargo, North Dakota", "1996"),
        "3": Named("Star Wars", "Action"),
    }


def test_a_search_finds_the_id_itself_then_beginnings_then_all_words_in_any_order(path: Path) -> None:
    names = ItemNames.read(path)
    assert names.search("star w") == ["3", "10"]
    assert names.search("dakota fargo") == ["2"]
    assert names.search("WARS  star") == ["3", "10"]
    assert names.search("wars") == ["10", "3"]
    assert names.search("3") == ["3"]
    assert names.search("s", most=2) == ["3", "1"]
    assert names.search("  ") == []


def test_tabs_separate_in_tsv(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    path.write_text("item\tname\nx\tA, b\n")
    assert ItemNames.read(path).names == {"x": Named("A, b")}


@pytest.mark.parametrize(
    ("text", "columns", "sentence"),
    [
        ("id,title\n,Fargo\n", (), "line 2: id is empty"),
        ("id,title\n", ("id", "name"), "no field 'name': it has id, title"),
        ("id\n1\n", (), "need two fields"),
        ("", (), "need two fields"),
        ('id,title\n1,"Fargo\n', (), "can't be read as names of items"),
    ],
)
def test_what_is_no_file_of_names_is_said(
    tmp_path: Path, text: str, columns: tuple[str, ...], sentence: str
) -> None:
    path = tmp_path / "names.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        ItemNames.read(path, columns)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read as names of items"):
        ItemNames.read(tmp_path / "none.csv")


def test_stored_names_are_those_of_the_models_items_and_are_read_again_with_another_run(path: Path) -> None:
    stored = StoredNames(str(path), ["id", "title"])
    assert stored.of_run("r1", ["1", "3", "unheard-of"]).search("st") == ["3", "1"]
    assert stored.of_run("r1", []).names.keys() == {"1", "3"}
    path.write_text("id,title\n1,Toy Story 2\n")
    assert stored.of_run("r2", ["1", "3"]).names == {"1": Named("Toy Story 2")}
    assert StoredNames().of_run("r1", ["1"]).names == {}


def test_stored_names_that_cannot_be_read_are_the_deployments_fault(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceError, match=r"can't be read: .*setting api\.item_names"):
        StoredNames(str(path.with_name("none.csv"))).of_run("r1", ["1"])
    with pytest.raises(ServiceError, match="no field 'name'"):
        StoredNames(str(path), ["id", "name"]).of_run("r1", ["1"])
    monkeypatch.setattr(item_names, "LARGEST_FILE", 10)
    with pytest.raises(InputError, match="has more than"):
        ItemNames.read_object(str(path))


def test_words_count_once_and_are_looked_for_among_items_that_hold_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: list[int] = []
    match = pc.match_substring

    def counted(names: pa.Array, word: str) -> pa.Array:
        passes.append(len(names))
        return match(names, word)

    monkeypatch.setattr(pc, "match_substring", counted)
    names = ItemNames({f"i{n}": Named(f"the film {n}") for n in range(30)})
    assert names.search("film 29 the the film") == ["i29"]
    assert names.search(" ".join(["film", "absent", *"abcdefghijklmnopqrstuvwxyz"])) == []
    assert passes == [30, 30, 30, 30]
    assert names.search("the film 1", 3) == ["i1", "i10", "i11"]
