"""Business rules as data: which items may be recommended at all, and how many of a kind.

A small JSON document, in the settings or in S3::

    {
      "allow": ["id", …] or "s3://…/ids.txt",        only these
      "deny": ["id", …] or "s3://…/ids.txt",         never these
      "minimum_popularity": 5,                       only items in at least so many interactions
      "maximum_per_category": 3,                     at most so many of one category in a user's list
      "categories": "s3://…/categories.csv"          which item is of which category
    }

A list in S3 is text with one id per line. The categories are CSV with the header ``item_id,category``;
an item may have several rows, and one without is not limited. Ids that no interaction names are
ignored: a shop's deny list is longer than its sales.
"""

from __future__ import annotations

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
from fmrec.recommendations.id_files import read_columns, read_ids
from fmrec.recommendations.rule_document import KEYS, check_count, check_rules
from fmrec.recommendations.selection import Rules


def read_rules(document: Mapping[str, Any], manifest: Manifest, index: FeatureIndex) -> Rules:
    """Resolve a document of rules for the items of one run.

    Raises
    ------
    SettingsError
        A rule is malformed, or the rules leave no item.
    InputError
        A list can't be read.
    """
    unknown = [key for key in document if key not in KEYS]
    if unknown:
        raise SettingsError(f"serving.filters has the rule {unknown[0]!r}: expected one of {', '.join(KEYS)}")
    columns = manifest.ranges["item"]
    item_ids = index.names(*columns)
    excluded = np.zeros(manifest.items, bool)
    for rule in ("allow", "deny"):
        if document.get(rule) is not None:
            named = _named(item_ids, _ids(document[rule], rule))
            excluded |= ~named if rule == "allow" else named
    minimum = check_count(document, "minimum_popularity")
    if minimum is not None:
        excluded |= index.interactions(*columns) < minimum
    if excluded.all():
        raise SettingsError(f"serving.filters leaves none of the {manifest.items} items to recommend")
    maximum = check_count(document, "maximum_per_category")
    if (maximum is None) != (document.get("categories") is None):
        raise SettingsError("serving.filters needs maximum_per_category and categories together")
    if maximum is None:
        return Rules(excluded)
    return Rules(excluded, _categories(document["categories"], item_ids), maximum)


def check_remote(document: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the rules of an event, whose files may only be ``s3://`` URIs: a function opens no path of its
    own.

    Raises
    ------
    SettingsError
        A rule makes no sense or names anything else.
    """
    return check_rules(document) if document else None


def _ids(value: Any, rule: str) -> pa.Array:
    if isinstance(value, str):
        return read_ids(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return pa.array(value, pa.string())
    raise SettingsError(f"serving.filters.{rule} is {value!r}: expected a list of item ids or the URI of one")


def _named(item_ids: pa.Array, wanted: pa.Array) -> npt.NDArray[np.bool_]:
    named: npt.NDArray[np.bool_] = pc.is_in(item_ids, wanted).to_numpy(zero_copy_only=False)
    return named


def _categories(uri: Any, item_ids: pa.Array) -> Interactions:
    """Categories of each item, numbered as they appear."""
    if not isinstance(uri, str):
        raise SettingsError(f"serving.filters.categories is {uri!r}: expected the URI of a CSV file")
    names, categories = read_columns(uri, ("item_id", "category"))
    items = pc.index_in(names, item_ids)
    numbers = categories.dictionary_encode().indices.to_numpy().astype(np.int64)
    known = items.is_valid().to_numpy(zero_copy_only=False)
    return from_pairs(items.drop_null().to_numpy(), numbers[known], len(item_ids))
