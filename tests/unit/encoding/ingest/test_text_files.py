"""Text files as people have them: their rows, or the sentence that helps."""

import bz2
import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from fmrec.errors import InputError

Take = Callable[..., Any]
HEADER = "user_id,item_id,rating,timestamp\n"
TWO = HEADER + "1,10,5,100\n2,11,4,101\n"
TWO_ROWS = [("1", "10", 5.0, 100.0), ("2", "11", 4.0, 101.0)]
PLAIN = {"path": "."}
PICKED = {"label": {"mode": "implicit", "negatives_per_positive": 0}}
USERS_AND_ITEMS = {"columns": {"user": "user_id", "item": "item_id"}}


def test_each_file_is_read_by_its_own_header(take: Take, tmp_path: Path) -> None:
    """Another order, more columns, names in quotes, a byte order mark, an empty file, only a header."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text(TWO)
    (raw / "b.csv").write_text("item_id,user_id,rating,timestamp\n12,3,3,102\n13,4,2,103\n")
    (raw / "c.csv").write_text('note,"timestamp","rating","item_id","user_id"\nx,104,1,14,5\n')
    (raw / "d.csv").write_text("\ufeffuser_id,rating,timestamp,item_id\r\n6,5,105,15\r\n")
    (raw / "e.csv").write_text("")
    (raw / "f.csv").write_text(HEADER)
    (raw / "h.csv").write_text(" user_id , item_id,rating ,timestamp\n8,16,5,106\n")
    (raw / "g.csv").write_text("\n" + TWO.replace("1,10", "7,10"))
    found = take(raw, interactions=PLAIN)
    assert found.pairs == [
        ("1", "10"), ("2", "11"), ("3", "12"), ("4", "13"), ("5", "14"), ("6", "15"), ("7", "10"), ("2", "11"),
        ("8", "16"),
    ]  # fmt: skip
    assert [row[2] for row in found.rows] == [5, 4, 3, 2, 1, 5, 5, 4, 5]
    assert (found.bad, found.ingested.rows) == ([], 9)


def test_files_that_java_cannot_name_are_refused_and_not_passed_over(take: Take, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "\u00e9t\u00e9.csv").write_text(TWO)
    assert take(raw, interactions=PLAIN).pairs == [("1", "10"), ("2", "11")]
    Path(os.fsdecode(bytes(raw) + b"/b\xff.csv")).write_text(TWO)
    with pytest.raises(InputError, match=r"Spark can't see the file 'b\\udcff.csv' of .*rename the file"):
        take(raw, interactions=PLAIN)
    with pytest.raises(InputError, match=r"b\\udcff.csv' is not valid UTF-8, which Spark needs: rename"):
        take(raw, interactions={"path": "b\udcff.csv"})


def test_without_values_a_header_of_another_order_is_no_row(take: Take, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text("user_id,item_id\n1,10\n")
    (raw / "b.csv").write_text("item_id,user_id\n11,2\n")
    assert take(raw, interactions=PLAIN | USERS_AND_ITEMS, **PICKED).pairs == [("1", "10"), ("2", "11")]
    (raw / "b.csv").write_text("11,2\n12,3\n")
    sentence = (
        r"b\.csv lacks the column 'user_id' \(user\) that \S+a\.csv has: files of one source need the same"
    )
    with pytest.raises(InputError, match=sentence):
        take(raw, interactions=PLAIN | USERS_AND_ITEMS, **PICKED)


NOTED = {
    "notes above the header": "# from the shop\n# 2 users, 2 items\nuser_id,item_id\n1,10\n2,11\n",
    "a note with as many fields": "# from the shop, 2026\nuser_id,item_id\n1,10\n2,11\n",
    "notes between rows": "user_id,item_id\n1,10\n#3,12\n2,11\n",
    "a note after a blank line, lines end with CR LF": "\r\n# note\r\nuser_id,item_id\r\n1,10\r\n2,11\r\n",
    "a note with a quote": '# the "shop\nuser_id,item_id\n1,10\n2,11\n',
    "a note at the end": "user_id,item_id\n1,10\n2,11\n# end, of it",
}


def test_comments_are_neither_rows_nor_the_header(take: Take, tmp_path: Path) -> None:
    """A file each."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, text in NOTED.items():
        (raw / f"{name}.csv").write_bytes(text.encode())
    found = take(raw, interactions=PLAIN | USERS_AND_ITEMS | {"comment": "#"}, **PICKED)
    read = {Path(unquote(name)).stem: counts["read"] for name, counts in found.ingested.files.items()}
    assert read == dict.fromkeys(NOTED, 2)
    assert (found.pairs, found.bad) == ([("1", "10"), ("2", "11")] * len(NOTED), [])


