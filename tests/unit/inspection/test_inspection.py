"""What is looked at, what is asked, and what is said of files that can't be used as they are."""

import bz2
import gzip
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from pyspark.sql import SparkSession

from fmrec.dataset import Dataset
from fmrec.encoding.job import encode
from fmrec.errors import InputError
from fmrec.inspection import sampling
from fmrec.inspection.findings_text import in_words
from fmrec.inspection.inspection import Inspection, inspect
from fmrec.storage.object_store import StoredObject
from tests.unit.inspection.layouts import movielens
from tests.unit.inspection.layouts.layout import lines, ratings

HEADER = "user_id,item_id,rating,timestamp"


def rows(name: str = "rows") -> list[str]:
    return [f"{row.user},{row.item},{row.value},{row.time}" for row in ratings(name).itertuples()]


def look(folder: Path, *, path: str = "") -> Inspection:
    return inspect(str(folder / path) if path else str(folder))


def test_objects_on_s3_are_looked_at_like_files(bucket: str, tmp_path: Path) -> None:
    movielens.write_1m(tmp_path)
    client = boto3.client("s3")
    for path in tmp_path.iterdir():
        client.upload_file(str(path), bucket, f"raw/ml-1m/{path.name}")
    here = look(tmp_path)
    assert inspect(f"s3://{bucket}/raw/ml-1m/").document == here.document
    one = inspect(f"s3://{bucket}/raw/ml-1m/ratings.dat")
    assert one.document is not None
    assert one.document["interactions"] == (here.document or {})["interactions"]
    assert one.root == f"s3://{bucket}/raw/ml-1m"
    with pytest.raises(InputError, match="holds no data files"):
        inspect(f"s3://{bucket}/nothing/")


