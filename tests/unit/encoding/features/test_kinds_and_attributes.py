"""Every kind of side feature, and what is said of attributes that can't be used, against pandas and
Python.
"""

import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Attributes, Feature, Source
from fmrec.dataset.section import Section
from fmrec.encoding.features.attribute_counts import check_features
from fmrec.encoding.features.attribute_files import OWNER, READS, AttributeFiles, field_of
from fmrec.encoding.features.attributes import TRAINED, GroupedAttributes, SideAttributes
from fmrec.encoding.features.kinds import Measured, numbers_of, of_feature, placed_entries
from fmrec.encoding.features.measuring import measure
from fmrec.encoding.features.reading import Reading
from fmrec.encoding.ingest.number_text import is_number
from fmrec.encoding.ingest.source_rows import open_rows
from fmrec.errors import InputError

LETTERS = ["0", "1", "2", "7", "10", "20", " ", "  ", "a", "B", "é", "|", ",", ".", "[", "\\", "-", "e", "\t"]
NUMBERS = [
    "12", "-3.5", "+4", " 7 ", "1e3", ".5", "5.", "1e40", "-3.5e38", "1e400", "30F", "12d", "4D", "0x1p3",
    "NaN", "Infinity", "inf", "1_000", "$12.99", "1,299", "", " ", "e5", ".", "--1", "4f", "0x10", "1e", "007",
]  # fmt: skip


def texts(seed: int, count: int, letters: list[str] = LETTERS) -> list[str]:
    chosen = random.Random(seed)  # noqa: S311 - invented data
    return ["".join(chosen.choices(letters, k=chosen.randrange(12))) for _ in range(count)]


def feature(**settings: Any) -> Feature:
    return Feature.take(Section({"name": "f", "of": "item"} | settings, "features[0]"))


def entries(spark: SparkSession, reading: Reading, values: list[str]) -> list[dict[str, float]]:
    """Return what each text becomes: weights by name. Spark measures what NumPy measures."""
    (found,) = entries_of_each(spark, [reading], values)
    return found


def entries_of_each(
    spark: SparkSession, readings: list[Reading], values: list[str]
) -> list[list[dict[str, float]]]:
    """Return by reading what each text becomes."""
    by_namespace = dict(enumerate(readings, start=2))
    texts = spark.createDataFrame(pa.table({"at": range(len(values)), "text": values}))
    rows = texts.select("at", F.array(*[reading.read(F.col("text")) for reading in readings]).alias(READS))
    reads = rows.toArrow().sort_by("at").column(READS).combine_chunks()
    measured = {}
    for at, (namespace, reading) in enumerate(by_namespace.items()):
        numbers, _ = numbers_of(of_feature(reads, at, len(readings)))
        measured[namespace] = Measured.of_numbers(reading, numbers, np.ones(len(numbers), np.int64))
    for partitions in (1, 2) if any(reading.is_number for reading in readings) else ():
        assert measure(rows, by_namespace, F.lit(1), partitions, lambda kept: kept) == measured
    placed = placed_entries(reads, measured.items()).to_pylist()
    assert {entry["_namespace"] for row in placed for entry in row} <= by_namespace.keys()
    return [
        [
            {entry["name"]: entry["weight"] for entry in row if entry["_namespace"] == namespace}
            for row in placed
        ]
        for namespace in by_namespace
    ]


def number(text: str) -> float | None:
    """Return what is a number by its one definition, and float32 can hold."""
    found = float(text) if is_number(text) else math.inf
    return found if abs(found) <= float(np.finfo(np.float32).max) else None


SEPARATORS = ["|", ",", ", ", "::", ".", "\\E", "[", " "]


def test_names_of_several_are_split_trimmed_and_shared_as_python_does(spark: SparkSession) -> None:
    values = ["10|20", "20|10", "2020", "Pizza, Bars"]
    for seed, separator in enumerate(SEPARATORS):
        values += texts(seed, 100, [*LETTERS, separator, separator])
    several = [feature(kind="multi-valued", separator=separator, scale=1) for separator in SEPARATORS]
    found = entries_of_each(spark, [Reading(one) for one in several], values)
    for separator, of_texts in zip(SEPARATORS, found, strict=True):
        for text, weights in zip(values, of_texts, strict=True):
            names = {name.strip(" ") for name in text.split(separator)} - {""}
            assert set(weights) == names, (separator, text)
            assert all(weight == pytest.approx(1 / len(names)) for weight in weights.values())