HEADERS_AMONG_ROWS = [
    ("user_id,item_id\n1,10\n", {"header": False, "fields": ["user_id", "item_id"]}, "set header to true"),
    ("userId,movieId\n1,10\n", {"header": False, "fields": ["user_id", "item_id"]}, "set header to true"),
    ("UserID,ISBN\n1,10\n", {"header": False, "fields": ["user_id", "item_id"]}, "set header to true"),
    (
        "1,10\n\nuser_id,item_id\n2,11\n",
        {"header": False, "fields": ["user_id", "item_id"]},
        "set header to true",
    ),
    ("# shop, 2026\nuser_id,item_id\n1,10\n", {"fields": ["user_id", "item_id"]}, "set comment"),
    ("# shop, 2026\ncustomer_id,sku\n1,10\n", {"fields": ["user_id", "item_id"]}, "set comment"),
]


@pytest.mark.parametrize(("text", "settings", "advice"), HEADERS_AMONG_ROWS)
def test_a_header_among_rows_without_numbers_is_no_interaction(
    take: Take, tmp_path: Path, text: str, settings: dict[str, Any], advice: str
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text(text)
    with pytest.raises(InputError, match=f"names columns and would be an interaction .*{advice}"):
        take(raw, interactions=PLAIN | USERS_AND_ITEMS | settings, **PICKED)


def test_ids_that_are_words_are_no_header(take: Take, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text("guest,book\nuser,item\nu1,i1\nuserid7,item-id-8\n")
    settings = {"header": False, "fields": ["user_id", "item_id"]}
    pairs = [("guest", "book"), ("user", "item"), ("u1", "i1"), ("userid7", "item-id-8")]
    assert take(raw, interactions=PLAIN | USERS_AND_ITEMS | settings, **PICKED).pairs == pairs


def test_a_column_of_context_may_be_missing_in_some_files_but_not_in_all(take: Take, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text(TWO)
    (raw / "b.csv").write_text("device,user_id,item_id,rating,timestamp\nios,3,12,3,102\n")
    features = [{"name": "device", "of": "interaction"}]
    assert [row[4] for row in take(raw, interactions=PLAIN, features=features).rows] == [None, None, "ios"]
    features = [{"name": "place", "of": "interaction"}]
    with pytest.raises(
        InputError, match=r"lacks the column 'place' \(of a feature\); its columns are 'user_id'"
    ):
        take(raw, interactions=PLAIN, features=features)


NOT_OF_THE_SAME_SOURCE = [
    ("3,12,3,102\n", "its columns are '3', '12', '3', '102'"),
    ("user;item_id;rating;timestamp\n", "the delimiter ',' does not occur in it, but ';' does"),
    (
        "user_id;item_id;rating;timestamp\n3;12;3;102\n",
        "the delimiter ',' does not occur in it, but ';' does",
    ),
    ("user_id\titem_id\trating\ttimestamp\n", "but '\\t' does: check delimiter"),
    ("userId,movieId,rating,timestamp\n", "lacks the column 'user_id' (user) that"),
    ("user_id,rating,timestamp\n", "lacks the column 'item_id' (item) that"),
    ("user_id,item_id,user_id,rating,timestamp\n", "names twice the column 'user_id' (user)"),
    ('{"user_id": 3, "item_id": 12, "rating": 3, "timestamp": 102}\n', "lacks the column 'user_id' (user)"),
    ("\u00fcser_id,item_id,rating,timestamp\n", "its columns are '\u00fcser_id'"),
]


def test_files_that_cannot_belong_together_are_named(take: Take, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text(TWO)
    for content, sentence in NOT_OF_THE_SAME_SOURCE:
        (raw / "b.csv").write_text(content)
        with pytest.raises(InputError, match=re.escape(sentence)) as raised:
            take(raw, interactions=PLAIN)
        assert "b.csv" in str(raised.value)


MALFORMED = [
    ('3,102,5,"1600000002', "unbalanced quotes"),
    ('3,102,5,1600000002,"great film', "unbalanced quotes"),
    ('2,101,4,1600000001,my next line"', "unbalanced quotes"),
    ('"12"x,101,4,1600000001,ok', "quotes inside a field"),
    ('12,101,4,1600000001,a "great" film', "quotes inside a field"),
    ('12, "101",4,1600000001,ok', "quotes inside a field"),
    ("12,101,4,1600000001,ok,more", "wrong number of fields"),
]


def test_malformed_quotes_go_to_the_quarantine(take: Take, tmp_path: Path) -> None:
    names = "user_id,item_id,rating,timestamp,text\n"
    good = '1,"100",5,1600000000,"say ""hi"", all"\n'
    (tmp_path / "r.csv").write_text(names + "".join(f"{good}{line}\n" for line, _ in MALFORMED) + good)
    found = take(tmp_path, interactions={"path": "r.csv"})
    assert found.pairs == [("1", "100")] * (len(MALFORMED) + 1)
    assert found.bad == [
        ("r.csv", 1 + 2 * number, None, reason) for number, (_, reason) in enumerate(MALFORMED, start=1)
    ]


def test_texts_over_several_lines_are_one_field_where_the_document_says_so(
    take: Take, tmp_path: Path
) -> None:
    text = 'user_id,item_id,rating,timestamp,text\n1,100,5,1600000000,"great film\n2,101,4,1600000001,my next line"\n'
    text += '3,102,5,1600000002,ok\r\n"4\n4",103,1,1600000003,"\n\n"\n5,104,2,1600000004,last'
    (tmp_path / "r.csv").write_text(text)
    found = take(tmp_path, interactions={"path": "r.csv", "multiline": True})
    assert found.pairs == [("1", "100"), ("3", "102"), ("4\n4", "103"), ("5", "104")]
    assert found.bad == []
    found = take(tmp_path, interactions={"path": "r.csv"})
    assert found.pairs == [("3", "102"), ("5", "104")]
    with gzip.open(tmp_path / "r.csv.gz", "wt", newline="") as file:
        file.write(text)
    found = take(tmp_path, interactions={"path": "r.csv.gz", "multiline": True})
    assert found.pairs == [("1", "100"), ("3", "102"), ("4\n4", "103"), ("5", "104")]


def test_a_quote_that_is_never_closed_is_said(take: Take, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(HEADER + '1,"10,5,100\n' + "2,11,4,101\n" * 2_000_000)
    with pytest.raises(InputError, match=r"r\.csv has a record of more than 16 MiB that begins with '1,\"10"):
        take(tmp_path, interactions={"path": "r.csv", "multiline": True})


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "shift_jis", "gb18030", "cp500", "koi8-r"]
)  # fmt: skip
def test_letters_arrive_in_every_encoding(encoding: str, take: Take, tmp_path: Path) -> None:
    letters = {"shift_jis": "日本", "gb18030": "é中", "koi8-r": "Юл"}.get(encoding, "éü")
    text = HEADER + f'{letters},10,5,100\n2,"i,{letters}",4,101\n,12,3,102\nu,12,good,103\n'
    (tmp_path / "r.csv").write_bytes(text.encode(encoding))
    found = take(tmp_path, interactions={"path": "r.csv", "encoding": encoding})
    assert found.rows == [(letters, "10", 5.0, 100.0), ("2", f"i,{letters}", 4.0, 101.0)]
    assert [bad[1:] for bad in found.bad] == [
        (4, "user_id", "missing user"),
        (5, "rating", "value is not a number"),
    ]
    line = json.dumps(
        {"user_id": letters, "item_id": "10", "rating": 5, "timestamp": 100}, ensure_ascii=False
    )
    (tmp_path / "r.json").write_bytes(f"{line}\n{line}\n".encode(encoding))
    found = take(tmp_path, interactions={"path": "r.json", "format": "jsonl", "encoding": encoding})
    assert found.rows == [(letters, "10", 5.0, 100.0)] * 2


def test_lines_that_are_not_of_the_encoding_go_to_the_quarantine(take: Take, tmp_path: Path) -> None:
    lines = [HEADER.encode(), b"\xe9,10,5,100\n", b"\x81,11,4,101\n", b"2,12,3,102\n"]
    (tmp_path / "r.csv").write_bytes(b"".join(lines))
    found = take(tmp_path, interactions={"path": "r.csv", "encoding": "cp1252"})
    assert (found.pairs, found.bad) == ([("é", "10"), ("2", "12")], [("r.csv", 3, None, "invalid cp1252")])
    found = take(tmp_path, interactions={"path": "r.csv"})
    assert found.pairs == [("2", "12")]
    assert {bad[3] for bad in found.bad} == {"invalid UTF-8"}


@pytest.mark.parametrize(
    ("content", "source", "sentence"),
    [
        (TWO.encode("utf-16"), {}, "is not utf-8, but looks like utf-16: set encoding to 'utf-16'"),
        (TWO.encode("utf-16-le"), {}, "looks like utf-16-le: set encoding to 'utf-16-le'"),
        (TWO.encode("utf-16-be"), {"encoding": "latin-1"}, "looks like utf-16-be: set encoding"),
        (TWO.encode(), {"encoding": "utf-16"}, "is not utf-16: set encoding to 'utf-8'"),
        ((HEADER + "é,1,2,3\nü,1,2,3\n").encode("cp1252"), {}, "it reads as latin-1: set interactions.encoding to 'latin-1'"),
        (bytes(range(256)) * 8 + bytes(1000), {}, "is no text: many of its first bytes are 0"),
        (b"PAR1" + bytes(100), {}, "is Parquet: set format to 'parquet'"),
        (b"PAR1" + bytes(100), {"format": "jsonl"}, "is Parquet: set format to 'parquet'"),
        (TWO.encode(), {"path": "r.gz"}, "ends in .gz, but is not compressed so: rename it"),
        (bz2.compress(TWO.encode()), {}, "is compressed, but does not end in .bz2: rename it"),
        (TWO.encode(), {"format": "parquet"}, "can't be read: it is cut off, damaged, or not Parquet"),
    ],
)  # fmt: skip
def test_what_is_no_such_text_is_said_with_what_to_set(
    content: bytes, source: dict[str, Any], sentence: str, take: Take, tmp_path: Path
) -> None:
    interactions = {"path": "r.csv"} | source
    (tmp_path / interactions["path"]).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(sentence)):
        take(tmp_path, max_share=0.1, interactions=interactions)


@pytest.mark.parametrize(
    "name", ["a[b].csv", "a{b,c}.csv", "a,b.csv", "a*b.csv", "a?b.csv", "sp ace%20.csv", "é ü.csv", "back\\s.csv"]
)  # fmt: skip
def test_file_names_are_found_as_they_are(name: str, take: Take, tmp_path: Path) -> None:
    raw = tmp_path / "raw [1]"
    raw.mkdir()
    (raw / name).write_text(TWO)
    (raw / "ab.csv").write_text("never read")
    assert take(raw, interactions={"path": name}).rows == TWO_ROWS
    (raw / "ab.csv").unlink()
    assert take(tmp_path, interactions={"path": "raw [1]"}).rows == TWO_ROWS


def test_patterns_still_name_several_files_and_what_is_missing_is_said(take: Take, tmp_path: Path) -> None:
    for name in ("a1.csv", "a2.csv", "b1.csv"):
        (tmp_path / name).write_text(TWO)
    assert take(tmp_path, interactions={"path": "a*.csv"}).rows == TWO_ROWS * 2
    assert take(tmp_path, interactions={"path": "{a1,b1}.csv"}).rows == TWO_ROWS * 2
    for path in ("c*.csv", "a[b", "a{b,c.csv", "foo://x/y.csv"):
        with pytest.raises(InputError, match=re.escape(path)):
            take(tmp_path, interactions={"path": path})


def test_settings_of_fields_hold_with_and_without_the_jvm(take: Take, tmp_path: Path) -> None:
    """Missing texts, values that mean "not rated", decimal commas and escapes."""
    text = "user;item;value;when;why\nu1;i1;4,5;100,5;NA\nNULL;i2;3;101; \nu2;i3;0;102;x\nu3;-;3;103;x\n"
    text += 'u4;i4;NA;104;x\nu5;i5;n/a;105;x\nu6;"a\\"b";1e1;106;"c\\;d"\nu7;i7;1.5;107;x\nu8;i8;0,0;108;x\n'
    (tmp_path / "r.csv").write_text(text)
    source = {
        "path": "r.csv", "delimiter": ";", "decimal": ",", "missing": ["NA", "NULL", "-"], "not_rated": [0, "n/a"],
        "escape": "\\", "columns": {"user": "user", "item": "item", "value": "value", "timestamp": "when"},
    }  # fmt: skip
    features = [{"name": "why", "of": "interaction"}]
    found = take(tmp_path, interactions=source, features=features)
    assert found.rows == [("u1", "i1", 4.5, 100.5, None), ("u6", 'a"b', 10.0, 106.0, "c;d")]
    assert found.bad == [
        ("r.csv", 3, "user", "missing user"), ("r.csv", 5, "item", "missing item"),
        ("r.csv", 6, "value", "missing value"), ("r.csv", 9, "value", "value is not a number"),
    ]  # fmt: skip
    assert (found.ingested.not_rated, found.ingested.good_count) == (3, 2)


def test_several_items_in_a_field_become_rows_with_the_same_time(take: Take, tmp_path: Path) -> None:
    """The layout of MIND's behaviours: history, and a time as the United States write it."""
    lines = [
        "1\tU1\t11/11/2019 9:05:58 AM\tN1 N2  N3",
        "2\tU2\t11/12/2019 6:11:30 PM\tN2",
        "3\tU3\t11/12/2019 6:12:00 PM\t",
    ]
    (tmp_path / "behaviors.tsv").write_text("\n".join(lines))
    source = {
        "path": "behaviors.tsv", "format": "tsv", "header": False, "fields": ["impression", "user", "time", "history"],
        "columns": {"user": "user", "item": "history", "timestamp": "time"}, "item_separator": " ",
        "timestamp_format": "M/d/yyyy h:mm:ss a",
    }  # fmt: skip
    found = take(tmp_path, interactions=source, **PICKED)
    assert found.rows == [
        ("U1", "N1", 1.0, 1573463158.0), ("U1", "N2", 1.0, 1573463158.0), ("U1", "N3", 1.0, 1573463158.0),
        ("U2", "N2", 1.0, 1573582290.0),
    ]  # fmt: skip
    assert [bad[2:] for bad in found.bad] == [("history", "missing item")]


def test_items_with_a_value_each_become_rows_with_their_value_and_time(take: Take, tmp_path: Path) -> None:
    """The layout of MIND's impressions: 1 for what was clicked."""
    lines = [
        "1\tU1\t11/11/2019 9:05:58 AM\tN1 N2\tN55689-1 N35729-0",
        "2\tU2\t11/12/2019 6:11:30 PM\t\tN2-0-1",
        "3\tU2\t11/12/2019 6:12:00 PM\tN1\tN3 N4-x -1 N5-",
        "4\tU3\t11/12/2019 6:12:00 PM\tN1\t",
    ]
    (tmp_path / "behaviors.tsv").write_text("\n".join(lines))
    source = json.loads(documented("#### Items with a value each"))["interactions"]
    found = take(tmp_path, interactions=source)
    assert found.rows == [
        ("U1", "N55689", 1.0, 1573463158.0), ("U1", "N35729", 0.0, 1573463158.0), ("U2", "N2-0", 1.0, 1573582290.0),
    ]  # fmt: skip
    assert sorted(bad[3] for bad in found.bad) == [
        "missing item", "missing item", "missing value", "missing value", "value is not a number",
    ]  # fmt: skip


def documented(title: str) -> str:
    """Return the first JSON document below a title of docs/datasets.md."""
    page = (Path(__file__).parents[4] / "docs/datasets.md").read_text()
    found = re.search(r"```json\n(.*?)```", page.split(f"{title}\n")[1], re.DOTALL)
    assert found is not None
    return found[1]