def test_a_large_file_is_read_in_parts_of_it(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(b"first")
        file.truncate(3 << 30)
        file.seek(0, 2)
        file.write(b"last")
    sample = sampling.take_sample(StoredObject(str(path), path.stat().st_size))
    assert sample.head.startswith(b"first")
    assert sample.pieces[-1].endswith(b"last")
    assert len(sample.head) + sum(map(len, sample.pieces)) < 2 * sampling.HEAD
    assert not sample.whole


@pytest.mark.parametrize("end", ["", ".gz"])
def test_gzip_is_read_with_and_without_its_ending(end: str, tmp_path: Path) -> None:
    text = "\n".join([HEADER, *rows()]).encode()
    (tmp_path / f"ratings.csv{end}").write_bytes(gzip.compress(text))
    found = look(tmp_path)
    assert found.document is not None
    assert found.document["interactions"]["path"] == f"ratings.csv{end}"
    assert found.tables[0].table.rows == 400


def test_bzip2_is_read_if_its_name_says_so(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_bytes(bz2.compress("\n".join([HEADER, *rows()]).encode()))
    found = look(tmp_path)
    assert found.document is None
    assert "rename it to ratings.csv.bz2" in found.unreadable[0].sentence
    assert "rename it to ratings.csv.bz2" in str(found.question)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ratings.csv", "1,2,3")
        archive.writestr("movies.csv", "1,2,3")


CONTAINERS: list[tuple[str, Callable[[Path], object], str]] = [
    ("ml-1m.zip", _zip, r"is a ZIP archive: unpack it and upload the files in it \(`unzip ml-1m.zip`\)"),
    ("Online Retail.xlsx", _zip, "is an Excel workbook: save the sheet as CSV"),
    ("x.orc", lambda path: path.write_bytes(b"ORC\x00\x01"), "is ORC data: expected CSV, TSV, JSON Lines or Parquet"),
    ("x.avro", lambda path: path.write_bytes(b"Obj\x01\x04"), "is Avro data"),
    ("x.csv.zst", lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd\x00"), "is zstd data"),
    ("x.csv.gz", lambda path: path.write_text("1,2,3\n"), "is named as if compressed with gzip, but is not"),
    ("words.txt", lambda path: path.write_text("one\ntwo words\n"), "is no table"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "sentence"), CONTAINERS, ids=[entry[0] for entry in CONTAINERS])
def test_other_contents_are_named_with_what_to_do(
    name: str, write: Callable[[Path], object], sentence: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    found = look(tmp_path)
    assert found.document is None
    (unreadable,) = found.unreadable
    assert re.search(sentence, unreadable.sentence)
    assert unreadable.sentence in in_words(found)


def test_a_gzip_file_cut_short_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress("\n".join([HEADER, *rows()]).encode())[:500])
    with pytest.raises(InputError, match="cut short or damaged"):
        look(tmp_path)


def test_files_with_one_header_in_any_order_are_one_table(tmp_path: Path) -> None:
    lines(tmp_path, "d/north.csv", [HEADER, *rows()[:200]])
    swapped = [
        ",".join([cells[1], cells[0], *cells[2:]]) for cells in (row.split(",") for row in rows()[200:])
    ]
    lines(tmp_path, "d/south.csv", ["item_id,user_id,rating,timestamp", *swapped])
    found = look(tmp_path)
    assert found.document is not None
    assert found.document["interactions"]["path"] == "d"
    assert found.tables[0].table.rows == 400
    assert set(found.tables[0].table.columns["user_id"]) == {row.split(",")[0] for row in rows()}
    assert any("in another order" in note for note in found.notes)


def test_the_user_and_the_item_of_a_file_without_names_are_asked_for(tmp_path: Path) -> None:
    lines(
        tmp_path,
        "log.csv",
        [f"9{row.user},x{row.item},{row.value},{row.time}" for row in ratings("q").itertuples()],
    )
    found = look(tmp_path)
    assert found.document is not None
    assert found.document["interactions"]["fields"] == ["user_id", "item_id", "rating", "timestamp"]
    assert found.question == (
        "log.csv has no header: is field 1 (such as "
        f"{found.tables[0].table.profiles['user_id'].examples[0]}) the user and field 2 (such as "
        f"{found.tables[0].table.profiles['item_id'].examples[0]}) the item? The document takes them so."
    )


def test_an_open_date_order_is_asked_for(tmp_path: Path) -> None:
    text = [f"u{at % 9},i{at % 7},{1 + at % 12}/{1 + at % 11}/2020" for at in range(60)]
    lines(tmp_path, "sales.csv", ["customer,product,date", *text])
    found = look(tmp_path)
    assert found.document is not None
    assert found.document["interactions"]["timestamp_format"] == "M/d/yyyy"
    assert "M/d/yyyy or as d/M/yyyy" in str(found.question)


def test_a_missing_user_is_asked_for_with_the_fields_there_are(tmp_path: Path) -> None:
    lines(
        tmp_path, "sales.csv", ["shelf,product_id,sold", *(f"s{at % 3},p{at % 7},{at}" for at in range(60))]
    )
    found = look(tmp_path)
    assert found.document is None
    assert found.question == (
        "Which field of sales.csv is the user (product_id is the item)? Its fields are shelf, product_id, sold."
    )


def test_values_that_make_no_feature_are_named(tmp_path: Path) -> None:
    lines(tmp_path, "ratings.csv", [HEADER, *rows()])
    prices = [f"{at},${9 + at}.99,{('red', 'blue')[at % 2]},same" for at in range(40)]
    lines(tmp_path, "items.csv", ["item_id,price,colour,shop", *prices])
    found = look(tmp_path)
    assert found.document is not None
    assert [feature["name"] for feature in found.document["features"]] == ["colour"]
    (items,) = [entry for entry in found.tables if entry.kind == "items"]
    assert items.description is not None
    assert "$9.99" in items.description.reasons["price"]
    assert items.description.reasons["shop"] == "every sampled row has the same value, same"


def test_attributes_of_other_ids_are_left_out_and_said(tmp_path: Path) -> None:
    lines(tmp_path, "ratings.csv", [HEADER, *rows()])
    lines(
        tmp_path,
        "items.csv",
        ["item_id,colour", *(f"{at:010d},{('red', 'blue')[at % 2]}" for at in range(40))],
    )
    found = look(tmp_path)
    assert found.document is not None
    assert "items" not in found.document
    assert found.notes == [
        "items.csv: none of its values of item_id is among the items of ratings.csv (0000000000 against 0)"
    ]


BAD = (
    "1,2,3", "1,2,3,4,5", ",2,3,1400000000", "1,,3,1400000000", "1,2,,1400000000", "1,2,good,1400000000",
    "1,2,3,", "1,2,3,yesterday", "1,2,3,14000000000000", "1,2,inf,1400000000",
)  # fmt: skip


def test_the_rows_said_to_be_quarantined_are_those_that_encoding_quarantines(
    spark: SparkSession, tmp_path: Path
) -> None:
    lines(tmp_path, "raw/ratings.csv", [HEADER, *rows()[:20], *BAD, *rows()[20:]])
    found = look(tmp_path / "raw")
    assert found.document is not None
    manifest = encode(
        spark, Dataset.from_document(found.document), str(tmp_path / "raw"), str(tmp_path / "out"), "test"
    )
    expected: dict[str, int] = {}
    for entry in found.expected:
        expected[entry.reason] = expected.get(entry.reason, 0) + entry.rows
    assert expected == manifest.quarantine_reasons
    assert sum(expected.values()) == len(BAD)


def test_many_bad_rows_raise_the_limit_with_a_reason(tmp_path: Path) -> None:
    text = [row if at % 5 else f",{row.split(',', 1)[1]}" for at, row in enumerate(rows())]
    lines(tmp_path, "ratings.csv", [HEADER, *text])
    found = look(tmp_path)
    assert found.document is not None
    assert found.document["quarantine"] == {"max_share": 0.24}
    assert found.reasons["quarantine"].startswith(
        "20.0% of the sampled rows can't be used (80 missing user in user_id)"
    )


def test_several_objects_on_a_line_are_all_read_and_said(tmp_path: Path) -> None:
    objects = [
        json.dumps({"user": f"u{row.user}", "item": f"i{row.item}"})
        for row in ratings("objects").itertuples()
    ]
    lines(tmp_path, "events.json", ["".join(objects[at : at + 4]) for at in range(0, 400, 4)])
    found = look(tmp_path)
    assert found.tables[0].table.rows == 400
    assert any("more than one object" in note for note in found.notes)
