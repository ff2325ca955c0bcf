"""Business rules as data: which items may be recommended at all, and how many of a kind.

A small JSON document, in the settings or in S3::

    {
      "allow": ["id", …] or "s3://…/ids.txt",        only these
      "deny": ["id", …] or "s3://…/ids.txt",         never these
      "minimum_popularity": 5,                       only items in at least so many interactions
      "maximum_per_category": 3,                     at most so many of one category in a user's list
      "categories": "s3://…/categories.csv"          which item is of which category
    }

A list in S3 is text with one id a line. The categories are CSV with the header ``item_id,category``;
an item may have several rows, and one without is not limited. Ids that no interaction names are
ignored: a shop's deny list is longer than its sales.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fmrec.artifacts.feature_index import FeatureIndex
from fmrec.artifacts.interactions import Interactions, from_pairs
from fmrec.artifacts.manifest import Manifest
from fmrec.errors import SettingsError
from fmrec.recommendations.selection import Rules
from fmrec.storage import object_store

KEYS = ("allow", "deny", "minimum_popularity", "maximum_per_category", "categories")


def read_rules(document: Mapping[str, Any], manifest: Manifest, index: FeatureIndex) -> Rules:
    """Resolve a document of rules for the items of one run.

    Raises
    ------
    SettingsError
        A rule is unknown or malformed, or the rules leave no item.
    InputError
        A list in S3 can't be read.
    """
    for key in document:
        if key not in KEYS:
            raise SettingsError(f"filters have the rule {key!r}, expected one of {', '.join(KEYS)}")
    columns = manifest.ranges["item"]
    item_ids = index.names(*columns)
    excluded = np.zeros(manifest.items, bool)
    if "allow" in document:
        excluded |= ~_named(item_ids, _ids(document["allow"], "allow"))
    if "deny" in document:
        excluded |= _named(item_ids, _ids(document["deny"], "deny"))
    minimum = _whole_number(document, "minimum_popularity")
    if minimum is not None:
        excluded |= index.interactions(*columns) < minimum
    if excluded.all():
        raise SettingsError(f"filters leave none of the {manifest.items} items to recommend")
    maximum = _whole_number(document, "maximum_per_category")
    if (maximum is None) != ("categories" not in document):
        raise SettingsError("filters need maximum_per_category and categories together")
    if maximum is None:
        return Rules(excluded)
    return Rules(excluded, _categories(document["categories"], item_ids), maximum)


def _ids(value: Any, rule: str) -> list[str]:
    if isinstance(value, str):
        return [line.strip() for line in object_store.read_text(value).splitlines() if line.strip()]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise SettingsError(f"filters.{rule} is {value!r}, expected a list of item ids or the URI of one")


def _named(item_ids: pa.Array, wanted: list[str]) -> npt.NDArray[np.bool_]:
    named: npt.NDArray[np.bool_] = pc.is_in(item_ids, pa.array(wanted, pa.string())).to_numpy(
        zero_copy_only=False
    )
    return named


def _whole_number(document: Mapping[str, Any], rule: str) -> int | None:
    value = document.get(rule)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"filters.{rule} is {value!r}, expected an integer from 1")
    return value


def _categories(uri: Any, item_ids: pa.Array) -> Interactions:
    """Categories of each item, numbered as they appear."""
    if not isinstance(uri, str):
        raise SettingsError(f"filters.categories is {uri!r}, expected the URI of a CSV file")
    rows = csv.DictReader(object_store.read_text(uri).splitlines())
    if rows.fieldnames is None or not {"item_id", "category"} <= set(rows.fieldnames):
        raise SettingsError(f"{uri} has the header {rows.fieldnames}, expected item_id,category")
    pairs = [(row["item_id"], row["category"]) for row in rows]
    items = pc.index_in(pa.array([item for item, _ in pairs], pa.string()), item_ids)
    numbers: dict[str, int] = {}
    categories = np.array([numbers.setdefault(category, len(numbers)) for _, category in pairs], np.int64)
    known = items.is_valid().to_numpy(zero_copy_only=False)
    return from_pairs(items.drop_null().to_numpy(), categories[known], len(item_ids))
