import json

import pytest

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
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, object], sentence: str) -> None:
    document = json.loads(manifest().to_json()) | change
    with pytest.raises(FormatError, match=sentence.replace("(", r"\(")):
        Manifest.from_json(json.dumps(document))
