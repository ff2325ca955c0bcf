import json
import re
import zoneinfo
from pathlib import Path
from typing import Any

import pytest

from fmrec.dataset import Dataset, ImplicitLabel, LeaveLastN, TimeCut, timestamps
from fmrec.errors import SettingsError

EVERYTHING: dict[str, Any] = {
    "interactions": {
        "path": "clicks/",
        "format": "tsv",
        "header": False,
        "fields": ["who", "what", "when", "how"],
        "comment": "#",
        "columns": {"user": "who", "item": "what", "timestamp": "when", "event": "how"},
        "timestamp_format": "iso8601",
    },
    "users": {"path": "users.jsonl", "format": "jsonl", "id": "uid"},
    "items": {"path": "items.parquet", "format": "parquet"},
    "label": {"mode": "implicit", "event_weights": {"view": 0.2, "buy": 3}, "negatives_per_positive": 8},
    "split": {"method": "time-cut", "at": "2025-06-01"},
    "features": [
        {"name": "age", "of": "user", "kind": "numeric", "scale": 0.5},
        {"name": "tags", "of": "item", "kind": "multi-valued", "separator": ","},
        {"name": "hour", "of": "interaction", "column": "when", "kind": "date-part", "part": "hour"},
    ],
    "minimum_interactions": {"user": 2, "item": 3},
    "duplicates": "sum",
    "seed": 7,
    "parts": 4,
}
ODD_FILES: dict[str, Any] = {
    "interactions": {
        "path": "BX [2004].csv", "delimiter": ";", "encoding": "latin-1", "escape": "\\", "multiline": True,
        "missing": ["NULL", "-"], "decimal": ",", "timestamp_format": "dd-MMM-yyyy", "timezone": "Europe/Berlin",
        "not_rated": [0, "n/a"], "item_separator": " ",
    },
    "items": {"path": "items.json", "format": "jsonl", "encoding": "UTF16", "missing": ["\\N"]},
    "features": [
        {"name": "year", "of": "item", "column": "details.released", "kind": "date-part", "part": "year",
         "timestamp_format": "M/d/yyyy"},
    ],
}  # fmt: skip


def test_an_empty_document_is_the_documented_default() -> None:
    dataset = Dataset.from_document({})
    assert dataset.to_document() == {
        "name": "default",
        "interactions": {
            "path": "interactions/", "format": "csv", "encoding": "utf-8", "header": True, "delimiter": ",",
            "quote": '"', "escape": "", "multiline": False, "missing": [], "decimal": ".", "timezone": "UTC",
            "columns": {"user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp"},
            "timestamp_format": "seconds", "not_rated": [],
        },
        "label": {"mode": "binary", "threshold": 4.0},
        "split": {"method": "leave-first-n", "n": 10},
        "features": [],
        "minimum_interactions": {"user": 1, "item": 1},
        "duplicates": "all",
        "unknown": "index",
        "quarantine": {
            "max_share": 0.05, "max_id_length": 256,
            "earliest": "1970-01-01T00:00:00+00:00", "latest": "2100-01-01T00:00:00+00:00",
        },
        "seed": 0,
        "parts": None,
    }  # fmt: skip


@pytest.mark.parametrize("document", [{}, EVERYTHING, ODD_FILES])
def test_a_resolved_document_reads_back_as_the_same_dataset(document: dict[str, Any]) -> None:
    dataset = Dataset.from_document(document)
    assert Dataset.from_document(dataset.to_document()) == dataset


def test_settings_of_files_arrive_as_they_are_meant() -> None:
    dataset = Dataset.from_document(ODD_FILES)
    interactions, source = dataset.interactions, dataset.interactions.source
    assert (source.encoding, source.escape, source.multiline, source.decimal) == (
        "iso8859-1",
        "\\",
        True,
        ",",
    )
    assert (source.missing, source.timezone) == (("NULL", "-"), "Europe/Berlin")
    assert (interactions.timestamp_format, interactions.item_separator) == ("dd-MMM-yyyy", " ")
    assert interactions.not_rated == ("0", "n/a")
    assert dataset.items is not None
    assert (dataset.items.source.encoding, dataset.items.source.missing) == ("utf-16", ("\\N",))
    assert dataset.features[0].timestamp_format == "M/d/yyyy"