def test_lists_of_json_and_parquet_are_names_and_other_texts_are_split(spark: SparkSession) -> None:
    lists: list[list[Any]] = [["Books", "Kids & Co"], [" a ", "", "a"], [10, 20], [], ["x|y"], ["[z]", None]]
    values = [*map(json.dumps, lists), "p|q", "[broken|list", "[", "10|20"]
    expected = [{"Books", "Kids & Co"}, {"a"}, {"10", "20"}, set(), {"x|y"}, {"[z]"}, {"p", "q"}, {"[broken", "list"}, {"["}, {"10", "20"}]  # fmt: skip
    reading = Reading(feature(kind="multi-valued"), lists=True)
    assert [set(weights) for weights in entries(spark, reading, values)] == expected


def test_categories_are_texts_without_the_blanks_around_them(spark: SparkSession) -> None:
    values = texts(2, 400)
    found = entries(spark, Reading(feature(scale=0.5)), values)
    expected = [{text.strip(" "): 0.5} if text.strip(" ") else {} for text in values]
    assert found == expected
    listed = Reading(feature(), lists=True)
    assert entries(spark, listed, ['["a"]', "a"]) == [{}, {"a": pytest.approx(0.1)}]


def test_numbers_are_scaled_by_mean_and_deviation_and_absurd_ones_write_nothing(spark: SparkSession) -> None:
    values = NUMBERS + texts(3, 200, ["0", "1", "5", ".", "e", "-", "+", " "])
    usable = [number(text) for text in values]
    numbers = pd.Series(usable, dtype="float64").where(lambda found: found.abs() < 1e30)
    # Two values that float32 holds, and nothing else, decide about mean and deviation here.
    small = [
        text if value is None or abs(value) < 1e30 else "" for text, value in zip(values, usable, strict=True)
    ]
    weights = (numbers - numbers.mean()) / numbers.std(ddof=0)
    found = entries(spark, Reading(feature(kind="numeric", scale=1)), small)
    for text, weight, written in zip(small, weights, found, strict=True):
        assert written == ({} if math.isnan(weight) else {"f": pytest.approx(weight, rel=1e-5, abs=1e-6)}), (
            text
        )
    prices = ["10", "20", "30", "40", "50", "1e40"]
    spread = entries(spark, Reading(feature(kind="numeric", scale=1)), prices)
    assert [round(weight["f"], 3) for weight in spread[:5]] == [-1.414, -0.707, 0, 0.707, 1.414]
    assert spread[5] == {}


def test_buckets_hold_equal_shares_and_unusable_values_none(spark: SparkSession) -> None:
    chosen = random.Random(4)  # noqa: S311 - invented data
    values = [str(chosen.randrange(1000) / 10) for _ in range(600)] + ["1e40", "12d", "x", ""]
    found = entries(spark, Reading(feature(kind="bucket", buckets=6)), values)
    numbers = pd.Series([number(text) for text in values], dtype="float64")
    edges = np.quantile(numbers.dropna(), np.arange(1, 6) / 6, method="inverted_cdf")
    place = np.searchsorted(edges, numbers.to_numpy(), side="left")
    for at, written in enumerate(found):
        names = [int(name.split(" ")[0]) for name in written]
        assert names == ([] if math.isnan(numbers[at]) else [place[at]])


@pytest.mark.parametrize("written", ["iso8601", "seconds"])
def test_parts_of_dates_are_those_of_pandas(written: str, spark: SparkSession) -> None:
    moments = [pd.Timestamp(f"{year}-0{1 + at % 9}-{10 + at % 18}T{at % 24:02d}:30:00Z") for at, year in enumerate(range(1950, 2050))]  # fmt: skip
    parts: dict[str, Callable[[pd.Timestamp], int]] = {
        "year": lambda moment: moment.year,
        "month": lambda moment: moment.month,
        "day-of-month": lambda moment: moment.day,
        "day-of-week": lambda moment: moment.day_of_week + 1,
        "hour": lambda moment: moment.hour,
    }
    values = [
        moment.isoformat() if written == "iso8601" else f"{moment.timestamp():.0f}" for moment in moments
    ]
    dates = [feature(kind="date-part", part=part, timestamp_format=written, scale=1) for part in parts]
    found = entries_of_each(spark, [Reading(date) for date in dates], [*values, "soon", "", "1e40"])
    for (part, of), of_texts in zip(parts.items(), found, strict=True):
        assert of_texts == [*({str(of(moment)): 1.0} for moment in moments), {}, {}, {}], part


