import json
import re
from pathlib import Path
from typing import Any

import pytest

from fmrec.dataset import Dataset, ImplicitLabel, LeaveLastN, TimeCut
from fmrec.errors import SettingsError

EVERYTHING: dict[str, Any] = {
    "interactions": {
        "path": "clicks/",
        "format": "tsv",
        "header": False,
        "fields": ["who", "what", "when", "how"],
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


def test_an_empty_document_is_the_documented_default() -> None:
    dataset = Dataset.from_document({})
    assert dataset.to_document() == {
        "interactions": {
            "path": "interactions/", "format": "csv", "header": True, "delimiter": ",", "quote": '"',
            "columns": {"user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp"},
            "timestamp_format": "seconds",
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


@pytest.mark.parametrize("document", [{}, EVERYTHING])
def test_a_resolved_document_reads_back_as_the_same_dataset(document: dict[str, Any]) -> None:
    dataset = Dataset.from_document(document)
    assert Dataset.from_document(dataset.to_document()) == dataset


def test_settings_arrive_where_they_belong() -> None:
    dataset = Dataset.from_document(EVERYTHING)
    assert dataset.label == ImplicitLabel(
        event_weights={"view": 0.2, "buy": 3.0}, negatives_per_positive=8, sampling="uniform"
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
        ({"split": {"n": 0}}, "split.n is 0: expected a whole number at least 1"),
        ({"split": {"method": "random", "share": 1}}, "split.share is 1: expected a number above 0 and below 1"),
        ({"split": {"method": "time-cut", "at": "noon"}}, "split.at is 'noon': expected a time in ISO 8601"),
        ({"features": [{"name": "age", "of": "user"}]}, "features[0] (age) describes the user, but the document has no users"),
        ({"features": [{"name": "user", "of": "interaction"}]}, "features[0].name is 'user', which is taken"),
        ({"unknown": "keep"}, "unknown is 'keep': expected one of index, drop, features-only"),
        ({"unknown": "features-only"}, "unknown is 'features-only', but there are no features"),
        ({"parts": True}, "parts is True: expected a whole number"),
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
    movielens, clicks, shop = (Dataset.from_document(block) for block in blocks)
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
    for dataset in (movielens, clicks, shop):
        assert Dataset.from_document(dataset.to_document()) == dataset
