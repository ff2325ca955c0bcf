"""Small inputs as people have them, in ``small_inputs``: the right rows, or the sentence that helps."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmrec.artifacts.manifest import Manifest
from fmrec.errors import InputError
from tests.unit.inspection.layouts.reference import decoded

Encode = Callable[[dict[str, Any], Path, Path], Manifest]
Rows = list[tuple[str, str, float, dict[tuple[str, str], Any]]]
FOLDER = Path(__file__).parent / "small_inputs"


def described(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / name / "document.json").read_text())
    return document


def plain(*rows: tuple[str, str, float]) -> Rows:
    return [(user, item, label, {}) for user, item, label in rows]


def items_have(namespace: str, **names: list[str]) -> Rows:
    """What user 1 liked: items 7 and 8, each with an equal part of the scale on each of its names."""
    return [
        ("1", item[1:], 1.0, {(namespace, name): pytest.approx(0.1 / len(found)) for name in found})
        for item, found in names.items()
    ]


SMARTPHONES = [
    (str(at % 7), str(at % 5), 1.0, {("device", "ios"): pytest.approx(0.1)} if at >= 100 else {})
    for at in range(104)
]
RIGHT: list[tuple[str, dict[str, Any], Rows, dict[str, int]]] = [
    ("header-order-differs", {}, plain(("1", "100", 1), ("2", "101", 1), ("2", "100", 1), ("1", "102", 1)), {}),
    ("json-key-after-line-100", {}, SMARTPHONES, {}),
    ("jsonl-two-objects-a-line", {}, plain(("a", "x", 1), ("a", "y", 1), ("b", "x", 0)), {}),
    ("multi-valued-digits", {}, items_have("cat", _7=["10", "20"], _8=["10", "20"]), {}),
    ("multi-valued-json-array", {}, items_have("category", _7=["Books", "Kids & Co"], _8=["Books"]), {}),
    ("multi-valued-spaces", {}, items_have("cat", _7=["Bars", "Pizza"], _8=["Bars", "Pizza"]), {}),
    ("parquet-nanoseconds", {}, plain(("1", "5", 1), ("2", "6", 1)), {}),
    ("unbalanced-quote-accepted", {}, plain(("3", "102", 1)), {"unbalanced quotes": 2}),
    ("unbalanced-quote-accepted", {"interactions": {"path": "r.csv", "multiline": True}}, plain(("1", "100", 1), ("3", "102", 1)), {}),
    ("attributes-unreadable-rows", {"items": described("attributes-unreadable-rows")["items"] | {"encoding": "latin-1"}}, items_have("genre", _7=["Drama"], _8=["Comedy"]), {}),
    ("event-names-match-nothing", {"label": {"mode": "implicit", "event_weights": {"view": 1, "addtocart": 3}, "negatives_per_positive": 0}}, plain(("1", "a", 1), *[("2", "b", 1)] * 3), {}),
    ("nothing-to-train-on", {"split": {"method": "leave-first-n", "n": 2}}, plain(("1", "12", 1), ("2", "12", 1)), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changed", "rows", "bad"), RIGHT, ids=lambda given: given if isinstance(given, str) else ""
)
def test_every_row_label_and_feature_is_right(
    name: str,
    changed: dict[str, Any],
    rows: Rows,
    bad: dict[str, int],
    encode_document: Encode,
    tmp_path: Path,
) -> None:
    manifest = encode_document(described(name) | changed, raw(name, tmp_path), tmp_path / "out")

    found = [(row.user, row.item, row.label, row.entries) for row in decoded(tmp_path / "out", "train")]
    assert sorted(found, key=in_order) == sorted(rows, key=in_order)
    assert manifest.quarantine_reasons == bad


def in_order(row: tuple[str, str, float, dict[tuple[str, str], Any]]) -> tuple[object, ...]:
    return (*row[:3], *row[3])


REFUSED = [
    ("attributes-unreadable-rows", "1 of 2 rows of ", "e.g. '7::D\ufffdj\ufffd Fu (1995)::Drama'), more than quarantine.max_share allows (5.00%); it reads as latin-1: set items.encoding to 'latin-1'"),
    ("event-names-match-nothing", "no training row is left of 2 rows read (2 not picked): ", "label.event_weights names View and AddToCart, which no row has; the rows have addtocart (1), view (1): correct the names"),
    ("feature-values-unusable", "the feature 'price' (kind numeric) has nothing to write: ", "none of the 2 values of 'price' is a number that float32 can hold (there are '$1,299.00', '$12.99')"),
    ("nothing-to-train-on", "no training row is left of 6 rows read (6 held out for test): ", "split.method 'leave-first-n' holds out each user's first 10 interactions, and no user has more than 3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "start", "end"), REFUSED)
def test_what_would_train_a_wrong_model_is_refused(
    name: str, start: str, end: str, encode_document: Encode, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"{re.escape(start)}.*{re.escape(end)}"):
        encode_document(described(name), raw(name, tmp_path), tmp_path / "out")

    assert not list((tmp_path / "out").glob("t*/*.pbr"))
    assert not (tmp_path / "out/manifest.json").exists()


def raw(name: str, folder: Path) -> Path:
    """Copy an input without its document."""
    return Path(
        shutil.copytree(FOLDER / name, folder / "raw", ignore=shutil.ignore_patterns("document.json"))
    )