def read(
    spark: SparkSession, folder: Path, content: bytes, features: list[Feature], **source: Any
) -> SideAttributes:
    (folder / "items.txt").write_bytes(content)
    attributes = Attributes(Source("items.txt", **source), "item_id")
    known = spark.createDataFrame(pa.table({OWNER: list("789"), TRAINED: [True] * 3}))
    readings = {at: Reading.of(feature, attributes.source) for at, feature in enumerate(features, start=2)}
    path = str(folder / "items.txt")
    fields = {OWNER: attributes.id} | {field_of(at): found.feature.column for at, found in readings.items()}
    opened = open_rows(spark, attributes.source, path, fields)
    files = AttributeFiles("item", attributes, path, readings, opened)
    grouped = GroupedAttributes.of(files, lambda kept: kept)
    return grouped.of_ids(known, 3, 0.5, lambda kept: kept)


def test_attribute_rows_and_values_are_counted_with_examples(spark: SparkSession, tmp_path: Path) -> None:
    content = b"item_id,f\n7,12\n8,$12.99\n8,30F\n9,\nD\xe9j\xe0 Vu,5\n5,5\n,4\n7,13\n1,2,3\n\n"  # 9 rows
    found = read(spark, tmp_path, content, [feature(kind="numeric")])
    counts = found.counts.to_document()
    assert counts.pop("path").endswith("items.txt")
    assert counts == {
        "read": 9, "repeated": 2, "unmatched": 1, "matched": 3, "ids": 3,
        "bad": {"invalid UTF-8": 1, "missing id": 1, "wrong number of fields": 1},
        "bad_examples": {
            "invalid UTF-8": "D\ufffdj\ufffd Vu,5", "missing id": ",4", "wrong number of fields": "1,2,3"
        },
    }  # fmt: skip
    assert found.values["f"].to_document() == {"usable": 1, "unusable": 1, "missing": 1, "examples": ["30F"]}
    (warning,) = check_features({"f": (Reading(feature(kind="numeric")), found.values["f"])})
    assert warning == (
        "1 of 2 values of the feature 'f' are not a number that float32 can hold and write nothing, e.g. '30F'"
    )


def test_lists_in_json_lines_become_several_names(spark: SparkSession, tmp_path: Path) -> None:
    content = b'{"item_id":"7","f":["Books","Kids & Co"]}\n{"item_id":"8","f":["Books"]}\n'
    several = feature(kind="multi-valued", scale=1)
    found = read(spark, tmp_path, content, [several], format="jsonl")
    rows = found.rows.toArrow()
    reads = rows.column(READS).combine_chunks()
    entries = placed_entries(reads, [(2, Measured(Reading(several, lists=True)))]).to_pylist()
    assert dict(zip(rows.column(OWNER).to_pylist(), entries, strict=True)) == {
        "7": [
            {"_namespace": 2, "name": "Books", "weight": 0.5},
            {"_namespace": 2, "name": "Kids & Co", "weight": 0.5},
        ],
        "8": [{"_namespace": 2, "name": "Books", "weight": 1}],
    }


