import contextlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.errors import FormatError


def manifest() -> Manifest:
    return Manifest(
        run="r1",
        created="2026-11-21T00:00:00Z",
        dataset={},
        feature_dim=5,
        nnz_per_row=2.0,
        users=2,
        items=3,
        ranges={"user": (0, 2), "item": (2, 5)},
        rows=Rows(read=10, encoded=8, train=6, test=2, quarantined=1, dropped=1),
        train=Channel("train/", 6, 1, 384, 0.5),
        test=Channel("test/", 2, 1, 128, 0.5),
    )


def test_a_manifest_survives_the_way_through_json() -> None:
    assert Manifest.from_json(manifest().to_json()) == manifest()
    assert manifest().first_item_column == 2


def test_unknown_keys_are_ignored() -> None:
    document = json.loads(manifest().to_json()) | {"added_later": 1}
    for section in ("rows", "train", "test"):
        document[section]["added_later"] = {"x": 1}
    assert Manifest.from_json(json.dumps(document)) == manifest()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 2}, "version 2"),
        ({"feature_dim": 6}, "ranges end at 5, feature_dim is 6"),
        ({"ranges": {"user": [0, 2], "item": [3, 5]}}, "expected to start at 2"),
        (
            {"rows": {"read": 9, "encoded": 8, "train": 6, "test": 2, "quarantined": 2, "dropped": 1}},
            "9 rows read",
        ),
        ({"rows": {"read": 10, "encoded": 10, "train": 6, "test": 2}}, "10 rows encoded"),
        ({"train": None}, "lacks or misstates"),
        ({"users": 3}, "manifest.json has 3 users, but their columns are [0, 2)"),
        ({"items": 2}, "manifest.json has 2 items, but their columns are [2, 5)"),
        ({"users": -2, "ranges": {"user": [0, -2], "item": [-2, 5]}}, "users is -2, expected a count"),
        ({"users": True}, "users is True"),
        ({"feature_dim": 10**400}, "feature_dim is 1"),
        ({"ranges": {"user": [0.0, 2], "item": [2, 5]}}, "ranges.user is 0.0"),
        ({"ranges": {"user": [0, 2], "film": [2, 5]}}, "ranges lack 'item'"),
        ({"nnz_per_row": float("inf")}, "nnz_per_row is inf"),
        ({"dataset": []}, "dataset is [], expected an object"),
        ({"run": 7}, "run is 7, expected a text"),
        ({"details": 7}, "details is 7, expected an object"),
        (
            {"train": {"prefix": "train/", "rows": -6, "parts": 1, "bytes": 384, "positive_share": 0.5}},
            "train.rows is -6, expected a count",
        ),
        (
            {"train": {"prefix": "train/", "rows": 6, "parts": 0, "bytes": 384, "positive_share": 0.5}},
            "the train channel has 6 rows in no part",
        ),
        (
            {"train": {"prefix": "train/", "rows": 6, "parts": 1, "bytes": 384, "positive_share": 2}},
            "train.positive_share is 2",
        ),
        ({"quarantine_reasons": {"missing user": 3}}, "has 1 quarantined rows, but reasons for 3"),
        ({"quarantine_reasons": {"missing user": "1"}}, "must have counts"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, object], sentence: str) -> None:
    document = json.loads(manifest().to_json()) | change
    with pytest.raises(FormatError, match=re.escape(sentence)):
        Manifest.from_json(json.dumps(document))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_whatever_stands_in_a_manifest_only_a_format_error_leaves_its_reader(data: st.DataObject) -> None:
    document = json.loads(manifest().to_json())
    key = data.draw(st.sampled_from(sorted(document)))
    part = document[key]
    if isinstance(part, dict) and part and data.draw(st.booleans()):
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JSON)
    else:
        document[key] = data.draw(JSON)
    with contextlib.suppress(FormatError):
        read = Manifest.from_json(json.dumps(document))
        assert read.users == read.ranges["user"][1] - read.ranges["user"][0]
        assert read.dataset_name


@pytest.mark.parametrize("text", ["", "[]", "3", "[" * 100_000, "\ud800", b"\xff", '{"version": 1}'])
def test_what_is_no_manifest_is_refused(text: str | bytes) -> None:
    with pytest.raises(FormatError):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ({"left_out_users": "some"}, "dataset.label.left_out_users is 'some', expected a share of the users"),
        ({"left_out_users": 0.1, "seed": 0.5}, "dataset.label.seed is 0.5, expected a count"),
    ],
)
def test_who_was_left_out_must_be_known(label: dict[str, Any], words: str) -> None:
    document = manifest()
    document = replace(document, dataset={"label": {"mode": "implicit", **label}})
    with pytest.raises(FormatError, match=words):
        Manifest.from_json(document.to_json())


def test_the_share_of_users_left_out_is_what_was_asked_for() -> None:
    document = manifest()
    assert document.left_out_share == 0
    left_out = replace(document, dataset={"label": {"mode": "implicit", "left_out_users": 0.25}})
    assert Manifest.from_json(left_out.to_json()).left_out_share == 0.25
