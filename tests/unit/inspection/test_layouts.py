"""Public layouts: inspect finds the document that a person would write, and encoding by it is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from fmrec.artifacts.manifest import Manifest
from fmrec.dataset import Dataset
from fmrec.encoding.job import encode
from fmrec.inspection.findings_text import as_json, in_words
from fmrec.inspection.inspection import Inspection, inspect
from tests.unit.inspection.layouts.every import LAYOUTS
from tests.unit.inspection.layouts.layout import Layout
from tests.unit.inspection.layouts.reference import (
    bounds,
    decoded,
    held_out,
    positives,
    resolved,
    side_entries,
    weights,
)
from tests.unit.inspection.layouts.table import TITLE, table

DESCRIBED = [layout for layout in LAYOUTS if layout.read is not None]
ENCODED = [layout for layout in DESCRIBED if layout.encoded]
NEED_A_RECIPE = [layout for layout in LAYOUTS if layout.read is None]


def look(layout: Layout, folder: Path) -> Inspection:
    layout.write(folder)
    return inspect(str(folder if layout.inspect == "." else folder / layout.inspect))


@pytest.mark.parametrize("layout", DESCRIBED, ids=lambda layout: layout.name)
def test_the_document_is_what_a_person_would_write(layout: Layout, tmp_path: Path) -> None:
    found = look(layout, tmp_path)

    assert found.document is not None
    assert {section: found.document.get(section) for section in layout.document} == layout.document
    assert sorted(feature["name"] for feature in found.document.get("features", [])) == sorted(
        layout.features
    )
    assert {entry.reason: entry.rows for entry in found.expected} == layout.bad
    assert found.recipe is None
    assert (found.question is None) == (layout.question is None)
    assert layout.question is None or layout.question in str(found.question)
    Dataset.from_document(found.document)
    assert json.loads(json.dumps(as_json(found)))["document"] == found.document
    assert in_words(found).endswith(json.dumps(found.document, indent=2, ensure_ascii=False))


@pytest.mark.parametrize("layout", NEED_A_RECIPE, ids=lambda layout: layout.name)
def test_files_that_no_document_describes_name_their_recipe(layout: Layout, tmp_path: Path) -> None:
    found = look(layout, tmp_path)

    assert found.document is None
    assert found.recipe is not None
    assert found.recipe.name == layout.recipe
    assert found.recipe.sentence in in_words(found)


@pytest.mark.parametrize("layout", ENCODED, ids=lambda layout: layout.name)
def test_encoding_by_the_document_gives_what_pandas_reads(
    layout: Layout, spark: SparkSession, tmp_path: Path
) -> None:
    raw, output = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    found = look(layout, raw)
    assert found.document is not None
    # Each pick once, whatever number of copies its size would bring.
    found.document["label"] |= {"negatives_per_positive": 4, "copies": 1}
    manifest = encode(spark, Dataset.from_document(found.document), str(raw), str(output), "test")

    assert manifest.quarantine_reasons == layout.bad
    compare(layout, found.document, manifest, raw, output)


def compare(layout: Layout, document: dict[str, Any], manifest: Manifest, raw: Path, output: Path) -> None:
    """Compare every row, label and side feature of both channels."""
    assert layout.read is not None
    frame = resolved(layout.read(raw), document)
    weight = weights(frame, document)
    channels = {name: decoded(output, name) for name in ("train", "test")}
    if document["split"]["method"] == "leave-last-n":
        test = held_out(frame)
        for name, here in (("train", ~test), ("test", test)):
            times = weight[here] if name == "train" else (weight[here] > 0).astype(float)
            expected = bounds(frame[here], times)
            counts = positives(channels[name])
            assert set(counts) <= set(expected)
            assert all(low <= counts[pair] <= high for pair, (low, high) in expected.items())
    else:
        # Drawn by pair: each is on one side, and both sides make the whole.
        train, test_pairs = positives(channels["train"]), positives(channels["test"])
        assert not set(train) & set(test_pairs)
        expected = bounds(frame, weight)
        assert set(train) | set(test_pairs) == {pair for pair, (_, high) in expected.items() if high}
        assert all(expected[pair][0] <= count <= expected[pair][1] for pair, count in train.items())
        assert 0 < len(test_pairs) < 0.25 * len(expected)
    met = set(zip(frame.user, frame.item, strict=True))
    negatives = [row for row in channels["test"] if row.label == 0]
    assert not met & {(row.user, row.item) for row in negatives}
    assert len(negatives) == 4 * sum(positives(channels["test"]).values())
    compare_features(layout, document, raw, channels, sorted(set(frame.user)), sorted(set(frame.item)))


def compare_features(
    layout: Layout,
    document: dict[str, Any],
    raw: Path,
    channels: dict[str, Any],
    users: list[str],
    items: list[str],
) -> None:
    features = document.get("features", [])
    readers: tuple[tuple[str, Callable[[Path], Any] | None, list[str]], ...] = (
        ("user", layout.users, users),
        ("item", layout.items, items),
    )
    entries = {
        of: side_entries(reader(raw) if reader else None, ids, [f for f in features if f["of"] == of])
        for of, reader, ids in readers
    }
    assert not features or any(any(side.values()) for side in entries.values())
    for rows in channels.values():
        for row in rows:
            wanted = entries["user"][row.user] | entries["item"][row.item]
            assert row.entries == pytest.approx(wanted, rel=1e-5), (row.user, row.item)


@pytest.mark.slow
def test_the_table_of_the_documentation_has_what_is_found() -> None:
    page = (Path(__file__).parents[3] / "docs/datasets.md").read_text()
    section = page.split(f"{TITLE}\n")[1].split("\n## ")[0]
    assert section[section.index("| data set") :].strip() == table(LAYOUTS)