@pytest.mark.parametrize(
    ("content", "sentences"),
    [
        (b"item_id,f\n007,1\n008,2\n", ["none of the 2 ids in 'item_id' of", "there are '007', '008', the interactions have '7', '8', '9'; ids are compared letter by letter"]),
        (b"item_id,f\n7,\xe9\n8,\xe9\n9,a\n", ["2 of 3 rows of", "are bad (66.67%: 2 invalid UTF-8, e.g. '7,\ufffd'), more than quarantine.max_share allows (50.00%); it reads as latin-1: set items.encoding to 'latin-1'"]),
        (b"item_id,f\n", ["holds no rows: expected attributes"]),
    ],
)  # fmt: skip
def test_attributes_of_nobody_and_mostly_bad_ones_are_refused(
    content: bytes, sentences: list[str], spark: SparkSession, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as raised:
        read(spark, tmp_path, content, [feature()])
    assert [sentence for sentence in sentences if sentence not in str(raised.value)] == []


VANISHING = [
    ("price", {"kind": "numeric"}, "the feature 'price' (kind numeric) has nothing to write: none of the 2 values of 'price' is a number that float32 can hold (there are '$12.99', '$5')"),
    ("huge", {"kind": "numeric"}, "(there are '1e40')"),
    ("date", {"kind": "date-part", "part": "year"}, "is a time, written as timestamp_format 'iso8601' says (there are '01-Jan-1995')"),
    ("blank", {}, "'blank' is empty for all of the 3 items"),
    ("names", {"kind": "multi-valued"}, "is names, separated by '|' (there are '|')"),
]  # fmt: skip


def test_side_features_that_would_vanish_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    content = b"item_id,price,huge,date,blank,names\n7,$12.99,1e40,01-Jan-1995, ,|\n8,$5,,,,\n"
    features = [feature(name=name, **settings) for name, settings, _ in VANISHING]
    values = read(spark, tmp_path, content, features).values
    for one, (name, _, sentence) in zip(features, VANISHING, strict=True):
        with pytest.raises(InputError, match=re.escape(sentence)):
            check_features({name: (Reading(one), values[name])})


def test_the_job_counts_attributes_and_warns(encode_document: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(
        "user_id,item_id,rating,timestamp\n"
        + "".join(f"{at},{at % 5},{at % 5 + 1},{at}\n" for at in range(50))
    )
    (tmp_path / "i.csv").write_text("item_id,cats,price\n0,10|20,5\n1,2020 | 20,free\n77,x,1\n3,10,7\n")
    document = {
        "interactions": {"path": "r.csv"},
        "split": {"method": "time-cut", "at": 99},
        "items": {"path": "i.csv"},
        "features": [
            {"name": "cat", "of": "item", "column": "cats", "kind": "multi-valued"},
            {"name": "price", "of": "item", "kind": "numeric"},
            {
                "name": "weekday",
                "of": "interaction",
                "column": "timestamp",
                "kind": "date-part",
                "part": "year",
            },
        ],
    }
    manifest = encode_document(document, tmp_path, tmp_path / "out")
    assert manifest.ranges["cat"] == (55, 58)  # 10, 20, 2020
    assert {key: manifest.details["attributes"]["item"][key] for key in ("read", "unmatched", "matched", "ids")} == {
        "read": 4, "unmatched": 1, "matched": 3, "ids": 5,
    }  # fmt: skip
    assert manifest.details["feature_values"] == {
        "cat": {"usable": 3, "unusable": 0, "missing": 2},
        "price": {"usable": 2, "unusable": 1, "missing": 2, "examples": ["free"]},
    }
    assert manifest.details["warnings"] == [
        "1 of 3 values of the feature 'price' are not a number that float32 can hold and write nothing, e.g. 'free'",
        "nothing is held out for test: split.at is 1970-01-01T00:01:39Z, and times go from "
        "1970-01-01T00:00:00Z to 1970-01-01T00:00:49Z",
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_feature_may_have_any_name(kind: str, encode_document: Callable[..., Any], tmp_path: Path) -> None:
    ratings = "".join(f"{at % 3},{at % 2},4,{at}\n" for at in range(30))
    (tmp_path / "r.csv").write_text("user_id,item_id,rating,timestamp\n" + ratings)
    names = ["release year", "a`b", "a.b", "value", "_owner", "_path"]
    rows = [{"item_id": str(at), "f": f"text {at}"} for at in range(2)]
    lines = (
        map(json.dumps, rows) if kind == "jsonl" else ["item_id,f", *(",".join(row.values()) for row in rows)]
    )
    (tmp_path / "items").write_text("\n".join(lines))
    document = {
        "interactions": {"path": "r.csv"},
        "items": {"path": "items", "format": kind},
        "split": {"method": "none"},
        "features": [{"name": name, "of": "item", "column": "f"} for name in names],
    }
    manifest = encode_document(document, tmp_path, tmp_path / "out")
    sides = {"user": (0, 3), "item": (3, 5)}
    assert manifest.ranges == sides | {name: (5 + 2 * at, 7 + 2 * at) for at, name in enumerate(names)}
