"""JSON as people write it: several objects on a line, late keys, arrays, Python's dicts, objects in
objects.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.ingest.json_lines import field_of, objects, whole
from fmrec.errors import InputError

Take = Callable[..., Any]
OBJECT = '{"user_id":"%s","item_id":"%s","rating":5,"timestamp":1600000000}'
JSON = {"path": "e.json", "format": "jsonl"}
Lay = Callable[[str, str, str], str]
OBJECTS_LAID_OUT: dict[str, Lay] = {
    "two on a line": lambda a, b, c: f"{a}\n{b}{c}\n",
    "all on a line": lambda a, b, c: f"{a}{b}{c}",
    "blanks between them": lambda a, b, c: f"{a} {b}\t{c}",
    "a comma between them": lambda a, b, c: f"{a},{b}\n{c}\n",
    "an array, one a line": lambda a, b, c: f"[{a},\n{b},\n{c}]",
    "an array, indented": lambda a, b, c: f"[\n  {a},\n  {b},\n  {c}\n]\n",
    "an array over many lines": lambda a, b, c: json.dumps(list(map(json.loads, (a, b, c))), indent=2),
    "each over many lines": lambda a, b, c: "\n".join(
        json.dumps(json.loads(one), indent=1) for one in (a, b, c)
    ),
    "a byte order mark, CR LF, a blank line": lambda a, b, c: f"\ufeff{a}\r\n\r\n{b}\r\n{c}",
}
DICTS_LAID_OUT: dict[str, Lay] = {
    "plain": lambda a, b, c: "\n".join(repr(json.loads(one)) for one in (a, b, c)),
    "with True, None and an apostrophe": lambda a, b, c: "\n".join(
        repr(json.loads(one) | {"verified": True, "style": None, "s": "it's"}) for one in (a, b, c)
    ),
}


@pytest.mark.parametrize("laid_out", [OBJECTS_LAID_OUT, DICTS_LAID_OUT], ids=["objects", "dicts of Python"])
def test_every_object_is_a_row_however_they_are_laid_out(
    laid_out: dict[str, Lay], take: Take, tmp_path: Path
) -> None:
    """A file each."""
    raw = tmp_path / "raw"
    raw.mkdir()
    expected = []
    for at, (name, lay) in enumerate(laid_out.items()):
        pairs = [(f"{name} a", "x"), (f"{name} a", "y"), (f"{name} b", "x")]
        expected += pairs
        (raw / f"{at}.json").write_bytes(lay(*(OBJECT % pair for pair in pairs)).encode())
    found = take(raw, interactions=JSON | {"path": "."})
    assert found.pairs == expected
    assert (found.bad, found.ingested.rows) == ([], len(expected))


def test_what_is_not_objects_only_goes_to_the_quarantine(take: Take, tmp_path: Path) -> None:
    a, b, c = (OBJECT % pair for pair in (("a", "x"), ("a", "y"), ("b", "x")))
    lines = [
        f"{a} and more", f"{a}]", f"{a}}}", f"{a};{b}", f"{a},", f"{a}\x00", a[:-1],
        "null", "1", '"text"', "[]", "{",
    ]  # fmt: skip
    (tmp_path / "e.json").write_text("".join(f"{b}\n{line}\n" for line in lines) + c)
    found = take(tmp_path, interactions=JSON)
    assert found.pairs == [*[("a", "y")] * len(lines), ("b", "x")]
    assert found.bad == [
        ("e.json", 2 * number, None, "not a JSON object") for number in range(1, len(lines) + 1)
    ]


values = st.text(st.sampled_from('{}[]",:\\ aé\n'), max_size=6)
documents = st.dictionaries(
    values.map(lambda text: "a" + text), values | st.lists(values, max_size=2), max_size=3
)


@settings(max_examples=15, deadline=None)
@example(
    [[{"a": "}{}"}, {"a": "}{}{"}, {}], [{"a": '}{}"'}, {"a": "}{}\\"}], [{"a": ["}{},", "}"]}], [{}, {}, {}]]
)
@given(st.lists(st.lists(documents, min_size=1, max_size=3), min_size=20, max_size=60))
def test_no_text_inside_objects_is_taken_for_their_border(
    spark: SparkSession, lines: list[list[dict[str, Any]]]
) -> None:
    marked = [
        [document | {"id": f"{at}.{number}"} for number, document in enumerate(line)]
        for at, line in enumerate(lines)
    ]
    texts = ["".join(json.dumps(document, ensure_ascii=False) for document in line) for line in marked]
    frame = spark.createDataFrame(pa.table({"text": texts}))
    parsed = frame.select(F.explode(whole(objects(F.col("text"), ["id", "a"]))).alias("one"))
    found = parsed.select(field_of(F.col("one"), "id"), field_of(F.col("one"), "a")).collect()
    flat = [document for line in marked for document in line]
    assert {row[0] for row in found} == {document["id"] for document in flat}
    texts_of_a = {row[0]: row[1] for row in found}
    for document in flat:
        if isinstance(document.get("a", ""), str):
            assert texts_of_a[document["id"]] == document.get("a")


def test_a_key_may_first_appear_anywhere(take: Take, tmp_path: Path) -> None:
    lines = [
        {"u": at % 7, "i": at % 5} | ({"device": "ios", "t": at} if at >= 100 else {}) for at in range(104)
    ]
    (tmp_path / "e.json").write_text("\n".join(map(json.dumps, lines)))
    columns = {"user": "u", "item": "i"}
    source: dict[str, Any] = JSON | {"columns": columns}
    label = {"mode": "implicit", "negatives_per_positive": 0}
    features = [{"name": "device", "of": "interaction"}]
    found = take(tmp_path, interactions=source, label=label, features=features)
    assert [row[4] for row in found.rows] == [None] * 100 + ["ios"] * 4
    columns |= {"timestamp": "t"}
    found = take(tmp_path, interactions=source, label=label)
    assert [row[3] for row in found.rows] == [100.0, 101.0, 102.0, 103.0]
    assert {bad[3] for bad in found.bad} == {"missing timestamp"}
    columns |= {"timestamp": "when"}
    sentence = "the first objects lack 'when', their keys are 'u', 'i': check interactions.columns"
    with pytest.raises(InputError, match=re.escape(sentence)):
        take(tmp_path, interactions=source, label=label)


def test_names_with_dots_reach_into_objects_unless_a_key_has_them(take: Take, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"user": {"id": "a", "where": {"city": "x"}}, "item": "1", "v": {"stars": 5}, "t.s": 10},
        {"user": {"id": 7}, "item": "2", "v": {"stars": 4.5}, "t.s": 11, "t": {"s": 99}},
        {"user": "b", "item": "3", "v": {"stars": 4}, "t.s": 12},
        {"user": {"id": "it's"}, "item": "4", "v": {}, "t.s": 13},
    ]
    (tmp_path / "e.json").write_text("\n".join(map(json.dumps, lines)))
    columns = {"user": "user.id", "item": "item", "value": "v.stars", "timestamp": "t.s"}
    features = [{"name": "city", "of": "interaction", "column": "user.where.city"}]
    found = take(tmp_path, interactions=JSON | {"columns": columns}, features=features)
    assert found.rows == [("a", "1", 5.0, 10.0, "x"), ("7", "2", 4.5, 11.0, None)]
    assert [bad[1:] for bad in found.bad] == [(3, "user.id", "missing user"), (4, "v.stars", "missing value")]


BASKETS: list[dict[str, Any]] = [
    {"basket": 1, "customer": "a", "skus": ["x|1", "y, z"], "at": 100},
    {"basket": 2, "customer": "b", "skus": ["x|1", "x|1", None, " "], "at": 101},
    {"basket": 3, "customer": "c", "skus": [], "at": 102},
    {"basket": 4, "customer": "d", "skus": [7], "at": 103},
]
COLUMNS = {"user": "customer", "item": "skus", "timestamp": "at"}
PICKED = {"label": {"mode": "implicit", "negatives_per_positive": 0}}


@pytest.mark.parametrize("kind", ["jsonl", "python", "parquet"])
def test_lists_of_items_become_rows_with_the_same_time(kind: str, take: Take, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    if kind == "parquet":
        lists = [[None if sku is None else str(sku) for sku in row["skus"]] for row in BASKETS]
        columns = {name: [row[name] for row in BASKETS] for name in ("customer", "at")}
        pq.write_table(pa.table(columns | {"skus": lists}), raw / "b")
    else:
        (raw / "b").write_text("\n".join(map(repr if kind == "python" else json.dumps, BASKETS)))
    source: dict[str, Any] = {
        "path": "b",
        "format": "parquet" if kind == "parquet" else "jsonl",
        "columns": COLUMNS,
    }
    found = take(raw, interactions=source | {"item_separator": "|"}, **PICKED)
    assert [(*row[:2], row[3]) for row in found.rows] == [
        ("a", "x|1", 100.0), ("a", "y, z", 100.0), ("b", "x|1", 101.0), ("b", "x|1", 101.0), ("d", "7", 103.0),
    ]  # fmt: skip
    assert [bad[2:] for bad in found.bad] == [("skus", "missing item")]
    with pytest.raises(
        InputError, match=r"4 item is a list.*'skus' holds lists: set interactions\.item_separator"
    ):
        take(raw, interactions=source, **PICKED)


def test_a_large_array_on_one_line_is_read(take: Take, tmp_path: Path) -> None:
    """24 MB, which is more than a record may have and than is read at once."""
    one = '{{"user_id":"u{}","item_id":"i{}","rating":5,"timestamp":1600000000,"note":"{}"}}'
    note = "}, {[" * 200
    count = 23_000
    with (tmp_path / "e.json").open("w") as file:
        file.write("[")
        for at in range(count):
            file.write((", " if at else "") + one.format(at % 97, at % 89, note))
        file.write("]")
    assert (tmp_path / "e.json").stat().st_size > 24e6
    found = take(tmp_path, interactions=JSON)
    assert (found.ingested.rows, found.bad) == (count, [])
    assert found.pairs == [(f"u{at % 97}", f"i{at % 89}") for at in range(count)]
