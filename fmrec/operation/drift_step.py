"""The workflow's step that compares a run's encoding with the champion's: manifests, and ids unless they are
too many.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fmrec.artifacts import layout
from fmrec.artifacts.feature_index import FeatureIndex
from fmrec.artifacts.manifest import Dropped, Manifest
from fmrec.operation.drift import Comparison, Counts, Facts, compare, nothing_to_compare
from fmrec.registry.served_encoding import served_manifest
from fmrec.storage import object_store

MOST_IDS = 2_000_000
"""Ids of one namespace that are compared: names and counts of both encodings are in memory at once."""


def compare_with_champion(
    manifest_uri: str, champion_uri: str, rules: Mapping[str, Mapping[str, float]]
) -> Comparison:
    """Compare what a run has encoded with what the model that serves has learned from.

    Parameters
    ----------
    manifest_uri
        The run's own manifest.
    champion_uri
        The record of what serves: `fmrec.registry.champion`'s, or `fmrec.predictions.served_model`'s.
    rules
        As `fmrec.deployment.drift_limits.limits` returns them.

    Raises
    ------
    FormatError
        The record or a manifest can't be read.
    """
    before_uri = served_manifest(champion_uri, "compared with nothing")
    if before_uri is None:
        return nothing_to_compare("No model serves this data set yet, so there is nothing to compare with.")
    if before_uri == manifest_uri:
        return nothing_to_compare("The champion learned from the same encoding.")
    if not object_store.is_listed(before_uri):
        return nothing_to_compare(
            "The champion's encoding has been deleted by its age (retention.intermediate_days), so there is "
            "nothing to compare with."
        )
    before, now = (Manifest.from_json(object_store.read_bytes(uri)) for uri in (before_uri, manifest_uri))
    old, new = (
        FeatureIndex(object_store.join(uri.rsplit("/", 1)[0], layout.FEATURE_INDEX))
        for uri in (before_uri, manifest_uri)
    )
    counts = {
        namespace: _counts(old, new, before.ranges[namespace], now.ranges[namespace])
        for namespace in ("user", "item")
    }
    return compare(facts_of(before), facts_of(now), rules, users=counts["user"], items=counts["item"])


def facts_of(manifest: Manifest) -> Facts:
    """What is compared of a manifest."""
    rows, label = manifest.rows, manifest.dataset.get("label", {})
    days = manifest.details.get("days")
    picked = None
    if label.get("mode") == "binary":
        picked = manifest.train.positive_share
    elif label.get("mode") == "implicit":
        passed = manifest.dropped_reasons.get(Dropped.NOT_PICKED, 0)
        picked = rows.encoded / (rows.encoded + passed) if rows.encoded + passed else None
    return Facts(
        run=manifest.run,
        rows=rows.read,
        quarantined=rows.quarantined,
        users=manifest.users,
        items=manifest.items,
        interactions=rows.encoded,
        picked=picked,
        values=manifest.details.get("values", {}),
        longest_gap=None if days is None else int(days["longest_gap"]),
        gap_after="" if days is None else str(days["gap_after"]),
    )


def _counts(
    before: FeatureIndex, now: FeatureIndex, before_range: tuple[int, int], now_range: tuple[int, int]
) -> Counts | None:
    """Interactions of one namespace's ids in both encodings, or None if there are too many."""
    if max(end - start for start, end in (before_range, now_range)) > MOST_IDS:
        return None
    old_names, new_names = before.names(*before_range), now.names(*now_range)
    old, new = before.interactions(*before_range), now.interactions(*now_range)
    place = pc.index_in(old_names, value_set=new_names)
    known = pc.is_valid(place).to_numpy(zero_copy_only=False)
    counted = np.zeros(len(old), np.int64)
    counted[known] = new[pc.fill_null(place, pa.scalar(0, pa.int32())).to_numpy()[known]]
    return Counts(
        before=old,
        now=counted,
        new_ids=len(new) - int(known.sum()),
        new_interactions=int(new.sum() - counted.sum()),
    )
