"""Side features of small runs, without Spark: rows of attributes by id, names by feature id, and counts."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fmrec.dataset import Attributes, Feature, Source
from fmrec.dataset.section import Section
from fmrec.encoding.features.attribute_counts import FeatureValues
from fmrec.encoding.features.attribute_files import DescribedSide
from fmrec.encoding.features.features_in_memory import AttributeRows, FeatureIndex
from fmrec.encoding.features.kinds import Measured, quantiles
from fmrec.encoding.features.reading import Reading
from fmrec.encoding.index_in_memory import ChunkTexts, NamespaceIndex
from fmrec.encoding.task_input import ATTRIBUTE_SCHEMA


def reading(**settings: Any) -> Reading:
    return Reading(Feature.take(Section({"name": "f", "of": "item"} | settings, "features[0]")))


def attribute(position: int, owner: str | None, *names: str, **more: Any) -> dict[str, Any]:
    read = {"present": bool(names), "number": None, "names": names, "unusable": None} | more.pop("read", {})
    row = {"_owner": owner, "_reads": [read], "_path": "a", "_start": 0, "_position": position}
    return row | {"_reason": None, "_example": None} | more


def rows(*found: dict[str, Any]) -> AttributeRows:
    return AttributeRows.of(pa.Table.from_pylist(list(found), ATTRIBUTE_SCHEMA))


def index(described: list[str]) -> NamespaceIndex:
    """Two items that occur twice and once, from the feature id 10 on, and those that only attributes have."""
    texts = [ChunkTexts(0, 1, 0, pa.array(["b", "a"]), np.array([2, 1]))]
    return NamespaceIndex.of(texts, 1, 10, 1, pa.array(described, pa.string()))


ROWS = [
    attribute(5, "a", "x", "y"),
    attribute(2, "a", "old"),
    attribute(3, "new", "y", "z"),
    attribute(9, "a long id", "z"),
    attribute(4, "silent"),
    attribute(8, None, _reason="missing id", _example=",second"),
    attribute(7, None, _reason="missing id", _example=",first"),
    attribute(6, "b", read={"present": True, "unusable": "?"}),
]


def test_the_last_row_of_an_id_counts_and_only_what_training_has_gets_feature_ids() -> None:
    found = rows(*ROWS)
    assert found.described(5).to_pylist() == ["a", "new", "b"]
    items = index(["new"])
    assert items.names.to_pylist() == ["a", "b", "new"]
    assert (items.range, items.trained) == ((10, 13), (10, 12))

    side = DescribedSide("item", Attributes(Source("i.csv"), "item_id"), "i.csv", {2: reading()})
    owned = found.of_ids(items, side)
    assert owned.counts.to_document() == {
        "path": "i.csv", "read": 8, "repeated": 1, "unmatched": 3, "matched": 2, "ids": 2,
        "bad": {"missing id": 2}, "bad_examples": {"missing id": ",first"},
    }  # fmt: skip
    assert owned.features[2].values == FeatureValues(usable=1, unusable=1, missing=0, examples=("?",))
    names = FeatureIndex.of(owned.features[2].entries, owned.features[2].times, 13)
    assert names.names.to_pylist() == ["x", "y"]
    assert names.counts.tolist() == [1, 1]
    table = owned.rows({2: names}, 3)
    assert table.lengths.tolist() == [2, 0, 1]
    assert table.feature_ids.tolist() == [13, 14, 14]
    assert table.values.tolist() == pytest.approx([0.05, 0.05, 0.05])


def test_no_attributes_at_all_leave_everybody_without_features() -> None:
    side = DescribedSide("item", Attributes(Source("i.csv"), "item_id"), "i.csv", {2: reading()})
    owned = rows().of_ids(index([]), side)
    assert (owned.counts.read, owned.counts.matched) == (0, 0)
    names = FeatureIndex.of(owned.features[2].entries, owned.features[2].times, 12)
    assert names.range == (12, 12)
    assert owned.rows({2: names}, 2).lengths.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("numbers", "mean", "deviation"),
    [([0.1, 0.1, 0.1], 0.1, 0.0), ([0.1, 0.2, -0.3, 0.0], 0.0, 0.187082869), ([3.0, 5.0], 4.0, 1.0)],
)
def test_what_sums_leave_of_nothing_is_nothing(numbers: list[float], mean: float, deviation: float) -> None:
    measured = Measured.of_numbers(
        reading(kind="numeric"), np.array(numbers), np.ones(len(numbers), np.int64)
    )
    assert (measured.mean, measured.deviation) == (mean, deviation)


def test_quantiles_of_ranges_are_those_of_the_whole() -> None:
    x, counts = np.arange(20.0), np.arange(1, 21) * 3 % 7
    total = int(counts.sum())
    whole = quantiles(x, counts, 6, total)
    cut = [
        found
        for part in (slice(0, 8), slice(8, 9), slice(9, 20))
        for found in quantiles(x[part], counts[part], 6, total, int(counts[: part.start].sum()))
    ]
    assert cut == whole
    numbers = np.repeat(x, counts)
    assert whole == np.quantile(numbers, np.arange(1, 6) / 6, method="inverted_cdf").tolist()