def test_time_zones_are_looked_up_once_and_only_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for them reads hundreds of files."""
    looked: list[int] = []
    names = zoneinfo.available_timezones()

    def look() -> set[str]:
        looked.append(1)
        return names

    monkeypatch.setattr(zoneinfo, "available_timezones", look)
    timestamps._zones.cache_clear()
    Dataset.from_document({"interactions": {"timezone": "+02:00"}})
    Dataset.from_document({})
    assert looked == []
    for zone in ("Europe/Berlin", "Asia/Tokyo"):
        Dataset.from_document({"interactions": {"timezone": zone}})
    assert looked == [1]


@pytest.mark.parametrize(
    "timestamp_format",
    ["seconds", "milliseconds", "microseconds", "nanoseconds", "iso8601", "rfc2822", "dd-MMM-yyyy",
     "M/d/yyyy H:mm", "EEE MMM d HH:mm:ss Z yyyy", "yyyyMMdd", "yyyy-DDD", "yyyy.MM.dd'T'HH:mm[:ss][.SSS]XXX",
     "M/d/yyyy h:mm:ss a"],
)  # fmt: skip
def test_a_time_format_is_a_name_or_a_pattern_with_a_date(timestamp_format: str) -> None:
    document = {"interactions": {"timestamp_format": timestamp_format}}
    assert Dataset.from_document(document).interactions.timestamp_format == timestamp_format


def test_how_many_picks_of_a_user_count_in_full_is_kept_and_left_out_where_it_is_not_said() -> None:
    label = Dataset.from_document({"label": {"mode": "implicit", "full_weight_picks": 30}}).label
    assert isinstance(label, ImplicitLabel)
    assert label.full_weight_picks == label.to_document()["full_weight_picks"] == 30
    assert "full_weight_picks" not in ImplicitLabel().to_document()
    with pytest.raises(SettingsError, match=r"label\.full_weight_picks is 0: expected an integer at least 1"):
        Dataset.from_document({"label": {"mode": "implicit", "full_weight_picks": 0}})


@pytest.mark.parametrize(
    ("said", "negatives", "copies", "auto"),
    [
        ({}, "auto", "auto", {"negatives_per_positive", "copies"}),
        ({"negatives_per_positive": 3}, 3, 1, set()),
        ({"copies": 2}, 4, 2, set()),
        ({"negatives_per_positive": 3, "copies": "auto"}, 3, "auto", {"copies"}),
    ],
)
def test_negatives_and_copies_are_left_to_the_encoding_where_a_document_says_neither(
    said: dict[str, Any], negatives: object, copies: object, auto: set[str]
) -> None:
    label = Dataset.from_document({"label": {"mode": "implicit"} | said}).label
    assert isinstance(label, ImplicitLabel)
    assert label.auto == auto
    document = label.to_document()
    assert (document["negatives_per_positive"], document["copies"]) == (negatives, copies)
    assert Dataset.from_document({"label": document}).label == label
    assert label.all_by_size == (len(auto) == 2)
    chosen = label.chosen(negatives_per_positive=8, copies=6)
    assert chosen.auto == frozenset()
    assert chosen.copies == (6 if "copies" in auto else copies)


def test_settings_arrive_where_they_belong() -> None:
    dataset = Dataset.from_document(EVERYTHING)
    assert dataset.label == ImplicitLabel(
        event_weights={"view": 0.2, "buy": 3.0},
        negatives_per_positive=8,
        sampling="uniform",
    )
    assert isinstance(dataset.split, TimeCut)
    assert dataset.split.seconds == 1748736000.0
    assert dataset.interactions.source.delimiter == "\t"
    assert Dataset.from_document({"split": {"method": "leave-last-n", "n": 2}}).split == LeaveLastN(2)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"lable": {}}, "lable is not a known setting here: did you mean label?"),
        ({"interactions": []}, "interactions is []: expected a JSON object"),
        ({"interactions": {"format": "xml"}}, "interactions.format is 'xml': expected one of csv, tsv, jsonl"),
        ({"interactions": {"header": False}}, "interactions.fields is None: expected a list of names"),
        ({"interactions": {"columns": {"user": "u"}}}, "interactions.columns.item is missing: expected a text"),
        ({"interactions": {"columns": {"user": "u", "item": "u"}}}, "expected another column than columns.user"),
        ({"interactions": {"format": "jsonl", "delimiter": ";"}}, "interactions.delimiter is ';': expected nothing"),
        ({"interactions": {"columns": {"user": "u", "item": "i"}}}, "interactions.columns.value is missing: label.mode"),
        ({"label": {"mode": "implicit", "event_weights": {"buy": 1}}}, "columns.event is missing: label.event_weights"),
        ({"label": {"mode": "implicit", "event_weights": {"a": 0}}}, "gives every event the weight 0"),
        ({"label": {"mode": "implicit", "event_weights": {"a": -1}}}, "event_weights.a is -1: expected a number at least 0"),
        ({"label": {"threshold": float("nan")}}, "label.threshold is nan: expected a number"),
        ({"split": {"n": 0}}, "split.n is 0: expected an integer at least 1"),
        ({"split": {"method": "random", "share": 1}}, "split.share is 1: expected a number above 0 and below 1"),
        ({"split": {"method": "time-cut", "at": "noon"}}, "split.at is 'noon': expected a time in ISO 8601"),
        ({"features": [{"name": "age", "of": "user"}]}, "features[0] (age) describes the user, but the document has no users"),
        ({"features": [{"name": "user", "of": "interaction"}]}, "features[0].name is 'user', which is taken"),
        ({"items": {"path": "i.csv", "without_interactions": True}}, "items.without_interactions is true, but no feature describes items"),
        ({"unknown": "keep"}, "unknown is 'keep': expected one of index, drop, features-only"),
        ({"unknown": "features-only"}, "unknown is 'features-only', but there are no features"),
        *[
            ({"interactions": {"timestamp_format": wrong}}, f"timestamp_format is {wrong!r}: expected one of seconds")
            for wrong in ("second", "HH:mm:ss", "yyyy-MM", "dd/MM", "%Y-%m-%d", "yyyy-MM-dd'T", "YYYY-MM-dd", "epoch")
        ],
        ({"interactions": {"timezone": "Mars/Phobos"}}, "interactions.timezone is 'Mars/Phobos': expected a name of"),
        *[
            ({"interactions": {"encoding": wrong}}, f"interactions.encoding is {wrong!r}: expected a text encoding")
            for wrong in ("utf-9", "rot13", "base64", "idna")
        ],
        ({"interactions": {"format": "parquet", "encoding": "latin-1"}}, "interactions.encoding is 'latin-1': expected nothing"),
        ({"interactions": {"format": "jsonl", "escape": "\\"}}, "interactions.escape is '\\\\': expected nothing"),
        ({"interactions": {"escape": "ab"}}, "interactions.escape is 'ab': expected one ASCII character"),
        ({"interactions": {"format": "tsv", "multiline": True}}, "multiline is True: expected false, since quote is empty"),
        ({"interactions": {"comment": 35}}, "interactions.comment is 35: expected ASCII characters"),
        ({"interactions": {"comment": "a,b"}}, "interactions.comment is 'a,b': expected ASCII characters that the delimiter"),
        ({"interactions": {"comment": "#", "multiline": True}}, "comment is '#': expected nothing, since multiline is true"),
        ({"interactions": {"missing": "NA"}}, "interactions.missing is 'NA': expected a list of texts"),
        ({"interactions": {"decimal": ";"}}, "interactions.decimal is ';': expected one of ., ,"),
        ({"interactions": {"columns": {"user": "u", "item": "i"}, "not_rated": [0]}, "label": {"mode": "implicit"}},
         "interactions.columns.value is None: expected the column that interactions.not_rated is about"),
        ({"interactions": {"item_value_separator": "-"}}, "interactions.columns.value is 'rating': expected the same column as columns.item"),
        ({"interactions": {"item_separator": ""}}, "interactions.item_separator is '': expected a text that is not empty"),
        ({"parts": True}, "parts is True: expected an integer"),
        ({"quarantine": {"earliest": "2100-01-01"}}, "quarantine.latest is None: expected a time after"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_in_a_sentence(document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        Dataset.from_document(document)


def test_nothing_heavy_is_imported() -> None:
    import subprocess
    import sys

    code = "import sys, fmrec.dataset; print({'numpy', 'pyspark', 'boto3', 'pyarrow'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_validation_is_kept_in_the_document_where_it_was_asked_for() -> None:
    assert "validation" not in Dataset.from_document({}).to_document()
    asked = Dataset.from_document({"validation": True})
    assert asked.to_document()["validation"] is True
    assert Dataset.from_document(asked.to_document()) == asked


def test_the_documentation_s_documents_are_valid_and_say_what_they_seem_to() -> None:
    text = (Path(__file__).parents[3] / "docs/datasets.md").read_text(encoding="utf-8")
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    movielens, clicks, shop, impressions = (Dataset.from_document(block) for block in blocks)
    assert [feature.name for feature in movielens.features] == [
        "age",
        "gender",
        "occupation",
        "genre",
        "year",
    ]
    assert isinstance(clicks.label, ImplicitLabel)
    assert clicks.label.event_weights == {"view": 0.2, "cart": 1, "purchase": 3}
    assert isinstance(clicks.split, TimeCut)
    assert isinstance(shop.split, LeaveLastN)
    assert (shop.interactions.columns["item"], shop.duplicates) == ("sku", "sum")
    assert impressions.interactions.item_value_separator == "-"
    for dataset in (movielens, clicks, shop, impressions):
        assert Dataset.from_document(dataset.to_document()) == dataset
